"""How alike neighbouring frames are, as features see them; shared by clip_temp and dino_temp."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

__all__ = ["adjacent_cosines"]


def adjacent_cosines(features_TD: Tensor) -> Tensor:
    """The cosine of every frame's features and the next one's, (T - 1,)."""
    features = features_TD.float()
    return F.cosine_similarity(features[:-1], features[1:], dim=-1)
