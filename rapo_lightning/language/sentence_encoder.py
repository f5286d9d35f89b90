"""Sentence embeddings by a SentenceTransformer: all-MiniLM-L6-v2 (the paper's encoder) and its like.

SentenceEncoder(model="sentence-transformers/all-MiniLM-L6-v2").encode(["a calm sea", "waves at dusk"])
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

from rapo_lightning.errors import WeightsError
from rapo_lightning.language.token_batches import BatchTokenizer, TokenBatches
from rapo_lightning.retrieval.exact import full_precision
from rapo_lightning.types import ModelReference
from rapo_lightning.weights import locate, refuse_code, split_revision, without_bars

if TYPE_CHECKING:
    import torch

__all__ = ["SentenceEncoder"]

#: Tokens a batch: on a CPU what its cache holds, elsewhere what keeps it busy.
_BATCH_TOKENS = {"cpu": 1024}
_MANY_TOKENS = 65_536
#: Texts that are tokenised at once, while the device works on those before.
_WINDOW = 65_536
#: Never fetched: weights in other formats, other back ends' files, and code.
_WANTED = ["*.json", "*.safetensors", "*.txt", "*.model"]


@final
class SentenceEncoder:
    """A `TextEncoder` with weights from a local folder or the hub; safetensors only, and no code of theirs is run.

    Args:
        model: a SentenceTransformer.
        batch_tokens: the most tokens of a batch, padding included; None: 1,024 on a CPU, 65,536 elsewhere.
        dtype: ``float32`` is exact: the vectors of ``SentenceTransformer.encode(..., normalize_embeddings=True)`` to 1e-6, for
            any batch and order. ``bfloat16`` is **inexact** (about 3e-3: other modifiers may be retrieved) and faster.
        name: what a graph calls this encoder; taken from ``model`` when there is none.

    Equal texts are encoded once. Where the model is a transformer, a pooling and perhaps a normalisation, these run on sorted
    batches of tokens; any other model encodes as sentence-transformers does.
    """

    def __init__(
        self,
        model: ModelReference,
        *,
        batch_tokens: int | None = None,
        dtype: Literal["float32", "bfloat16"] = "float32",
        name: str | None = None,
    ) -> None:
        if batch_tokens is not None and batch_tokens < 1:
            raise ValueError(f"batch_tokens is {batch_tokens}; it must be at least 1")
        self._model_reference = model
        self._batch_tokens = batch_tokens
        self._dtype = dtype
        self.name = name or _name(model)
        self._device: torch.device | str = "cpu"
        self._loaded: _Loaded | None = None

    @property
    def dimension(self) -> int:
        """Length of an embedding. Loads the model."""
        return self._load().dimension

    def to(self, device: torch.device | str) -> SentenceEncoder:
        """Use this device from now on; weights already loaded move there."""
        self._device = device
        if self._loaded is not None:
            self._loaded.model.to(device)
        return self

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """L2-normalised float32 embeddings (N, D), on the CPU whatever device computes."""
        import torch

        loaded = self._load()
        unique = list(dict.fromkeys(texts))
        rows = torch.empty(len(unique), loaded.dimension)
        with torch.inference_mode(), full_precision(self._device):
            if unique:
                self._encode(loaded, unique, rows)
        if len(unique) < len(texts):
            place = {text: row for row, text in enumerate(unique)}
            rows = rows[torch.tensor([place[text] for text in texts])]
        return rows

    def _encode(self, loaded: _Loaded, texts: list[str], out: torch.Tensor) -> None:
        import torch

        device = torch.device(self._device)
        budget = self._batch_tokens or _BATCH_TOKENS.get(device.type, _MANY_TOKENS)
        if loaded.tokenizer is None:
            size = max(1, budget // 16)
            rows = loaded.model.encode(texts, batch_size=size, convert_to_tensor=True, show_progress_bar=False)
            out.copy_(torch.nn.functional.normalize(rows.float(), dim=1))
            return
        tokenise = loaded.tokenizer.tokenise
        windows = [texts[first : first + _WINDOW] for first in range(0, len(texts), _WINDOW)]
        coming = _ahead(lambda window: tokenise(window, budget), windows, at_once=device.type == "cpu")
        fetching: list[Callable[[], None]] = []
        for number, batches in enumerate(coming):
            part = torch.empty(len(batches.order), loaded.dimension, device=device)
            for rows, features in batches.features(device):
                _run(loaded.stages, features, part[rows])
            fetching.append(_fetch(part, out[number * _WINDOW : (number + 1) * _WINDOW], batches))
            if number:
                fetching.pop(0)()
        fetching.pop()()

    def _load(self) -> _Loaded:
        if self._loaded is None:
            self._loaded = _load(self._model_reference, self._device, self._dtype)
        return self._loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """A model in evaluation mode, its vectors' length, its modules, and what tokenises for them (None: it encodes itself)."""

    model: Any
    dimension: int
    stages: tuple[Any, ...]
    tokenizer: BatchTokenizer | None


