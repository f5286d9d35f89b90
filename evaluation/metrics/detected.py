"""What detectors and captioners say of a video, asked once for all metrics, in batches of its own frames only."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

import torch
from torch import Tensor

from evaluation.detection import Captioner, Detection, Detector, Region, RegionCaptioner
from evaluation.errors import ClipError
from evaluation.metrics.base import VideoMetric
from evaluation.options import Options
from evaluation.video import detector_inputs
from evaluation.video.clip import Clip
from evaluation.video.sampling import middle

__all__ = ["BATCH", "FRAMES", "ProxyMetric", "captions", "detections", "regions", "with_settings"]

#: Frames that are looked at, and how many of them a backbone takes at once.
FRAMES, BATCH = 16, 8

_Answer = TypeVar("_Answer")
_Backbone = TypeVar("_Backbone")


class ProxyMetric(VideoMetric, ABC, Generic[_Backbone]):
    """A dimension by VBench's rule on another backbone than VBench's; abstract.

    Args:
        backbone: of the protocol that the dimension names.
        name: the id, ``dimension.backbone``; by default the class's own.
        fixed: without VBench's quirks; the id then ends in ``.fixed``, if there are any.
        batch: frames at once.
    """

    exact = False
    #: Whether ``fixed`` changes anything.
    has_quirks: ClassVar[bool] = False

    def __init__(
        self,
        backbone: _Backbone,
        *,
        name: str | None = None,
        fixed: bool = False,
        reduction: Literal["single", "multi"] = "single",
        batch: int = BATCH,
    ) -> None:
        super().__init__(reduction=reduction)
        self.backbone = backbone
        self.fixed = fixed and self.has_quirks
        self.batch = batch
        own = name or type(self).id
        self.id = own + (".fixed" if self.fixed else "")
        #: What the result rests on beside weights: the backbone's settings, and its class if it is a user's own.
        self.provenance: dict[str, Any] = dict(getattr(backbone, "settings", {}))
        if name or own.endswith(".custom"):
            self.provenance.setdefault("backbone", type(backbone).__name__)

    @classmethod
    def on(cls, backbone: _Backbone, options: Options) -> Self:
        """The metric on this backbone, with an evaluation's options."""
        return cls(backbone, fixed=options.fixed, reduction=options.reduction, batch=options.batch or BATCH)


def detections(clip: Clip, detector: Detector, labels: Sequence[str], batch: int = BATCH) -> list[list[Detection]]:
    """The objects in the middles of 16 parts of the video, 16 lists."""
    wanted = tuple(dict.fromkeys(labels))
    key = (detector, "det", wanted) if detector.prompted else (detector, "det")
    found: list[list[Detection]] = clip.once(
        key, lambda: _ask(clip, detector_inputs.det, lambda frames: detector.detect(frames, wanted), batch)
    )
    return found


def regions(clip: Clip, captioner: RegionCaptioner, batch: int = BATCH) -> list[list[Region]]:
    """The parts of the same 16 frames in words, 16 lists; large frames are resized by OpenCV, as VBench has it for color."""
    found: list[list[Region]] = clip.once(
        (captioner, "regions"), lambda: _ask(clip, detector_inputs.det_cv2, captioner.describe, batch)
    )
    return found


def captions(clip: Clip, captioner: Captioner, batch: int = BATCH) -> list[str]:
    """A caption for each of the same 16 frames, at their own size."""
    found: list[str] = clip.once((captioner, "captions"), lambda: _ask(clip, lambda frames: frames, captioner.caption, batch))
    return found


def with_settings(details: Mapping[str, Any], backbone: Detector | RegionCaptioner | Captioner) -> dict[str, Any]:
    """``details`` and what the backbone's answers depend on."""
    return {**details, "settings": dict(backbone.settings)}


def _ask(
    clip: Clip, prepare: Callable[[Tensor], Tensor], ask: Callable[[Tensor], Sequence[_Answer]], batch: int
) -> list[_Answer]:
    frames = clip.frames_TCHW[middle(FRAMES, len(clip.frames_THWC))]
    answers: list[_Answer] = []
    for chunk in torch.split(frames, batch):
        answer = ask(prepare(chunk))
        if len(answer) != len(chunk):
            raise ClipError("bad_reply", f"{clip.path}: {len(answer)} answers to {len(chunk)} frames")
        answers.extend(answer)
    return answers
