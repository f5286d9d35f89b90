"""What the model writes at a validation is read, rendered and judged; selections are counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from rapo_lightning import records
from rapo_lightning.errors import ConfigError
from rapo_lightning.training import train
from rapo_lightning.tuning.checks import Checked
from rapo_lightning.types import Candidate
from tests.tuning.tiny_training import save_pairs, save_training


def checked(folder: Path) -> list[Checked]:
    return list(records.read(folder / "checks.jsonl", Checked))


def save_optimize(path: Path) -> Path:
    """Fakes render and judge."""
    part = {"generator": "generators.FakeGenerator", "rewriter": "rewriters.FakeRewriter"}
    values: dict[str, Any] = {name: {"class_path": f"rapo_lightning.{cls}"} for name, cls in part.items()}
    values["judges"] = {"alignment": {"class_path": "rapo_lightning.judges.FakeJudge"}}
    path.write_text(json.dumps(values))
    return path


def test_texts_are_rendered_and_judged(tmp_path: Path) -> None:
    save_optimize(tmp_path / "optimize.yaml")
    check = {"prompts": 3, "optimize": "optimize.yaml", "max_new_tokens": 12}
    path = save_training(tmp_path, check=check, data={"train": ["pairs.jsonl"], "validation": 0.15}, epochs=6)
    train(path, out=tmp_path / "run")
    first, *_, last = checked(tmp_path / "run")
    assert (first.prompts, last.step) == (3, 40)
    for one in (first, last):
        candidates = list(records.read(tmp_path / f"run/checks/step-{one.step}/candidates.jsonl", Candidate))
        shown = [c for c in candidates if c.videos]
        assert len(candidates) == 3
        assert one.usable == pytest.approx(len(shown) / 3)
        assert all(c.error for c in candidates if not c.videos)
        assert all(Path(video.path).is_file() for c in shown for video in c.videos)
        if shown:
            assert one.reward == pytest.approx(sum(c.reward or 0 for c in shown) / len(shown))
    assert last.words is not None
    assert last.words > 0


def test_without_a_generator_texts_are_read_only(tmp_path: Path) -> None:
    path = save_training(tmp_path, check={"prompts": 2, "max_words": 1}, epochs=1)
    train(path, out=tmp_path / "run")
    (one,) = checked(tmp_path / "run")
    assert one.reward is None
    assert one.usable is not None
    assert not list((tmp_path / "run/checks").rglob("*.mp4"))


def test_selections_are_counted_right_in_both_orders(tmp_path: Path) -> None:
    path = save_training(tmp_path, form={"task": "select"}, data={"train": ["pairs.jsonl"], "validation": 0.1})
    save_pairs(tmp_path / "pairs.jsonl", rejected=True)
    train(path, out=tmp_path / "run")
    assert all(one.right is not None and 0 <= one.right <= 1 and one.usable is None for one in checked(tmp_path / "run"))


def test_of_each_prompt_all_selections_are_asked_for(tmp_path: Path) -> None:
    """L_d's data has up to three pairs of a prompt, of texts only one of two."""
    pairs = save_pairs(tmp_path / "given.jsonl", 20, rejected=True).read_text().splitlines()
    doubled = [json.dumps(json.loads(line) | {"rejected": f"{word} else"}) for line in pairs for word in ("nothing", "something")]
    changes: dict[str, Any] = {"check": {"prompts": 2, "max_new_tokens": 2}, "epochs": 0.2}
    for task, asked in (("select", 4), ("refactor", 2)):
        form = {"task": task} if task == "select" else {"task": task, "style": "plain"}
        path = save_training(tmp_path / task, form=form, data={"train": ["pairs.jsonl"], "validation": 0.3}, **changes)
        (tmp_path / task / "pairs.jsonl").write_text("\n".join(doubled))
        train(path, out=tmp_path / task / "run")
        assert {one.prompts for one in checked(tmp_path / task / "run")} == {asked}


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own, amid compiling
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_generating_compiles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs: list[Any] = []
    real = torch.nn.Module.compile

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **given: real(self, **given, backend=backend))
    path = save_training(tmp_path, epochs=0.3)
    counts = []
    for prompts in (0, 2):
        torch.compiler.reset()
        graphs.clear()
        train(path, out=tmp_path / f"{prompts}", overrides=["compile=true", f"check.prompts={prompts}"])
        counts.append(len(graphs))
    assert len(checked(tmp_path / "2")) == 1
    assert counts[0] == counts[1] > 0


def test_two_processes_check_all_prompts_once(tmp_path: Path) -> None:
    path = save_training(
        tmp_path, check={"prompts": 3, "max_new_tokens": 8}, epochs=1, data={"train": ["pairs.jsonl"], "validation": 0.15}
    )
    train(path, out=tmp_path / "one")
    train(path, out=tmp_path / "two", overrides=["trainer.devices=2", "trainer.strategy=ddp_fork"])
    (one,), (two,) = checked(tmp_path / "one"), checked(tmp_path / "two")
    assert (one.prompts, one.usable, one.words) == (two.prompts, two.usable, two.words)


def test_a_wrong_configuration_of_the_checks_is_told_before_training(tmp_path: Path) -> None:
    path = save_training(tmp_path, check={"optimize": "missing.yaml"})
    with pytest.raises(ConfigError, match=r"missing\.yaml"):
        train(path, out=tmp_path / "run")


def test_the_parts_of_the_checks_may_be_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator that fails makes no text unusable."""
    (tmp_path / "mine.py").write_text(
        "from rapo_lightning.types import Failure\n"
        "class Broken:\n"
        "    def generate(self, texts, seeds, paths):\n"
        "        return [Failure(error='no GPU') for _ in texts]\n"
    )
    monkeypatch.chdir(tmp_path)
    save_optimize(tmp_path / "optimize.yaml")
    values = json.loads((tmp_path / "optimize.yaml").read_text()) | {"generator": {"class_path": "mine.Broken"}}
    (tmp_path / "optimize.yaml").write_text(json.dumps(values))
    path = save_training(tmp_path, check={"prompts": 2, "optimize": "optimize.yaml", "max_words": 500}, epochs=6)
    with pytest.raises(ConfigError, match="--allow mine"):
        train(path, out=tmp_path / "refused")
    monkeypatch.setattr("rapo_lightning.tuning.checks.lost_fixtures", lambda request, text: [])  # of numbers in the prompts
    train(path, out=tmp_path / "run", allow=["mine"])
    assert [(one.usable, one.reward) for one in checked(tmp_path / "run")][-1] == (1.0, None)