def _run(stages: Sequence[Any], features: dict[str, torch.Tensor], out: torch.Tensor) -> None:
    """Embeds one batch into ``out`` (B, D); when memory runs out, its halves."""
    import torch

    try:
        found: dict[str, Any] = dict(features)
        for stage in stages:
            found = stage(found)
        out.copy_(torch.nn.functional.normalize(found["sentence_embedding"].float(), dim=1))
    except torch.OutOfMemoryError:
        half = len(out) // 2
        if not half:
            raise
        for some in (slice(None, half), slice(half, None)):
            _run(stages, {name: values[some] for name, values in features.items()}, out[some])


def _fetch(part: torch.Tensor, out: torch.Tensor, batches: TokenBatches) -> Callable[[], None]:
    """Starts the copy of a window's vectors; what is returned waits for it and puts them in the texts' order."""
    import torch

    order = torch.from_numpy(batches.order)
    if part.device.type != "cuda":
        return lambda: _put(out, order, part.cpu())
    here = torch.empty(part.shape, pin_memory=True)
    here.copy_(part, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record(torch.cuda.current_stream(part.device))

    def finish() -> None:
        arrived.synchronize()
        _put(out, order, here)

    return finish


def _put(out: torch.Tensor, order: torch.Tensor, rows: torch.Tensor) -> None:
    out[order] = rows


def _ahead(work: Callable[[list[str]], TokenBatches], items: Iterable[list[str]], *, at_once: bool) -> Iterator[TokenBatches]:
    """The work's results in order, each begun while the one before is in use; ``at_once``: without a thread of its own."""
    if at_once:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(1) as pool:
        waiting = None
        for item in items:
            coming = pool.submit(work, item)
            if waiting is not None:
                yield waiting.result()
            waiting = coming
        if waiting is not None:
            yield waiting.result()


def _load(reference: str, device: torch.device | str, dtype: str) -> _Loaded:
    """The checked model; what is missing, unreadable, no SentenceTransformer, or brings code raises `WeightsError`."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    folder = _local(reference)
    if not (folder / "modules.json").is_file():
        raise WeightsError(f"{reference}: no SentenceTransformer, for it has no modules.json")
    try:
        with without_bars("transformers"):
            model = SentenceTransformer(
                str(folder),
                device=str(device),
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True, "dtype": getattr(torch, dtype)},
            ).eval()
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{reference}: the sentence encoder cannot be loaded: {_first_line(error)}") from error
    stages = tuple(model)
    usual = (
        [type(stage) for stage in stages[:2]] == [Transformer, Pooling]
        and all(type(stage) is Normalize and stage.module_input_name == "sentence_embedding" for stage in stages[2:])
        and getattr(stages[0], "modality_config", {}).keys() <= {"text"}
        and not (model.default_prompt_name and model.prompts[model.default_prompt_name])
        and model.truncate_dim is None
    )
    tokenizer = BatchTokenizer.of(stages[0]) if usual else None
    return _Loaded(model=model, dimension=int(model.get_embedding_dimension() or 0), stages=stages, tokenizer=tokenizer)


def _local(reference: str) -> Path:
    """The checked folder of a model; a hub id is fetched into the Hugging Face cache first."""
    from huggingface_hub import snapshot_download

    folder = Path(locate(reference, Path.cwd()))
    if not folder.is_dir():
        name, revision = split_revision(reference)
        try:
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=_WANTED))
        except (OSError, ValueError) as error:
            raise WeightsError(f"{reference}: no such folder, and it cannot be fetched: {_first_line(error)}") from error
    refuse_code(folder)
    return folder


def _name(reference: str) -> str:
    """The model's name wherever it lies: a hub id without its revision, a folder's path under ckpt/, else its last part."""
    path = Path(reference)
    steps = path.parts if path.is_absolute() or path.is_dir() else Path(split_revision(reference)[0]).parts
    for step in steps:
        if step.startswith("models--"):  # the Hugging Face cache
            return step.removeprefix("models--").replace("--", "/")
    if "ckpt" in steps:
        return "/".join(steps[len(steps) - steps[::-1].index("ckpt") :])
    is_hub_id = len(steps) == 2 and not path.is_dir()
    return "/".join(steps) if is_hub_id else (steps or (reference,))[-1]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
