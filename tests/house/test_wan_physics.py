"""The physics task of the published release (configs/optimize/wan21_physics.yaml), run whole by the classes that load the large
models; only the sizes are tiny. Nothing is loaded twice, the law reaches who must know it, and a run that is done stays done.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ModelMixin
from lightning import Trainer  # noqa: F401  # its log handler keeps the stderr of its first import: not that of a CliRunner
from transformers import PreTrainedModel
from typer.testing import CliRunner

from cli import app
from rapo_lightning.errors import ConfigError
from rapo_lightning.language.hugging_face import HuggingFaceChat
from rapo_lightning.parts import Builder
from rapo_lightning.positions import Positions
from rapo_lightning.prompts import load_prompts
from rapo_lightning.sections import Part
from rapo_lightning.settings import build_optimize, load_optimize
from rapo_lightning.sspo.log import read_all
from rapo_lightning.sspo.selection import AverageRanking
from rapo_lightning.templates import Template
from rapo_lightning.types import Candidate, Message, Reply
from tests.tiny import wan_pipeline
from tests.tiny_language import save_chat_model
from tests.tiny_vision import build_judge, clip, teach

# Lightning 2.6 on torch 2.13; forking under threads is what ddp_fork does.
pytestmark = [
    pytest.mark.filterwarnings(r"ignore:.isinstance\(treespec, LeafSpec\):FutureWarning"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

CONFIG = Path(__file__).parents[2] / "configs" / "optimize" / "wan21_physics.yaml"
EXAMPLES = CONFIG.with_name("physics_examples.csv")
LARGE = ("Wan-AI/Wan2.1-T2V-1.3B-Diffusers", "Qwen/Qwen2.5-VL-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct")
#: Every model of the run, by the class that loads its weights.
MODELS = {
    "UMT5EncoderModel": 1,
    "WanTransformer3DModel": 1,
    "AutoencoderKLWan": 1,
    "Qwen2_5_VLForConditionalGeneration": 1,
    "Qwen2ForCausalLM": 1,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the three model folders, random weights."""
    folder = tmp_path_factory.mktemp("models")
    wan_pipeline(folder / "wan")
    build_judge(folder / "judge")
    save_chat_model(folder / "language", context=4096)
    return folder


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each class has loaded weights."""
    counts: Counter[str] = Counter()

    def counted(original: Any) -> classmethod:
        def load(cls: type, *arguments: object, **options: object) -> object:
            counts[cls.__name__] += 1
            return original.__func__(cls, *arguments, **options)

        return classmethod(load)

    for base in (PreTrainedModel, ModelMixin):
        monkeypatch.setattr(base, "from_pretrained", counted(base.from_pretrained))
    return counts


@pytest.fixture
def conversations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the language model was asked, each conversation as one text."""
    seen: list[str] = []
    chat = HuggingFaceChat.chat

    def watched(self: HuggingFaceChat, asked: Sequence[Sequence[Message]], **options: Any) -> list:
        seen.extend("\n".join(message["content"] for message in conversation) for conversation in asked)
        return chat(self, asked, **options)

    monkeypatch.setattr(HuggingFaceChat, "chat", watched)
    return seen


def sizes(models: Path, rounds: int = 2) -> list[str]:
    """What a user would set to run the configuration with small models of their own."""
    values = {
        "generator.init_args.model": models / "wan",
        "generator.init_args.height": 32,
        "generator.init_args.width": 32,
        "generator.init_args.num_frames": 9,
        "generator.init_args.num_inference_steps": 2,
        "judges.alignment.init_args.model": models / "judge",
        "judges.alignment.init_args.max_new_tokens": 24,
        "judges.physics.init_args.language_model.init_args.model": models / "language",
        "judges.physics.init_args.max_new_tokens": 16,
        "rewriter.init_args.language_model.init_args.model": models / "language",
        "rewriter.init_args.max_new_tokens": 24,
        "loop.rounds": rounds,
        "trainer.accelerator": "cpu",
    }
    return [f"{key}={value}" for key, value in values.items()]


def rapo(*arguments: object, set_: Sequence[str] = ()) -> Any:
    """One command line; the result has ``exit_code``, ``stdout`` and ``stderr``."""
    return CliRunner().invoke(app, [*map(str, arguments), *(word for value in set_ for word in ("--set", value))])


def optimize(out: Path, set_: Sequence[str], *arguments: object) -> Any:
    return rapo("optimize", CONFIG, "--out", out, "--limit", 2, "--json", "--quiet", *arguments, set_=set_)


