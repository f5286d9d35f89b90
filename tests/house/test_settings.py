"""From a configuration to parts: what is imported, what is refused, and how configurations are told apart."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rapo_lightning.class_paths import class_path_problems
from rapo_lightning.errors import ConfigError
from rapo_lightning.parts import Builder
from rapo_lightning.positions import Positions
from rapo_lightning.protocols import Generator
from rapo_lightning.sections import OptimizeConfig, Part
from rapo_lightning.settings import OptimizeParts, build_optimize, config_hash, differences, identity, load_optimize, resolved

PARTS = '''
"""Parts of a user."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from rapo_lightning.protocols import LanguageModel
from rapo_lightning.types import ModelReference

if TYPE_CHECKING:
    import torch


class Chat:
    def __init__(self, model: ModelReference = ModelReference("org/default"), dtype: torch.dtype | None = None) -> None:
        self.model, self.dtype = model, dtype

    def chat(self, conversations, *, max_new_tokens=512, temperature=0.0, seed=0):
        return []


class Render:
    def __init__(self, model: ModelReference, *, steps: int = 4, size: tuple[int, int] = (64, 64), scale: float = 1.0,
                 folder: Path | None = None, kind: Literal["a", "b"] = "a", encoder: ModelReference | None = None) -> None:
        self.model, self.steps, self.size, self.scale, self.folder = model, steps, size, scale, folder

    def generate(self, texts, seeds, paths):
        return []


class Look:
    def __init__(self, **anything: int) -> None:
        self.anything = anything

    def judge(self, videos, prompts):
        return []


@dataclass
class Write:
    language: LanguageModel
    others: Sequence[LanguageModel] = ()

    def rewrite(self, trajectories):
        return []


class Mean:
    def __init__(self, weights: dict[str, float] | None = None) -> None:
        if weights is not None and not weights:
            raise ValueError("no weights")

    def combine(self, feedback):
        return None


class Best:
    def select(self, candidates):
        return None


class Shape(Protocol):
    def area(self) -> float: ...


def function():
    raise AssertionError
