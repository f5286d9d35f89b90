"""The pictures are well-formed, say what the figures say, and nothing in them covers anything else."""

from __future__ import annotations

import math
import re
import statistics
from itertools import combinations
from xml.etree import ElementTree

import pytest

from evaluation.dimensions import DIMENSIONS
from evaluation.output.gains import Effect, effects, prompt_gains, prompt_levels
from evaluation.output.plots import COLOURS, bars, normalised, radar, wrapped
from evaluation.output.plots_small import intervals
from tests.evaluation.output_rows import HOSTILE, METRICS, evaluation_rows, row

SVG = "{http://www.w3.org/2000/svg}"
LONG = ("vqascore.qwen2_5_vl_7b_instruct.sequence_of_sixteen_frames_at_480", "x" * 70, "雨" * 40, "a_b")


def tree(svg: str | None) -> ElementTree.Element:
    assert svg is not None
    return ElementTree.fromstring(svg)


def boxes(root: ElementTree.Element) -> list[tuple[float, float, float, float, str]]:
    """Left, top, right and bottom of every text, with signs as wide as in a usual sans serif font."""
    found = []
    for text in root.iter(f"{SVG}text"):
        x, y, size, words = float(text.get("x", 0)), float(text.get("y", 0)), float(text.get("font-size", 0)), text.text or ""
        wide = sum(size * (1.0 if sign > "\u2e7f" else 0.56) for sign in words)
        left = x - {"middle": wide / 2, "end": wide}.get(text.get("text-anchor", ""), 0.0)
        found.append((left, y - 0.8 * size, left + wide, y + 0.2 * size, words))
    return found


def assert_legible(svg: str | None) -> None:
    root = tree(svg)
    width, height = (float(number) for number in root.get("viewBox", "").split()[2:])
    for left, top, right, bottom, words in boxes(root):
        assert left >= -1, words
        assert right <= width + 1, words
        assert top >= -1, words
        assert bottom <= height + 1, words
    for a, b in combinations(boxes(root), 2):
        apart = a[2] <= b[0] + 1 or b[2] <= a[0] + 1 or a[3] <= b[1] + 1 or b[3] <= a[1] + 1
        assert apart, (a, b)


def series(count: int, variants: int = 2) -> dict[str, dict[str, float]]:
    names = list(DIMENSIONS)[:count]
    return {f"variant {v}": {name: (place + v) % 5 / 5 for place, name in enumerate(names)} for v in range(variants)}


@pytest.mark.parametrize("count", [3, 4, 7, 9, 12, 16])
@pytest.mark.parametrize("variants", [1, 2, 8])
def test_a_radar_is_legible(count: int, variants: int) -> None:
    assert_legible(radar(series(count, variants)))


def test_a_radar_of_proxies_and_long_names_is_legible() -> None:
    names = [f"{name}.grounding_dino.fixed" for name in DIMENSIONS]
    assert_legible(radar({text: dict.fromkeys(names, 0.5) for text in (*HOSTILE[:4], *LONG[:3])}))


def test_marks_of_a_radar_are_where_the_values_are() -> None:
    values = {"scene": 1.0, "color": 0.5, "temporal_style": 0.0, "human_action": 1.7}
    root = tree(radar({"only": values}))
    rings = [[tuple(map(float, p.split(","))) for p in ring.get("points", "").split()] for ring in root.iter(f"{SVG}polygon")]
    outer, drawn = rings[3], rings[4]
    centre = (outer[0][0], (outer[0][1] + outer[2][1]) / 2)
    radius = centre[1] - outer[0][1]
    assert drawn[0] == outer[0]
    assert drawn[1] == pytest.approx((centre[0] + radius / 2, centre[1]), abs=0.11)
    assert drawn[2] == pytest.approx(centre, abs=0.11)
    assert drawn[3] == outer[3], "beyond the end of its axis: drawn at the end"
    assert "human_action 1.700" in (root.find(f".//{SVG}g/{SVG}title").text or "")  # type: ignore[union-attr]


