"""Physics judge: a language model reads measured motion and says whether it obeys the law that governs the scene.

PhysicsJudge(language_model=HuggingFaceChat(model="Qwen/Qwen2.5-7B-Instruct"))

This is the physics task of RAPO++ (arXiv:2510.20206, section 4.1). Unlike the published release it asks for a score and reads it,
measures dense flow with the camera taken out, needs no law from the user, and shows no sample verdict that would prime it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

from rapo_lightning.errors import PartError, VideoError
from rapo_lightning.judges.flow_statistics import FlowStatistics
from rapo_lightning.judges.motion_words import describe, summary, timeline
from rapo_lightning.judges.optical_flow import Method, measure_video
from rapo_lightning.judges.reply import read_phrases, read_reply, strip_markers
from rapo_lightning.protocols import LanguageModel, Placeable
from rapo_lightning.templates import Template
from rapo_lightning.types import Failure, Feedback, Message, Prompt, Reply, Video

if TYPE_CHECKING:
    import torch

__all__ = ["PhysicsJudge"]

SCALE = (1, 5)
NO_RULE = "not given; name it yourself"


@final
class PhysicsJudge:
    """A `Judge` of whether things move as physics demands.

    Args:
        language_model: the chat model that compares motion and law; it moves with `to`.
        max_new_tokens: the longest reply.
        template: what is asked; it must hold ``{prompt}``, ``{rule}`` and ``{motion}``.
        method: optical flow, as in `OpticalFlowJudge`.
        frames: longer clips are sampled down to this many evenly spaced frames.
        max_side: frames with a longer side than this many pixels are scaled down.
        name: the judge's name in the feedback.

    The law is the prompt's ``context["physical_rule"]``; without one the model names it. A reply without a clear score gives
    feedback with the error ``unscored: ...``. ``details`` holds the raw reply, the law, the violations and the numbers measured.
    """

    def __init__(
        self,
        language_model: LanguageModel,
        max_new_tokens: int = 512,
        template: str = "judge_physics",
        method: Method = "dis",
        frames: int = 49,
        max_side: int = 512,
        name: str = "physics",
    ) -> None:
        if max_new_tokens < 1 or frames < 2 or max_side < 16:
            raise ValueError("max_new_tokens must be at least 1, frames at least 2, max_side at least 16")
        self.name = name
        self._language_model = language_model
        self._max_new_tokens = max_new_tokens
        self._template = Template.load(template).required({"prompt", "rule", "motion"})
        self._method: Method = method
        self._frames = frames
        self._max_side = max_side

    def to(self, device: torch.device | str) -> PhysicsJudge:
        """Moves the chat model, when it is one that can be moved."""
        if isinstance(self._language_model, Placeable):
            self._language_model.to(device)
        return self

    def judge(self, videos: Sequence[Video], prompts: Sequence[Prompt]) -> list[Feedback]:
        """Measure every video, then ask about all of them in one call of the chat model."""
        feedback: dict[int, Feedback] = {}
        measured: dict[int, FlowStatistics] = {}
        for index, (video, _) in enumerate(zip(videos, prompts, strict=True)):
            try:
                measured[index] = measure_video(video, method=self._method, frames=self._frames, max_side=self._max_side)
            except VideoError as error:
                feedback[index] = Feedback(judge=self.name, error=str(error), seed=video.seed)
        conversations = [self._conversation(prompts[index], statistics) for index, statistics in measured.items()]
        answers = self._language_model.chat(conversations, max_new_tokens=self._max_new_tokens) if conversations else []
        if len(answers) != len(conversations):
            raise PartError(f"the language model gave {len(answers)} answers to {len(conversations)} conversations")
        for (index, statistics), answer in zip(measured.items(), answers, strict=True):
            feedback[index] = self._feedback(answer, statistics, seed=videos[index].seed)
        return [feedback[index] for index in range(len(videos))]

    def _conversation(self, prompt: Prompt, statistics: FlowStatistics) -> list[Message]:
        rule = str(prompt.context.get("physical_rule") or NO_RULE)
        motion = f"{describe(statistics)}\n{timeline(statistics)}"
        return [*self._template.messages(prompt=strip_markers(prompt.text), rule=strip_markers(rule), motion=motion)]

    def _feedback(self, answer: Reply | Failure, statistics: FlowStatistics, *, seed: int) -> Feedback:
        details: dict[str, Any] = {"motion": summary(statistics)}
        if isinstance(answer, Failure):
            return Feedback(judge=self.name, error=answer.error, details=details, seed=seed)
        score, fields = read_reply(answer.text, ("law", "violations"), SCALE)
        law = ", ".join(read_phrases(fields.get("law"))[:1])
        violations = read_phrases(fields.get("violations"))
        details |= {"raw": answer.text, "law": law, "violations": list(violations)}
        if score is None:
            error = f"unscored: no score between {SCALE[0]} and {SCALE[1]} can be read in the judge's reply"
            return Feedback(judge=self.name, error=error, details=details, seed=seed)
        critique = [f"law: {law}"] if law else []
        critique.append(
            f"violations: {', '.join(violations)}" if violations else "the motion obeys it" if law else "no violations"
        )
        return Feedback(judge=self.name, score=score, critique="; ".join(critique), details=details, seed=seed)
