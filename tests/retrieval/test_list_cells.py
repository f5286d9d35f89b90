"""List cells: what ``ast.literal_eval`` says, or a refusal; phrases tidied and distinct."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from rapo_lightning.retrieval.captions.list_cells import distinct, read_list
from tests.retrieval.cells import cells, literal


@settings(max_examples=600, deadline=None)
@given(cells)
def test_a_list_cell_is_what_literal_eval_says_or_refused(cell: str) -> None:
    wanted = literal(cell)
    if wanted is None:
        with pytest.raises(ValueError, match=r"^(a malformed list|not a list of strings|a list with .* in it): "):
            read_list(cell)
    else:
        assert read_list(cell) == wanted


@pytest.mark.parametrize("cell", ["[" * 100_000, "-" * 100_000 + "1", "['" + "a" * 100_000, "['\\N{x}']", "\0", "[*['a']]"])
def test_hostile_cells_are_refused(cell: str) -> None:
    with pytest.raises(ValueError, match="list"):
        read_list(cell)


def test_distinct_phrases() -> None:
    assert distinct([" a  b", "A B", "", "c", "\u00a0", "a b"]) == ("a b", "c")
    assert distinct(["Stra\u00dfe", "STRASSE", "x"]) == ("Stra\u00dfe", "x")
    assert distinct([]) == ()
