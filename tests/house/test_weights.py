"""Weights: where references are looked for, and model folders that would run code."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rapo_lightning import weights
from rapo_lightning.errors import WeightsError
from rapo_lightning.weights import locate, refuse_code, split_revision, without_bars

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the repository's own weights nor this machine's cache take part."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setattr(weights, "__file__", str(tmp_path / "repository" / "rapo_lightning" / "weights.py"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


def model(folder: Path) -> Path:
    """A clean model folder."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"architectures": ["Qwen2ForCausalLM"], "trust_remote_code": false}')
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {"auto_map": 1}}}')
    save_file({"w": torch.zeros(2)}, folder / "model.safetensors")
    return folder


def snapshot(cache: Path, revision: str = "main") -> Path:
    """A model in the layout of the Hugging Face cache: a snapshot of links to blobs."""
    repository = cache / "models--org--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / revision).write_text(COMMIT)
    (repository / "blobs").mkdir()
    folder = model(repository / "snapshots" / COMMIT)
    for file in list(folder.iterdir()):
        file.rename(repository / "blobs" / file.name)
        file.symlink_to(Path("../../blobs") / file.name)
    return folder


def test_split_revision() -> None:
    assert split_revision("org/name@v1") == ("org/name", "v1")
    assert split_revision("org/name") == ("org/name", None)


def test_a_folder_is_found_by_its_path(tmp_path: Path) -> None:
    folder = model(tmp_path / "configs" / "tiny")
    assert locate(str(folder), tmp_path) == str(folder)
    assert locate("tiny", tmp_path / "configs") == str(folder)
    assert locate("../configs/tiny", tmp_path / "configs") == str(folder)


@pytest.mark.parametrize("root", ["cwd", "repository"])
@pytest.mark.parametrize("reference", ["Qwen/Qwen2.5-7B-Instruct", "Qwen/qwen2.5-7B-Instruct@main", "qwen2.5-7b-instruct"])
def test_a_name_is_found_under_ckpt_without_case(tmp_path: Path, root: str, reference: str) -> None:
    folder = model(tmp_path / root / "ckpt" / "Qwen2.5-7B-instruct")
    assert locate(reference, tmp_path) == str(folder)


@pytest.mark.parametrize("reference", ["shapes/generator", "ckpt/shapes/generator", "./ckpt/Shapes/generator"])
def test_a_name_of_several_parts_is_found_under_ckpt(tmp_path: Path, reference: str) -> None:
    folder = model(tmp_path / "repository" / "ckpt" / "shapes" / "generator")
    assert locate(reference, tmp_path) == str(folder)


def test_the_nearest_folder_wins(tmp_path: Path) -> None:
    far = model(tmp_path / "repository" / "ckpt" / "tiny")
    assert locate("org/tiny", tmp_path) == str(far)
    near = model(tmp_path / "cwd" / "ckpt" / "TINY")
    assert locate("org/tiny", tmp_path) == str(near)
    exact = model(tmp_path / "cwd" / "ckpt" / "tiny")
    assert locate("org/tiny", tmp_path) == str(exact)
    beside = model(tmp_path / "org" / "tiny")
    assert locate("org/tiny", tmp_path) == str(beside)


def test_the_cache_is_used_without_network(tmp_path: Path) -> None:
    folder = snapshot(tmp_path / "cache")
    assert locate("org/tiny", tmp_path) == str(folder)
    assert locate("org/tiny@main", tmp_path) == str(folder)
    assert locate(f"org/tiny@{COMMIT}", tmp_path) == str(folder)
    with pytest.raises(WeightsError, match="hf download org/tiny --revision v2 --local-dir ckpt/tiny"):
        locate("org/tiny@v2", tmp_path)


def test_without_network_a_missing_model_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="hf download org/tiny --local-dir ckpt/tiny") as caught:
        locate("org/tiny", tmp_path)
    assert "\n" not in str(caught.value)


def test_with_network_a_hub_id_is_left_to_the_loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert locate("org/tiny@v2", tmp_path) == "org/tiny@v2"


@pytest.mark.parametrize(
    "reference",
    [
        "",
        " ",
        "tiny",
        "../tiny",
        "a/b/c",
        "/none/such",
        "org/tiny@",
        "org/tiny@../x",
        "~nobody/x",
        "org/ti ny",
        "a\0b",
        "x" * 999,
    ],
)
def test_what_is_neither_folder_nor_hub_id_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(WeightsError):
        locate(reference, tmp_path)


def test_the_names_under_ckpt_lead_nowhere_else(tmp_path: Path) -> None:
    model(tmp_path / "cwd" / "outside")
    (tmp_path / "cwd" / "ckpt").mkdir()
    with pytest.raises(WeightsError):
        locate("x/../../outside", tmp_path / "elsewhere")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    with pytest.raises(WeightsError, match="empty folder"):
        locate("tiny", tmp_path)


def test_a_clean_folder_and_a_cache_snapshot_pass(tmp_path: Path) -> None:
    refuse_code(model(tmp_path / "tiny"))
    refuse_code(snapshot(tmp_path / "cache"))
    (tmp_path / "link").symlink_to(tmp_path / "tiny")
    refuse_code(tmp_path / "link")


