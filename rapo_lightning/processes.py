"""Which process of a run this is, told from the environment before Lightning is imported.

A run on several devices is several processes of the same command line. Lightning starts all but the first, or ``torchrun`` or
``srun`` starts them all. The first prepares the run folder, writes what is shared and prints; the others follow it.
"""

from __future__ import annotations

import os

__all__ = ["RUN_FOLDER", "follows", "is_first"]

#: Set by the first process: where the processes that Lightning starts find the run folder.
RUN_FOLDER = "RAPO_RUN_FOLDER"


def is_first() -> bool:
    """Whether this process leads the run; true of a process that runs alone."""
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        if name in os.environ:
            on_node = os.environ[name] == "0"
            return on_node and (name != "LOCAL_RANK" or os.environ.get("NODE_RANK", "0") == "0")
    return os.environ.get("NODE_RANK", "0") == "0"


def follows() -> bool:
    """Whether another process of this run started this one and answers for it."""
    return not is_first() and RUN_FOLDER in os.environ
