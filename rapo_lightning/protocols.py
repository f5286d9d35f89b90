"""The seams: what a part must do to take part in a run. Batch-first, one method each.

Contracts that hold for every seam:

* **Order.** The answer has one item for each input, in the inputs' order.
* **Failure.** An item that fails is answered by a `Failure` (a judge: a `Feedback` with an error). A part raises only for what
  concerns the whole run, such as missing weights.
* **Determinism.** Equal inputs and seeds give equal answers, however they are batched (up to floating-point drift).
* **Construction.** Constructors only store arguments. Weights load at the first use, once, and stay.

``tests/contracts.py`` has one check a seam that can be called on any part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from rapo_lightning.types import Candidate, Failure, Feedback, Message, Prompt, Reply, Trajectory, Video

if TYPE_CHECKING:
    import torch

__all__ = [
    "Augmenter",
    "Generator",
    "Judge",
    "LanguageModel",
    "LimitsText",
    "Placeable",
    "Reward",
    "Rewriter",
    "Selection",
    "TextEncoder",
]


@runtime_checkable
class Augmenter(Protocol):
    """Stage 1, or a T2V model's own refiner: a first rewrite of each prompt before anything is rendered."""

    def augment(self, prompts: Sequence[Prompt]) -> list[Candidate | Failure]:
        """One candidate of round 0 a prompt (no videos yet), with the modifiers that went into it."""
        ...


@runtime_checkable
class Generator(Protocol):
    """A text-to-video model."""

    def generate(self, texts: Sequence[str], seeds: Sequence[int], paths: Sequence[str]) -> list[Video | Failure]:
        """Render ``texts[i]`` from the noise of ``seeds[i]`` into an mp4 at ``paths[i]``.

        The file appears whole or not at all (written aside, then renamed). Parents of the paths are made. A video depends on
        its text and seed only, not on the batch it was rendered in.
        """
        ...


@runtime_checkable
class Judge(Protocol):
    """Anything that looks at a video and the user's own prompt: a vision-language model, optical flow, a metric."""

    def judge(self, videos: Sequence[Video], prompts: Sequence[Prompt]) -> list[Feedback]:
        """Score ``videos[i]`` against ``prompts[i]``, the prompt as the user wrote it, never the rewritten one."""
        ...


@runtime_checkable
class Reward(Protocol):
    """Reduces the judges' scores of one video to one number."""

    def combine(self, feedback: Mapping[str, Feedback]) -> float | None:
        """A reward in [0, 1] from ``{judge's name: its feedback}``, or None when it cannot be told."""
        ...


@runtime_checkable
class Selection(Protocol):
    """Chooses a prompt's best candidate."""

    def select(self, candidates: Sequence[Candidate]) -> int | None:
        """The index of the best scored candidate, ties to the earlier; None when none was scored."""
        ...


@runtime_checkable
class Rewriter(Protocol):
    """Writes the next text of each trajectory from everything tried so far."""

    def rewrite(self, trajectories: Sequence[Trajectory]) -> list[Reply | Failure]:
        """One new text a trajectory: a prompt and nothing else (no label, quotes or commentary)."""
        ...


@runtime_checkable
class LanguageModel(Protocol):
    """A chat model."""

    def chat(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        max_new_tokens: int = 512,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Reply | Failure]:
        """Answer each conversation; greedy at temperature 0, else sampled from ``seed``."""
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """A sentence encoder."""

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """L2-normalised float32 embeddings, shape (N, D)."""
        ...


@runtime_checkable
class LimitsText(Protocol):
    """What a generator may add: how far texts exceed what its text encoder reads."""

    def tokens_over_limit(self, texts: Sequence[str]) -> list[int]:
        """For each text the number of tokens beyond the limit, 0 when it fits. Loads a tokenizer at most."""
        ...


@runtime_checkable
class Placeable(Protocol):
    """What a part with weights may add: it follows the Trainer's device."""

    def to(self, device: torch.device | str) -> object:
        """Use this device from now on; weights already loaded move there."""
        ...
