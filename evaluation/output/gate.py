"""Whether values are good enough: ``--fail-under metric=value``.

from evaluation.output.gate import failures, parse_gates
failures(parse_gates(["aesthetic_quality=0.6", "optimised:total=0.8"]), summary)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from evaluation.errors import InputError

__all__ = ["Failure", "Gate", "check_names", "failures", "parse_gates"]

#: Beside the metrics these can be asked for.
TOTALS = ("quality", "semantic", "total", "quality.proxy", "semantic.proxy", "total.proxy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One bound: ``metric`` must not be worse than ``bound``, below it or, where lower is better, above it.

    ``variant`` None: that of the summary's own ``metrics``.
    """

    metric: str
    bound: float
    variant: str | None = None

    @property
    def name(self) -> str:
        """As the user names it."""
        return self.metric if self.variant is None else f"{self.variant}:{self.metric}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A gate that does not hold; ``value`` is None where there is none, and ``message`` tells it in one line."""

    gate: Gate
    value: float | None
    message: str


def parse_gates(texts: Iterable[str]) -> list[Gate]:
    """The gates of ``metric=value`` and ``variant:metric=value``.

    Raises:
        InputError: a text is neither, or its value is no finite number; all of them are named.
    """
    gates, problems = [], []
    for text in texts:
        name, sign, number = text.rpartition("=")
        variant, colon, metric = name.rpartition(":")
        try:
            bound = float(number)
        except ValueError:
            bound = math.nan
        if not sign or not metric.strip() or (colon and not variant.strip()) or not math.isfinite(bound):
            problems.append(f"--fail-under {text}: give metric=value or variant:metric=value, such as aesthetic_quality=0.6")
        else:
            gates.append(Gate(metric=metric.strip(), bound=bound, variant=variant.strip() if colon else None))
    if problems:
        raise InputError("\n".join(problems))
    return gates


def check_names(gates: Sequence[Gate], metrics: Iterable[str], variants: Iterable[str]) -> None:
    """Whether an evaluation of these metrics and variants can answer the gates; to be asked before the first video.

    Raises:
        InputError: a metric or a variant is none of them; all of them are named, with the nearest.
    """
    known, names = [*metrics, *TOTALS], list(variants)
    problems = [_unknown(gate, "metric", gate.metric, known) for gate in gates if gate.metric not in known]
    problems += [
        _unknown(gate, "variant", gate.variant, names) for gate in gates if gate.variant is not None and gate.variant not in names
    ]
    if problems:
        raise InputError("\n".join(problems))


def failures(gates: Sequence[Gate], summary: Mapping[str, Any]) -> list[Failure]:
    """The gates that do not hold, in their order; one whose metric has no value does not hold.

    Raises:
        InputError: as `check_names`.
    """
    variants = summary["variants"]
    metrics = {name for held in [summary, *variants.values()] for name in held["metrics"]}
    check_names(gates, sorted(metrics), variants)
    found = (_failure(gate, summary if gate.variant is None else variants[gate.variant]) for gate in gates)
    return [failure for failure in found if failure is not None]


def _failure(gate: Gate, held: Mapping[str, Any]) -> Failure | None:
    is_total = gate.metric in TOTALS and gate.metric not in held["metrics"]
    score = {} if is_total else held["metrics"].get(gate.metric, {})
    value = held["totals"].get(gate.metric) if is_total else score.get("value")
    if value is None:
        return Failure(gate=gate, value=None, message=f"{gate.name} has no value{_why(held, score, is_total)}")
    if score.get("higher_is_better", True):
        return None if value >= gate.bound else _bad(gate, value, "below")
    return None if value <= gate.bound else _bad(gate, value, "above")


def _bad(gate: Gate, value: float, side: str) -> Failure:
    shown = f"{value:.6g}" if f"{value:.6g}" != f"{gate.bound:.6g}" else repr(value)
    return Failure(gate=gate, value=value, message=f"{gate.name} is {shown}, {side} {gate.bound:.6g}")


def _why(held: Mapping[str, Any], score: Mapping[str, Any], is_total: bool) -> str:
    if is_total and held["totals"]["proxies"]:
        return f": {', '.join(held['totals']['proxies'])} stand in; ask for the name with .proxy"
    if is_total:
        missing = held["totals"]["missing"]
        return f": {', '.join(missing)} missing" if missing else ""
    return f": {score['n_errors']} of its videos have errors" if score.get("n_errors") else ""


def _unknown(gate: Gate, kind: str, name: str | None, known: Sequence[str]) -> str:
    near = get_close_matches(name or "", known, n=2) or known
    return f"--fail-under {gate.name}={gate.bound:g}: this evaluation has no {kind} {name}; it has {', '.join(near) or 'none'}"
