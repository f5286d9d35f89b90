"""What all commands share: options that mean the same everywhere, how results are shown, how errors become exit codes."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rapo_lightning.progress import Listen
    from rapo_lightning.session import OnCandidate, Outcome

__all__ = ["Allow", "Config", "Json", "Offline", "Out", "Quiet", "Set", "Strict", "command", "counting", "end", "progress"]

Config = Annotated[Path, typer.Argument(help="The configuration: one YAML is one run.", show_default=False)]
Out = Annotated[Path, typer.Option("--out", help="The run folder; a run that is there is continued.", show_default=False)]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one value; repeatable.")]
Allow = Annotated[list[str] | None, typer.Option("--allow", metavar="PREFIX", help="Trust class paths under PREFIX.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors (and what --json prints).")]
Strict = Annotated[bool, typer.Option("--strict", help="End with exit code 3 if any row was skipped.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never ask the model hub.")]


@contextmanager
def command(*, as_json: bool, quiet: bool = False, offline: bool = False, resumes: bool = True) -> Iterator[Any]:
    """Gives ``show(text, data)`` for a command's result, which the first process of a run prints, and turns the suite's own
    errors into one line each and an exit code; anything else keeps its traceback."""
    from rapo_lightning.errors import InputError, RapoError, StorageError
    from rapo_lightning.processes import is_first
    from rapo_lightning.terminal import one_line, say

    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's client is imported
    _hush(bars=not sys.stderr.isatty(), everything=quiet or not is_first())
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that cannot show a prompt is no reason to fail

    results = sys.stdout

    def show(text: str, data: dict[str, Any]) -> None:
        if is_first() and (as_json or (text and not quiet)):
            print(json.dumps(data, ensure_ascii=False) if as_json else text, file=results)

    try:
        # Libraries print what they like, transformers at its import; it must not get between JSON and who reads it.
        with redirect_stdout(StringIO() if quiet else sys.stderr) if as_json else nullcontext():
            yield show
    except (RapoError, OSError) as error:
        if isinstance(error, OSError) and error.errno in StorageError.ERRNOS:
            error = StorageError.of(error.filename or "a file", error)
        elif isinstance(error, OSError) and error.errno in InputError.ERRNOS and error.filename:
            error = InputError(f"{error.filename2 or error.filename}: {error.strerror}")
        if not isinstance(error, RapoError):
            raise
        if is_first():
            if as_json:
                print(json.dumps({"error": str(error), "exit_code": error.exit_code}, ensure_ascii=False))
            for line in str(error).splitlines():
                say(f"rapo: {one_line(line)}")
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        say(f"rapo: interrupted{'; the same command continues' if resumes else ''}")
        raise typer.Exit(130) from None


def end(outcome: Outcome, quiet: bool) -> None:
    from rapo_lightning.processes import is_first
    from rapo_lightning.terminal import outcome_notes, say

    for note in outcome_notes(outcome) if is_first() and not quiet else ():
        say(note)
    raise typer.Exit(outcome.exit_code)


def progress(stack: ExitStack, videos: int, title: str) -> OnCandidate:
    from rapo_lightning.progress import Progress

    return stack.enter_context(Progress(videos, title)).on_candidate


def counting(stack: ExitStack, quiet: bool) -> Listen | None:
    """What tells on stderr how counted work goes, as long as ``stack`` is open; None if ``quiet``."""
    from rapo_lightning.progress import Counting

    return None if quiet else stack.enter_context(Counting())


def _hush(*, bars: bool, everything: bool) -> None:
    """Keep the libraries' progress bars, or these and their notes and warnings, off stderr. Must come before their import."""
    if bars or everything:
        os.environ.update(HF_HUB_DISABLE_PROGRESS_BARS="1", TQDM_DISABLE="1")
    if everything:
        warnings.simplefilter("ignore")
        os.environ.update(TRANSFORMERS_VERBOSITY="error", DIFFUSERS_VERBOSITY="error", WANDB_SILENT="true")
