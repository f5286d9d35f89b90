"""human_action by another classifier: VideoMAE on Kinetics-400, whose weights are CC BY-NC."""

from __future__ import annotations

from typing import Self, final

from evaluation.backbones.videomae import VideoMae
from evaluation.errors import ClipError
from evaluation.metrics.base import Score, required_prompt
from evaluation.metrics.detected import ProxyMetric
from evaluation.metrics.human_action import seen_actions, wanted_action
from evaluation.options import Options
from evaluation.towers import Towers
from evaluation.video import detector_inputs
from evaluation.video.clip import Clip, Record
from evaluation.video.sampling import middle

__all__ = ["HumanActionVideoMae"]


@final
class HumanActionVideoMae(ProxyMetric[VideoMae]):
    """1 where the action is seen, else 0, by the rule of `HumanAction`, over the frames that VideoMAE reads."""

    id = "human_action.videomae"

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's VideoMAE."""
        return cls.on(towers.videomae, options)

    def score(self, clip: Clip, record: Record) -> Score:
        """0 or 1, and VBench's extra key."""
        action = wanted_action(required_prompt(clip, record))
        if action is None:
            raise ClipError("no_prompt", f"{clip.path}: the prompt does not say what a person is doing ('person is ...')")
        chosen = clip.frames_TCHW[middle(self.backbone.frames, len(clip.frames_THWC))]
        logits = self.backbone.logits(detector_inputs.videomae(chosen, self.backbone.side))
        if not logits.isfinite().all():
            raise ClipError("non_finite", f"{clip.path}: VideoMAE's logits are not finite")
        seen = seen_actions(logits.float(), self.backbone.labels)
        details = {"cor_num_per_video": int(action in seen), "seen": seen, "known": action in self.backbone.labels}
        return Score.of_video(float(action in seen), details)
