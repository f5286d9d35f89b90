"""How benchmarks name videos: from a prompt and a sample's number to the file, and back.

name = names("vbench")(prompt, 0)              # "a red bicycle-0.mp4"
found = Names("vbench", suite.prompts).find("a red bicycle-0.mp4")
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import final

from evaluation.errors import InputError
from evaluation.suites.prompts import SuitePrompt
from evaluation.suites.readers import COMPBENCH

__all__ = ["DIMENSION_FOLDERS", "SUFFIXES", "Names", "names"]

SUFFIXES = (".mp4", ".gif")
#: Characters of a prompt that VBench-2.0 puts into a file's name.
CUT = 180
#: Folders of VBench's per-dimension layout, where they are not named as the dimension. Source: VBench, dimension_to_folder.json.
DIMENSION_FOLDERS = {
    "background_consistency": "scene",
    "motion_smoothness": "subject_consistency",
    "dynamic_degree": "subject_consistency",
    "aesthetic_quality": "overall_consistency",
    "imaging_quality": "overall_consistency",
}


def vbench(prompt: SuitePrompt, sample: int, special: str = "") -> str:
    """``{prompt}{special}-{sample}.mp4``, in one folder or in the dimension's (`DIMENSION_FOLDERS`)."""
    return f"{prompt.prompt}{special}-{sample}.mp4"


def vbench2(prompt: SuitePrompt, sample: int) -> str:
    """``{dimension}/{first 180 characters of the prompt}-{sample}.mp4``: dimensions share prompts."""
    return f"{prompt.dimension[0]}/{prompt.prompt[:CUT]}-{sample}.mp4"


def t2v_compbench(prompt: SuitePrompt, sample: int) -> str:
    """``consistent_attr/0001.mp4``: in the order of the category's prompts."""
    return f"{COMPBENCH[prompt.dimension[0]]}/{_only(sample, prompt.number + 1):04d}.mp4"


def videophy(prompt: SuitePrompt, sample: int) -> str:
    """``A_spatula_scoops_up_cake_batter_0.mp4``, as the suite's examples: blanks become underscores, a slash a dash."""
    return f"{prompt.prompt.replace(' ', '_').replace('/', '-')}_{sample}.mp4"


def phygenbench(prompt: SuitePrompt, sample: int) -> str:
    """``output_video_1.mp4``: in the order of the prompts."""
    return f"output_video_{_only(sample, prompt.number + 1)}.mp4"


def evalcrafter(prompt: SuitePrompt, sample: int) -> str:
    """``0000.mp4``: in the order of the prompts."""
    return f"{_only(sample, prompt.number):04d}.mp4"


_NAMES: dict[str, Callable[[SuitePrompt, int], str]] = {
    "vbench": vbench,
    "vbench_category": vbench,
    "vbench2": vbench2,
    "t2v_compbench": t2v_compbench,
    "videophy": videophy,
    "videophy2": videophy,
    "phygenbench": phygenbench,
    "evalcrafter": evalcrafter,
}


def names(suite: str) -> Callable[[SuitePrompt, int], str]:
    """The function from (prompt, sample) to a path with forward slashes, relative to the folder of videos.

    Raises:
        InputError: there is no such suite.
    """
    if suite not in _NAMES:
        raise InputError(f"{suite}: no such suite; known: {', '.join(_NAMES)}")
    return _NAMES[suite]


@final
class Names:
    """All names of a suite's videos, and the way back from a name.

    Args:
        suite: its name.
        prompts: the suite's.
        special: what VBench's names have between prompt and number.
    """

    def __init__(self, suite: str, prompts: Sequence[SuitePrompt], special: str = "") -> None:
        function = names(suite)
        self.suite = suite
        self._expected: dict[str, list[tuple[SuitePrompt, int]]] = {}
        for prompt in prompts:
            for sample in range(prompt.samples_per_prompt):
                name = vbench(prompt, sample, special) if function is vbench else function(prompt, sample)
                self._expected.setdefault(name, []).append((prompt, sample))

    @property
    def expected(self) -> tuple[str, ...]:
        """Every file that the suite wants, each once, in its order."""
        return tuple(self._expected)

    @property
    def collisions(self) -> tuple[tuple[str, ...], ...]:
        """Names that are one where a file system does not tell upper from lower case."""
        alike: dict[str, list[str]] = {}
        for name in self._expected:
            alike.setdefault(name.casefold(), []).append(name)
        return tuple(tuple(same) for same in alike.values() if len(same) > 1)

    def find(self, path: str) -> list[tuple[SuitePrompt, int]]:
        """The prompts, and the sample's number, that a file is for; empty: it is none of the suite's.

        Args:
            path: relative to the folder of videos, with forward slashes; ``.gif`` stands for ``.mp4``. A name alone will do
                where the suite's folders are not kept, as long as it means one file; for VBench any folder is ignored.

        Several prompts are found where the suite has a prompt twice, or cuts names. Raises nothing.
        """
        pure = PurePosixPath(path)
        if pure.suffix.lower() not in SUFFIXES:
            return []
        name = f"{pure.stem}.mp4"
        inside = f"{pure.parent.name}/{name}"
        if inside in self._expected:
            return self._expected[inside]
        if name in self._expected:
            return self._expected[name]
        if pure.parent.name:
            return []
        alone = [item for known, items in self._expected.items() if known.rpartition("/")[2] == name for item in items]
        folders = {known for known in self._expected if known.rpartition("/")[2] == name}
        return alone if len(folders) == 1 else []


def prompt_and_sample(path: str, special: str = "") -> tuple[str, int | None]:
    """What stands in any name of the form ``{prompt}{special}-{number}``, without a suite; None without a number."""
    stem = PurePosixPath(path).stem
    match = re.fullmatch(rf"(.*){re.escape(special)}-(\d+)", stem, re.DOTALL)
    return (match[1], int(match[2])) if match else (stem, None)


def _only(sample: int, number: int) -> int:
    if sample:
        raise ValueError("the suite has one video a prompt")
    return number
