"""The package's own command line: ``python -m evaluation --help``. `rapo evaluate` does the same from a configuration file.

Exit codes: 0 done, 1 a disk or a process failed, 2 usage, input or weights, 3 finished with error rows, 4 a gate is not met,
75 SIGTERM or SIGUSR1, 130 Ctrl-C; after 1, 75 and 130 the same command goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from evaluation.commands.app import app

__all__ = ["as_vbench_writes", "main"]


def as_vbench_writes(arguments: Sequence[str]) -> list[str]:
    """The arguments with ``--dimension a b c``, as VBench takes it, as one value."""
    joined: list[str] = []
    names: list[str] | None = None
    for argument in arguments:
        if names is not None and not argument.startswith("-"):
            names.append(argument)
            continue
        if names is not None:
            joined.append(",".join(names))
        names = [] if argument == "--dimension" else None
        joined.append(argument)
    return [*joined, ",".join(names)] if names else joined


def main() -> None:
    """Run a command."""
    app(as_vbench_writes(sys.argv[1:]), prog_name="python -m evaluation")


if __name__ == "__main__":
    main()
