"""The resolved configuration has every value, also those that only the parts' constructors know."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rapo_lightning.defaults import with_defaults
from rapo_lightning.run_folder import read_run
from rapo_lightning.settings import config_hash, differences, load_optimize, resolved
from rapo_lightning.workflows import optimize
from tests.house.command import config
from tests.house.test_refusals import refused

PARTS = """
import enum, math, pathlib


class Colour(enum.Enum):
    RED = "red"


class Chat:
    def __init__(self, model="org/default", size: tuple = (64, 64)) -> None:
        raise AssertionError("defaults are read, nothing is constructed")


class Odd:
    def __init__(self, *rest, a=Colour.RED, b=math.inf, c=pathlib.Path("x/y"), d=len, e=Colour, f=object(), g={1: (2, None)},
                 h=frozenset({"q", "p"}), **more) -> None: ...
"""


@pytest.fixture(autouse=True)
def _user_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "odd_parts.py").write_text(PARTS)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("odd_parts", None)


def test_parts_are_filled_in_at_any_depth() -> None:
    chat = {"class_path": "odd_parts.Chat", "init_args": {"size": [1, 2]}}
    values = {"a": {"class_path": "odd_parts.Chat", "init_args": None}, "b": [{"c": chat}], "n": 1}
    filled = with_defaults(values, ("odd_parts",))
    assert filled == {
        "a": {"class_path": "odd_parts.Chat", "init_args": {"model": "org/default", "size": [64, 64]}},
        "b": [{"c": {"class_path": "odd_parts.Chat", "init_args": {"model": "org/default", "size": [1, 2]}}}],
        "n": 1,
    }
    assert chat["init_args"] == {"size": [1, 2]}, "what is given is not changed"


def test_what_may_not_or_cannot_be_imported_stays_as_it_is_written() -> None:
    for path in ("odd_parts.Chat", "rapo_lightning.generators.Nobody", "rapo_lightning.nowhere.Part", "nonsense"):
        spec = {"class_path": path, "init_args": {"a": 1}}
        assert with_defaults(spec) == spec
    assert "odd_parts" not in sys.modules


def test_defaults_that_yaml_cannot_hold_are_told_by_name() -> None:
    filled = with_defaults({"class_path": "odd_parts.Odd", "init_args": {"z": 1, "d": 3}}, ("odd_parts",))
    assert filled["init_args"] == {
        "a": "red",
        "b": "inf",
        "c": "x/y",
        "d": 3,
        "e": "odd_parts.Colour",
        "f": "builtins.object",
        "g": {"1": [2, None]},
        "h": ["p", "q"],
        "z": 1,
    }
    assert yaml.safe_load(yaml.safe_dump(filled)) == filled


def test_the_run_folder_shows_every_value_and_the_hash_of_those_that_count(tmp_path: Path) -> None:
    path = config(tmp_path, rewriter={"class_path": "rapo_lightning.rewriters.FakeRewriter"})
    optimize(path, out=tmp_path / "run", limit=1)
    stored = yaml.safe_load((tmp_path / "run" / "config.resolved.yaml").read_text())
    fake = {"frames": 4, "size": 32, "fps": 8.0, "fail_on": None, "journal": str(tmp_path / "journal")}
    assert stored["generator"]["init_args"] == fake
    assert stored["rewriter"]["init_args"] == {"texts": None}
    assert stored["reward"]["init_args"] == {"weights": None}
    assert read_run(tmp_path / "run")["config_hash"] == config_hash(stored)


def test_a_value_written_as_it_is_by_default_is_the_same_configuration(tmp_path: Path) -> None:
    path = config(tmp_path)
    optimize(path, out=tmp_path / "run", limit=1)
    assert optimize(path, out=tmp_path / "run", limit=1, overrides=["generator.init_args.frames=4"]).exit_code == 0


def test_a_default_that_changes_is_another_configuration(tmp_path: Path) -> None:
    path = config(tmp_path, augmenter={"class_path": "odd_parts.Chat"})

    def values() -> dict[str, Any]:
        return resolved(load_optimize(path, (), ("odd_parts",))[0], ("odd_parts",))

    before = values()
    (tmp_path / "odd_parts.py").write_text(PARTS.replace("org/default", "org/another-default"))
    sys.modules.pop("odd_parts")
    importlib.invalidate_caches()
    assert differences(before, values()) == ["augmenter.init_args.model"]
    assert config_hash(before) != config_hash(values())


def test_a_folder_of_another_default_is_refused_by_the_place_of_its_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = config(tmp_path)
    optimize(path, out=tmp_path / "run", limit=1)
    monkeypatch.setattr("rapo_lightning.judges.fake.FakeJudge.__init__", lambda self, score=None, name="other": None)
    line = refused("optimize", path, "--out", tmp_path / "run")
    assert line.startswith(f"{tmp_path / 'run'}: made with another configuration ({path}:")
    assert "judges.a.init_args.name" in line
