"""vqascore: how likely a judge says that the video shows the prompt."""

from __future__ import annotations

import math
from typing import final

from evaluation.errors import ClipError
from evaluation.judge.base import Ask
from evaluation.judge.question import filled
from evaluation.metrics.base import Score
from evaluation.metrics.judged import JudgedMetric
from evaluation.video.clip import Clip
from evaluation.video.record import Record

__all__ = ["VqaScore"]

QUESTION = 'Does this figure show "{prompt}"? Please answer Yes or No.'


@final
class VqaScore(JudgedMetric):
    """P("Yes") among all tokens, at the first token of the reply. Source: arXiv 2404.01291, section 3, there of one picture."""

    id = "vqascore"
    wording = (QUESTION,)

    def score(self, clip: Clip, record: Record) -> Score:
        """The probability."""
        view = self.policy.view(clip)
        item = Ask(video=view, text=filled(QUESTION, record), candidates=("Yes", "No"), reply=False)
        known = self.replies(clip, [item])[0].logprobs
        if "Yes" not in known:
            raise ClipError("bad_reply", f"{clip.path}: vqascore: the judge gives no probability for Yes")
        return Score.of_video(math.exp(known["Yes"]))
