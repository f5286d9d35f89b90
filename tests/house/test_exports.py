"""What each module offers: a sorted ``__all__`` whose names exist; and the package's front door, which opens without torch."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys

import pytest

import rapo_lightning
from tests.house.modules import ROOT, sources, tree

SOURCES = sources()


def offers(module: ast.Module) -> bool:
    """Whether a module defines anything that is public by its name."""
    kinds = ast.FunctionDef | ast.ClassDef
    return any(isinstance(node, kinds) and not node.name.startswith("_") for node in module.body)


def in_order(names: list[str]) -> list[str]:
    """As ruff sorts: constants, then classes, then the rest, each by the alphabet and without doubles."""
    return sorted(set(names), key=lambda name: (not name.isupper(), not name[0].isupper(), name))


@pytest.mark.parametrize("name", [name for name, file in SOURCES.items() if offers(tree(file))])
def test_every_module_says_what_it_offers(name: str) -> None:
    module = importlib.import_module(name)
    assert list(module.__all__) == in_order(module.__all__)
    assert [missing for missing in module.__all__ if not hasattr(module, missing)] == []


def test_the_front_door_names_everything_once_and_sorted() -> None:
    assert list(rapo_lightning.__all__) == in_order(rapo_lightning.__all__)
    assert {name for name in rapo_lightning.__all__ if not name[0].isupper()} == set()
    for name in rapo_lightning.__all__:
        assert getattr(rapo_lightning, name) is not None
    assert set(rapo_lightning.__all__) <= set(dir(rapo_lightning))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        rapo_lightning.Nothing  # noqa: B018


def test_all_nouns_seams_errors_and_parts_are_at_the_front_door() -> None:
    homes = ("types", "protocols", "errors", "generators", "judges", "rewriters", "language", "sspo.selection")
    parts = {"RAPOAugmenter", "ChatRefiner", "RelationGraph"}
    names = {name for home in homes for name in importlib.import_module(f"rapo_lightning.{home}").__all__ if name[0].isupper()}
    assert (names | parts) - set(rapo_lightning.__all__) == set()


def test_the_front_door_opens_without_torch() -> None:
    code = "import sys, rapo_lightning as r; r.Prompt; r.ConfigError; r.FakeJudge; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"
