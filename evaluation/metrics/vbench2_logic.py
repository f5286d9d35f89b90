"""VBench-2.0's rules: how answers become a dimension's value, and dimensions the total. Pure.

Source: VBench-2.0, vbench2/{dimension}.py and scripts/constant.py. A rule gives None for a video that is left out (-1 there).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["CATEGORIES", "Totals2", "all_yes", "composition", "gated", "leading_share", "numbered", "total2"]

#: The dimensions by category, in VBench-2.0's order, as in file names.
CATEGORIES: dict[str, tuple[str, ...]] = {
    "creativity": ("composition", "diversity"),
    "commonsense": ("instance_preservation", "motion_rationality"),
    "controllability": (
        "camera_motion",
        "complex_landscape",
        "complex_plot",
        "dynamic_attribute",
        "dynamic_spatial_relationship",
        "human_interaction",
        "motion_order_understanding",
    ),
    "human_fidelity": ("human_anatomy", "human_clothes", "human_identity"),
    "physics": ("material", "mechanics", "multi-view_consistency", "thermotics"),
}


def all_yes(answers: Sequence[bool]) -> float:
    """1 where every answer is yes, else 0."""
    return float(all(answers))


def gated(answers: Sequence[bool]) -> float | None:
    """One answer is the value; of more, the first says whether the video counts at all, and all others must be yes."""
    if len(answers) == 1:
        return all_yes(answers)
    return all_yes(answers[1:]) if answers[0] else None


def composition(answers: Sequence[bool], *, alone: bool | None, together: bool) -> float:
    """Composition's value of the answers to Q descriptions.

    Args:
        answers: whether each description is seen.
        alone: whether only one creature is seen; None where that does not matter (``judge[0]``).
        together: all of them count, or nothing (``judge[1]``); else their share.
    """
    if alone is False:
        return 1 / len(answers)
    return all_yes(answers) if together else sum(answers) / len(answers)


def leading_share(answers: Sequence[bool], parts: int) -> float:
    """The answers before the first no, over the parts that a story has."""
    run = next((index for index, answer in enumerate(answers) if not answer), len(answers))
    return run / parts


def numbered(text: str) -> list[str]:
    """The items of a list that the judge numbered ``1.``, ``2.``, ... at the beginning of lines or after white space."""
    parts = re.split(r"(?:^|\s)\d{1,2}[.)]\s+", text)
    return [part.strip(" ;\n") for part in parts[1:] if part.strip(" ;\n")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals2:
    """VBench-2.0's category means and their mean; None where a dimension is missing.

    Attributes:
        categories: by name.
        missing: dimensions without a value, in order.
        proxies: suffixed metrics that stand in; then the total is ``vbench2.total.proxy``.
    """

    categories: Mapping[str, float | None]
    total: float | None
    missing: tuple[str, ...]
    proxies: tuple[str, ...]


def total2(values: Mapping[str, float | None], *, allow_proxy: bool = False) -> Totals2:
    """The mean of five category means.

    Args:
        values: by metric; a dimension's bare name, in any case and with blanks or underscores. Others are left aside.
        allow_proxy: take ``dimension.suffix`` where the bare name has no value.

    Raises:
        ValueError: two proxies for one dimension, or one without ``allow_proxy``; a value that is not finite.
    """
    known = {name for names in CATEGORIES.values() for name in names}
    found: dict[str, float] = {}
    proxies: dict[str, str] = {}
    for name, value in sorted(values.items(), key=lambda item: "." in item[0]):
        dimension, dot, _ = name.lower().replace(" ", "_").partition(".")
        if value is None or dimension not in known:
            continue
        if not abs(value) < float("inf"):
            raise ValueError(f"a total needs finite values: {name} is {value}")
        if dot and dimension in proxies:
            raise ValueError(f"{dimension}: two proxies; name one")
        if dot and dimension not in found:
            if not allow_proxy:
                raise ValueError(f"{name}: another judge than VBench-2.0's; --allow-proxy gives a total of it")
            proxies[dimension] = name
        found.setdefault(dimension, float(value))
    means = {
        category: sum(found[name] for name in names) / len(names) if all(name in found for name in names) else None
        for category, names in CATEGORIES.items()
    }
    whole = [mean for mean in means.values() if mean is not None]
    return Totals2(
        categories=means,
        total=sum(whole) / len(means) if len(whole) == len(means) else None,
        missing=tuple(name for names in CATEGORIES.values() for name in names if name not in found),
        proxies=tuple(proxies.values()),
    )
