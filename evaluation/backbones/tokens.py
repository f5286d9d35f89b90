"""Prompts as CLIP's tokens, cleaned as OpenAI's tokenizer does: ftfy, HTML entities twice, white space, lower case."""

from __future__ import annotations

import html
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evaluation.errors import WeightsError

__all__ = ["clean", "tokenize"]


def clean(text: str) -> str:
    """The text as CLIP was trained on it."""
    import ftfy

    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split()).lower()


def tokenize(folder: Path, text: str, length: int, *, cut: bool) -> Tensor:
    """Token ids (1, length), zeros behind the end token; ``folder`` holds CLIP's tokenizer.

    ``cut`` keeps the first ``length`` and makes the last the end token, else a longer text is an error.

    Raises:
        ValueError: a text that is too long and not to be cut.
        WeightsError: no tokenizer.
    """
    tokenizer = _tokenizer(folder)
    ids: list[int] = tokenizer(clean(text))["input_ids"]
    if len(ids) > length:
        if not cut:
            raise ValueError(f"{len(ids)} tokens, and CLIP reads {length}")
        ids = [*ids[: length - 1], ids[-1]]
    return torch.tensor([ids + [0] * (length - len(ids))])


@lru_cache(maxsize=4)
def _tokenizer(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    loader: Any = CLIPTokenizer
    try:
        if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
            raise OSError("neither tokenizer.json nor vocab.json")
        return loader.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder}: no tokenizer of CLIP's: {str(error).splitlines()[0]}") from error
