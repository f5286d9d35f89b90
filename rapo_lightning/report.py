"""Writes ``report.html``: a finished or running run folder as one page that needs no network, no script and no server.

    from rapo_lightning import report
    report.write("runs/first")

The page is safe to pass on: text of models and users is escaped everywhere, and a content security policy allows nothing but the
page's own style, its one script (for sorting; the page reads well without) and the videos of the folder.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from evaluation.statistics import paired_bootstrap
from rapo_lightning import records
from rapo_lightning.errors import RecordError
from rapo_lightning.report_comparison import read_comparison
from rapo_lightning.report_plot import plot
from rapo_lightning.report_view import Films, PromptView, read_prompts
from rapo_lightning.settings import SECRET_KEYS

__all__ = ["Summary", "write"]

#: How many prompts are shown besides those that failed.
SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The run in figures. ``before`` and ``after`` are mean rewards over the ``compared`` prompts, those scored before and after;
    ``gain`` is (mean, low, high) with its 95 % interval over prompts. ``seconds`` are of rendering and judging, ``tokens`` the
    rewriter's."""

    prompts: int
    failed: int
    waiting: int
    with_errors: int
    rounds: int
    videos: int
    seconds: float
    tokens: int
    compared: int
    better: int
    worse: int
    before: float | None
    after: float | None
    gain: tuple[float, float | None, float | None] | None

    @classmethod
    def of(cls, prompts: Sequence[PromptView]) -> Summary:
        """The figures of all prompts, shown or not."""
        pairs = [(p.before, p.after) for p in prompts if p.before is not None and p.after is not None]
        candidates = [candidate for prompt in prompts for candidate in prompt.candidates]
        states = [prompt.state for prompt in prompts]
        return cls(
            prompts=len(prompts),
            failed=states.count("failed"),
            waiting=states.count("not run"),
            with_errors=sum(prompt.errors > 0 for prompt in prompts),
            rounds=max((prompt.rounds for prompt in prompts), default=0),
            videos=sum(prompt.videos for prompt in prompts),
            seconds=math.fsum(candidate.cost.seconds for candidate in candidates),
            tokens=sum(candidate.cost.tokens for candidate in candidates),
            compared=len(pairs),
            better=states.count("better"),
            worse=states.count("worse"),
            before=math.fsum(before for before, _ in pairs) / len(pairs) if pairs else None,
            after=math.fsum(after for _, after in pairs) / len(pairs) if pairs else None,
            gain=paired_bootstrap([after - before for before, after in pairs], seed=0) if pairs else None,
        )


def write(run_folder: str | Path, *, embed_below: int | None = None) -> Path:
    """Write ``report.html`` into a run folder from its records, and return its path.

    Args:
        run_folder: ``candidates-<rank>.jsonl`` at the least; ``prompts.jsonl``, ``best.jsonl``, ``run.json``,
            ``config.resolved.yaml`` and ``comparison.json`` are shown when they are there.
        embed_below: videos and stills smaller than this many bytes become part of the page, so that it can be sent alone;
            None: all stay files beside it.

    Raises:
        RecordError: a record cannot be read.
        StorageError: the report cannot be written.
    """
    folder = Path(run_folder).absolute()
    prompts = read_prompts(Films(folder=folder, embed_below=embed_below))
    facts = _facts(folder)
    shown = _shown(prompts)
    page = (
        _templates()
        .get_template("report.html")
        .render(
            name=folder.name,
            note=str(facts.get("note") or ""),
            status=str(facts.get("status") or ""),
            summary=Summary.of(prompts),
            comparison=read_comparison(folder),
            plot=plot([prompt.candidates for prompt in prompts]),
            prompts=shown,
            left_out=len(prompts) - len(shown),
            facts=list(_flat(facts)),
            config=_text(folder / "config.resolved.yaml"),
        )
    )
    path = folder / "report.html"
    records.write_text_atomic(path, page)
    return path


def _shown(prompts: Sequence[PromptView]) -> list[PromptView]:
    """Failures, then the largest losses, then the rest in the run's order; of those that did not fail the first `SHOWN`."""
    failed = [prompt for prompt in prompts if prompt.state == "failed"]
    others = [prompt for prompt in prompts if prompt.state != "failed"]
    return failed + sorted(others, key=lambda prompt: min(prompt.gain or 0.0, 0.0))[:SHOWN]


def _facts(folder: Path) -> Mapping[str, Any]:
    text = _text(folder / "run.json")
    try:
        facts = records.parse_json(text) if text else {}
    except ValueError as error:
        raise RecordError(f"{folder / 'run.json'}: {error}") from error
    return facts if isinstance(facts, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: cannot be read: {error}") from error


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """The values of nested JSON objects with their dotted keys; what is named like a secret is ``***``."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _flat(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        yield key, ", ".join(map(str, value))
    elif value is not None:
        yield key, "***" if key.rpartition(".")[2].lower() in SECRET_KEYS else str(value)


def _templates() -> Environment:
    folder = Path(__file__).with_name("templates")
    environment = Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        csp_hash=_csp_hash, score=_score, signed=_signed, percent=_percent, points=_points, duration=_duration, count=_count
    )
    return environment


def _csp_hash(text: str) -> str:
    """What the content security policy calls an inline style or script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else "0.000" if abs(value) < 0.0005 else f"{value:+.3f}".replace("-", "−")


def _percent(value: float | str | None) -> str:
    return "–" if value is None else value if isinstance(value, str) else f"{100 * value:.1f} %"


def _points(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:+.1f}".replace("-", "−")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def _count(value: int) -> str:
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
