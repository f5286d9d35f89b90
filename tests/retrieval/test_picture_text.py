"""Lines of text: what is kept, where they break, and that no usual letter is wider than was thought."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import ImageFont

from rapo_lightning.retrieval.pictures.text import clean, is_right_to_left, text_width, wrap

DEJAVU = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("  a\tcalm \n sea ", "a calm sea"),
        ("a\x00b\x1b[31mc\x85d", "a b [31mc d"),
        ("\u202eso\u00adft\u2066\ufeff", "soft"),
        ("half \ud800 \ufffe \U0010ffff", "half \ufffd \ufffd \ufffd"),
        ("می\u200cخواهم 👩\u200d👧", "می\u200cخواهم 👩\u200d👧"),
    ],
)
def test_clean_keeps_what_is_read_and_nothing_that_steers(text: str, kept: str) -> None:
    assert clean(text) == kept


def test_direction_is_that_of_the_first_letter() -> None:
    assert [is_right_to_left(text) for text in ("boat قارب", "12 قارب", "דייג", "船", "", "…")] == [
        False,
        True,
        True,
        False,
        False,
        False,
    ]


def test_wrap_breaks_at_blanks_fills_lines_and_loses_nothing() -> None:
    chance = random.Random(3)
    for _ in range(200):
        text = " ".join("m" * chance.randint(1, 9) for _ in range(30))
        lines = wrap(text, 120, 13, lines=99)
        assert " ".join(lines) == text
        assert all(text_width(line, 13) <= 120 for line in lines)
        assert all(text_width(f"{a} {b.split()[0]}", 13) > 120 for a, b in pairwise(lines))


@pytest.mark.parametrize(
    "text", ["x" * 300, "a " * 300, "静かな港に夕日が沈む、" * 20, "👩‍👩‍👧🇯🇵" * 40, "قارب صيد " * 40, "m" * 100_000]
)
def test_wrap_keeps_within_width_and_lines_and_says_that_there_is_more(text: str) -> None:
    lines = wrap(text, 150, 13, lines=3, bold=True)
    assert len(lines) == 3
    assert all(text_width(line, 13, bold=True) <= 150 for line in lines)
    assert lines[-1].endswith("…")
    assert text.startswith("".join(lines).removesuffix("…")) or " " in text


def test_a_whole_text_has_no_ellipsis_and_an_empty_one_one_line() -> None:
    assert wrap("a calm sea", 500, 13, lines=1) == ("a calm sea",)
    assert wrap("", 500, 13, lines=2) == ("",)


def test_lines_begin_neither_with_closing_signs_nor_within_what_is_read_as_one() -> None:
    for width in range(30, 200, 3):
        for line in wrap("「静かな港」に、夕日が沈む。" * 4, width, 13, lines=99):
            assert line[0] not in "」、。"
        assert set("".join(wrap("👩‍👩‍👧 " * 5, width, 13, lines=99)).replace(" ", "").split("👩‍👩‍👧")) == {""}
        assert all(not line.startswith("\u0301") for line in wrap("e\u0301" * 60, width, 13, lines=99))


@pytest.mark.skipif(not DEJAVU.is_file(), reason="DejaVu Sans is not here")
@pytest.mark.parametrize("bold", [False, True])
def test_estimated_widths_are_not_below_those_of_a_wide_font(bold: bool) -> None:
    font = ImageFont.truetype(DEJAVU.with_stem("DejaVuSans-Bold") if bold else DEJAVU, 1000)
    phrases = [
        "a small wooden fishing boat rocking gently at its moorings",
        "MIST OVER THE HARBOUR, 12 GULLS & 3 CRANES",
        "0.81",
        "−0.07",
        "тихий вечерний свет над водой и туман",
        "ελληνικά ήρεμη θάλασσα στο ηλιοβασίλεμα",
        "بحر هادئ تحت الضوء",
        "café à côté de l’église, où l’été s’attarde",
    ]
    for phrase in phrases:
        assert font.getlength(phrase) <= text_width(phrase, 1000, bold=bold) <= 1.45 * font.getlength(phrase), phrase
