"""The cells of a block, read together: the phrases are those of each cell by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from rapo_lightning.retrieval.captions import open_captions
from rapo_lightning.types import CaptionPhrases


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("['a', 'B']", ("a", "B")),
        ("['a', 'A']", ("a",)),
        ("['straße', 'STRASSE']", ("straße",)),
        ("['a', ' b ']", ("a", "b")),
        ("['a', ' ']", ("a",)),
        (r"['a', '\x62']", ("a", "b")),
        ("['a\tb', 'c']", ("a b", "c")),
        ("['a\x1cb', 'c']", ("a b", "c")),
        ("['a\x07b', 'c']", ("a\x07b", "c")),
        ("['a\xa0b', 'c']", ("a b", "c")),
        ("['a', 'b', 'c']", ("a", "b", "c")),
        ("['', 'b']", ("b",)),
        ('["a\'s"]', ("a's",)),
        ('[" a\'s  b"]', ("a's b",)),
        (r'["a\'s \x62"]', ("a's b",)),
        ('["a\'s", "A\'S"]', ("a's",)),
        ("[\"a's\", 'b']", ("a's", "b")),
        ("[ 'a', 'b' ]", ("a", "b")),
    ],
)
def test_a_cell_says_the_same_by_itself_and_among_others(tmp_path: Path, cell: str, expected: tuple[str, ...]) -> None:
    """Blocks are read as a whole where nothing in them is odd, and else cell by cell."""
    quoted = cell.replace('"', '""')
    odd = f"c,raw,\"{quoted}\",[],['x']"
    usual = "c,raw,\"['d', 'e']\",[],['x']"
    file = tmp_path / "rows.csv"
    for rows in ([odd], [usual, odd, usual], [odd, odd]):
        file.write_text("\n".join(("Input,Output,verb_obj_word,scenario_word,place", *rows, "")))
        found = [one.actions for one in open_captions(file).phrases() if isinstance(one, CaptionPhrases)]
        assert found == [expected if row == odd else ("d", "e") for row in rows]
