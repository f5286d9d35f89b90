"""The exceptions of the suite. Each is raised with one line that a user can act on.

RapoError
├── ConfigError       a configuration or a command line is wrong; carries every problem found (exit code 2)
├── InputError        a prompt file or another input is wrong (exit code 2)
├── WeightsError      weights are missing, foreign or would run code (exit code 2)
├── RunFolderError    the run folder cannot be used: no permission, in use, or of another configuration (exit code 2)
├── StorageError      the disk is full, read-only or gone while something is written (exit code 1)
├── RecordError       a record cannot be read: torn, of a newer schema, or not ours (exit code 1)
├── TrainingError     a training cannot go on: it has diverged, or memory ran out (exit code 1)
├── PartError         a part broke its contract, e.g. returned the wrong number of items (exit code 1)
├── Stopped           a signal asked the command to stop; what was done is kept (exit code 75)
└── VideoError        a video cannot be read or written (exit code 1)
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

__all__ = [
    "ConfigError",
    "InputError",
    "PartError",
    "RapoError",
    "RecordError",
    "RunFolderError",
    "Stopped",
    "StorageError",
    "TrainingError",
    "VideoError",
    "WeightsError",
    "first_line",
]


class RapoError(Exception):
    """Base of every error the suite raises on purpose; ``exit_code`` is what the command line returns."""

    exit_code = 1


class ConfigError(RapoError):
    """One or more problems of a configuration, each written ``file:line: key: what is wrong``."""

    exit_code = 2

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class InputError(RapoError):
    """A prompt file or another input cannot be used."""

    exit_code = 2

    #: By these an `OSError` says that a path which was given is of another kind, or may not be touched.
    ERRNOS = frozenset(
        {
            errno.EACCES, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR,
            errno.ENOTEMPTY, errno.EPERM,
        }
    )  # fmt: skip


class WeightsError(RapoError):
    """Weights are missing, of another kind, or ask to run code."""

    exit_code = 2


class RunFolderError(RapoError):
    """A run folder cannot be used."""

    exit_code = 2


class StorageError(RapoError):
    """Something cannot be written though it should be; what was there before is as it was.

    That concerns the whole run: every later write would fail, too.
    """

    #: Of these an `OSError` says that the disk, not the file, is at fault: full, over quota, read-only, broken or gone.
    ERRNOS = frozenset({errno.ENOSPC, errno.EROFS, errno.EIO, errno.ENODEV, errno.EDQUOT, errno.ESTALE})

    @classmethod
    def of(cls, what: str | os.PathLike[str], error: OSError) -> StorageError:
        """The error of a failed write to ``what``, a file or whoever wrote."""
        return cls(f"{os.fspath(what)}: cannot be written: {error.strerror or error}; once it can, the same command goes on")


class RecordError(RapoError):
    """A record on disk cannot be read."""


class TrainingError(RapoError):
    """A training cannot go on."""


class PartError(RapoError):
    """A part broke the contract of its protocol."""


class Stopped(RapoError):
    """A signal asked a command to stop, and it did so between two pieces of work; not an error of anyone."""

    exit_code = 75


class VideoError(RapoError):
    """A video file cannot be read or written."""


def first_line(error: Exception) -> str:
    """What another library's error says first; the rest is for its developers."""
    return str(error).strip().partition("\n")[0]
