"""What the temporal metrics outside VBench's ten exact dimensions are made of."""

from __future__ import annotations

from evaluation.weights.entry import Weights

__all__ = ["ENTRIES"]

ENTRIES = (
    Weights(
        name="amt_s",
        file="amt-s.pth",
        licence="CC BY-NC 4.0: not for commercial use",
        source="https://huggingface.co/lalala125/AMT",
        hub="lalala125/AMT",
        hub_file="amt-s.pth",
        vbench="amt_model/amt-s.pth",
    ),
    Weights(
        name="amt_code",
        file="a clone of the authors' code",
        licence="CC BY-NC 4.0: not for commercial use",
        source="https://github.com/MCG-NKU/AMT",
        code=True,
    ),
    Weights(
        name="siglip2",
        file="siglip2-so400m-patch14-384",
        licence="Apache-2.0",
        source="https://huggingface.co/google/siglip2-so400m-patch14-384",
        hub="google/siglip2-so400m-patch14-384",
    ),
    Weights(
        name="alexnet",
        file="alexnet-owt-7be5be79.pth",
        licence="BSD-3-Clause",
        source="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    ),
)
