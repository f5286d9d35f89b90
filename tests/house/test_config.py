"""Configuration files: what YAML may hold, overrides, and errors that name the file, the line and the key."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rapo_lightning.config import read, validate
from rapo_lightning.errors import ConfigError
from rapo_lightning.sections import TRAINER_ARGUMENTS, LoopSection, OptimizeConfig, Part

MINIMAL = """\
generator: {class_path: a.Generator}
judges:
  alignment:
    class_path: a.Judge
    init_args:
      frames: [1, 2]
rewriter: {class_path: a.Rewriter}
"""


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "run.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def load(file: Path, *overrides: str) -> OptimizeConfig:
    data, positions = read(file, overrides)
    return validate(OptimizeConfig, data, positions)


def problems(file: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(file, *overrides)
    return [problem.replace(str(file), "run.yaml") for problem in caught.value.problems]


def test_a_minimal_file_gets_the_defaults(tmp_path: Path) -> None:
    config = load(write(tmp_path, MINIMAL))
    assert config.loop == LoopSection(rounds=4, patience=2, good_enough=None, seeds=1, start="best", fresh_seeds=False)
    assert config.reward == Part(class_path="rapo_lightning.sspo.selection.WeightedMean")
    assert config.selection == Part(class_path="rapo_lightning.sspo.selection.HighestReward")
    assert (config.logger, config.trainer, config.batch_size, config.seed, config.augmenter) == ("csv", {}, 8, 0, None)


def test_sections_are_frozen(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load(write(tmp_path, MINIMAL)).seed = 1


def test_every_problem_is_reported_with_its_line(tmp_path: Path) -> None:
    text = """\
schema_version: 2
genrator: {class_path: a.Generator}
judges:
  "a.b": {class_path: a.Judge}
  alignment:
    class_path: 3
    init_arg: {}
loop:
  rounds: 0
  patience: two
  good_enough: 1.5
  start: newest
  seeds: 1.0
rewriter: a.Rewriter
trainer:
  devcies: 2
