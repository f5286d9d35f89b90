"""Probabilities and boxes of a network as detections in pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evaluation.detection import Detection
from evaluation.errors import ClipError

__all__ = ["labelled"]


def labelled(
    probabilities_TQL: Tensor, boxes_TQ4: Tensor, labels: Sequence[str], threshold: float, size: Sequence[int],
    *, square: bool = False,
) -> list[list[Detection]]:  # fmt: skip
    """Each frame's boxes whose likeliest label is likelier than ``threshold``, the likeliest box first.

    Boxes that lie outside the frame, as in what was added to make it square, are left out.

    Args:
        probabilities_TQL: of each of the Q boxes to be of each of the L labels.
        boxes_TQ4: centre, width and height as shares of the frame; of a square as wide as the longer side with ``square``.
        size: (height, width) of the frames in pixels; boxes are cut at their edges.

    Raises:
        ClipError: something is not a number (``non_finite``).
    """
    if not (torch.isfinite(probabilities_TQL).all() and torch.isfinite(boxes_TQ4).all()):
        raise ClipError("non_finite", "the detector's probabilities or boxes are not finite")
    height, width = size
    across, down = (max(height, width),) * 2 if square else (width, height)
    centres, halves = boxes_TQ4[..., :2], boxes_TQ4[..., 2:] / 2
    corners = torch.cat([centres - halves, centres + halves], dim=-1) * boxes_TQ4.new_tensor([across, down, across, down])
    corners = corners.clamp(min=0).minimum(boxes_TQ4.new_tensor([width, height, width, height]))
    scores, numbers = probabilities_TQL.max(dim=-1)
    found: list[list[Detection]] = []
    for frame in zip(scores.cpu(), numbers.cpu().tolist(), corners.cpu().tolist()):
        frame_scores, frame_numbers, frame_boxes = frame
        found.append([])
        for place in frame_scores.argsort(descending=True, stable=True).tolist():
            left, top, right, bottom = frame_boxes[place]
            if frame_scores[place] > threshold and left < right and top < bottom:
                found[-1].append(Detection(label=labels[frame_numbers[place]], box=(left, top, right, bottom)))
    return found
