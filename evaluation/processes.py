"""Several processes on one evaluation, each with its own device and its own file of findings."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation import engine
from evaluation.errors import EvaluationError
from evaluation.findings import FindingLog
from evaluation.job import Job
from evaluation.measures import Measure, build
from evaluation.work import Work

if TYPE_CHECKING:
    from evaluation.weights.lookup import Found

__all__ = ["Finished", "run"]

#: Called in the first process for every file: the file and its number of errors.
Finished = Callable[[Work, int], None]


def run(
    job: Job,
    measures: Mapping[str, Measure],
    found: Mapping[str, Found],
    works: Sequence[Work],
    folder: Path,
    *,
    finished: Finished,
    stop: Callable[[], bool],
) -> None:
    """Score all files and write what was found into the folder; returns early once ``stop()``.

    Raises:
        EvaluationError: a process died; what it had found is kept.
    """
    count = min(job.devices, len(works))
    if count <= 1:
        with closing(_score(job, measures, found, iter(works), folder, 0)) as scored:
            for work, errors in scored:
                finished(work, errors)
                if stop():
                    return
        return
    context = multiprocessing.get_context("spawn")
    todo, done, halt = context.Queue(), context.Queue(), context.Event()
    for number in range(len(works)):
        todo.put(number)
    for _ in range(count):
        todo.put(None)
    arguments = (job, measures, found, works, folder, todo, done, halt, max(1, (os.cpu_count() or 1) // count))
    processes = [context.Process(target=_process, args=(rank, *arguments), daemon=True) for rank in range(count)]
    try:
        with _deaf():
            for process in processes:
                process.start()
        _follow(processes, works, done, halt, finished, stop)
    finally:
        for process in processes:
            if process.pid is not None:
                process.kill()
                process.join()
        for channel in (todo, done):
            channel.cancel_join_thread()
            channel.close()


@contextmanager
def _deaf() -> Iterator[None]:
    """What starts here never hears the signals that a terminal or SLURM sends to a whole group: the first process decides."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _follow(
    processes: Sequence[Any], works: Sequence[Work], done: Any, halt: Any, finished: Finished, stop: Callable[[], bool]
) -> None:
    open_ranks = set(range(len(processes)))
    while open_ranks:
        if stop():
            halt.set()
        try:
            kind, rank, value = done.get(timeout=0.2)
        except queue.Empty:
            dead = [rank for rank in open_ranks if processes[rank].exitcode not in (None, 0)]
            if dead:
                halt.set()
                code = processes[dead[0]].exitcode
                raise EvaluationError(f"process {dead[0]} died (exit status {code}); the same command goes on") from None
            continue
        if kind == "file":
            number, errors = value
            finished(works[number], errors)
        else:
            open_ranks.discard(rank)
            if kind == "error":
                halt.set()
                raise EvaluationError(value)


def _process(
    rank: int,
    job: Job,
    measures: Mapping[str, Measure],
    found: Mapping[str, Found],
    works: Sequence[Work],
    folder: Path,
    todo: Any,
    done: Any,
    halt: Any,
    threads: int,
) -> None:
    import torch

    torch.set_num_threads(min(threads, torch.get_num_threads()))
    place = {id(work): number for number, work in enumerate(works)}

    def mine() -> Iterator[Work]:
        while not halt.is_set() and (number := todo.get()) is not None:
            yield works[number]

    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with closing(_score(job, measures, found, mine(), folder, rank)) as scored:
            for work, errors in scored:
                done.put(("file", rank, (place[id(work)], errors)))
                if halt.is_set():
                    break
        done.put(("end", rank, None))
    except EvaluationError as error:
        done.put(("error", rank, str(error)))
    except OSError as error:
        done.put(("error", rank, f"{error.filename or folder}: {error.strerror or error}"))


def _end_with_parent() -> None:
    """Killed or not, a process is not outlived by those that it started: two evaluations would write one file."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _score(
    job: Job, measures: Mapping[str, Measure], found: Mapping[str, Found], works: Iterator[Work], folder: Path, rank: int
) -> Generator[tuple[Work, int], None, None]:
    from evaluation.video.ahead import workers_here

    metrics = build(job, found, engine.device_named(job.device, rank))
    decoders = max(1, workers_here() // max(1, job.devices))
    with FindingLog(folder / f"findings-{rank}.jsonl") as log:
        for work, findings in engine.score(job, measures, metrics, works, decoders=decoders):
            log.append(findings)
            yield work, sum(finding.row.status == "error" for finding in findings)
