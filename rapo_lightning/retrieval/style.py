"""How the training captions are written: their length, how they begin, which words they use; for rewriting in their style.

    style = profile(captions)
    style.describe()   # "Captions of 17 to 43 words, 30 on average. They often begin with "a man is". ..."

Memory stays bounded however many captions there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, final

from rapo_lightning.errors import InputError
from rapo_lightning.retrieval.phrases import key, tidy
from rapo_lightning.retrieval.words import NEUTRAL, count_words

__all__ = ["StyleCount", "StyleProfile", "profile"]

#: Texts counted at once; when there are more, the rarer half is forgotten, so that only rare ones can be undercounted.
_COUNTED = 50_000
#: Texts of each counter that are kept on disk; one is undercounted by no more than one in so many of all that were counted.
_KEPT = 1_000
#: Words of an opener, the longer tried first, and the share of captions that must begin with it.
_OPENERS = {4: 0.05, 2: 0.05}
_MARKS = ".,:;!?()\"'“”‘’"
_SHOWN_OPENERS, _SHOWN_WORDS = 3, 12


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class StyleProfile:
    """The style of a set of captions.

    ``words_low`` and ``words_high`` are the 5th and 95th percentile of their lengths in words (in Chinese and the like: signs),
    ``mean_words`` the mean; ``openers`` are frequent beginnings and ``words`` frequent words with a meaning of their own, most
    frequent first; ``captions`` is how many were read. ``description`` are a person's own words for the style; they replace the
    figures in what a language model is told.
    """

    words_low: int
    words_high: int
    mean_words: float
    openers: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    captions: int = 0
    description: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.words_low <= self.words_high:
            raise ValueError(f"captions of {self.words_low} to {self.words_high} words cannot be")

    def describe(self) -> str:
        """What a language model is told of the style: ``{style}`` of the templates ``naive`` and ``refactor``."""
        if self.description.strip():
            return tidy(self.description)
        length = f"{self.words_low} to {self.words_high}" if self.words_low < self.words_high else str(self.words_high)
        told = [f"Captions of {length} words, {self.mean_words:.0f} on average."]
        if self.openers:
            told.append(f"They often begin with {_either(self.openers)}.")
        if self.words:
            told.append(f"Frequent words: {', '.join(self.words)}.")
        return " ".join(told)

    def values(self) -> dict[str, Any]:
        """Plain JSON values, for `of`."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> StyleProfile:
        """A profile from its `values`. Raises ``ValueError`` for a key that is unknown or missing, or a value of another type."""
        kinds = {"openers": list, "words": list, "mean_words": (int, float), "description": str}
        known = {field.name for field in fields(cls)}
        if not isinstance(values, Mapping) or (strange := sorted(map(str, values.keys() - known))):
            raise ValueError(f"unknown keys: {', '.join(strange)}" if isinstance(values, Mapping) else "not a JSON object")
        if missing := [name for name in ("words_low", "words_high", "mean_words") if name not in values]:
            raise ValueError(f"missing: {', '.join(missing)}")
        for name, value in values.items():
            texts = value if isinstance(value, list) else ()
            fits = isinstance(value, kinds.get(name, int)) and not isinstance(value, bool)  # type: ignore[arg-type]
            if not fits or not all(isinstance(text, str) for text in texts):
                raise ValueError(f"{name}: {value!r} cannot be used")
        taken: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return cls(**taken)


