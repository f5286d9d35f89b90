"""What is known of one set of weights."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Weights"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """One set of weights.

    Attributes:
        name: how ``--weights name=path`` calls it.
        file: file, or folder with ``config.json``, looked for in ``$EVALUATION_WEIGHTS``.
        licence: as its authors state it; "(verify)" where no text was found.
        source: where a user can get it.
        hub: repository on the Hugging Face hub, if it is there.
        hub_file: the file within that repository; None: the repository is a model folder.
        vbench: path within VBench's cache, if VBench's file can be read.
        bundled: the file within this package, which comes last.
        code: a folder of its authors' Python code, which runs: it is taken only where ``--weights`` names it, never looked for.
    """

    name: str
    file: str
    licence: str
    source: str
    hub: str | None = None
    hub_file: str | None = None
    vbench: str | None = None
    bundled: str | None = None
    code: bool = False