'''


@pytest.fixture(autouse=True)
def _user_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The current folder of a user: parts of their own, a model, and modules that must never be imported."""
    (tmp_path / "own_parts.py").write_text(PARTS)
    (tmp_path / "broken_part.py").write_text("raise RuntimeError('at import')")
    (tmp_path / "needy_part.py").write_text("import a_package_that_is_not_there")
    (tmp_path / "canary.py").write_text("from pathlib import Path\nPath('imported').touch()\n")
    (tmp_path / "lightning_evil.py").write_text("from pathlib import Path\nPath('imported').touch()\n")
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in ("own_parts", "broken_part", "needy_part", "canary", "lightning_evil"):
        sys.modules.pop(name, None)
    assert not (tmp_path / "imported").exists()


def configuration(**changes: Any) -> dict[str, Any]:
    chat = {"class_path": "own_parts.Chat", "init_args": {"model": "tiny"}}
    return {
        "generator": {"class_path": "own_parts.Render", "init_args": {"model": "tiny"}},
        "judges": {"look": {"class_path": "own_parts.Look"}},
        "rewriter": {"class_path": "own_parts.Write", "init_args": {"language": chat}},
        "reward": {"class_path": "own_parts.Mean"},
        "selection": {"class_path": "own_parts.Best"},
        **changes,
    }


def write(data: dict[str, Any]) -> Path:
    Path("run.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    return Path("run.yaml")


def build(data: dict[str, Any], *overrides: str, allow: tuple[str, ...] = ("own_parts",)) -> OptimizeParts:
    config, positions = load_optimize(write(data), overrides, allow)
    return build_optimize(config, positions, allow)


def problems(data: dict[str, Any], *overrides: str, allow: tuple[str, ...] = ("own_parts",)) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        build(data, *overrides, allow=allow)
    return caught.value.problems


def test_parts_are_built_with_their_arguments(tmp_path: Path) -> None:
    arguments = {"model": "tiny", "size": [32, 48], "scale": 2, "folder": "graphs/a"}
    parts: Any = build(configuration(generator={"class_path": "own_parts.Render", "init_args": arguments}))
    assert parts.generator.model == str(tmp_path / "tiny")
    assert (parts.generator.size, parts.generator.scale, parts.generator.steps) == ((32, 48), 2.0, 4)
    assert parts.generator.folder == tmp_path / "graphs" / "a"
    assert parts.rewriter.language.model == str(tmp_path / "tiny")
    assert list(parts.judges) == ["look"]
    assert parts.augmenter is None


def test_parts_nest_in_lists() -> None:
    chat = {"class_path": "own_parts.Chat", "init_args": {"model": "tiny"}}
    rewriter = {"class_path": "own_parts.Write", "init_args": {"language": chat, "others": [chat, chat]}}
    parts: Any = build(configuration(rewriter=rewriter))
    assert [type(other).__name__ for other in parts.rewriter.others] == ["Chat", "Chat"]


def test_every_problem_of_every_part_is_reported() -> None:
    data = configuration(
        generator={"class_path": "own_parts.Render", "init_args": {"model": "tiny", "step": 3, "steps": "many", "kind": "c"}},
        judges={"look": {"class_path": "own_parts.Look", "init_args": {"n": 1}}, "not": {"class_path": "own_parts.Best"}},
        rewriter={"class_path": "own_parts.Write"},
        reward={"class_path": "own_parts.Mean", "init_args": {"weights": {}}},
        selection={"class_path": "own_parts.Bset"},
    )
    assert problems(data) == [
        "run.yaml:5: generator.init_args.step: no argument of Render, did you mean 'steps'?",
        "run.yaml:6: generator.init_args.steps: must be a whole number, not 'many'",
        "run.yaml:7: generator.init_args.kind: must be 'a' or 'b', not 'c'",
        "run.yaml:14: judges.not.class_path: Best is no Judge: it has no method judge(videos, prompts)",
        "run.yaml:15: rewriter.init_args.language: required by Write, but missing",
        "run.yaml:17: reward: Mean: no weights",
        "run.yaml:22: selection.class_path: own_parts has no class 'Bset', did you mean 'Best'?",
    ]


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("generator.init_args.model=nowhere", "generator.init_args.model: 'nowhere': no such folder beside the configuration"),
        (
            "generator.init_args.model=org/none",
            "generator.init_args.model: org/none: not under ckpt/ nor in the Hugging Face cache",
        ),
        ("generator.init_args.encoder=org/none", "generator.init_args.encoder: org/none: not under ckpt/"),
        ("generator.init_args.steps=true", "generator.init_args.steps: must be a whole number, not True"),
        ("generator.init_args.steps=2.5", "generator.init_args.steps: must be a whole number, not 2.5"),
        (
            "generator.init_args.model={class_path: own_parts.Best}",
            "generator.init_args.model: must be text, not <own_parts.Best",
        ),
        (
            "rewriter.init_args.language={class_path: own_parts.Best}",
            "rewriter.init_args.language: must be a LanguageModel, not <own",
        ),
        ("rewriter.init_args.language=gpt", "rewriter.init_args.language: must be a LanguageModel, not 'gpt'"),
        (
            "rewriter.init_args.language.init_arg=1",
            "rewriter.init_args.language.init_arg: unknown key, did you mean 'init_args'?",
        ),
        ("rewriter.init_args.language.init_args=1", "rewriter.init_args.language.init_args: must be a mapping"),
        (
            "rewriter.init_args.language.init_args.modle=x",
            "rewriter.init_args.language.init_args.modle: no argument of Chat, did",
        ),
        (
            "rewriter.init_args.others=[{class_path: own_parts.None}]",
            "rewriter.init_args.others.0.class_path: own_parts has no class 'N",
        ),
        (
            "generator.class_path=own_parts.function",
            "generator.class_path: own_parts.function is not a class of an allowed package",
        ),
        ("generator.class_path=own_parts.os", "generator.class_path: own_parts.os is not a class of an allowed package"),
        ("generator.class_path=own_parts.Path", "generator.class_path: own_parts.Path is not a class of an allowed package"),
        ("generator.class_path=own_parts.os.PathLike", "generator.class_path: there is no module 'own_parts.os'"),
        ("generator.class_path=own_parts.Shape", "generator.class_path: own_parts.Shape is abstract"),
        (
            "generator.class_path=rapo_lightning.protocols.Generator",
            "generator.class_path: rapo_lightning.protocols.Generator is abstract",
        ),
        (
            "generator.class_path=rapo_lightning.nowhere.Render",
            "generator.class_path: there is no module 'rapo_lightning.nowhere'",
        ),
    ],
)
def test_single_problems(override: str, problem: str) -> None:
    (found,) = problems(configuration(), override)
    assert found.startswith(f"--set {override.partition('=')[0]}: {problem}")


def test_the_default_model_of_a_part_is_located_too() -> None:
    data = configuration(rewriter={"class_path": "own_parts.Write", "init_args": {"language": {"class_path": "own_parts.Chat"}}})
    (problem,) = problems(data)
    assert problem.startswith("run.yaml:11: rewriter.init_args.language.init_args.model: org/default: not under ckpt/")


def test_a_model_folder_with_code_is_refused() -> None:
    Path("tiny/modeling.py").touch()
    assert all("the model brings its own code" in problem for problem in problems(configuration()))


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("broken_part", "importing broken_part failed: RuntimeError: at import"),
        ("needy_part", "needy_part needs the package 'a_package_that_is_not_there', which is not installed"),
    ],
)
def test_a_module_that_cannot_be_imported_is_a_problem_of_its_key(name: str, problem: str) -> None:
    data = configuration(reward={"class_path": f"{name}.Mean"})
    assert problems(data, allow=("own_parts", name)) == [f"run.yaml:16: reward.class_path: {problem}"]


@pytest.mark.parametrize(
    "path",
    [
        "canary.Mean",
        "lightning_evil.Mean",
        "rapo_lightningx.Mean",
        "os.system",
        "subprocess.Popen",
        "torch.nn.Linear",
        "builtins.eval",
        "own_partsx.Mean",
        "own_parts",
        "rapo_lightning",
        "rapo_lightning..Mean",
        ".rapo_lightning.Mean",
        "rapo_lightning.Mean()",
        "rapo_lightning/../canary.Mean",
        "rapo_lightning.\ncanary.Mean",
        "",
    ],
)
def test_class_paths_outside_the_list_are_refused_before_any_import(path: str) -> None:
    for data in (
        configuration(reward={"class_path": path}),
        configuration(logger={"class_path": path}),
        configuration(trainer={"callbacks": [{"class_path": path}]}),
        configuration(reward={"class_path": "own_parts.Mean", "init_args": {"weights": {"a": {"class_path": path, "extra": 1}}}}),
    ):
        with pytest.raises(ConfigError) as caught:
            load_optimize(write(data), (), ("own_parts",))
        assert len(caught.value.problems) == 1
        assert "class_path: " in caught.value.problems[0]
    config = OptimizeConfig.model_validate(configuration(reward={"class_path": path}))
    with pytest.raises(ConfigError):
        build_optimize(config, Positions("run.yaml"), ("own_parts",))


def test_schema_and_prefix_problems_come_together() -> None:
    (schema, prefix) = problems(configuration(seed="x", reward={"class_path": "canary.Mean"}))
    assert schema == "run.yaml:19: seed: must be a whole number, not 'x'"
    assert prefix == (
        "run.yaml:16: reward.class_path: 'canary.Mean' lies outside rapo_lightning, evaluation, lightning, own_parts; "
        "if you trust it, --allow canary"
    )


def test_prefixes_match_whole_components() -> None:
    positions = Positions("run.yaml")
    assert class_path_problems({"class_path": "own.parts.Mean"}, positions, ("own.parts",)) == []
    assert class_path_problems({"class_path": "own.partsx.Mean"}, positions, ("own.parts",)) != []


def test_the_current_folder_is_importable_only_on_request_and_comes_last() -> None:
    Builder(Positions("run.yaml"))
    assert str(Path.cwd()) not in sys.path
    Builder(Positions("run.yaml"), ("own_parts",))
    assert sys.path[-1] == str(Path.cwd())


def test_the_suites_own_parts_are_found_by_package_and_by_module() -> None:
    for path in ("rapo_lightning.generators.DiffusersGenerator", "rapo_lightning.generators.diffusers.DiffusersGenerator"):
        builder = Builder(Positions("run.yaml"))
        part = builder.part(Part(class_path=path, init_args={"model": "tiny"}), ("generator",), Generator)
        builder.finish()
        assert isinstance(part, Generator)


def test_a_known_class_is_checked_and_given_what_the_suite_supplies(tmp_path: Path) -> None:
    import lightning

    builder = Builder(Positions("run.yaml"))
    trainer = builder.construct(
        lightning.Trainer, {"max_epochs": 3, "accelerator": "cpu"}, ("trainer",), logger=False, max_epochs=9
    )
    builder.finish()
    assert trainer.max_epochs == 3
    assert builder.construct(lightning.Trainer, {"max_epoch": 3}, ("trainer",)) is None
    with pytest.raises(
        ConfigError, match=r"^run\.yaml:1: trainer\.max_epoch: no argument of Trainer, did you mean 'max_epochs'\?$"
    ):
        builder.finish()


def test_resolved_holds_every_value_as_json_and_no_secret() -> None:
    data = configuration(
        logger={"class_path": "own_parts.Log", "init_args": {"api_key": "k", "url": "https://me:pw@host/a", "n": [1]}}
    )
    config, _ = load_optimize(write(data), (), ("own_parts",))
    values = resolved(config)
    assert values["logger"]["init_args"] == {"api_key": "***", "url": "https://***@host/a", "n": [1]}
    assert values["loop"]["rounds"] == 4
    assert json.loads(json.dumps(values)) == values
    assert values.keys() == OptimizeConfig.model_fields.keys()


def test_the_hash_is_over_what_changes_results() -> None:
    def hash_of(*overrides: str) -> str:
        config, _ = load_optimize(write(configuration()), overrides, ("own_parts",))
        return config_hash(resolved(config, ("own_parts",)))

    same = [
        "batch_size=2",
        "trainer.devices=2",
        "trainer.strategy=ddp",
        "logger=",
        "budget.max_videos=3",
        "generator.init_args.model=tiny",
        "generator.init_args.steps=4",  # the constructor's own default
    ]
    assert {hash_of(override) for override in same} == {hash_of()}
    changed = [
        "seed=1",
        "loop.rounds=2",
        "loop.start=last",
        "generator.init_args.steps=5",
        "judges.more={class_path: own_parts.Look}",
        "judges.look.init_args.n=1",
        "trainer.precision=bf16-true",
        "prompts=other.txt",
        "reward.class_path=own_parts.Other",
    ]
    assert len({hash_of(), *(hash_of(override) for override in changed)}) == len(changed) + 1


def test_differences_are_named_by_their_keys() -> None:
    a = {"seed": 0, "loop": {"rounds": 4}, "judges": {"a": {"frames": [1, 2]}}, "x": None, "same": [{"a": 1}]}
    b = {"seed": False, "loop": {"rounds": 5}, "judges": {"a": {"frames": [1, 3]}, "b": {}}, "same": [{"a": 1}]}
    assert differences(a, b) == ["judges.a.frames", "judges.b", "loop.rounds", "seed", "x"]
    assert differences(a, a) == []


def test_identity_of_a_stored_copy_equals_that_of_the_configuration() -> None:
    config, _ = load_optimize(write(configuration(trainer={"precision": "32", "devices": 1})), (), ("own_parts",))
    stored = yaml.safe_load(yaml.safe_dump(resolved(config)))
    assert differences(identity(stored), identity(resolved(config))) == []
    assert identity(stored)["trainer"] == {"precision": "32"}
