"""Attention in language models, whose batches have ever other lengths; a video model's have one, and keep torch's choice."""

from __future__ import annotations

from contextlib import AbstractContextManager

__all__ = ["for_any_length"]


def for_any_length() -> AbstractContextManager[None]:
    """Within, torch's kernels for attention but cuDNN's.

    Torch asks cuDNN first on Hopper and Blackwell, and cuDNN makes a plan for every shape that it has not seen, one forward and
    one backward, while the device waits: half a second each on a B200 (github.com/modelscope/FunASR/issues/3704).
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    kernels = [backend for name, backend in SDPBackend.__members__.items() if name not in ("ERROR", "CUDNN_ATTENTION")]
    return sdpa_kernel(kernels)
