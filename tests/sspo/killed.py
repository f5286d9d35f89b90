"""Runs the loop on fakes in a child process, kills it at a random time, resumes, until it is done; then the next folder.

    python -m tests.sspo.killed FOLDER KILLS SEED

Writes one run without a kill to FOLDER/whole and prints one line a folder: its name and how often it was killed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from random import Random

from rapo_lightning.generators.fake import FakeGenerator
from rapo_lightning.judges.fake import FakeJudge
from rapo_lightning.rewriters.fake import FakeRewriter
from rapo_lightning.sspo.log import CandidateLog, read_all, video_path
from rapo_lightning.sspo.loop import optimize
from rapo_lightning.sspo.options import LoopOptions, Parts
from rapo_lightning.sspo.selection import AverageRanking, WeightedMean
from rapo_lightning.types import Prompt
from tests.sspo.parts import Suffix

PROMPTS = [
    Prompt.of(f"{animal} in the garden", locked=["garden"]) for animal in ("a dog", "a cat", "two birds", "a snail", "bees")
]
TEXTS = ["{prompt} at dawn", "{prompt}", "{prompt} at noon", "lost", "lost too", "{prompt} at night", "{prompt} in snow"]


def optimise(folder: Path) -> None:
    """The whole run, from where the folder's record ends."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = Parts(
        generator=FakeGenerator(fail_on="birds in the garden at noon", journal=str(folder / "journal")),
        judges={"a": FakeJudge("a"), "b": FakeJudge("b", lambda video, prompt: None if "bees" in prompt.text else 0.5)},
        reward=WeightedMean(),
        selection=AverageRanking(),
        rewriter=FakeRewriter(TEXTS),
        augmenter=Suffix(fail_on="cat"),
    )
    log = CandidateLog(folder, 0)
    for start in range(0, len(PROMPTS), 3):
        optimize(
            PROMPTS[start : start + 3],
            parts,
            LoopOptions(rounds=5, patience=4, seeds=2),
            video_path=partial(video_path, folder),
            history=read_all(folder),
            record=lambda candidate, trajectory: log.append(candidate),
            clock=lambda: 0.0,
        )


def in_child(folder: Path, seconds: float | None) -> bool:
    """Whether the run in ``folder`` came to its end before it was killed after ``seconds`` (None: never)."""
    child = os.fork()
    if child == 0:
        optimise(folder)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == 0


def main(root: Path, kills: int, seed: int) -> None:
    random = Random(seed)
    started = time.monotonic()
    assert in_child(root / "whole", None)
    longest = time.monotonic() - started
    number = 0
    while kills > 0:
        count = 0
        while not in_child(root / f"killed-{number}", random.uniform(0.0, longest / 2)):
            count += 1
        print(f"killed-{number}", count)
        kills -= count
        number += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
