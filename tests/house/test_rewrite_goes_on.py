"""``rapo rewrite --out`` keeps each batch as it comes: an interruption costs one batch, the file is the old or the new one."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from cli import app
from rapo_lightning.language import FakeLanguageModel
from tests.house.command import FAKES

PROMPTS = ["a red ball", "two cats", "rain on a roof", "a snail"]
MODEL = "rapo_lightning.language.FakeLanguageModel"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A refiner that puts every prompt, one a batch, into a meadow; it has no answer for the rain."""
    answers = {text: f"{text} in a green meadow at noon" for text in PROMPTS if "rain" not in text}
    model = {"class_path": MODEL, "init_args": {"answers": answers}}
    augmenter = {"class_path": "rapo_lightning.retrieval.refiners.ChatRefiner", "init_args": {"language_model": model}}
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({**FAKES, "augmenter": augmenter, "batch_size": 1}))
    (tmp_path / "prompts.txt").write_text("".join(f"{text}\n" for text in PROMPTS))
    return path


def rewrite(config: Path, out: Path, *arguments: object) -> Result:
    return call("rewrite", config, "--prompts", config.parent / "prompts.txt", "--out", out, *arguments)


def rewritten(out: Path) -> list[str]:
    texts = [json.loads(line)["rewritten"] for line in out.read_text().splitlines()] if out.suffix == ".jsonl" else None
    return out.read_text().splitlines() if texts is None else texts


WHOLE = [text if "rain" in text else f"{text} in a green meadow at noon" for text in PROMPTS]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Notes which prompts the language model is ``asked`` about, and does what is to be done ``before`` an answer."""
    state = SimpleNamespace(asked=[], before={})
    plain = FakeLanguageModel.chat

    def chat(self: FakeLanguageModel, conversations: Any, **options: Any) -> Any:
        for conversation in conversations:
            text = next(text for text in PROMPTS if text in conversation[-1]["content"])
            state.asked.append(text)
            state.before.get(text, lambda: None)()
        return plain(self, conversations, **options)

    monkeypatch.setattr(FakeLanguageModel, "chat", chat)
    return state


def again(model: Any) -> None:
    """From now on nothing happens before an answer."""
    model.before.clear()
    model.asked.clear()


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["out.jsonl", "out.txt"])
def test_an_interruption_costs_one_batch_and_the_old_file_stays(tmp_path: Path, config: Path, model: Any, name: str) -> None:
    out = tmp_path / name
    out.write_text("of another day\n")
    model.before["a snail"] = interrupt
    result = rewrite(config, out)
    assert (result.exit_code, result.stderr) == (130, "rapo: interrupted; the same command continues\n")
    assert out.read_text() == "of another day\n"
    kept = [json.loads(line) for line in (tmp_path / f"{name}.partial").read_text().splitlines()]
    assert [row["text"] for row in kept] == WHOLE[:2], "what failed is tried again"
    again(model)
    done = rewrite(config, out)
    assert done.exit_code == 3, "the rain failed again"
    assert model.asked == ["rain on a roof", "a snail"]
    assert done.stdout.count("  -> ") == 3
    assert rewritten(out) == WHOLE
    assert not (tmp_path / f"{name}.partial").exists()
    whole = tmp_path / f"whole{out.suffix}"
    rewrite(config, whole)
    assert out.read_text() == whole.read_text()


def test_a_signal_ends_it_between_two_batches(tmp_path: Path, config: Path, model: Any) -> None:
    model.before["two cats"] = lambda: os.kill(os.getpid(), signal.SIGTERM)
    result = rewrite(config, tmp_path / "out.jsonl", "--json")
    assert result.exit_code == 75, result.output
    assert json.loads(result.stdout) == {"error": "interrupted by a signal; the same command continues", "exit_code": 75}
    assert model.asked == PROMPTS[:2]
    again(model)
    found = json.loads(rewrite(config, tmp_path / "out.jsonl", "--json").stdout)
    assert model.asked == PROMPTS[2:]
    assert [row["rewritten"] for row in found["rewrites"]] == WHOLE
    model.before["two cats"] = lambda: os.kill(os.getpid(), signal.SIGTERM)
    unkept = call("rewrite", config, "--prompts", tmp_path / "prompts.txt")
    assert (unkept.exit_code, unkept.stderr) == (
        75,
        "rapo: interrupted by a signal; without --out, nothing but what was printed is kept\n",
    )


def test_another_augmenter_or_prompt_is_asked_anew(tmp_path: Path, config: Path, model: Any) -> None:
    model.before["rain on a roof"] = interrupt
    assert rewrite(config, tmp_path / "out.txt").exit_code == 130
    again(model)
    (tmp_path / "prompts.txt").write_text("two cats\na red ball\n")
    csv = tmp_path / "prompts.csv"
    csv.write_text("prompt,locked\na red ball,\ntwo cats,cats\n")
    assert call("rewrite", config, "--prompts", csv, "--out", tmp_path / "out.txt").exit_code == 0
    assert model.asked == ["two cats"], "the same words, but with a locked one"
    assert rewritten(tmp_path / "out.txt") == WHOLE[:2]
    model.before["two cats"] = interrupt
    assert rewrite(config, tmp_path / "out.txt").exit_code == 130, "a file that is done is made anew"
    again(model)
    other = ("--set", "augmenter.init_args.seed=3")
    assert rewrite(config, tmp_path / "out.txt", *other).exit_code == 0
    assert model.asked == ["two cats", "a red ball"]


def test_zero_bytes_are_refused_with_their_place(tmp_path: Path, config: Path, model: Any) -> None:
    (tmp_path / "prompts.txt").write_bytes("a red ball\ntwo cats\n".encode("utf-16-le"))
    result = rewrite(config, tmp_path / "out.txt")
    assert (result.exit_code, model.asked) == (2, [])
    assert result.stderr == f"rapo: {tmp_path / 'prompts.txt'}:1: a zero byte in the prompt; is the file UTF-16?\n"
    result = CliRunner().invoke(app, ["rewrite", str(config)], input="a red ball\n\ntwo\0 cats\n")
    assert (result.exit_code, result.stderr) == (2, "rapo: standard input: prompt 2: a zero byte in it; is it UTF-16?\n")


def test_what_is_no_record_of_rewrites_is_named(tmp_path: Path, config: Path) -> None:
    (tmp_path / "out.txt.partial").write_text("mine\n")
    result = rewrite(config, tmp_path / "out.txt")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"rapo: {tmp_path / 'out.txt.partial'}:1: ")
    assert (tmp_path / "out.txt.partial").read_text() == "mine\n"
