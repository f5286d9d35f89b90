"""Alignment judge: a Qwen2.5-VL model looks at a video and says how well it shows what the user asked for.

QwenVLJudge(model="Qwen/Qwen2.5-VL-7B-Instruct", frames=10, expected_score=True)

This is the misalignment text M_i of RAPO++ (arXiv:2510.20206, section 4.1, Table 4), with a score that is read and compared; the
published release asks for the score and never reads it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

from rapo_lightning.errors import VideoError
from rapo_lightning.judges.expected_score import ScoreRecorder
from rapo_lightning.judges.qwen_model import QwenModel
from rapo_lightning.judges.reply import parse_alignment, strip_markers
from rapo_lightning.language.attention import for_any_length
from rapo_lightning.templates import Template
from rapo_lightning.types import Failure, Feedback, ModelReference, Prompt, Video
from rapo_lightning.video import read_frames, sample_frames

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

__all__ = ["QwenVLJudge"]

SCALE = (1, 5)


@final
class QwenVLJudge:
    """A `Judge` with the weights of a Qwen2.5-VL model: safetensors only, no code of the folder is run.

    Args:
        model: the model with its tokenizer and image settings.
        frames: how many evenly spaced frames the model sees.
        max_new_tokens: the longest reply; one that is cut off after its score is still scored.
        batch_size: the most videos judged at once. When memory runs out, a batch is judged in halves.
        template: what is asked; it must hold ``{prompt}``.
        dtype: the weights' type; ``auto`` is the type they were saved in, but float32 for half precision on a CPU.
        name: the judge's name in the feedback.
        expected_score: score by the model's probabilities for the digit it wrote, so that videos are rarely tied
            (G-Eval, arXiv:2303.16634); the digit itself where it is not one token.
        max_side: frames with a longer side than this many pixels are scaled down before anything else.

    Decoding is greedy. A reply without a clear score gives feedback with the error ``unscored: ...`` and the reply in
    ``details["raw"]``; a video that cannot be read gives feedback with the reason.
    """

    def __init__(
        self,
        model: ModelReference,
        frames: int = 10,
        max_new_tokens: int = 256,
        batch_size: int = 8,
        template: str = "judge_alignment",
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
        name: str = "alignment",
        expected_score: bool = False,
        max_side: int | None = None,
    ) -> None:
        if min(frames, max_new_tokens, batch_size, max_side or 1) < 1:
            raise ValueError("frames, max_new_tokens, batch_size and max_side must be at least 1")
        self._model_reference = model
        self._frames = frames
        self._max_new_tokens = max_new_tokens
        self._batch_size = batch_size
        self._template = Template.load(template).required({"prompt"})
        self._dtype = dtype
        self.name = name
        self._expected_score = expected_score
        self._max_side = max_side
        self._device: torch.device | str = "cpu"
        self._loaded: QwenModel | None = None

    def to(self, device: torch.device | str) -> QwenVLJudge:
        """Use this device from now on; weights already loaded move there."""
        self._device = device
        if self._loaded is not None:
            self._loaded.model.to(device)
        return self

    def judge(self, videos: Sequence[Video], prompts: Sequence[Prompt]) -> list[Feedback]:
        """Score ``videos[i]`` against ``prompts[i]``, the prompt as the user wrote it."""
        pairs = list(zip(videos, prompts, strict=True))
        batches = [pairs[start : start + self._batch_size] for start in range(0, len(pairs), self._batch_size)]
        return [feedback for batch in batches for feedback in self._judge_batch(batch)]

    def _judge_batch(self, pairs: Sequence[tuple[Video, Prompt]]) -> list[Feedback]:
        views: dict[int, _View] = {}
        feedback: dict[int, Feedback] = {}
        for index, (video, prompt) in enumerate(pairs):
            try:
                views[index] = self._view(video, prompt)
            except VideoError as error:
                feedback[index] = Feedback(judge=self.name, error=str(error), seed=video.seed)
        for (index, view), answer in zip(views.items(), self._answer(list(views.values())), strict=True):
            feedback[index] = self._feedback(view, answer)
        return [feedback[index] for index in range(len(pairs))]

    def _view(self, video: Video, prompt: Prompt) -> _View:
        if not (math.isfinite(video.fps) and video.fps > 0):
            raise VideoError(f"unscored: {video.path} has {video.fps} frames a second")
        frames_THWC = read_frames(video.path)
        seen_THWC = sample_frames(frames_THWC, self._frames)
        fps = video.fps * (len(seen_THWC) - 1) / max(1, len(frames_THWC) - 1) or video.fps
        messages = self._template.messages(prompt=strip_markers(prompt.text))
        return _View(text=self._load().inputs.text(messages), frames_THWC=seen_THWC, fps=fps, seed=video.seed)

    def _feedback(self, view: _View, answer: _Answer | Failure) -> Feedback:
        if isinstance(answer, Failure):
            return Feedback(judge=self.name, error=answer.error, seed=view.seed)
        parsed = parse_alignment(answer.text, SCALE)
        details: dict[str, Any] = {"raw": answer.text}
        details.update((name, list(getattr(parsed, name))) for name in ("missing", "wrong", "extra"))
        if parsed.score is None:
            error = f"unscored: no score between {SCALE[0]} and {SCALE[1]} can be read in the judge's reply"
            return Feedback(judge=self.name, error=error, details=details, seed=view.seed)
        score = parsed.score
        if answer.recorder is not None:
            details["written_score"] = score
            expected = answer.recorder.expectation(answer.row, answer.tokens, score)
            score = score if expected is None else expected
        return Feedback(judge=self.name, score=score, critique=parsed.critique, details=details, seed=view.seed)

    def _answer(self, views: Sequence[_View]) -> list[_Answer | Failure]:
        """One reply a view; a batch that does not fit into memory is split until it does."""
        import torch

        if not views:
            return []
        try:
            return self._generate(views)
        except torch.OutOfMemoryError:
            if len(views) == 1:
                return [Failure(error="out of memory with a single video")]
        half = len(views) // 2
        return self._answer(views[:half]) + self._answer(views[half:])

    def _generate(self, views: Sequence[_View]) -> list[_Answer | Failure]:
        import torch

        loaded = self._load()
        texts, videos, rates = zip(*((view.text, view.frames_THWC, view.fps) for view in views), strict=True)
        inputs = {name: tensor.to(self._device) for name, tensor in loaded.inputs(texts, videos, rates).items()}
        recorder = ScoreRecorder(loaded.tokenizer, SCALE) if self._expected_score else None
        with torch.inference_mode(), for_any_length():
            output_BL = loaded.model.generate(
                **inputs, max_new_tokens=self._max_new_tokens, logits_processor=[recorder] if recorder else []
            )
        replies = output_BL[:, inputs["input_ids"].shape[1] :].tolist()
        decoded = loaded.tokenizer.batch_decode(replies, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return [
            _Answer(text=text.strip(), tokens=tokens, row=row, recorder=recorder)
            for row, (text, tokens) in enumerate(zip(decoded, replies, strict=True))
        ]

    def _load(self) -> QwenModel:
        if self._loaded is None:
            on_cpu = "cpu" in str(self._device)
            self._loaded = QwenModel.load(self._model_reference, dtype=self._dtype, on_cpu=on_cpu, max_side=self._max_side)
            self.to(self._device)
        return self._loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """What the model is shown: the conversation as text and T frames (T, H, W, 3) of ``fps`` frames a second."""

    text: str
    frames_THWC: NDArray[np.uint8]
    fps: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """A reply, its tokens, and its row in the batch whose digits' logits were recorded."""

    text: str
    tokens: list[int]
    row: int
    recorder: ScoreRecorder | None
