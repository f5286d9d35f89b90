"""One evaluation from its job to its results in a folder; what is there already is not scored again.

from evaluation.run import evaluate
done = evaluate(Job(records=read_manifest("manifest.jsonl").records, metrics=("temporal_flickering",)), "results")
"""

from __future__ import annotations

import contextlib
import fcntl
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from evaluation.engine import check_devices, code_version
from evaluation.errors import ClipError, InputError
from evaluation.findings import read_findings, read_hashes, row_of
from evaluation.job import Job
from evaluation.measures import Measure, measures
from evaluation.output.header import Header
from evaluation.paths import is_there
from evaluation.processes import run
from evaluation.rows import Row
from evaluation.video.decoding import file_sha256
from evaluation.video.record import Record
from evaluation.weights.lookup import Found
from evaluation.work import Work, wanted, works

__all__ = ["Done", "Plan", "evaluate", "plan"]

#: What an evaluation writes beside its findings (`evaluation.results`), and other folders may hold, too.
RESULTS = ("manifest.jsonl", "report.html", "summary.json", "scores.csv", "scores.parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an evaluation will do.

    Attributes:
        videos: files of the manifest; missing_files: those of them that are not there; known: answers that are there already.
        todo: files that are still to be scored, with what.
        measures: the metrics; licences: of all weights, a line each.
    """

    videos: int
    missing_files: tuple[str, ...]
    known: int
    todo: tuple[Work, ...]
    measures: Mapping[str, Measure]

    @property
    def licences(self) -> tuple[str, ...]:
        """A line for each of the weights."""
        return tuple(dict.fromkeys(line for measure in self.measures.values() for line in measure.licences))


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The end of an evaluation: rows in the manifest's order, and how many questions were not asked any more."""

    folder: Path
    header: Header
    rows: tuple[Row, ...]
    missing: int

    @property
    def errors(self) -> int:
        """Rows without a value because of an error."""
        return sum(row.status == "error" for row in self.rows)


def plan(job: Job, folder: str | Path) -> Plan:
    """What `evaluate` would do, without doing it; reads the files' hashes where there are results already.

    Raises:
        InputError: no videos, or a metric is unknown.
        WeightsError: weights are missing.
    """
    return _State.of(job, Path(folder)).plan


def evaluate(
    job: Job,
    folder: str | Path,
    *,
    planned: Callable[[Plan], None] = lambda plan: None,
    finished: Callable[[Work, int], None] = lambda work, errors: None,
    stop: Callable[[], bool] = lambda: False,
) -> Done:
    """Score what is missing in a folder, in as many processes as the job says.

    Args:
        job: what to evaluate.
        folder: of the results; made if it is not there. What is found is on disk file by file.
        planned: told the plan before the first file.
        finished: told each file and its number of errors.
        stop: asked between files; once True, the evaluation ends early.

    Raises:
        InputError: no videos, an unknown metric or device, another evaluation works in the folder, or it holds something else.
        WeightsError: weights are missing; nothing has run.
        EvaluationError: a process died.
        OSError: the disk is full or fails.
    """
    folder = Path(folder)
    check_devices(job.device, job.devices)
    with _alone(folder):
        state = _State.of(job, folder)
        planned(state.plan)
        if state.plan.todo:
            run(job, state.plan.measures, state.found, state.plan.todo, folder, finished=finished, stop=stop)
        return _done(job, state, folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """A plan with what it was made from: the weights, and the hashes of the files, if there were answers before."""

    plan: Plan
    found: Mapping[str, Found]
    hashes: Mapping[str, str] | None

    @classmethod
    def of(cls, job: Job, folder: Path) -> _State:
        if not job.records:
            raise InputError("no videos to evaluate")
        by, found = measures(job)
        everything = works(job, by)
        if not everything:
            raise InputError(f"none of the videos is for {', '.join(by)}: see their dimensions")
        answers = read_findings(folder)
        hashes = _hashes(work.path for work in everything) if answers else None

        def is_open(work: Work, item: tuple[Record, str]) -> bool:
            finding = answers.get(_key(job, by[item[1]], item[0], (hashes or {}).get(work.path, "")))
            return finding is None or finding.row.status == "error"

        todo = [replace(work, items=tuple(item for item in work.items if is_open(work, item))) for work in everything]
        made = Plan(
            videos=len(everything),
            missing_files=(*(work.path for work in everything if not is_there(work.path)), *_paths(job.missing, by)),
            known=sum(len(work.items) for work in everything) - sum(len(work.items) for work in todo),
            todo=tuple(work for work in todo if work.items),
            measures=by,
        )
        return cls(plan=made, found=found, hashes=hashes)


def _done(job: Job, state: _State, folder: Path) -> Done:
    """The rows of the manifest's lines, of all that the folder now holds."""
    answers, by = read_findings(folder), state.plan.measures
    hashes = read_hashes(folder) if state.hashes is None else state.hashes  # None: all answers are of now
    rows, asked = [], Counter[tuple[str, str]]()
    for record in job.records:
        for name in wanted(record, by):
            asked[record.variant, name] += 1
            by_content = _key(job, by[name], record, hashes.get(record.video, ""))
            finding = answers.get(by_content) or answers.get((record.video, *by_content[1:]))
            if finding is not None:
                rows.append(row_of(finding, record))
    unasked = sum(asked.values()) - len(rows)
    for record in job.missing:
        asked.update((record.variant, name) for name in wanted(record, by))
    header = Header(
        protocol=job.protocol,
        reduction=job.options.reduction,
        precision=job.precision,
        metrics=tuple(by),
        asked=dict(asked),
        missing_files=state.plan.missing_files,
        notes=job.notes,
    )
    return Done(folder=folder, header=header, rows=tuple(rows), missing=unasked)


def _key(job: Job, measure: Measure, record: Record, sha256: str) -> tuple[str, str, str, str, str]:
    """`Finding.key` of the answer to a question."""
    return sha256, measure.asked(record), measure.dtype(job), job.protocol, code_version()


def _paths(missing: Iterable[Record], by: Mapping[str, Measure]) -> Iterator[str]:
    """The files that some metric would have been asked of, each once."""
    return iter(dict.fromkeys(record.video for record in missing if wanted(record, by)))


def _hashes(paths: Iterable[str]) -> dict[str, str]:
    found = {}
    for path in paths:
        with contextlib.suppress(ClipError):
            found[path] = file_sha256(path)
    return found


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps other evaluations out of the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a")
    except OSError as error:
        raise InputError(f"{folder}: no folder that can be written: {error.strerror or error}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"{folder}: another evaluation works here") from error
        others = [name for name in RESULTS if (folder / name).exists()]
        if others and not any(folder.glob("findings-*.jsonl")):
            raise InputError(f"{folder}: {', '.join(others)} are of something else and would be replaced; name another folder")
        yield
