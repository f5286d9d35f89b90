"""Under which protocol a job's videos are scored: VBench for those below five seconds, VBench-Long for longer ones."""

from __future__ import annotations

import logging
from typing import Literal

from evaluation.dimensions import DIMENSIONS
from evaluation.job import Job, Protocol
from evaluation.protocol import choose

__all__ = ["protocol_of"]

logger = logging.getLogger(__name__)


def protocol_of(job: Job, wanted: Literal["auto", "vbench", "vbench_long"] = "auto") -> Protocol:
    """The protocol of a job; files are asked how long they last only if a dimension of VBench's is among the metrics.

    Files that cannot be read do not count; VBench is taken if there is no other.

    Raises:
        InputError: "auto", and the videos are of both kinds.
    """
    names = [*job.metrics, *(metric.id for metric in job.own)]
    if wanted == "vbench_long" or not any(name.partition(".")[0] in DIMENSIONS for name in names):
        return "vbench_long" if wanted == "vbench_long" else "vbench"
    from evaluation.video.ahead import Ahead, workers_here

    with Ahead(job.limits, workers_here()) as ahead:
        seconds = ahead.seconds(dict.fromkeys(record.video for record in job.records))
    choice = choose([one for one in seconds if one is not None], wanted)
    if choice.warning:
        logger.warning(choice.warning)
    return choice.protocol
