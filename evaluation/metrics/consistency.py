"""How alike the frames of a video stay, as features see them; shared by subject_consistency and background_consistency."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["consistency"]


def consistency(features_TD: Tensor) -> Tensor:
    """For each frame but the first, the mean of its likeness to the one before and to the first: (T - 1,).

    Likeness is the cosine, or 0 where that is negative; in the features' own precision.
    Source: VBench, subject_consistency.py:27-70.
    """
    features = F.normalize(features_TD, dim=-1)
    to_previous = F.cosine_similarity(features[1:], features[:-1], dim=-1).clamp(min=0)
    to_first = F.cosine_similarity(features[1:], features[:1], dim=-1).clamp(min=0)
    return torch.add(to_previous.double(), to_first.double()) / 2