def recorded(folder: Path) -> dict[str, list[Candidate]]:
    """The candidates by prompt, less their time and place."""
    return {
        key: [
            replace(c, cost=replace(c.cost, seconds=0.0), videos=tuple(replace(v, path=Path(v.path).name) for v in c.videos))
            for c in candidates
        ]
        for key, candidates in read_all(folder).items()
    }


def test_random_models_run_to_the_end_and_are_loaded_once(
    models: Path, tmp_path: Path, loads: Counter[str], conversations: list[str]
) -> None:
    result = optimize(tmp_path / "run", sizes(models))
    prompts = load_prompts(EXAMPLES)[:2]
    candidates = [c for own in recorded(tmp_path / "run").values() for c in own]
    rendered = [c for c in candidates if c.videos]

    # Random replies hold no score: recorded as unscored, and the prompts as failed.
    assert json.loads(result.stdout)["failed"] == [prompt.id for prompt in prompts]
    assert result.exit_code == 3, result.output
    assert {c.round for c in candidates} == {0, 1, 2}
    assert {c.origin for c in rendered} >= {"user"}
    for candidate in rendered:
        assert [feedback.judge for feedback in candidate.feedback] == ["alignment", "physics"]
        assert all(str(feedback.error).startswith("unscored: ") for feedback in candidate.feedback)
        assert all(feedback.details["raw"] is not None for feedback in candidate.feedback)
    assert loads == MODELS

    for prompt in prompts:
        told = [text for text in conversations if prompt.context["physical_rule"] in text]
        assert any("Law that should govern it" in text for text in told), "the judge knows the law"
        assert any("You write prompts" in text for text in told), "the rewriter knows the law"

    log = (tmp_path / "run" / "candidates-0.jsonl").read_bytes()
    loads.clear()
    assert optimize(tmp_path / "run", sizes(models)).exit_code == 3
    assert (tmp_path / "run" / "candidates-0.jsonl").read_bytes() == log
    assert not loads, "nothing is left to do, so nothing is loaded"


def test_scored_prompts_are_ranked_over_both_judges(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scoring_judge: Path
) -> None:
    monkeypatch.setattr(HuggingFaceChat, "chat", _scripted())
    result = optimize(tmp_path / "run", [*sizes(models), f"judges.alignment.init_args.model={scoring_judge}"])
    assert result.exit_code == 0, result.output
    found = recorded(tmp_path / "run")
    for row in json.loads(result.stdout)["best"]:
        candidates = found[row["id"]]
        assert [c.origin for c in candidates] == ["user", "rewrite", "rewrite"]
        for candidate in candidates:
            scores = candidate.mean_scores()
            assert scores.keys() == {"alignment", "physics"}
            assert candidate.reward == pytest.approx(sum(scores.values()) / 2)
        assert [c.mean_scores()["physics"] for c in candidates] == [0.0, 0.5, 0.75]
        best = AverageRanking().select(candidates)
        assert best is not None
        assert row["best"] == candidates[best].text


@pytest.mark.slow
def test_two_processes_do_what_one_does(models: Path, tmp_path: Path) -> None:
    settings = [*sizes(models, rounds=1), "trainer.strategy=ddp_fork"]
    alone = optimize(tmp_path / "one", [*settings, "trainer.strategy=auto"])
    shared = optimize(tmp_path / "two", settings, "--devices", 2)
    assert (alone.exit_code, shared.exit_code) == (3, 3), shared.output
    assert sorted(path.name for path in (tmp_path / "two").glob("candidates-*")) == ["candidates-0.jsonl", "candidates-1.jsonl"]
    assert recorded(tmp_path / "two") == recorded(tmp_path / "one")


def test_a_size_that_only_the_loaded_model_can_refuse_is_told_with_its_key(models: Path, tmp_path: Path) -> None:
    result = optimize(tmp_path / "run", [*sizes(models), "generator.init_args.num_frames=10"])
    key = "generator.init_args.num_frames"
    assert result.exit_code == 2
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("rapo: "))
    assert line == f"rapo: --set {key}: {key}: num_frames 10: WanPipeline renders 1 more than a multiple of 4"
    assert not list((tmp_path / "run").rglob("*.mp4"))


def test_the_plan_needs_no_weights(tmp_path: Path) -> None:
    result = rapo("optimize", CONFIG, "--out", tmp_path / "run", "--dry-run", "--json")
    plan = json.loads(result.stdout)
    assert (result.exit_code, plan["prompts"], plan["videos"]) == (0, 12, 60)
    assert plan["models"] == sorted(LARGE)
    assert not (tmp_path / "run").exists()


def test_missing_weights_are_named_once_each_with_the_command_that_gets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # Whoever runs this may have them.
    monkeypatch.setattr("rapo_lightning.weights._under_ckpt", lambda name: iter(()))
    monkeypatch.setattr("rapo_lightning.weights._cached", lambda name, revision: None)
    result = rapo("check", CONFIG)
    lines = result.stderr.splitlines()
    assert result.exit_code == 2
    assert len(lines) == len(LARGE)
    for line, model in zip(lines, LARGE, strict=True):
        assert line.endswith(f"hf download {model} --local-dir ckpt/{model.partition('/')[2]}")


def test_weights_under_ckpt_are_found_by_the_hub_id_whatever_its_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Wan2.1-T2V-1.3B-Diffusers", "qwen2.5-vl-7B-instruct", "Qwen2.5-7B-Instruct"):
        (tmp_path / "ckpt" / name).mkdir(parents=True)
        (tmp_path / "ckpt" / name / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert rapo("check", CONFIG).exit_code == 0


def test_the_examples_are_a_dozen_prompts_each_with_its_law() -> None:
    prompts = load_prompts(EXAMPLES, "captions", "phys_law")
    assert len({prompt.text for prompt in prompts}) == 12
    assert len({prompt.context["physical_rule"] for prompt in prompts}) == 12


def test_the_judge_and_the_rewriter_share_one_language_model(models: Path) -> None:
    config, positions = load_optimize(CONFIG, sizes(models))
    parts: Any = build_optimize(config, positions)
    assert parts.rewriter._language_model is parts.judges["physics"]._language_model

    config, positions = load_optimize(CONFIG, [*sizes(models), "rewriter.init_args.language_model.init_args.batch_size=2"])
    parts = build_optimize(config, positions)
    assert parts.rewriter._language_model is not parts.judges["physics"]._language_model


def _chat(**arguments: object) -> Part:
    chat = {"class_path": "rapo_lightning.language.HuggingFaceChat", "init_args": arguments}
    return Part(class_path="rapo_lightning.rewriters.LLMRewriter", init_args={"language_model": chat})


def test_parts_are_shared_where_their_arguments_are_equal_in_value_and_type(models: Path) -> None:
    builder = Builder(Positions(models / "run.yaml"))
    specs = [
        {"model": "language", "batch_size": 2},
        {"batch_size": 2, "model": "language"},
        {"model": "language", "batch_size": 3},
        {"model": "./language", "batch_size": 2},
    ]
    built = [builder.part(_chat(**spec), ("rewriter", str(i)))._language_model for i, spec in enumerate(specs)]
    builder.finish()
    assert built[0] is built[1]
    assert len(set(map(id, built))) == 3
    other = Builder(Positions(models / "run.yaml"))
    assert other.part(_chat(**specs[0]), ("rewriter",))._language_model is not built[0], "another configuration, other parts"


def test_a_broken_part_is_reported_once_and_breaks_all_who_name_it(models: Path) -> None:
    builder = Builder(Positions(models / "run.yaml"))
    for index in range(2):
        assert builder.part(_chat(model="language", batch_size="many"), ("rewriter", index)) is None
    with pytest.raises(ConfigError) as caught:
        builder.finish()
    (problem,) = caught.value.problems
    assert "rewriter.0.init_args.language_model.init_args.batch_size: must be a whole number" in problem


@pytest.fixture(scope="module")
def scoring_judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vision-language judge that has learned to answer with a score."""
    folder = build_judge(tmp_path_factory.mktemp("scoring") / "judge")
    ask = Template.load("judge_alignment")
    colours = ((200, 30, 30), (30, 30, 200), (120, 120, 120), (90, 160, 60))
    prompts = load_prompts(EXAMPLES)[: len(colours)]
    lessons = [
        (ask.messages(prompt=prompt.text), clip(colour), 8.0, '{"score": 4}')
        for prompt, colour in zip(prompts, colours, strict=True)
    ]
    torch.manual_seed(0)
    teach(folder, lessons, steps=60)
    return folder


def _scripted() -> Callable[..., list[Reply]]:
    """A chat model's answers: better scores for later videos of a prompt, and a new prompt for each try."""
    judged: Counter[str] = Counter()

    def chat(self: object, asked: Sequence[Sequence[Message]], **options: object) -> list[Reply]:
        return [Reply(text=_answer(conversation[-1]["content"]), tokens=9) for conversation in asked]

    def _answer(question: str) -> str:
        if "Law that should govern it" not in question:
            return f"a slow ball, take {question.count('score ')}, falls and bounces lower each time"
        request = question.partition("<request>")[2].partition("</request>")[0]
        judged[request] += 1
        return json.dumps({"score": (1, 3, 4)[judged[request] - 1], "law": "gravity", "violations": []})

    return chat
