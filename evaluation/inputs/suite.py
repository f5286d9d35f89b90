"""A folder of videos that are named as a benchmark wants it: flat, or in the benchmark's folders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from evaluation.errors import InputError
from evaluation.inputs.manifest import Found, numbered
from evaluation.suites.naming import DIMENSION_FOLDERS, SUFFIXES, Names
from evaluation.suites.prompts import PromptSuite, SuitePrompt
from evaluation.video.record import Record

__all__ = ["read_suite"]


def read_suite(
    folder: str | Path,
    suite: PromptSuite,
    *,
    dimensions: Iterable[str] = (),
    special: str = "",
    variant: str = "original",
) -> Found:
    """The records of all videos that the suite knows, in its order, and the files that it misses.

    Args:
        folder: of the videos.
        suite: its prompts.
        dimensions: only prompts of these, whatever suffixes they have; none: all.
        special: what VBench's names have between prompt and number.
        variant: of all records.

    A prompt that the suite lists twice has its videos twice, as VBench counts them. In VBench's layout of folders by dimension a
    video is for the dimensions of its folder.

    Raises:
        InputError: no such folder, or no video in it is the suite's: says what a name should look like.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    wanted = {name.partition(".")[0] for name in dimensions}
    prompts = [one for one in suite.prompts if not wanted or wanted & set(one.dimension)]
    if not prompts:
        raise InputError(f"{suite.name} has no prompts for {', '.join(sorted(wanted))}")
    names = Names(suite.name, prompts, special)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    matched = {path: names.find(path) for path in files}
    place = {id(prompt): number for number, prompt in enumerate(prompts)}
    found = [
        (place[id(prompt)], sample, path, _dimensions(suite.name, prompt, path))
        for path, items in matched.items()
        for prompt, sample in items
    ]
    records = [
        _record(folder / path, prompts[number], sample, asked, variant) for number, sample, path, asked in sorted(found) if asked
    ]
    if not records:
        example = names.expected[0]
        raise InputError(
            f"{folder}: none of {len(files):,} videos is named as {suite.name} wants it, such as {example!r}; videos of other "
            "prompts are custom_input, or go into a manifest"
        )
    here = {(number, sample) for number, sample, _, asked in found if asked}
    lost = [name for name in names.expected if not any((place[id(p)], s) in here for p, s in names.find(name))]
    return Found(
        records=numbered(records),
        missing=tuple(str(folder / name) for name in lost),
        notes=_notes(suite.name, names, [path for path, items in matched.items() if not items], lost),
    )


def _record(path: Path, prompt: SuitePrompt, sample: int, dimensions: Sequence[str], variant: str) -> Record:
    return Record(
        index=0,
        video=str(path),
        prompt=prompt.prompt,
        prompt_id=prompt.id,
        variant=variant,
        sample=sample,
        dimensions=tuple(dimensions),
        auxiliary_info=prompt.auxiliary_info,
    )


def _dimensions(suite: str, prompt: SuitePrompt, path: str) -> tuple[str, ...]:
    """What a file is for: all dimensions of its prompt, or in a folder of one of VBench's dimensions those that share it."""
    parent = Path(path).parent.name
    held = [name for name in prompt.dimension if DIMENSION_FOLDERS.get(name, name) == parent]
    return tuple(held) if suite == "vbench" and held else prompt.dimension


def _notes(suite: str, names: Names, foreign: Sequence[str], lost: Sequence[str]) -> tuple[str, ...]:
    notes = []
    if lost:
        notes.append(f"{len(lost):,} of {len(names.expected):,} videos of {suite} are not there, such as {lost[0]!r}")
    if foreign:
        notes.append(f"{len(foreign):,} videos are none of {suite}'s, such as {foreign[0]!r}")
    notes += [f"{' and '.join(map(repr, same))} are one name where upper and lower case are" for same in names.collisions]
    return tuple(notes)
