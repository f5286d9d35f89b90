"""The exceptions of the evaluation. Each says in one line what a user can do.

EvaluationError
├── ClipError      one video cannot be scored by one metric; carries a code; the others go on
├── InputError     a manifest, a folder of videos, an option or a configuration is wrong; nothing starts
└── WeightsError   weights are missing, foreign or would run code; nothing starts
"""

from __future__ import annotations

__all__ = ["CODES", "ClipError", "EvaluationError", "InputError", "WeightsError"]

#: What can be wrong with a video. ``too_small``: sides too small for a backbone; ``too_large``, ``too_slow``: beyond the limits
#: of decoding; ``failed``: a metric broke off for a reason of its own, which the message tells.
CODES = (
    "missing",
    "unreadable",
    "empty",
    "corrupt",
    "too_short",
    "too_small",
    "too_large",
    "too_slow",
    "non_finite",
    "no_prompt",
    "bad_reply",
    "oom",
    "failed",
)


class EvaluationError(Exception):
    """Base of every error that the evaluation raises on purpose."""


class ClipError(EvaluationError):
    """A video cannot be scored: no value, and a ``code`` of `CODES`."""

    def __init__(self, code: str, message: str) -> None:
        if code not in CODES:
            raise ValueError(f"{code} is no error code; known: {', '.join(CODES)}")
        self.code = code
        super().__init__(message)


class InputError(EvaluationError):
    """What is to be evaluated, or how, is wrong; all that is wrong is told at once, a line each."""


class WeightsError(EvaluationError):
    """Weights are missing, of another kind, or ask to run code."""