def test_a_diffusers_index_may_name_diffusers_transformers_and_its_own_pipelines(tmp_path: Path) -> None:
    index = {
        "_class_name": "WanPipeline",
        "vae": ["diffusers", "AutoencoderKLWan"],
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "safety": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "transformer_2": [None, None],
    }
    (model(tmp_path / "tiny") / "model_index.json").write_text(json.dumps(index))
    refuse_code(tmp_path / "tiny")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pytorch_model.bin", "pickle"),
        ("model.PT", "pickle"),
        ("vae/diffusion.pth", "pickle"),
        ("last.ckpt", "pickle"),
        ("optimizer.pkl", "pickle"),
        ("modeling_evil.py", "import os"),
        ("transformer/block.py", "import os"),
        ("kernel.so", "ELF"),
        ("config.json", '{"auto_map": {"AutoModel": "modeling_evil.Evil"}}'),
        ("tokenizer_config.json", '{"auto_map": {"AutoTokenizer": ["evil.Tokenizer", null]}}'),
        ("text_encoder/config.json", '{"text_config": {"auto_map": {"AutoModel": "evil.Evil"}}}'),
        ("model_index.json", '{"custom_pipeline": "org/evil"}'),
        ("pipeline.json", '{"custom_code": true}'),
        ("config.json", '{"_attn_implementation_internal": "org/evil-kernel"}'),
        ("config.json", '{"layers": [{"_attn_implementation": "org/evil"}]}'),
        ("config.json", '{"attn_implementation": "org/evil"}'),
        ("sentence_bert_config.json", '{"model_args": {"trust_remote_code": true}}'),
        ("hparams.json", '{"_instantiator": "os.system"}'),
        ("adapter_config.json", '{"megatron_config": {"a": 1}, "megatron_core": "evil"}'),
        ("model_index.json", '{"vae": ["os", "system"]}'),
        ("model_index.json", '{"vae": ["../evil", "Evil"]}'),
        ("model_index.json", '{"_class_name": ["pipeline", "Evil"]}'),
        ("modules.json", '[{"idx": 0, "type": "os.system"}]'),
        ("modules.json", "[3]"),
        ("config.json", "{"),
        ("config.json", "[" * 200_000),
        ("config.json", '{"a": "\xff"}'),
        ("config.JSON", '{"auto_map": {"AutoModel": "evil.Evil"}}'),
        ("model-2.safetensors", "pickle in disguise"),
        ("model-3.safetensors", "\xff" * 7 + "\x00{"),
        ("model-4.safetensors", ""),
    ],
)
def test_a_folder_that_could_run_code_is_refused(tmp_path: Path, name: str, content: str) -> None:
    file = model(tmp_path / "tiny") / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(WeightsError) as caught:
        refuse_code(tmp_path / "tiny")
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("target", ["../secret.json", "/etc/hostname", "missing.json", "loop.json", ".."])
def test_links_that_lead_out_or_nowhere_are_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "secret.json").write_text("{}")
    (model(tmp_path / "tiny") / "loop.json").symlink_to(target)
    with pytest.raises(WeightsError, match=r"loop\.json: a link"):
        refuse_code(tmp_path / "tiny")


def test_links_inside_the_folder_pass(tmp_path: Path) -> None:
    (model(tmp_path / "tiny") / "same.json").symlink_to("config.json")
    refuse_code(tmp_path / "tiny")


def test_a_snapshot_may_not_link_to_another_repository(tmp_path: Path) -> None:
    folder = snapshot(tmp_path / "cache")
    (tmp_path / "cache" / "models--org--other").mkdir()
    (tmp_path / "cache" / "models--org--other" / "config.json").write_text("{}")
    (folder / "other.json").symlink_to("../../../models--org--other/config.json")
    with pytest.raises(WeightsError, match="leads out"):
        refuse_code(folder)


def test_large_and_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = model(tmp_path / "tiny")
    monkeypatch.setattr("rapo_lightning.model_folders.MAX_JSON_BYTES", 10)
    with pytest.raises(WeightsError, match="too large"):
        refuse_code(folder)
    monkeypatch.setattr("rapo_lightning.model_folders.MAX_FILES", 2)
    monkeypatch.setattr("rapo_lightning.model_folders.MAX_JSON_BYTES", 1000)
    with pytest.raises(WeightsError, match="more than 2 files"):
        refuse_code(folder)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="No such file"):
        refuse_code(tmp_path / "none")


@pytest.mark.parametrize("enabled", [True, False])
def test_loading_bars_are_off_for_a_while_only(enabled: bool) -> None:
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    both = (diffusers_logging, transformers_logging)
    before = [logging.is_progress_bar_enabled() for logging in both]
    try:
        for logging in both:
            logging.enable_progress_bar() if enabled else logging.disable_progress_bar()
        with contextlib.suppress(OSError), without_bars("diffusers", "transformers"):
            assert not any(logging.is_progress_bar_enabled() for logging in both)
            raise OSError("torn")
        assert all(logging.is_progress_bar_enabled() is enabled for logging in both)
    finally:
        for logging, was in zip(both, before, strict=True):
            logging.enable_progress_bar() if was else logging.disable_progress_bar()
