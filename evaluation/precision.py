"""float32 that is float32: TensorFloat-32, on by default for convolutions on NVIDIA GPUs, moves scores in the fourth digit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["full_float32"]


@contextmanager
def full_float32(*, tf32_convolutions: bool = False) -> Iterator[None]:
    """TF32 off for matrix products and cuDNN within, and as it was afterwards.

    ``tf32_convolutions``: on for cuDNN, as torch has it by default, and with it VBench.
    """
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = tf32_convolutions
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions
