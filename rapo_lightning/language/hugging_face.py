"""A chat model of transformers, run in this process: Qwen, Llama, Mistral and every other causal model with a chat template.

HuggingFaceChat(model="Qwen/Qwen2.5-7B-Instruct", adapter="runs/tuned/adapter")
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

from rapo_lightning.language.attention import for_any_length
from rapo_lightning.language.loading import LoadedModel, load_model
from rapo_lightning.language.sampling import GumbelSampling
from rapo_lightning.language.stopping import EndOfAnswer
from rapo_lightning.language.thinking import strip_thinking
from rapo_lightning.types import Failure, Message, ModelReference, Reply

if TYPE_CHECKING:
    import torch

__all__ = ["HuggingFaceChat"]


@final
class HuggingFaceChat:
    """A `LanguageModel` with weights from a local folder or the hub; safetensors only, and no code of theirs is run.

    Args:
        model: the base model.
        adapter: a LoRA adapter of that base. Its tokenizer and chat template are used when it brings them. Chat models of one
            base share it in memory, whatever their adapters.
        dtype: the weights' type; ``auto`` is the type they were saved in.
        batch_size: the most conversations answered at once. When memory runs out it is halved.
        chat_template: a Jinja template in place of the tokenizer's own.
        stop_at_newline: end each answer at the first line break after text.
        enable_thinking: let a model that can reason do so. Thoughts never appear in a reply.

    Decoding is greedy at temperature 0, else plain sampling at that temperature; a repository's own sampling settings are not
    used. A sampled answer depends on its conversation and the seed alone: neither the batch nor the order matters, and two
    equal conversations get equal answers. A conversation that fills the model's context is answered by a `Failure`.
    """

    def __init__(
        self,
        model: ModelReference,
        adapter: ModelReference | None = None,
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
        batch_size: int = 16,
        chat_template: str | None = None,
        stop_at_newline: bool = False,
        enable_thinking: bool = False,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
        self._model_reference = model
        self._adapter_reference = adapter
        self._dtype = dtype
        self._batch_size = batch_size
        self._chat_template = chat_template
        self._stop_at_newline = stop_at_newline
        self._enable_thinking = enable_thinking
        self._device: torch.device | str = "cpu"
        self._loaded: LoadedModel | None = None
        self._generate: Callable[..., torch.Tensor] | None = None

    @classmethod
    def around(
        cls,
        loaded: LoadedModel,
        device: torch.device | str,
        batch_size: int = 16,
        generate: Callable[..., torch.Tensor] | None = None,
    ) -> HuggingFaceChat:
        """A chat model of weights that are loaded already, on this device; they are used as they are at each call.

        ``generate``: in place of the model's own, where its weights must first be made ready.
        """
        chat = cls(ModelReference(""), batch_size=batch_size)
        chat._loaded, chat._device, chat._generate = loaded, device, generate
        return chat

    def to(self, device: torch.device | str) -> HuggingFaceChat:
        """Use this device from now on; weights already loaded move there."""
        self._device = device
        if self._loaded is not None:
            self._loaded.model.to(device)  # type: ignore[arg-type]  # annotated for wrapped modules
        return self

    def chat(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        max_new_tokens: int = 512,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Reply | Failure]:
        """Answer each conversation with at most ``max_new_tokens`` tokens, fewer where its context ends before that."""
        if not conversations:
            return []
        loaded = self._load()
        answers: dict[int, Reply | Failure] = {}
        requests: list[_Request] = []
        for index, conversation in enumerate(conversations):
            tokens = loaded.format.encode(conversation)
            if isinstance(tokens, Failure):
                answers[index] = tokens
            elif loaded.context is not None and len(tokens) >= loaded.context:
                answers[index] = Failure(
                    error=f"the conversation has {len(tokens)} tokens; the model reads {loaded.context} with its answer"
                )
            else:
                budget = min(max_new_tokens, (loaded.context or len(tokens) + max_new_tokens) - len(tokens))
                requests.append(_Request(index=index, tokens=tokens, budget=budget, seed=_stream(seed, conversation)))

        # Longest first: neighbours need little padding, and the batch that needs the most memory is tried first.
        requests.sort(key=lambda request: -len(request.tokens))
        while requests:
            batch = requests[: self._batch_size]
            replies = self._answer(loaded, batch, temperature)
            if replies is not None:
                answers.update((request.index, reply) for request, reply in zip(batch, replies, strict=True))
                requests = requests[len(batch) :]
            elif len(batch) > 1:
                self._batch_size = len(batch) // 2
            else:
                answers[batch[0].index] = Failure(error="out of memory with a single conversation")
                requests = requests[1:]
        return [answers[index] for index in range(len(conversations))]

    def _answer(self, loaded: LoadedModel, batch: Sequence[_Request], temperature: float) -> list[Reply] | None:
        """One reply a request, or None when the device's memory ran out."""
        import torch
        from transformers import GenerationConfig

        width = len(batch[0].tokens)
        ids_BL = torch.tensor([[loaded.pad] * (width - len(request.tokens)) + request.tokens for request in batch])
        mask_BL = torch.tensor([[0] * (width - len(request.tokens)) + [1] * len(request.tokens) for request in batch])
        device = torch.device(self._device)
        end = EndOfAnswer(
            loaded.format.decode,
            prompt_length=width,
            ends=loaded.ends,
            budgets=[request.budget for request in batch],
            at_newline=self._stop_at_newline,
        )
        seeds = [request.seed for request in batch]
        sampling = [GumbelSampling(seeds, temperature=temperature, device=device)] if temperature > 0 else []
        plain = GenerationConfig(
            do_sample=False,
            eos_token_id=sorted(loaded.ends) or None,
            pad_token_id=loaded.pad,
            max_new_tokens=max(request.budget for request in batch),
        )
        try:
            # Weights that are made ready under inference_mode could not be trained afterwards.
            with torch.inference_mode(self._generate is None), loaded.base.using(loaded.adapter), for_any_length():
                generate: Any = self._generate or loaded.model.generate
                output_BL = generate(
                    input_ids=ids_BL.to(device),
                    attention_mask=mask_BL.to(device),
                    generation_config=plain,
                    logits_processor=sampling,
                    stopping_criteria=[end],
                )
        except torch.OutOfMemoryError:
            return None
        answers = output_BL[:, width:].tolist()
        return [self._reply(loaded, answer[:length]) for answer, length in zip(answers, end.lengths, strict=True)]

    def _reply(self, loaded: LoadedModel, answer: list[int]) -> Reply:
        text = strip_thinking(loaded.format.decode(answer)).strip()
        if self._stop_at_newline:
            text = text.partition("\n")[0].rstrip()
        return Reply(text=text, tokens=len(answer))

    def _load(self) -> LoadedModel:
        if self._loaded is None:
            self._loaded = load_model(
                self._model_reference,
                self._adapter_reference,
                dtype=self._dtype,
                chat_template=self._chat_template,
                enable_thinking=self._enable_thinking,
                shared=True,
            )
            self.to(self._device)
        return self._loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """One conversation on its way: its place in the call, its tokens, the most tokens of its answer, and its random stream."""

    index: int
    tokens: list[int]
    budget: int
    seed: int


def _stream(seed: int, conversation: Sequence[Message]) -> int:
    """The seed of a conversation's random stream, from its content: the first 8 bytes of a SHA-256, made positive."""
    key = json.dumps([seed, [[message["role"], message["content"]] for message in conversation]])
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1
