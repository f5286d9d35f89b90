"""The sampling draws from the right distribution, and one row's draws do not depend on the others."""

from __future__ import annotations

import torch

from rapo_lightning.language.sampling import GumbelSampling

CPU = torch.device("cpu")


def draw(seeds: list[int], logits_BV: torch.Tensor, steps: int, temperature: float = 1.0) -> torch.Tensor:
    sampling = GumbelSampling(seeds, temperature=temperature, device=CPU)
    ids = torch.zeros(len(seeds), 1, dtype=torch.long)
    return torch.stack([sampling(ids, logits_BV).argmax(-1) for _ in range(steps)], dim=1)


def test_frequencies_follow_the_tempered_softmax() -> None:
    logits_V = torch.tensor([0.0, 1.0, 2.0, -torch.inf])
    drawn = draw([0], logits_V[None], steps=20_000, temperature=0.8)[0]
    frequencies = torch.bincount(drawn, minlength=4) / drawn.numel()
    assert torch.allclose(frequencies, (logits_V / 0.8).softmax(0), atol=0.015)
    assert frequencies[3] == 0


def test_a_row_draws_the_same_alone_and_in_a_batch() -> None:
    logits_BV = torch.randn(3, 50, generator=torch.Generator().manual_seed(1))
    together = draw([5, 6, 7], logits_BV, steps=40)
    for row, seed in enumerate([5, 6, 7]):
        assert torch.equal(together[row], draw([seed], logits_BV[row : row + 1], steps=40)[0])


def test_seeds_differ() -> None:
    logits_BV = torch.zeros(2, 50)
    first, second = draw([1, 2], logits_BV, steps=40)
    assert not torch.equal(first, second)
