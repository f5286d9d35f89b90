"""Downloads weights, only when asked to: from the hub into its own cache, from anywhere else into ``$EVALUATION_WEIGHTS``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from evaluation.errors import WeightsError
from evaluation.weights.entry import Weights
from evaluation.weights.lookup import find, weights_folder
from evaluation.weights.table import WEIGHTS

__all__ = ["fetch"]

#: Of a model folder; weights come as safetensors if it has them, else as PyTorch's file.
_SMALL = ("*.json", "*.txt", "*.model")
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def fetch(names: Iterable[str], given: Mapping[str, str | Path] | None = None, tell: Callable[[str], None] = print) -> None:
    """Get what `find` does not find, of ``a|b`` the first; ``tell`` is told each licence and address beforehand.

    Raises:
        WeightsError: there is no network, it may not be used (``HF_HUB_OFFLINE``), an address does not answer, a file is not the
            one that its name promises, or the weights cannot be fetched so: they are code, or behind a form to sign.
    """
    for name in dict.fromkeys(names):
        try:
            find([name], given)
        except WeightsError:
            weights = WEIGHTS[name.split("|")[0]]
            if os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"):
                raise WeightsError(f"{weights.name}: HF_HUB_OFFLINE is set, so that nothing is downloaded") from None
            tell(f"{weights.name}, licence {weights.licence}: {weights.hub or weights.source}")
            _fetch(weights)


def _fetch(weights: Weights) -> None:
    if weights.code:
        raise WeightsError(f"{weights.name}: code of its authors is not fetched: {weights.source}")
    try:
        if weights.hub:
            _from_hub(weights.hub, weights.hub_file)
        else:
            _from_address(weights)
    except WeightsError:
        raise
    except Exception as error:  # the hub's client and urllib raise all sorts of errors
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{weights.name}: cannot be fetched from {weights.hub or weights.source}: {line}") from error


def _from_hub(repository: str, file: str | None) -> None:
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    if file is not None:
        hf_hub_download(repository, file)
        return
    there = HfApi().list_repo_files(repository)
    chosen = [name for name in _WEIGHTS if name in there][:1] or ["*.safetensors"]
    snapshot_download(repository, allow_patterns=[*_SMALL, *chosen])


def _from_address(weights: Weights) -> None:
    from torch.hub import download_url_to_file

    if not weights.source.endswith(Path(weights.file).suffix or "/"):
        raise WeightsError(f"{weights.name}: {weights.file} is not fetched from {weights.source}: get it from there")
    target = weights_folder() / weights.file
    target.parent.mkdir(parents=True, exist_ok=True)
    promised = re.search(r"-([0-9a-f]{8})\.pth$", weights.file)
    download_url_to_file(weights.source, str(target), promised[1] if promised else None, progress=False)
