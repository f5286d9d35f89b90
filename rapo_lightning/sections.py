"""What an ``optimize`` configuration may hold: typed, frozen sections; anything else in the file is an error.

Parts are spelled as LightningCLI spells them::

    generator:
      class_path: rapo_lightning.generators.DiffusersGenerator
      init_args: {model: Wan-AI/Wan2.1-T2V-1.3B-Diffusers}

``trainer:`` is passed to `lightning.Trainer`. Paths are relative to the configuration file.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator

from rapo_lightning.config import did_you_mean

__all__ = [
    "BudgetSection",
    "GraphConfig",
    "LoopSection",
    "OptimizeConfig",
    "Part",
    "Section",
    "TrainerArgument",
    "TrainerArguments",
]

#: What ``trainer:`` may hold: the parameters of `lightning.Trainer` (but for ``logger``, a section of its own), written down so
#: that checking them imports nothing.
# fmt: off
TRAINER_ARGUMENTS = frozenset(
    {
        "accelerator", "accumulate_grad_batches", "barebones", "benchmark", "callbacks", "check_val_every_n_epoch",
        "default_root_dir", "detect_anomaly", "deterministic", "devices", "enable_autolog_hparams",
        "enable_checkpointing", "enable_model_summary", "enable_progress_bar", "fast_dev_run", "gradient_clip_algorithm",
        "gradient_clip_val", "inference_mode", "limit_predict_batches", "limit_test_batches", "limit_train_batches",
        "limit_val_batches", "log_every_n_steps", "max_epochs", "max_steps", "max_time", "min_epochs", "min_steps",
        "model_registry", "num_nodes", "num_sanity_val_steps", "overfit_batches", "plugins", "precision", "profiler",
        "reload_dataloaders_every_n_epochs", "strategy", "sync_batchnorm", "use_distributed_sampler", "val_check_interval",
    }
)
# fmt: on


class Section(BaseModel):
    """Base of all sections: unknown keys are refused, values keep their YAML type, nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Part(Section):
    """A swappable object: the dotted path of its class and the arguments of its constructor."""

    class_path: str
    init_args: dict[str, Any] = Field(default_factory=dict)

    @field_validator("init_args", mode="before")
    @classmethod
    def _empty(cls, value: object) -> object:
        return {} if value is None else value


class LoopSection(Section):
    """When the loop of Stage 2 goes on and when it stops.

    ``rounds`` counts the rewriting rounds after round 0 (the user's prompt and Stage 1's). ``patience``: stop after so many
    rounds without a better reward (None: never). ``good_enough``: stop at this reward. ``seeds``: videos a candidate.
    ``start``: rewrite the best candidate or the last one. ``fresh_seeds``: new noise every round, which together with no
    rewriting is best-of-N.
    """

    rounds: int = Field(default=4, ge=1)
    patience: int | None = Field(default=2, ge=1)
    good_enough: float | None = Field(default=None, gt=0, le=1)
    seeds: int = Field(default=1, ge=1)
    start: Literal["best", "last"] = "best"
    fresh_seeds: bool = False


class BudgetSection(Section):
    """What a run may cost: videos rendered and wall hours; None sets no limit."""

    max_videos: int | None = Field(default=None, ge=1)
    max_hours: float | None = Field(default=None, gt=0)


def _judge_name(name: str) -> str:
    if not name or not all(character.isalnum() or character in "_-" for character in name):
        raise ValueError("use letters, digits, '_' or '-'")
    return name


def _trainer_argument(name: str) -> str:
    if name not in TRAINER_ARGUMENTS:
        raise ValueError(f"no argument of lightning.Trainer{did_you_mean(name, TRAINER_ARGUMENTS)}")
    return name


def _kind_of_logger(value: object) -> str:
    return "name" if isinstance(value, str) else "part"


JudgeName = Annotated[str, AfterValidator(_judge_name)]
TrainerArgument = Annotated[str, AfterValidator(_trainer_argument)]
TrainerArguments = dict[TrainerArgument, Any]
Logger = Annotated[Annotated[Part, Tag("part")] | Annotated[Literal["csv"], Tag("name")], Discriminator(_kind_of_logger)]


class OptimizeConfig(Section):
    """One run of ``rapo optimize``.

    ``judges`` are named as users like; the names appear in records, rewards and reports. ``batch_size`` is the number of prompts
    that go through the loop together; it changes speed and memory, not results.
    """

    schema_version: Literal[1] = 1
    prompts: str | None = None
    text_column: str | None = None
    rule_column: str | None = None
    generator: Part
    judges: dict[JudgeName, Part] = Field(min_length=1)
    rewriter: Part
    augmenter: Part | None = None
    reward: Part = Part(class_path="rapo_lightning.sspo.selection.WeightedMean")
    selection: Part = Part(class_path="rapo_lightning.sspo.selection.HighestReward")
    loop: LoopSection = LoopSection()
    budget: BudgetSection = BudgetSection()
    batch_size: int = Field(default=8, ge=1)
    seed: int = Field(default=0, ge=0)
    trainer: TrainerArguments = Field(default_factory=dict)
    logger: Logger | None = "csv"

    @field_validator("loop", "budget", "trainer", mode="before")
    @classmethod
    def _empty(cls, value: object) -> object:
        return {} if value is None else value


class GraphConfig(Section):
    """What ``rapo graph`` works with.

    ``encoder`` encodes phrases; without one, a graph that is there is opened with its own. ``language_model`` extracts phrases
    from captions whose file does not bring them, asked by ``template``, ``batch_size`` captions at once.
    """

    schema_version: Literal[1] = 1
    encoder: Part | None = None
    language_model: Part | None = None
    template: str = "extract"
    batch_size: int = Field(default=64, ge=1)
    max_new_tokens: int = Field(default=256, ge=1)
