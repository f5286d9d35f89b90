"""The loop under a Lightning Trainer: ``Trainer.predict(SSPOModule(...), PromptData(prompts), return_predictions=False)``.

Lightning shares the prompts over devices and nodes; each process appends to its own log in the run folder, and results are
read back from the logs (`rapo_lightning.sspo.log.read_all`), whichever process wrote them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from functools import partial
from pathlib import Path
from typing import cast, final

from lightning import LightningModule
from torch.utils.data import DataLoader

from rapo_lightning.protocols import Placeable
from rapo_lightning.sspo.budget import Budget
from rapo_lightning.sspo.log import CandidateLog, read_all, video_path
from rapo_lightning.sspo.loop import optimize
from rapo_lightning.sspo.options import LoopOptions, Parts, StopReason
from rapo_lightning.types import Candidate, Prompt, Trajectory

__all__ = ["SSPOModule"]


@final
class SSPOModule(LightningModule):
    """Optimises each batch of prompts in its predict step.

    Args:
        folder: the run folder; candidates recorded there are not done again.
        parts: generator, judges, reward, selection, rewriter and perhaps an augmenter. Those with weights (`Placeable`)
            follow the Trainer's device.
        options: rounds, seeds and when to stop.
        max_videos: videos of the whole run, earlier sessions included; each process has its prompts' share.
        max_hours: hours of this session.
        retry_errors: do failed candidates again.
        on_candidate: called in each process with every new candidate, after it is on disk, and its trajectory.
        stop_requested: asked between rounds; once true, the run ends after the rounds under way. A SIGTERM does the same.

    Attributes:
        stops: why each prompt of this process got no further round, by prompt id.
    """

    def __init__(
        self,
        folder: str | Path,
        parts: Parts,
        options: LoopOptions | None = None,
        *,
        max_videos: int | None = None,
        max_hours: float | None = None,
        retry_errors: bool = False,
        on_candidate: Sequence[Callable[[Candidate, Trajectory], None]] = (),
        stop_requested: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__()
        self.folder = Path(folder).absolute()
        self.parts = parts
        self.options = options or LoopOptions()
        self.max_videos = max_videos
        self.max_hours = max_hours
        self.retry_errors = retry_errors
        self.on_candidate = tuple(on_candidate)
        self.stop_requested = stop_requested
        self.stops: dict[str, StopReason] = {}

    def on_predict_start(self) -> None:
        """Places the parts, reads what is recorded, and only then lets any process write."""
        with_weights: tuple[object, ...] = (self.parts.generator, self.parts.rewriter, self.parts.augmenter)
        for part in (*with_weights, *self.parts.judges.values()):
            if isinstance(part, Placeable):
                part.to(self.device)
        self._history = read_all(self.folder)
        self._log = CandidateLog(self.folder, self.global_rank)
        loader = cast("DataLoader[Prompt]", self.trainer.predict_dataloaders)
        total = len(cast(Sized, loader.dataset))
        own = len(range(self.global_rank, total, self.trainer.world_size))
        self._budget = Budget(
            own,
            None if self.max_videos is None else self.max_videos * own // total,
            self.max_hours,
            recorded={key: sum(len(c.videos) for c in candidates) for key, candidates in self._history.items()},
        )
        self.trainer.strategy.barrier("candidate logs are read")

    def predict_step(self, batch: list[Prompt], batch_idx: int = 0) -> list[str]:
        """The best text of each prompt of a batch, in order; the user's own where nothing could be scored.

        Plain strings, as Lightning cannot hand back frozen dataclasses; the trajectories are in the candidate logs.
        """
        self._budget.begin([prompt.id for prompt in batch])
        trajectories = optimize(
            batch,
            self.parts,
            self.options,
            video_path=partial(video_path, self.folder),
            history=self._history,
            retry_errors=self.retry_errors,
            record=self._record,
            stopped=self._stopped,
            may_render=self._budget.allows,
            stop_requested=lambda: self.stop_requested() or self.trainer.received_sigterm,
        )
        return [trajectory.best.text if trajectory.best else trajectory.prompt.text for trajectory in trajectories]

    def _record(self, candidate: Candidate, trajectory: Trajectory) -> None:
        self._log.append(candidate)
        self._budget.spend(candidate.prompt_id, len(candidate.videos))
        for notify in self.on_candidate:
            notify(candidate, trajectory)

    def _stopped(self, trajectory: Trajectory, reason: StopReason) -> None:
        self.stops[trajectory.prompt.id] = reason
