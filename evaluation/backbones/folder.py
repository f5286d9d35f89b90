"""What else a model folder holds: the tokenizer, as a file without code, and the size that pictures are brought to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from evaluation.errors import WeightsError

__all__ = ["picture_size", "tokenizer"]


def tokenizer(folder: Path) -> Tokenizer:
    """The folder's ``tokenizer.json``, which neither pads nor cuts.

    Raises:
        WeightsError: there is none, or it cannot be read.
    """
    try:
        found: Tokenizer = Tokenizer.from_str((folder / "tokenizer.json").read_text(encoding="utf-8"))
    except Exception as error:  # the library raises bare Exceptions
        raise WeightsError(f"{folder}: no tokenizer.json that can be read: {str(error).splitlines()[0]}") from error
    found.no_padding()
    found.no_truncation()
    return found


def picture_size(folder: Path) -> dict[str, int]:
    """``size`` as the folder's preprocessor has it: "height" and "width", or "shortest_edge" and "longest_edge".

    Raises:
        WeightsError: the folder does not tell.
    """
    for name, key in (("preprocessor_config.json", None), ("processor_config.json", "image_processor")):
        try:
            settings: Any = json.loads((folder / name).read_text(encoding="utf-8"))
            size = (settings if key is None else settings[key])["size"]
            return {str(side): int(pixels) for side, pixels in size.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    raise WeightsError(f"{folder}: neither preprocessor_config.json nor processor_config.json tells the size of pictures")