def test_a_gap_is_a_gap_and_two_axes_are_no_radar() -> None:
    whole = {"scene": 0.5, "color": 0.5, "human_action": 0.5, "temporal_style": 0.5}
    part = {name: value for name, value in whole.items() if name != "color"}
    root = tree(radar({"whole": whole, "part": part}))
    assert len(list(root.iter(f"{SVG}polygon"))) == 5
    lines = [path.get("d", "") for path in root.iter(f"{SVG}path") if path.get("stroke") == COLOURS[1]]
    assert lines[0].count("M") == 2, "two of four sides: the axis without a value has none"
    assert radar({"a": {"scene": 1.0, "color": 1.0}}) is None
    assert radar({}) is None


def test_normalised_values_are_those_of_the_totals() -> None:
    found = normalised(
        {"temporal_flickering": 0.6293, "scene.vqa": 0.8222, "clip_score": 0.3, "color": None, "imaging_quality": 0.7}
    )
    assert found == pytest.approx({"temporal_flickering": 0.0, "scene.vqa": 1.0, "imaging_quality": 0.7})


def effect(metric: str, gain: float, low: float, high: float, spread: float = 1.0) -> Effect:
    return Effect(metric=metric, gain=gain, ci95=(low, high), spread=spread)


def test_bars_are_legible_with_long_names_and_large_numbers() -> None:
    found = [effect(name, 0.1, -0.1, 0.3) for name in (*METRICS, *LONG, *HOSTILE)]
    assert_legible(bars(found, better=LONG[0]))
    assert_legible(bars([effect("fvd", 512.5, -312.123, 1300.25, 900.0), effect("b", 3e-5, 1e-5, 4e-5, 1e-4)], better="x"))
    assert bars([], better="x") is None


def test_bars_are_as_long_as_the_gains() -> None:
    found = [
        effect("better", 0.2, 0.1, 0.3, 0.2), effect("worse", -0.05, -0.1, -0.02, 0.1), effect("unclear", 0.0, -0.5, 0.5, 1.0),
        Effect(metric="one prompt", gain=0.5, ci95=None, spread=0.0),
    ]  # fmt: skip
    root = tree(bars(found, better="optimised"))
    dots = [(float(dot.get("cx", 0)), dot.get("fill"), dot.get("stroke")) for dot in root.iter(f"{SVG}circle")]
    zero = dots[2][0]
    unit = dots[0][0] - zero
    assert unit > 20
    assert dots[1][0] - zero == pytest.approx(-unit / 2, abs=0.2)
    assert dots[3][0] == pytest.approx(dots[0][0], abs=0.2), "all pairs gain the same: one standard deviation"
    assert [dot[1:] for dot in dots[:2]] == [(COLOURS[0], COLOURS[0]), (COLOURS[1], COLOURS[1])]
    assert dots[2][1] == "#ffffff"
    wide = [float(bar.get("width", 0)) for bar in root.iter(f"{SVG}rect")]
    assert wide == pytest.approx([unit, unit / 2, 0, unit], abs=0.2)
    assert sum("H" in path.get("d", "") for path in root.iter(f"{SVG}path")) == 3


