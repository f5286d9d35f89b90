"""Stage 3: fine-tunes a chat model's LoRA adapter under any Lightning strategy. The same module trains L_r and L_d of Stage 1.

    module = RewriterModule(base="ckpt/Qwen2.5-7B-Instruct", steps=1000)
    Trainer(max_epochs=1, accumulate_grad_batches=data.micro_batches).fit(module, data)

A step's loss is the mean over the answers' tokens of the whole step, however these are spread over micro-batches and processes:
two processes learn what one would. Everything random in a micro-batch follows from its number, so that a training which goes on
continues exactly. A checkpoint holds the adapter, the optimizer's state and no frozen weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, cast, final

import torch
from lightning import LightningModule
from torch import Tensor

from rapo_lightning.errors import TrainingError, WeightsError
from rapo_lightning.language import adapter as lora
from rapo_lightning.language.attention import for_any_length
from rapo_lightning.language.loading import LoadedModel, load_model
from rapo_lightning.tuning.objectives import PREFERENCE_FIGURES, Answers, preference_losses
from rapo_lightning.tuning.optimizer import adamw, warmed_cosine
from rapo_lightning.tuning.tokens import Batch

if TYPE_CHECKING:
    from peft import PeftModel

__all__ = ["RewriterModule"]

#: PEFT's name of the adapter that DPO started from.
_REFERENCE = "reference"


@final
class RewriterModule(LightningModule):
    """LoRA on a causal language model, loss on the answers' tokens only.

    Args:
        base: reference of the model that is adapted; its weights stay as they are.
        steps: optimizer steps of the whole training, which the learning rate follows.
        adapter: a saved adapter of that base to go on from; its own rank and layers then hold, not ``lora_options``.
        dtype: the base's type; ``auto``: as saved. The adapter is float32.
        four_bit: hold the base's linear layers in 4 bits; needs CUDA and bitsandbytes.
        objective: ``sft`` or ``dpo``, see `tuning.objectives`; the reference of DPO is the model that the training starts from.
        beta: of DPO.
        lora_options: for `language.adapter.attach`.
        learning_rate, warmup, weight_decay: AdamW's peak rate, the share of the steps that it rises, its decay.
        gradient_checkpointing: compute activations again in the backward pass: less memory, a third slower.
        compile: compile the decoder's layers, one by one; the first steps take minutes for that.
        seed: of the adapter's first weights and of dropout.

    Logs ``loss`` and ``learning_rate`` every ``log_every_n_steps``, and ``validation_loss``: nats a token or, by DPO, a
    preference; of these also the means of `objectives.PREFERENCE_FIGURES`, e.g. ``rewards/accuracies`` of the step and
    ``validation_rewards/accuracies``. ``losses`` are those that this session logged, by their step; ``loaded`` is the base with
    the adapter's layers and the chat format, once it is configured.
    """

    strict_loading = False  # the frozen weights are not in a checkpoint

    def __init__(
        self,
        base: str,
        steps: int,
        adapter: str | None = None,
        dtype: str = "auto",
        four_bit: bool = False,
        objective: Literal["sft", "dpo"] = "sft",
        beta: float = 0.1,
        lora_options: dict[str, Any] | None = None,
        learning_rate: float = 1.5e-4,
        warmup: float = 0.1,
        weight_decay: float = 0.0,
        gradient_checkpointing: bool = False,
        compile: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.base, self.adapter, self.dtype_name = base, adapter, dtype
        self.steps, self.learning_rate, self.warmup, self.weight_decay = steps, learning_rate, warmup, weight_decay
        self.objective, self.beta, self.four_bit = objective, beta, four_bit
        self.lora_options = dict(lora_options or {})
        self.gradient_checkpointing, self.compile_layers = gradient_checkpointing, compile
        self.seed = seed
        self.answers: Answers | None = None
        self.loaded: LoadedModel | None = None
        self.losses: dict[int, float] = {}
        self._told: list[Tensor] = []
        self._validated: list[Tensor] = []

    @property
    def model(self) -> PeftModel:
        """The base with the adapter's layers in it, once `configure_model` has loaded it."""
        assert self.answers is not None
        return self.answers.model

    def configure_model(self) -> None:
        """Load the base and attach the adapter, once in each process; under FSDP2 the weights are spread over the devices."""
        if self.answers is None:
            self.attach_to(load_model(self.base, dtype=self.dtype_name, four_bit=self.four_bit))

    def attach_to(self, loaded: LoadedModel) -> None:
        """Attach the adapter to a base that is in memory already."""
        from rapo_lightning.tuning.low_rank import add_in_place

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            if self.adapter is None:
                model = lora.attach(loaded.model, **self.lora_options)
            else:
                model = lora.load(loaded.model, self.adapter, base=self.base, trainable=True)
                if self.objective == "dpo":
                    lora.load(loaded.model, self.adapter, base=self.base, name=_REFERENCE, beside=model)
        add_in_place(model)
        model.train()  # it was loaded for use, and Lightning leaves a module as it finds it
        if self.gradient_checkpointing:
            model.enable_input_require_grads()
            # Renamed in transformers 5.2x.
            enable: Any = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
            enable({"use_reentrant": False, "context_fn": lambda: (nullcontext(), for_any_length())})
        self.answers, self.loaded = Answers(model), loaded
        if self.compile_layers:
            self.answers.compile_layers()
        if self.device_mesh is not None:
            self.answers.shard(self.device_mesh["data_parallel"])

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """A micro-batch's share of the step's loss."""
        self._reseed(index)
        # Lightning divides by the micro-batches of a step, and gradients are averaged over the processes.
        losses, figures = self._losses(batch)
        share = losses.sum() / batch.total
        self._told.append(torch.cat([share.detach()[None], figures.sum(dim=1) / batch.total]))
        return share * self.trainer.accumulate_grad_batches * self.trainer.world_size

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Log the step's loss, now and then: reading it waits for the device."""
        told = torch.stack(self._told).sum(dim=0)
        self._told.clear()
        step = self.trainer.global_step + 1
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by a connector
        if step % every and step not in (1, self.steps):
            return
        loss, *figures = cast(Tensor, self.trainer.strategy.reduce(told, reduce_op="sum")).tolist()
        self.losses[step] = self._finite(loss, "loss", step)
        named = dict(zip(self._figures, figures, strict=True))
        if self.trainer.is_global_zero:
            for logger in self.loggers:
                logger.log_metrics({"loss": loss, **named, "learning_rate": optimizer.param_groups[0]["lr"]}, step)

    def validation_step(self, batch: Batch, index: int) -> None:
        """Adds up a batch's losses, and of how many tokens or preferences they are."""
        losses, figures = self._losses(batch)
        count = len(batch.targets) if self.objective == "sft" else batch.counted.sum() / 2
        of_all = [losses.double().sum(), *figures.double().sum(dim=1), torch.as_tensor(count, device=losses.device).double()]
        self._validated.append(torch.stack(of_all))

    def on_validation_epoch_end(self) -> None:
        """Log the mean loss over all validation lessons, each token or preference counted once."""
        if not self._validated:
            return
        total = self.trainer.strategy.reduce(torch.stack(self._validated).sum(dim=0), reduce_op="sum")
        self._validated.clear()
        assert isinstance(total, Tensor)
        mean, *figures = (total[:-1] / total[-1]).float()
        self._finite(float(mean), "validation loss", self.trainer.global_step)
        for name, value in zip(("loss", *self._figures), (mean, *figures), strict=True):
            self.log(f"validation_{name}", value, sync_dist=True, batch_size=1)

    def configure_optimizers(self) -> Any:
        """See `tuning.optimizer`."""
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        optimizer = adamw(trained, learning_rate=self.learning_rate, weight_decay=self.weight_decay)
        schedule = warmed_cosine(optimizer, steps=self.steps, warmup=self.warmup)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave the frozen weights out. Weights that are not finite replace no good ones: `TrainingError`."""
        trained = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        checkpoint["state_dict"] = {name: value for name, value in checkpoint["state_dict"].items() if name in trained}
        if not all(bool(torch.isfinite(value).all()) for value in checkpoint["state_dict"].values()):
            raise self._diverged("a weight is not finite", self.trainer.global_step)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another adapter, as Lightning would pass over what it does not find.

        Its count of micro-batches is put right where there are now more or fewer processes than when it was written.
        """
        own = {name: parameter.shape for name, parameter in self.named_parameters() if parameter.requires_grad}
        if own != {name: value.shape for name, value in checkpoint["state_dict"].items()}:
            raise WeightsError("the checkpoint is of another adapter: its layers are not this one's")
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        more = checkpoint["global_step"] * self.trainer.accumulate_grad_batches - progress["current"]["processed"]
        for counts in (progress["current"], progress["total"]):
            counts.update({name: count + more for name, count in counts.items()})

    @property
    def _figures(self) -> tuple[str, ...]:
        return PREFERENCE_FIGURES if self.objective == "dpo" else ()

    def _losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The losses of a batch's answer tokens or, of preferences, of these; and the ``_figures`` of each, if there are any."""
        assert self.answers is not None
        if self.objective == "sft":
            losses = cast(Tensor, self.answers(batch))
            return losses, losses.new_zeros(0, 1)
        with torch.no_grad(), self._as_reference():
            reference = self.answers(batch)
        return preference_losses(self.answers(batch), reference, batch, self.beta)

    @contextmanager
    def _as_reference(self) -> Iterator[None]:
        """The model as the training found it, without dropout."""
        training = self.model.training
        self.model.eval()
        try:
            if self.adapter is None:
                with self.model.disable_adapter():
                    yield
            else:
                self.model.set_adapter(_REFERENCE)
                yield
                self.model.set_adapter("default")
        finally:
            self.model.train(training)

    def _finite(self, value: float, name: str, step: int) -> float:
        """The value; a training that has diverged ends here, in every process, with its last checkpoint."""
        if not math.isfinite(value):
            raise self._diverged(f"the {name} is {value}", step)
        return value

    def _diverged(self, what: str, step: int) -> TrainingError:
        says = "the training has diverged; try a lower optimizer.learning_rate than"
        return TrainingError(f"{what} at step {step}: {says} {self.learning_rate:g}")

    def _reseed(self, index: int) -> None:
        """Dropout depends on seed, micro-batch and process, not on what came before."""
        torch.manual_seed(((self.seed * 1_000_003 + index) * 65_537 + self.global_rank) % 2**63)
