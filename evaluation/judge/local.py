"""A judge on this machine: a vision-language model of transformers, resident, greedy, several questions at once.

LocalJudge("Qwen/Qwen2.5-VL-7B-Instruct", frames=16, device="cuda")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, final

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from evaluation.errors import ClipError
from evaluation.judge.base import Answer, Ask
from evaluation.judge.frames import FramePolicy, View
from evaluation.judge.loading import Loaded, Place, load, locate

__all__ = ["LocalJudge"]

#: For attention: not cuDNN's, which plans anew, while the device waits, for every length that it has not seen.
_KERNELS = [backend for name, backend in SDPBackend.__members__.items() if name not in ("ERROR", "CUDNN_ATTENTION")]


@final
class LocalJudge:
    """A `BatchJudge` with the weights of Qwen2.5-VL, Qwen3-VL, InternVL (``-hf``) or LLaVA-OneVision; safetensors only.

    Args:
        model: a folder, or a repository of the hub that the cache holds; nothing is downloaded.
        frames, at, layout, columns, max_side: its `FramePolicy`, where a metric does not say otherwise.
        revision: of the hub's repository.
        batch: questions at once; when memory runs out, a batch is asked in halves. A batch holds questions of one video.
        dtype: of the weights; "auto" is as they were saved, but float32 for float16 on a CPU.
        device: where it runs, whatever `to` says; None: where the evaluation runs.

    Settings of generation that come with the model (temperature, penalties) are not followed: replies are greedy. Marks that
    the tokenizer reserves are taken out of questions, so a prompt cannot pose as the judge.
    """

    def __init__(
        self,
        model: str,
        frames: int = 16,
        at: Literal["ends", "linspace", "middle"] = "ends",
        layout: Literal["sequence", "grid"] = "sequence",
        columns: int = 0,
        max_side: int | None = None,
        revision: str | None = None,
        batch: int = 8,
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
        device: str | None = None,
    ) -> None:
        if batch < 1:
            raise ValueError("batch must be at least 1")
        self._model, self._revision, self._dtype = model, revision, dtype
        self._policy = FramePolicy(n=frames, at=at, layout=layout, columns=columns, max_side=max_side)
        self._batch = batch
        self._device, self._stays = device or "cpu", device is not None
        self._place: Place | None = None
        self._loaded: Loaded | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the weights, which another process loads for itself."""
        return {**self.__dict__, "_loaded": None}

    @property
    def policy(self) -> FramePolicy:
        """Its own frame policy."""
        return self._policy

    @property
    def id(self) -> str:
        """``name@revision`` (or the hash of the weights), the way of the pixels and its frame policy."""
        return f"{self.place.name}@{self.place.mark}|{self.place.route}|{self._policy.id}"

    @property
    def provenance(self) -> Mapping[str, str | None]:
        """For a result: backbone, revision and sha256 of the weights."""
        place = self.place
        return {"backbone": f"{place.name}|{place.route}", "revision": place.revision, "sha256": place.sha256}

    @property
    def place(self) -> Place:
        """The model's folder and what it is, without loading it.

        Raises:
            WeightsError: it is not there, or no model that a local judge reads.
        """
        if self._place is None:
            self._place = locate(self._model, self._revision)
        return self._place

    def to(self, device: str | torch.device) -> LocalJudge:
        """Run on this device from now on, unless it was given one of its own."""
        if not self._stays:
            self._device = str(device)
            if self._loaded is not None:
                self._loaded.model.to(device)
        return self

    def generate(self, video: View | None, text: str, **more: Any) -> str:
        """The greedy reply.

        Raises:
            ClipError: ``oom``.
        """
        return self.answer([Ask(video=video, text=text, **more)])[0].text

    def token_logprobs(self, video: View | None, text: str, candidates: Sequence[str], **more: Any) -> dict[str, float]:
        """Log probability of each candidate's first token as the reply's first; those that share one are left out.

        Raises:
            ClipError: ``oom``.
        """
        item = Ask(video=video, text=text, candidates=tuple(candidates), reply=False, **more)
        return self.answer([item])[0].logprobs

    def answer(self, asks: Sequence[Ask]) -> list[Answer]:
        """Answers in order; questions with frames of one size and equally long replies go together.

        Raises:
            ClipError: ``oom``: memory runs out with a single question.
        """
        answers: dict[int, Answer] = {}
        alike: dict[object, list[int]] = {}
        for index, item in enumerate(asks):
            shape = (item.video.picture, item.video.frames_THWC.shape) if item.video is not None else None
            alike.setdefault((shape, item.reply, item.max_new_tokens), []).append(index)
        for indices in alike.values():
            for start in range(0, len(indices), self._batch):
                part = indices[start : start + self._batch]
                answers.update(zip(part, self._together([asks[index] for index in part])))
        return [answers[index] for index in range(len(asks))]

    def _together(self, asks: Sequence[Ask]) -> list[Answer]:
        try:
            return self._run(asks)
        except torch.OutOfMemoryError as error:
            if len(asks) == 1:
                raise ClipError("oom", "the judge runs out of memory with a single question") from error
        half = len(asks) // 2
        return self._together(asks[:half]) + self._together(asks[half:])

    def _run(self, asks: Sequence[Ask]) -> list[Answer]:
        loaded = self._load()
        inputs = {name: tensor.to(self._device) for name, tensor in loaded.inputs(asks).items()}
        first = _FirstToken()
        with torch.inference_mode(), sdpa_kernel(_KERNELS):
            output_BL = loaded.model.generate(
                **inputs, max_new_tokens=asks[0].max_new_tokens if asks[0].reply else 1, logits_processor=[first]
            )
        replies = output_BL[:, inputs["input_ids"].shape[1] :]
        texts = loaded.tokenizer.batch_decode(replies, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return [
            Answer(text=text.strip() if item.reply else "", logprobs=self._known(loaded, item, first.logprobs_BV[row]))
            for row, (item, text) in enumerate(zip(asks, texts))
        ]

    def _known(self, loaded: Loaded, item: Ask, logprobs_V: torch.Tensor) -> dict[str, float]:
        tokens = {candidate: loaded.first_token(candidate) for candidate in item.candidates}
        alone = {candidate: token for candidate, token in tokens.items() if list(tokens.values()).count(token) == 1}
        return {candidate: float(logprobs_V[token]) for candidate, token in alone.items()}

    def _load(self) -> Loaded:
        if self._loaded is None:
            self._loaded = load(self.place, self._dtype, on_cpu=torch.device(self._device).type == "cpu")
            self._loaded.model.to(self._device)
        return self._loaded


class _FirstToken:
    """A logits processor that changes nothing and keeps the log probabilities of the first token, (B, V)."""

    logprobs_BV: torch.Tensor

    def __call__(self, input_ids_BL: torch.Tensor, logits_BV: torch.Tensor) -> torch.Tensor:
        if not hasattr(self, "logprobs_BV"):
            self.logprobs_BV = logits_BV.float().log_softmax(-1)
        return logits_BV