def test_colours_can_be_told_from_white() -> None:
    def light(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert min(1.05 / (light(colour) + 0.05) for colour in COLOURS[:3]) >= 3
    assert len(set(COLOURS)) == 6


def test_names_are_parted_and_complete() -> None:
    for name in (*METRICS, *LONG):
        for most in (8, 20, 32):
            lines = wrapped(name, most)
            assert "".join(lines) == name
            assert max(map(len, lines)) <= most
    assert wrapped("subject_consistency", 12) == ["subject_", "consistency"]
    assert wrapped("", 5) == [""]


def test_small_pictures() -> None:
    root = tree(intervals([(0.5, (0.25, 0.75)), (0.75, None), (None, None)]))
    assert len(list(root.iter(f"{SVG}circle"))) == 1
    assert len(list(root.iter(f"{SVG}rect"))) == 1
    line = next(path for path in root.iter(f"{SVG}path") if path.get("stroke") == COLOURS[0])
    from_x, to_x = map(float, re.findall(r"[MH]([\d.]+)", line.get("d", "")))
    dot = next(root.iter(f"{SVG}circle"))
    assert float(dot.get("cx", 0)) == pytest.approx((from_x + to_x) / 2, abs=0.1)
    assert intervals([(None, None), (None, None)]) is None
    assert intervals([(0.5, None)]) is None
    assert intervals([(0.5, None)], (0.0, None)) is None
    alone = tree(intervals([(0.25, (0.2, 0.3))], (0.0, 1.0)))
    assert float(next(alone.iter(f"{SVG}circle")).get("cx", 0)) == pytest.approx(8 + 0.25 * 134, abs=0.1)


def test_hostile_names_are_text() -> None:
    for svg in (
        bars([effect(text, 0.1, 0, 1) for text in HOSTILE], better=HOSTILE[0]),
        radar(dict.fromkeys(HOSTILE, series(4)["variant 0"])),
    ):
        root = tree(svg)
        kinds = {element.tag.removeprefix(SVG) for element in root.iter()}
        assert kinds <= {"svg", "title", "g", "path", "rect", "circle", "polygon", "text"}
        assert not any(name.startswith("on") or name == "href" for element in root.iter() for name in element.attrib)


def test_effects_and_gains_by_hand() -> None:
    rows = []
    for variant, values in (("original", (10.0, 20.0, 30.0)), ("optimised", (40.0, 20.0, 0.0))):
        for prompt, value in enumerate(values):
            more = {"variant": variant, "prompt_id": f"p{prompt}"}
            rows.append(row("imaging_quality", value, len(rows), **more))
            rows.append(row("flat", 0.5, len(rows) - 1, **more))
            rows.append(row("warping_error", value / 100, len(rows) - 2, higher_is_better=False, **more))
    before, after = ([one for one in rows if one.variant == variant] for variant in ("original", "optimised"))
    metrics = ["imaging_quality", "flat", "warping_error", "none"]
    found = {one.metric: one for one in effects(before, after, metrics)}
    spread = statistics.stdev([0.3, 0.0, -0.3])
    assert found["imaging_quality"].gain == pytest.approx(0.0)
    assert found["imaging_quality"].spread == pytest.approx(spread)
    assert found["flat"].spread == 0.0
    assert (found["flat"].in_spreads(0.0), found["flat"].in_spreads(-2.0)) == (0.0, -1.0)
    assert "none" not in found
    gains = prompt_gains(before, after, ["imaging_quality", "flat"])
    assert [(gain.prompt_id, gain.level) for gain in gains] == [
        ("p0", pytest.approx(0.3 / spread)), ("p1", 0.0), ("p2", pytest.approx(-0.3 / spread)),
    ]  # fmt: skip
    assert gains[0].parts == (("imaging_quality", pytest.approx(0.3 / spread), pytest.approx(0.3)),)
    assert [(a.position, b.position) for a, b in gains[0].videos if a] == [(0, 9)]
    both = prompt_gains(before, after, metrics)
    assert both[0].level == pytest.approx(0.0), "one metric gains what the other loses"
    levels = prompt_levels(before, ["imaging_quality", "warping_error"])
    assert [gain.level for gain in levels] == pytest.approx([0.0] * 3)
    alone = prompt_levels(before, ["warping_error"])
    assert [gain.prompt_id for gain in alone] == ["p0", "p1", "p2"]
    assert alone[0].level == pytest.approx(1.0)
    assert math.isfinite(sum(gain.level for gain in prompt_levels(evaluation_rows(5), METRICS)))
    assert prompt_levels([row(error="empty")], ["clip_score"]) == []
