"""The totals are those of VBench's script, written here anew; a missing part gives none, a proxy another name."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evaluation.dimensions import DIMENSIONS
from evaluation.totals import total

#: name: (minimum, maximum, weight), from the specification.
QUALITY = {
    "subject_consistency": (0.1462, 1.0, 1), "background_consistency": (0.2615, 1.0, 1),
    "temporal_flickering": (0.6293, 1.0, 1), "motion_smoothness": (0.706, 0.9975, 1), "dynamic_degree": (0.0, 1.0, 0.5),
    "aesthetic_quality": (0.0, 1.0, 1), "imaging_quality": (0.0, 1.0, 1),
}  # fmt: skip
SEMANTIC = {
    "object_class": (0.0, 1.0, 1), "multiple_objects": (0.0, 1.0, 1), "human_action": (0.0, 1.0, 1), "color": (0.0, 1.0, 1),
    "spatial_relationship": (0.0, 1.0, 1), "scene": (0.0, 0.8222, 1), "appearance_style": (0.0009, 0.2855, 1),
    "temporal_style": (0.0, 0.364, 1), "overall_consistency": (0.0, 0.364, 1),
}  # fmt: skip


def values(seed: int = 0) -> dict[str, float | None]:
    generator = np.random.default_rng(seed)
    return {name: float(generator.uniform(0.1, 0.9)) for name in (*SEMANTIC, *QUALITY)}


def by_hand(given: dict[str, float | None]) -> tuple[float, float, float]:
    def half(table: dict[str, tuple[float, float, float]], weights: float) -> float:
        return math.fsum(w * ((given.get(n) or 0.0) - lo) / (hi - lo) for n, (lo, hi, w) in table.items()) / weights

    quality, semantic = half(QUALITY, 6.5), half(SEMANTIC, 9)
    return quality, semantic, (4 * quality + semantic) / 5


def test_every_dimension_has_the_numbers_of_the_specification() -> None:
    for half, table in (("quality", QUALITY), ("semantic", SEMANTIC)):
        mine = {n: (d.minimum, d.maximum, d.weight) for n, d in DIMENSIONS.items() if d.half == half}
        assert mine == table


@pytest.mark.parametrize("seed", range(5))
def test_totals_of_all_sixteen(seed: int) -> None:
    given = values(seed)
    mine = total(given)
    assert (mine.quality, mine.semantic, mine.total) == pytest.approx(by_hand(given), abs=1e-12)
    assert mine.missing == mine.proxies == ()
    assert mine.name == "total"


def test_a_missing_part_is_named_and_gives_no_total() -> None:
    given = {**values(), "motion_smoothness": None}
    mine = total(given)
    assert (mine.quality, mine.total) == (None, None)
    assert mine.semantic == pytest.approx(by_hand(given)[1])
    assert mine.missing == ("motion_smoothness",)
    filled = total(given, fill_missing_zero=True)
    assert (filled.quality, filled.semantic, filled.total) == pytest.approx(by_hand(given), abs=1e-12)
    assert filled.missing == ("motion_smoothness",)
    nothing = total({}, fill_missing_zero=True)
    assert nothing.total == pytest.approx(by_hand({})[2], abs=1e-12)
    assert nothing.quality is not None
    assert nothing.quality < 0


def test_a_proxy_needs_leave_and_changes_the_name() -> None:
    given = values()
    given["color.florence2"] = given.pop("color")
    with pytest.raises(ValueError, match=r"color\.florence2: .*--allow-proxy"):
        total(given)
    mine = total(given, allow_proxy=True)
    assert mine.proxies == ("color.florence2",)
    assert mine.name == "total.proxy"
    assert mine.total == pytest.approx(by_hand({**given, "color": given["color.florence2"]})[2])
    with pytest.raises(ValueError, match="two proxies"):
        total({**given, "color.vqa": 0.5}, allow_proxy=True)
    assert total({**values(), "color.vqa": 0.5, "clip_score": 0.3}) == total(values()), "the bare name has a value"
    with pytest.raises(ValueError, match="scene is nan"):
        total({"scene": math.nan})