@final
class StyleCount:
    """Counts what a style is told from, a caption at a time, in bounded memory; `values` and `of` let it go on another day."""

    def __init__(self) -> None:
        self._lengths: Counter[int] = Counter()
        self._openers: dict[int, Counter[str]] = {size: Counter() for size in _OPENERS}
        self._frequent: Counter[str] = Counter()

    @property
    def captions(self) -> int:
        """How many were counted."""
        return self._lengths.total()

    def shorten(self) -> None:
        """Forget what is rare, so that `values` are some thousand numbers however many captions there were."""
        for counter in (*self._openers.values(), self._frequent):
            _shorten(counter)

    def values(self) -> dict[str, Any]:
        """Plain JSON values, for `of`."""
        lengths = {str(length): self._lengths[length] for length in sorted(self._lengths)}
        openers = {str(size): dict(_ranked(counter)) for size, counter in self._openers.items()}
        return {"lengths": lengths, "openers": openers, "words": dict(_ranked(self._frequent))}

    @classmethod
    def of(cls, values: Any) -> StyleCount:
        """A count from its `values`. Raises ``ValueError``, ``TypeError``, ``KeyError`` or ``AttributeError`` for others."""
        count = cls()
        count._lengths.update({int(length): int(number) for length, number in values["lengths"].items()})
        for size, counter in count._openers.items():
            counter.update({str(text): int(number) for text, number in values["openers"][str(size)].items()})
        count._frequent.update({str(text): int(number) for text, number in values["words"].items()})
        return count

    def add(self, caption: str) -> None:
        """Count a caption; one without a word says nothing of a style."""
        parts = key(caption).split()
        if not parts:
            return
        self._lengths[count_words(caption)] += 1
        for size, counter in self._openers.items():
            if len(parts) > size:
                _count(counter, [" ".join(parts[:size]).rstrip(_MARKS)])
        _count(self._frequent, {word for part in parts if (word := part.strip(_MARKS)).isalpha()} - NEUTRAL)

    def profile(self, description: str = "") -> StyleProfile:
        """The style of what was counted.

        Raises:
            InputError: no caption had a word.
        """
        total = self.captions
        if not total:
            raise InputError("there is no caption to take a style from")
        return StyleProfile(
            words_low=_percentile(self._lengths, 5),
            words_high=_percentile(self._lengths, 95),
            mean_words=sum(length * count for length, count in self._lengths.items()) / total,
            openers=_begin(self._openers, total),
            words=tuple(word for word, count in _ranked(self._frequent)[:_SHOWN_WORDS] if count > 1),
            captions=total,
            description=description,
        )


def profile(captions: Iterable[str], *, description: str = "") -> StyleProfile:
    """The style of ``captions``, read once; see `StyleCount`."""
    count = StyleCount()
    for caption in captions:
        count.add(caption)
    return count.profile(description)


def _count(counter: Counter[str], texts: Iterable[str]) -> None:
    counter.update(texts)
    if len(counter) > _COUNTED:
        for text, _ in _ranked(counter)[_COUNTED // 2 :]:
            del counter[text]


def _shorten(counter: Counter[str]) -> None:
    """Keep the most frequent texts, all of them less what the first of the others has (as summaries of Misra and Gries merge):
    so that a text which becomes frequent little by little is not forgotten each time."""
    if len(counter) > _KEPT:
        least = _ranked(counter)[_KEPT][1]
        for text in [*counter]:
            counter[text] -= least
            if counter[text] <= 0:
                del counter[text]


def _ranked(counter: Counter[str]) -> list[tuple[str, int]]:
    """By count, ties by the alphabet: the order of the captions does not matter."""
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))


def _begin(openers: Mapping[int, Counter[str]], total: int) -> tuple[str, ...]:
    """The frequent openers; a short one only where no longer one begins with it."""
    found: list[str] = []
    for size, share in _OPENERS.items():
        for text, count in _ranked(openers[size]):
            if count > 1 and count >= share * total and not any(longer.startswith(text) for longer in found):
                found.append(text)
    return tuple(found[:_SHOWN_OPENERS])


def _percentile(lengths: Counter[int], percent: int) -> int:
    """The smallest length that at least ``percent`` of 100 captions do not exceed (nearest rank)."""
    below = 0
    for length in sorted(lengths):
        below += lengths[length]
        if 100 * below >= percent * lengths.total():
            return length
    raise AssertionError("unreachable: all captions are not longer than the longest")


def _either(openers: Sequence[str]) -> str:
    *others, last = [f'"{opener}"' for opener in openers]
    return f"{', '.join(others)} or {last}" if others else last
