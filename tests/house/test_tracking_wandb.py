"""What W&B is given beside scalars: prompts, dataset and adapters as artifacts, offline, inside the run folder; never a reason to
fail."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from rapo_lightning import workflows
from rapo_lightning.run_folder import read_run
from tests.house.command import PROMPTS, config, rapo

pytestmark = pytest.mark.filterwarnings(r"ignore:.isinstance\(treespec, LeafSpec\):FutureWarning")

WANDB = {"class_path": "lightning.pytorch.loggers.WandbLogger", "init_args": {"mode": "offline"}}


@pytest.fixture
def artifacts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[Any]]:
    """The artifacts that runs log from now on; W&B's files go to the run folder."""
    import wandb

    for variable in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "run"))
    logged: list[Any] = []
    real = wandb.Run.log_artifact

    def log_artifact(self: Any, artifact: Any, **options: Any) -> Any:
        if artifact.type != "run_table":  # W&B's own, of the table
            logged.append(artifact)
        return real(self, artifact, **options)

    monkeypatch.setattr(wandb.Run, "log_artifact", log_artifact)
    yield logged
    assert wandb.run is None, "the run is closed, whatever happened"


def adapted(folder: Path) -> Path:
    """A configuration whose rewriter's chat model has an adapter (it is never loaded)."""
    (folder / "my adapter").mkdir(parents=True)
    (folder / "my adapter" / "adapter_config.json").write_text("{}")
    save_file({"weight": torch.zeros(1)}, folder / "my adapter" / "adapter_model.safetensors")
    (folder / "base").mkdir()
    (folder / "base" / "config.json").write_text("{}")
    rewriter = {"class_path": "tests.house.parts.AdaptedRewriter", "init_args": {"model": "base", "adapter": "my adapter"}}
    return config(folder, logger=WANDB, rewriter=rewriter)


def optimise(path: Path, **arguments: Any) -> int:
    return workflows.optimize(path, out=path.parent / "run", allow=["tests"], **arguments).exit_code


def content(artifact: Any) -> dict[str, bytes]:
    return {name: Path(entry.local_path).read_bytes() for name, entry in artifact.manifest.entries.items()}


def test_prompts_dataset_and_adapter_are_artifacts(tmp_path: Path, artifacts: list[Any]) -> None:
    path = adapted(tmp_path)
    assert optimise(path) == 0
    run = tmp_path / "run"
    name = read_run(run)["tracking_id"]
    prompts, dataset, adapter = artifacts
    assert [(a.name, a.type) for a in artifacts] == [
        (f"prompts-{name}", "prompts"),
        (f"dataset-{name}", "dataset"),
        ("adapter-my-adapter", "model"),
    ]
    files = content(prompts)
    assert files.keys() == {"best_prompts.txt", "prompts.jsonl"}
    assert files["best_prompts.txt"] == (run / "best_prompts.txt").read_bytes()
    rows = [json.loads(line) for line in files["prompts.jsonl"].splitlines()]
    best = [json.loads(line) for line in (run / "best.jsonl").read_text().splitlines()]
    assert [(row["prompt"], row["best prompt"], row["reward after"]) for row in rows] == [
        (row["original"], row["best"], row["reward_after"]) for row in best
    ]
    recorded = {file: (run / file).read_bytes() for file in ("candidates-0.jsonl", "prompts.jsonl")}
    assert content(dataset) == recorded
    assert content(adapter) == {file.name: file.read_bytes() for file in (tmp_path / "my adapter").iterdir()}
    places = {Path(entry.local_path) for artifact in artifacts for entry in artifact.manifest.entries.values()}
    assert all(place.is_relative_to(run) for place in places), "what a later sync needs lies in the run folder"


def test_a_session_for_some_prompts_still_speaks_of_all(tmp_path: Path, artifacts: list[Any]) -> None:
    path = config(tmp_path, logger=WANDB)
    optimise(path, limit=2)
    optimise(path, prompt=PROMPTS[4])
    names = Counter(artifact.name for artifact in artifacts)
    assert set(names.values()) == {2}, "the same artifacts, one version a session"
    told = [json.loads(line)["prompt"] for line in content(artifacts[-2])["prompts.jsonl"].splitlines()]
    assert told == [*PROMPTS[:2], PROMPTS[4]]


def test_artifacts_that_fail_are_one_warning_and_a_closed_run(
    tmp_path: Path, artifacts: list[Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import wandb

    def refuse(self: Any, *arguments: Any, **options: Any) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(wandb.Artifact, "add_file", refuse)
    assert optimise(config(tmp_path, logger=WANDB)) == 0
    warnings = [line for line in capfd.readouterr().err.splitlines() if line.startswith("rapo: ")]
    assert warnings == ["rapo: tracking with WandbLogger has stopped (ConnectionError: no network)"]
    assert read_run(tmp_path / "run")["status"] == "done"
    assert (tmp_path / "run" / "report.html").exists()


def test_the_adapter_is_found_wherever_the_configuration_names_it(tmp_path: Path) -> None:
    path = adapted(tmp_path)
    optimise(path, overrides=["logger=csv"])
    models = read_run(tmp_path / "run")["models"]
    assert models == {
        "rewriter.init_args.model": {"weights": str(tmp_path / "base"), "commit": None},
        "rewriter.init_args.adapter": {"weights": str(tmp_path / "my adapter"), "commit": None},
    }


@pytest.mark.slow
def test_quiet_quiets_wandb_too(tmp_path: Path) -> None:
    path = config(tmp_path, logger=WANDB)
    done = rapo("optimize", path, "--out", tmp_path / "run", "--limit", 1, "--quiet", WANDB_SILENT="false")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
