"""RAPO Lightning: prompt optimization for text-to-video models (RAPO++).

The nouns, seams, errors and parts, each imported when it is first named::

    from rapo_lightning import DiffusersGenerator, Feedback, Prompt
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rapo_lightning.errors import (
        ConfigError,
        InputError,
        PartError,
        RapoError,
        RecordError,
        RunFolderError,
        Stopped,
        StorageError,
        TrainingError,
        VideoError,
        WeightsError,
    )
    from rapo_lightning.generators import DiffusersGenerator, FakeGenerator
    from rapo_lightning.judges import FakeJudge, OpticalFlowJudge, PhysicsJudge, QwenVLJudge
    from rapo_lightning.language import FakeLanguageModel, FakeTextEncoder, HuggingFaceChat, OpenAIChat, SentenceEncoder
    from rapo_lightning.protocols import (
        Augmenter,
        Generator,
        Judge,
        LanguageModel,
        LimitsText,
        Placeable,
        Reward,
        Rewriter,
        Selection,
        TextEncoder,
    )
    from rapo_lightning.retrieval.augment import RAPOAugmenter
    from rapo_lightning.retrieval.graph import RelationGraph
    from rapo_lightning.retrieval.refiners import ChatRefiner
    from rapo_lightning.rewriters import FakeRewriter, LLMRewriter, RepeatPrompt
    from rapo_lightning.sspo.selection import AverageRanking, HighestReward, WeightedMean
    from rapo_lightning.types import (
        Candidate,
        CaptionPhrases,
        Cost,
        Failure,
        Feedback,
        Kind,
        Message,
        ModelReference,
        Modifier,
        Origin,
        Prompt,
        PromptPair,
        Reply,
        Retrieved,
        Trajectory,
        Video,
    )

__all__ = [
    "Augmenter",
    "AverageRanking",
    "Candidate",
    "CaptionPhrases",
    "ChatRefiner",
    "ConfigError",
    "Cost",
    "DiffusersGenerator",
    "Failure",
    "FakeGenerator",
    "FakeJudge",
    "FakeLanguageModel",
    "FakeRewriter",
    "FakeTextEncoder",
    "Feedback",
    "Generator",
    "HighestReward",
    "HuggingFaceChat",
    "InputError",
    "Judge",
    "Kind",
    "LLMRewriter",
    "LanguageModel",
    "LimitsText",
    "Message",
    "ModelReference",
    "Modifier",
    "OpenAIChat",
    "OpticalFlowJudge",
    "Origin",
    "PartError",
    "PhysicsJudge",
    "Placeable",
    "Prompt",
    "PromptPair",
    "QwenVLJudge",
    "RAPOAugmenter",
    "RapoError",
    "RecordError",
    "RelationGraph",
    "RepeatPrompt",
    "Reply",
    "Retrieved",
    "Reward",
    "Rewriter",
    "RunFolderError",
    "Selection",
    "SentenceEncoder",
    "Stopped",
    "StorageError",
    "TextEncoder",
    "TrainingError",
    "Trajectory",
    "Video",
    "VideoError",
    "WeightedMean",
    "WeightsError",
]

#: Where each name lives.
_HOMES = {
    "types": """Candidate CaptionPhrases Cost Failure Feedback Kind Message ModelReference Modifier Origin Prompt
        PromptPair Reply Retrieved Trajectory Video""",
    "protocols": "Augmenter Generator Judge LanguageModel LimitsText Placeable Reward Rewriter Selection TextEncoder",
    "errors": """ConfigError InputError PartError RapoError RecordError RunFolderError Stopped StorageError TrainingError
        VideoError WeightsError""",
    "generators": "DiffusersGenerator FakeGenerator",
    "judges": "FakeJudge OpticalFlowJudge PhysicsJudge QwenVLJudge",
    "rewriters": "FakeRewriter LLMRewriter RepeatPrompt",
    "language": "FakeLanguageModel FakeTextEncoder HuggingFaceChat OpenAIChat SentenceEncoder",
    "retrieval.augment": "RAPOAugmenter",
    "retrieval.graph": "RelationGraph",
    "retrieval.refiners": "ChatRefiner",
    "sspo.selection": "AverageRanking HighestReward WeightedMean",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
