"""What a ``train`` configuration may hold, as `rapo_lightning.sections` has it for ``optimize``.

Three forms of lesson: ``refine`` teaches to write a prompt in one go (Stage 3), ``refactor`` to put a text into the captions'
style (L_r of Stage 1), ``select`` to choose the better of two prompts (L_d).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from rapo_lightning.sections import Logger, Section, TrainerArgument

__all__ = [
    "CheckSection",
    "DataSection",
    "LoraSection",
    "OptimizerSection",
    "RefactorForm",
    "RefineForm",
    "SelectForm",
    "TrainConfig",
]


#: What the training decides itself.
OWN = frozenset(
    {
        "accumulate_grad_batches", "callbacks", "check_val_every_n_epoch", "enable_checkpointing", "fast_dev_run",
        "gradient_clip_val", "limit_train_batches", "limit_val_batches", "logger", "max_epochs", "max_steps", "min_epochs",
        "min_steps", "num_sanity_val_steps", "overfit_batches", "reload_dataloaders_every_n_epochs", "use_distributed_sampler",
        "val_check_interval",
    }
)  # fmt: skip


def _not_own(name: str) -> str:
    if name in OWN:
        raise ValueError("is decided by the rest of the configuration")
    return name


class RefineForm(Section):
    """Lessons of `ChatRefiner` with the same ``style`` and ``max_words``: the pair's prompt is the request."""

    task: Literal["refine"]
    style: str = "plain"
    max_words: int | None = Field(default=None, ge=1)


class RefactorForm(Section):
    """Lessons of `RAPOAugmenter`'s refactoring, told the same ``style``: the text, or what lies with a ``graph``."""

    task: Literal["refactor"]
    style: str | None = None
    graph: str | None = None

    @model_validator(mode="after")
    def _one(self) -> RefactorForm:
        if (self.style is None) == (self.graph is None):
            raise ValueError("give either style, a text, or graph, a folder whose captions' style is told")
        return self


class SelectForm(Section):
    """Lessons of `LLMSelector`: each pair is asked in both orders; pairs need a rejected text."""

    task: Literal["select"]


class DataSection(Section):
    """Files of pairs (JSONL or parquet): ``prompt`` and ``completion`` or ``chosen``, for ``select`` also ``rejected``.

    ``validation``: other files, or the share of the prompts that is kept apart. ``max_length``: a lesson with more tokens is left
    out and counted.
    """

    train: list[str] = Field(min_length=1)
    validation: list[str] | float = 0.05
    max_length: int = Field(default=2048, ge=8)

    @field_validator("validation")
    @classmethod
    def _share(cls, value: list[str] | float) -> list[str] | float:
        if isinstance(value, float) and not 0 <= value < 1:
            raise ValueError(f"validation is {value}; a share lies in [0, 1)")
        return value


class LoraSection(Section):
    """The adapter; the rank is the paper's (RAPO++ section 5.2), the rest Open-Sora-Plan's. ``layers``: None, every linear one
    of a block."""

    rank: int = Field(default=64, ge=1)
    alpha: int = Field(default=64, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    layers: list[str] | None = Field(default=None, min_length=1)
    dora: bool = False
    rslora: bool = False


class OptimizerSection(Section):
    """AdamW with warm-up and a cosine to 0; ``warmup`` is a share of the steps, ``clip`` the largest norm of a gradient."""

    learning_rate: float = Field(default=1.5e-4, gt=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float | None = Field(default=1.0, gt=0)


class CheckSection(Section):
    """What the model writes by itself at each validation, for the first ``prompts`` that are kept apart (0: nothing).

    ``optimize``: a configuration of ``rapo optimize`` whose generator and judges render and score the texts.
    """

    prompts: int = Field(default=16, ge=0)
    optimize: str | None = None
    max_words: int = Field(default=120, ge=1)
    max_new_tokens: int = Field(default=256, ge=1)


class TrainConfig(Section):
    """One run of ``rapo train``.

    ``model`` is the base, ``adapter`` an adapter of it to go on from; ``four_bit``: the base is held in 4 bits (QLoRA), on CUDA.
    ``batch_size`` counts lessons a step over all devices, ``micro_batch_size`` those of one device at once; gradients accumulate
    in between. ``objective``: imitate the completions (``sft``) or prefer them to the rejected texts (``dpo``, with ``beta``).
    ``compile``: compile the model's layers. ``validate_every`` and ``save_every`` count steps. ``patience``: stop after so many
    validations in a row whose loss is no new least one (null: never).
    """

    schema_version: Literal[1] = 1
    model: str
    adapter: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    four_bit: bool = False
    form: Annotated[RefineForm | RefactorForm | SelectForm, Field(discriminator="task")]
    objective: Literal["sft", "dpo"] = "sft"
    beta: float = Field(default=0.1, gt=0)
    data: DataSection
    lora: LoraSection = LoraSection()
    optimizer: OptimizerSection = OptimizerSection()
    epochs: float = Field(default=3.0, gt=0)
    batch_size: int = Field(default=32, ge=1)
    micro_batch_size: int = Field(default=8, ge=1)
    gradient_checkpointing: bool = False
    compile: bool = False
    check: CheckSection = CheckSection()
    validate_every: int = Field(default=100, ge=1)
    patience: int | None = Field(default=None, ge=1)
    save_every: int = Field(default=100, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**63)
    trainer: dict[Annotated[TrainerArgument, AfterValidator(_not_own)], Any] = Field(default_factory=dict)
    logger: Logger | None = "csv"

    @field_validator("check", "lora", "optimizer", "trainer", mode="before")
    @classmethod
    def _empty(cls, value: object) -> object:
        return {} if value is None else value

    def hyperparameters(self) -> dict[str, Any]:
        """What results depend on, as plain values."""
        names = (
            "model",
            "adapter",
            "dtype",
            "four_bit",
            "form",
            "objective",
            "beta",
            "lora",
            "optimizer",
            "epochs",
            "batch_size",
            "patience",
            "seed",
        )
        values = self.model_dump(mode="json")
        return {name: values[name] for name in names}
