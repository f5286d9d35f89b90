"""Under which protocol a job's videos are scored: VBench for those below five seconds, VBench-Long for longer ones."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Literal

from evaluation.dimensions import DIMENSIONS
from evaluation.job import Job
from evaluation.protocol import choose

__all__ = ["with_protocol"]

logger = logging.getLogger(__name__)


def with_protocol(job: Job, wanted: Literal["auto", "vbench", "vbench_long"] = "auto") -> Job:
    """A job under its protocol, with a note where that does not suit its videos.

    Files are asked how long they last only if a dimension of VBench's is among the metrics.
    Files that cannot be read do not count; VBench is taken if there is no other.

    Raises:
        InputError: "auto", and the videos are of both kinds.
    """
    names = [*job.metrics, *(metric.id for metric in job.own)]
    if wanted == "vbench_long" or not any(name.partition(".")[0] in DIMENSIONS for name in names):
        return replace(job, protocol="vbench_long" if wanted == "vbench_long" else "vbench")
    from evaluation.video.ahead import Ahead, workers_here

    with Ahead(job.limits, workers_here()) as ahead:
        seconds = ahead.seconds(dict.fromkeys(record.video for record in job.records))
    choice = choose([one for one in seconds if one is not None], wanted)
    if choice.warning:
        logger.warning(choice.warning)
    return replace(job, protocol=choice.protocol, notes=(*job.notes, *filter(None, [choice.warning])))
