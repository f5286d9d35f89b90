"""One session of the loop under a Lightning Trainer: parts and prompts in, trajectories read back from the candidate logs out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapo_lightning.errors import ConfigError, InputError
from rapo_lightning.interruption import StopSignals
from rapo_lightning.launching import launched, plain_lightning
from rapo_lightning.positions import Positions
from rapo_lightning.processes import is_first
from rapo_lightning.run_folder import read_prompts, read_run, update_run
from rapo_lightning.sections import OptimizeConfig
from rapo_lightning.settings import OptimizeParts
from rapo_lightning.types import Candidate, Prompt, Trajectory

if TYPE_CHECKING:
    from lightning import Trainer

    from rapo_lightning.sspo.module import SSPOModule

__all__ = ["OnCandidate", "Outcome", "hardware", "make_trainer", "read_trajectories", "run_loop"]

OnCandidate = Callable[[Candidate, Trajectory], None]

_TRAINER: Mapping[str, Any] = {
    "accelerator": "auto",
    "devices": 1,
    "enable_progress_bar": False,
    "enable_checkpointing": False,
    "enable_model_summary": False,
    "use_distributed_sampler": True,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a session ended.

    ``trajectories`` are in the prompts' order; ``stops`` says why each prompt got no further round, by its id (see
    `sspo.options.StopReason`); ``interrupted``: the session was asked to stop before all prompts had their end.
    """

    folder: Path
    trajectories: tuple[Trajectory, ...]
    stops: Mapping[str, str]
    interrupted: bool

    @property
    def failed(self) -> tuple[str, ...]:
        """Ids of the prompts that were tried, but have no scored video."""
        return tuple(t.prompt.id for t in self.trajectories if t.candidates and t.best is None)

    @property
    def exit_code(self) -> int:
        """0 done, 3 finished with failed items, 75 interrupted and resumable."""
        return 75 if self.interrupted else 3 if self.failed else 0


def make_trainer(
    config: OptimizeConfig, folder: Path, prompts: int, signals: StopSignals, positions: Positions | None = None
) -> Trainer:
    """The Trainer of a session; ``positions`` tell where the configuration has its ``trainer`` section.

    Raises:
        ConfigError: Lightning does not accept the ``trainer`` section.
        InputError: there are fewer prompts than processes.
    """
    from lightning import Trainer
    from lightning.fabric.utilities.exceptions import MisconfigurationException
    from lightning.pytorch.callbacks import LambdaCallback

    from rapo_lightning.sspo.data import check_ranks

    def problem(text: str, *key: str) -> str:
        return positions.problem(("trainer", *key), text) if positions else f"{'.'.join(['trainer', *key])}: {text}"

    ready = LambdaCallback(on_predict_start=lambda trainer, module: signals.take_over(trainer))
    given = {"default_root_dir": str(folder), **config.trainer, "logger": False, "callbacks": [ready]}
    if config.trainer.get("callbacks"):
        raise ConfigError(problem("cannot be given in a configuration", "callbacks"))
    try:
        with plain_lightning():
            trainer = Trainer(**{**_TRAINER, **given})
    except (MisconfigurationException, ImportError, TypeError, ValueError) as error:
        raise ConfigError(problem(" ".join(str(error).split()))) from error
    try:
        check_ranks(prompts, trainer.world_size)
    except InputError as error:
        raise InputError(problem(str(error), "devices")) from error
    return trainer


def hardware(trainer: Trainer) -> dict[str, Any]:
    """What a session runs on, for its record: the first process's device by name, the number of processes, the precision."""
    import torch

    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {"device": name, "processes": trainer.world_size, "precision": trainer.precision}


def run_loop(
    trainer: Trainer,
    config: OptimizeConfig,
    parts: OptimizeParts,
    prompts: Sequence[Prompt],
    folder: Path,
    *,
    signals: StopSignals,
    rounds: int | None = None,
    retry_errors: bool = False,
    listeners: Sequence[OnCandidate] = (),
) -> Outcome:
    """Run the loop in every process of the Trainer and read back what all of them recorded.

    Args:
        trainer: from `make_trainer`, not used before.
        folder: the run folder, which must exist.
        rounds: instead of the configuration's.
        retry_errors: do failed candidates again.
        listeners: told of each new candidate of the first process.
    """
    from rapo_lightning.sspo.data import PromptData
    from rapo_lightning.sspo.log import read_all
    from rapo_lightning.sspo.module import SSPOModule
    from rapo_lightning.sspo.options import LoopOptions, Parts
    from rapo_lightning.tracking import Tracker, build_logger

    section = config.loop
    options = LoopOptions(
        rounds=section.rounds if rounds is None else rounds,
        patience=section.patience,
        good_enough=section.good_enough,
        seeds=section.seeds,
        start=section.start,
        fresh_seeds=section.fresh_seeds,
        run_seed=config.seed,
    )
    logger = build_logger(config.logger, folder, run_id=read_run(folder).get("tracking_id")) if is_first() else None
    adapters = sorted({model for key, model in parts.models.items() if key.endswith(".adapter") and Path(model).is_dir()})
    tracker = Tracker(logger, recorded=read_all(folder), folder=folder, adapters=adapters)
    if tracker.run_id is not None:
        update_run(folder, tracking_id=tracker.run_id)

    def tell(candidate: Candidate, trajectory: Trajectory) -> None:
        if trainer.is_global_zero:
            for listener in (*listeners, tracker.on_candidate):
                listener(candidate, trajectory)

    module = SSPOModule(
        folder,
        Parts(
            generator=parts.generator,
            judges=dict(parts.judges),
            reward=parts.reward,
            selection=parts.selection,
            rewriter=parts.rewriter,
            augmenter=parts.augmenter,
        ),
        options,
        max_videos=config.budget.max_videos,
        max_hours=config.budget.max_hours,
        retry_errors=retry_errors,
        on_candidate=[tell],
        stop_requested=lambda: signals.asked,
    )
    with launched(folder):
        trainer.predict(module, PromptData(prompts, config.batch_size), return_predictions=False)
    # Every process waits here for the others, and hears whether one of them was asked to stop.
    asked = trainer.strategy.reduce_boolean_decision(signals.asked or trainer.received_sigterm, all=False)
    trajectories = read_trajectories(folder, prompts, parts)
    stops = {t.prompt.id: _stop(t, module, asked=asked, augmented=parts.augmenter is not None) for t in trajectories}
    if trainer.is_global_zero:
        every = {prompt.id: prompt for prompt in (*read_prompts(folder), *prompts)}
        tracker.finish(read_trajectories(folder, list(every.values()), parts))
    interrupted = asked and "interrupted" in stops.values()
    return Outcome(folder=folder, trajectories=trajectories, stops=stops, interrupted=interrupted)


def read_trajectories(folder: Path, prompts: Sequence[Prompt], parts: OptimizeParts) -> tuple[Trajectory, ...]:
    """What is recorded of each prompt, in order, with the best chosen by the parts' selection."""
    from rapo_lightning.sspo.log import read_all
    from rapo_lightning.sspo.progress import extend

    found = read_all(folder)
    return tuple(extend(Trajectory(prompt=prompt), found.get(prompt.id, []), parts.selection) for prompt in prompts)


def _stop(trajectory: Trajectory, module: SSPOModule, *, asked: bool, augmented: bool) -> str:
    """Why a prompt got no further round; of another process's prompts this is read off the record."""
    from rapo_lightning.sspo.progress import stop_reason

    known = module.stops.get(trajectory.prompt.id) or stop_reason(trajectory, module.options, augmented=augmented)
    return known or ("interrupted" if asked else "budget")
