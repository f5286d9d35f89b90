"""Finds a judge's model on this machine and loads it whole: weights, tokenizer, chat template. None of its code is run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from evaluation.errors import WeightsError
from evaluation.judge.base import Ask
from evaluation.judge.families import FAMILIES, Family, family
from evaluation.weights.load import model_folder

__all__ = ["Loaded", "Place", "load", "locate"]


class Place:
    """A model's folder: its name, where it comes from, and which family it is of."""

    def __init__(self, folder: Path, name: str, revision: str | None) -> None:
        self.folder = folder
        self.name = name
        self.revision = revision

    @cached_property
    def route(self) -> str:
        """How its frames become pixels."""
        return FAMILIES[_config(self.folder).model_type].route

    @cached_property
    def sha256(self) -> str:
        """Of all its weights, in the order of their files' names."""
        digest = hashlib.sha256()
        for path in sorted(self.folder.glob("*.safetensors")):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    @property
    def mark(self) -> str:
        """The revision, or the hash's beginning where there is none."""
        return self.revision or f"sha256:{self.sha256[:12]}"


def locate(model: str, revision: str | None) -> Place:
    """A folder as it is, or the hub's cache.

    Raises:
        WeightsError: neither has the model, or it is no vision-language model that a local judge reads.
    """
    folder, commit = Path(model), None
    if not folder.is_dir():
        folder = _cached(model, revision)
        commit = folder.name
    elif folder.resolve().parent.name == "snapshots":
        commit = folder.resolve().name
    if not any(folder.glob("*.safetensors")):
        raise WeightsError(f"{folder}: no judge: holds no safetensors")
    config = _config(folder)
    if config.model_type not in FAMILIES:
        raise WeightsError(f"{folder}: a {config.model_type} model; a local judge is one of {', '.join(FAMILIES)}")
    name = model if commit and not Path(model).is_dir() else folder.resolve().name
    return Place(folder, name, commit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model that is ready to answer."""

    model: Any
    tokenizer: Any
    family: Family
    template: str | None

    def first_token(self, text: str) -> int:
        """The token that a reply of this text begins with."""
        token: int = self.tokenizer(text, add_special_tokens=False)["input_ids"][0]
        return token

    def text(self, item: Ask) -> str:
        """A question as the model reads it, with the frames before its text.

        Raises:
            WeightsError: the chat template has no place for them.
        """
        content: Any = self._clean(item.text)
        if item.video is not None:
            kind = "image" if item.video.picture and self.family.pictures else "video"
            content = [{"type": kind}, {"type": "text", "text": content}]
        messages = [{"role": "system", "content": self._clean(item.system)}] if item.system else []
        rendered: str = self.tokenizer.apply_chat_template(
            [*messages, {"role": "user", "content": content}],
            tokenize=False,
            add_generation_prompt=True,
            **({"chat_template": self.template} if self.template else {}),
        )
        if item.video is not None:
            if rendered.count(self.family.placeholder(item.video.picture)) != 1:
                raise WeightsError(f"{self.family.folder}: its chat template has no place for a {kind}")
            rendered = self.family.expand(rendered, item.video)
        return rendered + item.prefix

    def inputs(self, asks: Sequence[Ask]) -> dict[str, torch.Tensor]:
        """A left-padded batch: ids and mask (B, L) and what the family adds; floating tensors are float32."""
        tokens = self.tokenizer(
            [self.text(item) for item in asks],
            padding=True,
            padding_side="left",
            add_special_tokens=False,
            return_tensors="pt",
        )
        batch = {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]}
        views = [item.video for item in asks if item.video is not None]
        if not views:
            return batch
        more = self.family.tensors(views, tokens["input_ids"])
        pixels = {name: more[name].to(self.model.dtype) for name in more if name.startswith("pixel_values")}
        return {**batch, **more, **pixels}

    def _clean(self, text: str) -> str:
        marks = [*self.tokenizer.get_added_vocab(), self.family.placeholder(False), self.family.placeholder(True)]
        found = True
        while found:
            found = False
            for mark in marks:
                if mark.startswith(("<", "[")) and mark in text:
                    text, found = text.replace(mark, ""), True
        return text


def load(place: Place, dtype: str, *, on_cpu: bool) -> Loaded:
    """The model of a place, on the CPU.

    Raises:
        WeightsError: weights or tokenizer are missing, of another kind, or bring code.
    """
    import transformers
    from transformers import AutoTokenizer

    new_generation: Any = transformers.GenerationConfig

    config = _config(place.folder)
    if dtype == "auto":
        saved = getattr(config, "dtype", None) or torch.float32
        dtype = "float32" if on_cpu and saved == torch.float16 else str(saved).removeprefix("torch.")
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(str(place.folder), local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{place.folder}: no tokenizer: {str(error).splitlines()[0]}") from error
    kind = family(place.folder, config, tokenizer)
    model = model_folder(
        getattr(transformers, kind.model_class), place.folder, dtype=getattr(torch, dtype), use_safetensors=True
    ).eval()
    model.requires_grad_(False)
    # In place of the folder's own: its temperature and penalties would bend what the judge says.
    ends = model.generation_config.eos_token_id
    pad = next(token for token in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if token is not None)
    model.generation_config = new_generation(
        do_sample=False, eos_token_id=tokenizer.eos_token_id if ends is None else ends, pad_token_id=pad
    )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Loaded(model=model, tokenizer=tokenizer, family=kind, template=_template(place.folder))


def _template(folder: Path) -> str | None:
    """The processor's chat template, which has places for frames; the tokenizer's own may have none."""
    if (path := folder / "chat_template.jinja").is_file():
        return path.read_text(encoding="utf-8")
    if (path := folder / "chat_template.json").is_file():
        template: str = json.loads(path.read_text(encoding="utf-8"))["chat_template"]
        return template
    return None


def _config(folder: Path) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder}: no judge: {str(error).splitlines()[0]}") from error


def _cached(model: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, revision=revision, local_files_only=True))
    except (OSError, ValueError) as error:
        at = f" --revision {revision}" if revision else ""
        raise WeightsError(
            f"{model}: no such folder, nor is it in the Hugging Face cache; where there is a network: hf download {model}{at}"
        ) from error
