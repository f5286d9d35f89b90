"""human_action: whether a classifier of actions sees the one that was asked for, by UMT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from evaluation.backbones.umt import FRAMES, Umt
from evaluation.errors import ClipError
from evaluation.metrics.base import Score, required_prompt
from evaluation.metrics.on_tower import OnTower
from evaluation.video import resize
from evaluation.video.clip import Clip, Record
from evaluation.video.sampling import middle

__all__ = ["HumanAction", "seen_actions", "wanted_action"]

TOP, SURE = 5, 0.85


def seen_actions(logits: Tensor, labels: Sequence[str]) -> list[str]:
    """Of the five likeliest labels those with a probability (sigmoid, to four digits) of 0.85 or more."""
    probabilities, numbers = torch.topk(torch.sigmoid(logits), min(TOP, len(labels)))
    return [labels[number] for number, p in zip(numbers.tolist(), probabilities.tolist()) if round(p, 4) >= SURE]


def wanted_action(prompt: str) -> str | None:
    """What follows "person is " in a prompt, in lower case; None without it."""
    _, found, action = prompt.lower().rpartition("person is ")
    return action.strip().rstrip(".") or None if found else None


@final
class HumanAction(OnTower[Umt]):
    """1 where the action is seen, else 0, over 16 frames. Source: VBench, human_action.py:44-110.

    The action is read from the prompt, not from the file's name. One that is none of the classifier's labels is never seen;
    ``details`` says so.
    """

    id = "human_action"
    tower = "umt_l16"

    def score(self, clip: Clip, record: Record) -> Score:
        """0 or 1, and VBench's extra key."""
        action = wanted_action(required_prompt(clip, record))
        if action is None:
            raise ClipError("no_prompt", f"{clip.path}: the prompt does not say what a person is doing ('person is ...')")
        chosen = clip.frames_TCHW[middle(FRAMES, len(clip.frames_THWC))]
        seen = seen_actions(self.backbone.logits(resize.umt(chosen)).float(), self.backbone.labels)
        details = {"cor_num_per_video": int(action in seen), "seen": seen, "known": action in self.backbone.labels}
        return Score.of_video(float(action in seen), details)
