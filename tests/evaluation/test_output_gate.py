"""A gate lets good values pass, stops others, and says what it does not know before it says anything else."""

from __future__ import annotations

from typing import Any

import pytest

from evaluation.errors import InputError
from evaluation.output.gate import Gate, check_names, failures, parse_gates
from evaluation.output.header import Header
from evaluation.output.summary import summarise
from tests.evaluation.output_rows import row


def summary() -> dict[str, Any]:
    rows = []
    for variant, clip, warp in (("original", 0.25, 0.5), ("optimised", 0.75, 0.125)):
        start = len(rows)
        rows.append(row("clip_score", clip, start, variant=variant))
        rows.append(row("warping_error", warp, start, variant=variant, higher_is_better=False))
        rows.append(row("scene", position=start, variant=variant, error="corrupt"))
    return summarise(rows, Header(metrics=("clip_score", "warping_error", "scene")))


def test_texts_become_gates() -> None:
    assert parse_gates(["clip_score=0.5", "optimised:total=.8", " scene = -1e-3 "]) == [
        Gate(metric="clip_score", bound=0.5),
        Gate(metric="total", bound=0.8, variant="optimised"),
        Gate(metric="scene", bound=-0.001),
    ]
    with pytest.raises(InputError) as caught:
        parse_gates(["clip_score", "=1", "a=b", "a=nan", "a=inf", ":a=1", "a=", "b=1"])
    assert len(str(caught.value).splitlines()) == 7
    assert "--fail-under clip_score: give metric=value" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip_score=0.75", None),
        ("clip_score=0.76", "clip_score is 0.75, below 0.76"),
        ("original:clip_score=0.26", "original:clip_score is 0.25, below 0.26"),
        ("original:clip_score=0.25", None),
        ("warping_error=0.125", None),
        ("warping_error=0.124", "warping_error is 0.125, above 0.124"),
        ("original:warping_error=0.2", "original:warping_error is 0.5, above 0.2"),
        ("scene=0", "scene has no value: 1 of its videos have errors"),
        ("clip_score=0.75000000001", "clip_score is 0.75, below 0.75"),
    ],
)
def test_each_side_of_the_bound(text: str, message: str | None) -> None:
    assert [failure.message for failure in failures(parse_gates([text]), summary())] == ([message] if message else [])


def test_totals_can_be_asked_for_and_say_what_they_lack() -> None:
    (failure,) = failures(parse_gates(["total=0.5"]), summary())
    assert failure.value is None
    assert failure.message.startswith("total has no value: subject_consistency, ")
    held = summary()
    held["totals"] |= {"total": None, "total.proxy": 0.6, "proxies": ["color.vqa"], "missing": []}
    assert failures(parse_gates(["total.proxy=0.6"]), held) == []
    assert failures(parse_gates(["total.proxy=0.7"]), held)[0].message == "total.proxy is 0.6, below 0.7"
    assert failures(parse_gates(["total=0.1"]), held)[0].message.endswith("color.vqa stand in; ask for the name with .proxy")


def test_several_gates_keep_their_order() -> None:
    found = failures(parse_gates(["warping_error=0", "clip_score=0.1", "clip_score=0.9", "original:clip_score=1"]), summary())
    assert [failure.gate.name for failure in found] == ["warping_error", "clip_score", "original:clip_score"]
    assert [failure.value for failure in found] == [0.125, 0.75, 0.25]


def test_unknown_names_are_told_with_the_nearest_all_at_once() -> None:
    gates = parse_gates(["clip_scor=0.5", "optimized:clip_score=0.5", "clip_score=0"])
    with pytest.raises(InputError) as caught:
        failures(gates, summary())
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert "no metric clip_scor; it has clip_score" in lines[0]
    assert "no variant optimized; it has optimised" in lines[1]
    with pytest.raises(InputError, match="no variant a; it has none"):
        check_names(parse_gates(["a:total=1"]), [], [])
    check_names(gates[2:], ["clip_score"], [])
