"""What ``rapo export`` does: an adapter as a folder to hand on, or merged with its base into a model of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from rapo_lightning import records
from rapo_lightning.errors import InputError, StorageError
from rapo_lightning.weights import locate, refuse_code, split_revision

__all__ = ["export"]


def export(source: Path, out: Path, *, merged: bool = False, base: str | None = None, dtype: str = "auto") -> dict[str, Any]:
    """Write an adapter, or the merged model, into ``out``, which appears whole or not at all; says what was written.

    Args:
        source: a run of ``rapo train``, or an adapter's folder.
        merged: add the adapter's weights to its base's; any Hugging Face tool then loads the folder as it is.
        base: the base as it is called where the folder goes, e.g. a path on another machine; None: as recorded. With
            ``merged``, where to find it here.
        dtype: the merged weights' type.

    Raises:
        InputError: no adapter there, or ``out`` is not empty. WeightsError: the base is not here, or is another.
        StorageError: the disk is full or gone.
    """
    adapter = source / "adapter" if (source / "adapter").is_dir() else source
    config_file = adapter / "adapter_config.json"
    if not config_file.is_file():
        raise InputError(f"{source}: no adapter there (adapter_config.json); name a run of rapo train or an adapter's folder")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is there already; choose another --out")
    refuse_code(adapter)
    try:
        recorded = records.parse_json(config_file.read_bytes())
        if not isinstance(recorded, dict):
            raise ValueError("not a JSON object")
    except ValueError as error:
        raise InputError(f"{config_file}: cannot be read: {error}") from error
    out = out.absolute()
    if base is not None and not base.strip():
        raise InputError("--base is empty")
    name = base or str(recorded.get("base_model_name_or_path") or "")
    if not name:
        raise InputError(f"{adapter}: does not say which base it belongs to; give --base")
    aside = out.with_name(f"{out.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if merged:
            _merge(adapter, aside, name, dtype)
        else:
            shutil.copytree(adapter, aside)
            if base is not None:
                recorded["base_model_name_or_path"], recorded["revision"] = split_revision(base)
                records.write_text_atomic(aside / "adapter_config.json", json.dumps(recorded, indent=2) + "\n")
        if out.is_dir():
            out.rmdir()
        aside.replace(out)
    except shutil.Error as error:  # of several files
        raise StorageError(f"{out}: cannot be written: {error.args[0][0][2]}") from error
    except OSError as error:
        raise StorageError.of(out, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return {"folder": str(out), "kind": "model" if merged else "adapter", "base": name}


def _merge(adapter: Path, folder: Path, base: str, dtype: str) -> None:
    from rapo_lightning.language import adapter as lora
    from rapo_lightning.language.loading import load_format, load_model

    located = locate(str(Path(base).resolve()) if Path(base).is_dir() else base, adapter)
    loaded = load_model(located, dtype=dtype)
    model = lora.merge(lora.load(loaded.model, adapter, base=located))
    with lora.writing(folder):
        model.save_pretrained(folder, safe_serialization=True)
        load_format(located, str(adapter)).tokenizer.save_pretrained(folder)
        lora.readable(folder)
    card = adapter / "README.md"
    if card.is_file():
        text = card.read_text(encoding="utf-8").replace("library_name: peft", "library_name: transformers")
        records.write_text_atomic(folder / "README.md", text.replace("# LoRA adapter:", "# Merged LoRA adapter:"))
    if (adapter / "training.json").is_file():
        shutil.copyfile(adapter / "training.json", folder / "training.json")
