"""Results of VBench's from elsewhere, each for the variant that it is named for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.errors import InputError
from evaluation.output.imported import read_imported


def save(path: Path, **values: float) -> str:
    path.write_text(json.dumps({name: [value, []] for name, value in values.items()}))
    return str(path)


def test_one_variant_needs_no_name(tmp_path: Path) -> None:
    first = save(tmp_path / "a_eval_results.json", scene=0.25, color=0.5)
    second = save(tmp_path / "b: c_eval_results.json", color=0.75)
    assert read_imported([first, second], ["original"]) == {"original": {"scene": 0.25, "color": 0.75}}
    assert read_imported([f"original:{second}"], ["original"]) == {"original": {"color": 0.75}}
    assert read_imported([], ["original", "optimised"]) == {}


def test_several_variants_are_named(tmp_path: Path) -> None:
    file = save(tmp_path / "a_eval_results.json", scene=0.25)
    both = ["original", "optimised"]
    assert read_imported([f"optimised:{file}"], both) == {"optimised": {"scene": 0.25}}
    for text in (file, f"raw:{file}", "optimised:"):
        with pytest.raises(InputError, match=r"whose results are they\? Give variant:file; the variants are original, optimised"):
            read_imported([text], both)
    with pytest.raises(InputError, match=r"none\.json"):
        read_imported(["optimised:none.json"], both)
