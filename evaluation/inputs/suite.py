"""A folder of videos that are named as a benchmark wants it: flat, or in the benchmark's folders."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from evaluation.catalog.table import dimension_of
from evaluation.dimensions import asks_little, plain
from evaluation.errors import InputError
from evaluation.inputs.manifest import Found, numbered, prompt_id_of
from evaluation.suites.naming import DIMENSION_FOLDERS, SUFFIXES, Names
from evaluation.suites.prompts import PromptSuite, SuitePrompt
from evaluation.video.record import Record

__all__ = ["read_suite"]


def read_suite(
    folder: str | Path,
    suite: PromptSuite,
    *,
    dimensions: Iterable[str] = (),
    every: bool = False,
    special: str = "",
    variant: str = "original",
) -> Found:
    """The records of all videos that the suite knows, in its order, and lines for those that it misses.

    Args:
        folder: of the videos.
        suite: its prompts.
        dimensions: names of metrics or dimensions: only prompts for these; all where there is none, or one is for every video.
        every: there are further metrics, for every video.
        special: what VBench's names have between prompt and number.
        variant: of all records.

    A prompt that the suite lists twice has its videos twice, as VBench counts them. In VBench's layout of folders by dimension a
    video is for the dimensions of its folder, and one that is missing is missing in its folder.

    Raises:
        InputError: no such folder, or no video in it is the suite's: says what a name should look like.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    is_vbench = suite.name == "vbench"
    asked_for = [dimension_of(name) for name in dimensions]
    wanted = {plain(name) for name in asked_for if name is not None}
    if every or None in asked_for or (not is_vbench and any(map(asks_little, wanted))):
        wanted = set()
    prompts = [one for one in suite.prompts if not (wanted and one.dimension) or wanted & set(map(plain, one.dimension))]
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
    records = [_record(folder / path, prompts[number], sample, asked, variant) for number, sample, path, asked in sorted(found)]
    if not records:
        example = names.expected[0]
        raise InputError(
            f"{folder}: none of {len(files):,} videos is named as {suite.name} wants it, such as {example!r}; videos of other "
            "prompts are custom_input, or go into a manifest"
        )
    held: dict[tuple[int, int], set[str]] = {}
    for number, sample, _, asked in found:
        held.setdefault((number, sample), set()).update(asked)
    in_folders = any(_of_folder(suite.name, prompt, path) for path, items in matched.items() for prompt, _ in items)
    lost = [
        (path, _record(folder / path, prompt, sample, asked, variant))
        for path, prompt, sample, asked in _lost(names, place, held, wanted, in_folders)
    ]
    _refuse_mixed(folder, prompts, found)
    known = Names(suite.name, suite.prompts, special)
    foreign = [path for path, items in matched.items() if not items and not known.find(path)]
    return Found(
        records=numbered(records),
        missing=tuple(record for _, record in lost),
        notes=_notes(suite.name, names, foreign, list(dict.fromkeys(path for path, _ in lost))),
    )


def _refuse_mixed(folder: Path, prompts: Sequence[SuitePrompt], found: Iterable[tuple[int, int, str, tuple[str, ...]]]) -> None:
    """Two files for one sample and dimension are of two models, or of two runs: their mean would say nothing of either."""
    first: dict[tuple[int, int, str], str] = {}
    for number, sample, path, asked in found:
        for name in asked or ("",):
            other = first.setdefault((number, sample, name), path)
            if other != path:
                what = f"both are video {sample} of {prompts[number].prompt!r}"
                raise InputError(f"{folder}: {other!r} and {path!r}: {what}; give the folder of one model")


def _lost(
    names: Names,
    place: Mapping[int, int],
    held: Mapping[tuple[int, int], Collection[str]],
    wanted: Collection[str],
    in_folders: bool,
) -> Iterator[tuple[str, SuitePrompt, int, tuple[str, ...]]]:
    """Every file that is not there, with the dimensions that it would be for; what is not ``wanted`` is not missed."""
    for name in names.expected:
        for prompt, sample in names.find(name):
            known = held.get((place[id(prompt)], sample))
            if not prompt.dimension:
                if known is None:
                    yield name, prompt, sample, ()
                continue
            asked = [one for one in prompt.dimension if one not in (known or ()) and (not wanted or plain(one) in wanted)]
            by_folder: dict[str, list[str]] = {}
            for one in asked:
                by_folder.setdefault(DIMENSION_FOLDERS.get(one, one) if in_folders else "", []).append(one)
            for parent, some in by_folder.items():
                yield f"{parent}/{name}" if parent else name, prompt, sample, tuple(some)


def _record(path: Path, prompt: SuitePrompt, sample: int, dimensions: Sequence[str], variant: str) -> Record:
    return Record(
        index=0,
        video=str(path),
        prompt=prompt.prompt,
        prompt_id=prompt_id_of(prompt.prompt),  # not the entry's: VBench lists some prompts twice
        variant=variant,
        sample=sample,
        dimensions=tuple(dimensions),
        auxiliary_info=prompt.auxiliary_info,
    )


def _dimensions(suite: str, prompt: SuitePrompt, path: str) -> tuple[str, ...]:
    """What a file is for: all dimensions of its prompt, or in a folder of one of VBench's dimensions those that share it."""
    return _of_folder(suite, prompt, path) or prompt.dimension


def _of_folder(suite: str, prompt: SuitePrompt, path: str) -> tuple[str, ...]:
    """The prompt's dimensions that share the folder in which the file lies, where that is one of VBench's."""
    parent = Path(path).parent.name
    return tuple(name for name in prompt.dimension if suite == "vbench" and DIMENSION_FOLDERS.get(name, name) == parent)


def _notes(suite: str, names: Names, foreign: Sequence[str], lost: Sequence[str]) -> tuple[str, ...]:
    notes = []
    if lost:
        notes.append(f"{len(lost):,} of {len(names.expected):,} videos of {suite} are not there, such as {lost[0]!r}")
    if foreign:
        notes.append(f"{len(foreign):,} videos are none of {suite}'s, such as {foreign[0]!r}")
    notes += [f"{' and '.join(map(repr, same))} are one name where upper and lower case are" for same in names.collisions]
    return tuple(notes)