batch_size: true
logger: tsv
"""
    assert problems(write(tmp_path, text)) == [
        "run.yaml:1: schema_version: must be 1, not 2",
        "run.yaml:1: generator: required, but missing",
        "run.yaml:4: judges.a.b: use letters, digits, '_' or '-'",
        "run.yaml:6: judges.alignment.class_path: must be text, not 3",
        "run.yaml:7: judges.alignment.init_arg: unknown key, did you mean 'init_args'?",
        "run.yaml:14: rewriter: must be a mapping, not 'a.Rewriter'",
        "run.yaml:9: loop.rounds: rounds must be at least 1, not 0",
        "run.yaml:10: loop.patience: must be a whole number, not 'two'",
        "run.yaml:11: loop.good_enough: good_enough must be at most 1.0, not 1.5",
        "run.yaml:13: loop.seeds: must be a whole number, not 1.0",
        "run.yaml:12: loop.start: must be 'best' or 'last', not 'newest'",
        "run.yaml:17: batch_size: must be a whole number, not True",
        "run.yaml:16: trainer.devcies: no argument of lightning.Trainer, did you mean 'devices'?",
        "run.yaml:18: logger: must be 'csv', not 'tsv'",
        "run.yaml:2: genrator: unknown key, did you mean 'generator'?",
    ]


@pytest.mark.parametrize(
    ("addition", "problem"),
    [
        ("judges: {}", "judges: must hold at least 1"),
        ("augmenter: {init_args: {}}", "augmenter.class_path: required, but missing"),
        ("logger: {class_path: a.L, save: 1}", "logger.save: unknown key (known: class_path, init_args)"),
        ("logger: [csv]", "logger: must be a mapping, not ['csv']"),
        ("budget: {max_videos: 0}", "budget.max_videos: max_videos must be at least 1, not 0"),
        ("budget: {max_hours: 0}", "budget.max_hours: max_hours must be more than 0.0, not 0"),
    ],
)
def test_single_problems(tmp_path: Path, addition: str, problem: str) -> None:
    data = yaml.safe_load(MINIMAL) | yaml.safe_load(addition)
    assert [text.partition(": ")[2] for text in problems(write(tmp_path, yaml.safe_dump(data)))] == [problem]


def test_empty_sections_have_their_defaults(tmp_path: Path) -> None:
    config = load(write(tmp_path, MINIMAL + "loop:\nbudget:\ntrainer:\naugmenter: {class_path: a.A, init_args: }\nlogger:\n"))
    assert config.loop == LoopSection()
    assert config.augmenter == Part(class_path="a.A")
    assert config.logger is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("-2E3", -2000.0),
        (".5e1", 5.0),
        ("'1e-4'", "1e-4"),
        ("1.5", 1.5),
        ("2026-01-02", "2026-01-02"),
        ("~", None),
        ("on", True),
        ("ünï", "ünï"),
        ("[1, {a: [x]}]", [1, {"a": ["x"]}]),
        ("{1: a, on: b}", {"1": "a", "on": "b"}),
    ],
)
def test_values(tmp_path: Path, text: str, value: object) -> None:
    data, _ = read(write(tmp_path, f"key: {text}\n"))
    assert data == {"key": value}
    assert type(data["key"]) is type(value)
    overridden, _ = read(write(tmp_path, "{}"), [f"key={text}"])
    assert overridden == data


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2\n", ":4: b.c: given twice"),
        ("a: [1\nb: 2\n", ":2: not YAML: expected ',' or ']', but got ':'"),
        ("a: 1\n\tb: 2\n", ":2: not YAML: found character '\\t' that cannot start any token"),
        ("a: *none\n", ":1: not YAML: found undefined alias 'none'"),
        ("a: 1\n---\nb: 1\n", ":2: not YAML: but found another document"),
        ("a: 1\nb: \x07\n", ":2: not YAML: character 7 is not allowed"),
        (b"a: 1\nb: \xff\n", ":2: not UTF-8: byte 0xff"),
        ("", ":1: the top level must be a mapping of keys to values"),
        ("- a\n", ":1: the top level must be a mapping of keys to values"),
        (
            "a: !!python/object/apply:os.system [id]\n",
            ":1: a: tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed",
        ),
        ("a: !!python/name:os.system ''\n", ":1: a: tag 'tag:yaml.org,2002:python/name:os.system' is not allowed"),
        ("a: !!set {b}\n", ":1: a: tag 'tag:yaml.org,2002:set' is not allowed"),
        ("a: !!int x\n", ":1: a: 'x' is not what its tag says"),
        ("a: !!bool x\n", ":1: a: 'x' is not what its tag says"),
        ("a:\n  b: .nan\n", ":2: a.b: must be a finite number"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", ":3: c: keys must be plain names (no lists, mappings or merge keys)"),
        ("? [a]\n: b\n", ":1: keys must be plain names (no lists, mappings or merge keys)"),
        ("a: &x [*x]\n", ": nested too deeply"),
        ("a: " + "[" * 5000, ": nested too deeply"),
        ("a: " + "x" * 1_000_000, ": larger than 1 MB, which no configuration is"),
    ],
)
def test_unreadable_files(tmp_path: Path, text: str | bytes, problem: str) -> None:
    assert problems(write(tmp_path, text)) == [f"run.yaml{problem}"]


def test_aliases_that_expand_without_end_are_stopped(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 30)]
    (problem,) = problems(write(tmp_path, "\n".join(lines)))
    assert problem.endswith("more than 50000 values")


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    assert problems(tmp_path / "none.yaml") == ["run.yaml: No such file or directory"]
    assert problems(tmp_path) == ["run.yaml: Is a directory"]


def test_an_alias_and_a_byte_order_mark_are_fine(tmp_path: Path) -> None:
    data, positions = read(write(tmp_path, "\ufeffa: &x {b: 1}\nc: *x\n"))
    assert data == {"a": {"b": 1}, "c": {"b": 1}}
    assert positions.where(("c",)).endswith(":2")
    assert positions.folder == tmp_path


def test_overrides_win_and_may_create_and_index(tmp_path: Path) -> None:
    file = write(tmp_path, MINIMAL)
    config = load(
        file,
        "loop.rounds=7",
        "loop.good_enough=9e-1",
        "judges.alignment.init_args.frames.1=5",
        "judges.new={class_path: a.B}",
        "logger=",
    )
    assert (config.loop.rounds, config.loop.good_enough, config.logger) == (7, 0.9, None)
    assert config.judges["alignment"].init_args == {"frames": [1, 5]}
    assert config.judges["new"].class_path == "a.B"


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("loop.rounds=0", "--set loop.rounds: loop.rounds: rounds must be at least 1, not 0"),
        ("loop={round: 1}", "--set loop: loop.round: unknown key, did you mean 'rounds'?"),
        ("rounds", "--set rounds: write it as key=value, e.g. loop.rounds=2"),
        ("=1", "--set =1: write it as key=value, e.g. loop.rounds=2"),
        ("a..b=1", "--set a..b=1: write it as key=value, e.g. loop.rounds=2"),
        ("loop=[1", "--set loop: not YAML: expected ',' or ']', but got '<stream end>'"),
        ("loop={a: 1, a: 2}", "--set loop: a: given twice"),
        (
            "judges.alignment.init_args.frames.2=1",
            "--set judges.alignment.init_args.frames.2: judges.alignment.init_args.frames ",
        ),
        ("generator.class_path.x=1", "--set generator.class_path.x: generator.class_path is neither a mapping nor a list"),
    ],
)
def test_wrong_overrides_name_themselves(tmp_path: Path, override: str, problem: str) -> None:
    (found,) = problems(write(tmp_path, MINIMAL), override)
    assert found.startswith(problem)


def test_all_wrong_overrides_are_reported(tmp_path: Path) -> None:
    assert len(problems(write(tmp_path, MINIMAL), "a", "b", "seed=1")) == 2


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=40) | st.text("ab:-[]{}&*!|>'\"#%,? \n\t<=1.", max_size=40).map(str.encode))
def test_any_file_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    file = write(tmp_path, content)
    try:
        outcome: object = read(file)[0]
    except ConfigError as error:
        outcome = error
    assert isinstance(outcome, dict) or str(outcome).startswith(str(file))


@settings(max_examples=200, deadline=None)
@example(override="\\=\x1f")
@given(override=st.text(max_size=20))
def test_any_override_is_applied_or_refused(tmp_path_factory: pytest.TempPathFactory, override: str) -> None:
    file = write(tmp_path_factory.getbasetemp(), "a: {b: [1]}\n")
    try:
        outcome: object = read(file, [override])[0]
    except ConfigError as error:
        outcome = error
    assert isinstance(outcome, dict) or str(outcome).startswith("--set ")


def test_the_trainers_arguments_are_those_of_lightning() -> None:
    import lightning

    parameters: Any = inspect.signature(lightning.Trainer).parameters
    assert parameters.keys() - {"logger"} == TRAINER_ARGUMENTS


def test_no_heavy_library_is_imported() -> None:
    code = (
        "import sys, rapo_lightning.settings, rapo_lightning.prompts, rapo_lightning.templates\n"
        "print(sorted({'torch', 'lightning', 'transformers', 'diffusers', 'numpy'} & sys.modules.keys()))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
