"""VBench's quality, semantic and total score of the dimensions' values.

from evaluation.totals import total
total({"subject_consistency": 0.95, ...})
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evaluation.dimensions import DIMENSIONS

__all__ = ["Totals", "total"]

QUALITY, SEMANTIC = 4, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The three totals, None where a part is missing.

    Attributes:
        missing: dimensions without a value, in VBench's order.
        proxies: suffixed metrics that stand in for a dimension; then the name of the total is ``total.proxy``.
    """

    quality: float | None
    semantic: float | None
    total: float | None
    missing: tuple[str, ...]
    proxies: tuple[str, ...]

    @property
    def name(self) -> str:
        """``total``, or ``total.proxy`` when a proxy is in it."""
        return "total.proxy" if self.proxies else "total"


def total(values: Mapping[str, float | None], *, allow_proxy: bool = False, fill_missing_zero: bool = False) -> Totals:
    """Normalise, weight and add up: each dimension's ``(value - minimum) / (maximum - minimum)`` by its weight.

    Args:
        values: by metric, VBench's bare names; None is missing. Metrics that are no dimension of VBench's are left aside.
        allow_proxy: take ``dimension.suffix`` where the bare name has no value.
        fill_missing_zero: as VBench does, a missing dimension is a raw 0, hence below 0 where its minimum is above.

    Raises:
        ValueError: a proxy without ``allow_proxy``, two for one dimension, or a value that is not finite.

    Source: VBench, scripts/cal_final_score.py.
    """
    parts, proxies = _parts(values, allow_proxy)
    missing = tuple(name for name in DIMENSIONS if name not in parts)
    if fill_missing_zero:
        parts |= dict.fromkeys(missing, 0.0)
    quality, semantic = _half("quality", parts), _half("semantic", parts)
    both = None
    if quality is not None and semantic is not None:
        both = (quality * QUALITY + semantic * SEMANTIC) / (QUALITY + SEMANTIC)
    return Totals(quality=quality, semantic=semantic, total=both, missing=missing, proxies=proxies)


def _parts(values: Mapping[str, float | None], allow_proxy: bool) -> tuple[dict[str, float], tuple[str, ...]]:
    """The value of each dimension, and which of them are proxies."""
    given = {name: value for name, value in values.items() if value is not None and name.partition(".")[0] in DIMENSIONS}
    odd = [f"{name} is {value}" for name, value in given.items() if not abs(value) < float("inf")]
    if odd:
        raise ValueError(f"a total needs finite values: {', '.join(odd)}")
    parts = {name: float(value) for name, value in given.items() if name in DIMENSIONS}
    stand_ins = [name for name in given if name not in DIMENSIONS and name.partition(".")[0] not in parts]
    if stand_ins and not allow_proxy:
        raise ValueError(f"{', '.join(stand_ins)}: other backbones than VBench's; --allow-proxy gives a total.proxy of them")
    for name in stand_ins:
        dimension = name.partition(".")[0]
        if dimension in parts:
            raise ValueError(f"{dimension}: two proxies; name one")
        parts[dimension] = float(given[name] or 0.0)
    return parts, tuple(stand_ins)


def _half(half: str, parts: Mapping[str, float]) -> float | None:
    dimensions = {name: dimension for name, dimension in DIMENSIONS.items() if dimension.half == half}
    if any(name not in parts for name in dimensions):
        return None
    scores = [
        (parts[name] - dimension.minimum) / (dimension.maximum - dimension.minimum) * dimension.weight
        for name, dimension in dimensions.items()
    ]
    return sum(scores) / sum(dimension.weight for dimension in dimensions.values())
