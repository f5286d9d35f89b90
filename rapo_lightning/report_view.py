"""What a report shows of each prompt, read from the records of a run folder: its film strip, scores, critiques and errors.

A run folder may come from elsewhere, so nothing in it is trusted: text stays text, and only files inside the folder are shown.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from rapo_lightning import records
from rapo_lightning.errors import RecordError
from rapo_lightning.report_diff import Change, word_changes
from rapo_lightning.sspo.log import read_all
from rapo_lightning.types import Candidate, Prompt, Video

__all__ = ["Attempt", "Films", "Player", "PromptView", "read_prompts"]

State = Literal["failed", "worse", "better", "same", "not scored before", "not run"]
ORIGINS = {"user": "Original", "rapo": "Stage 1", "refiner": "Refiner", "rewrite": "Round"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """A video on the page: the URLs of it and its still (None: no still), its size, or why it cannot be shown."""

    seed: int
    source: str = ""
    poster: str | None = None
    width: int = 0
    height: int = 0
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One candidate: its text as changes to the one before it, mean score per judge, critiques and errors with their source."""

    label: str
    id: str
    is_best: bool
    reward: float | None
    changes: list[Change]
    players: list[Player]
    scores: dict[str, float]
    critiques: list[tuple[str, str]]
    errors: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptView:
    """One prompt: ``strip`` leads from the user's own words to the best, ``others`` are the attempts that led elsewhere."""

    id: str
    text: str
    candidates: list[Candidate]
    before: float | None
    after: float | None
    changes: list[Change]
    stop: str
    strip: list[Attempt]
    others: list[Attempt]

    @property
    def gain(self) -> float | None:
        """Reward of the best less that of the user's own words."""
        return None if self.before is None or self.after is None else self.after - self.before

    @property
    def rounds(self) -> int:
        """The last round with a candidate."""
        return max((candidate.round for candidate in self.candidates), default=0)

    @property
    def videos(self) -> int:
        """Videos spent."""
        return sum(len(candidate.videos) for candidate in self.candidates)

    @property
    def errors(self) -> int:
        """Attempts of which anything failed."""
        return sum(bool(attempt.errors) for attempt in [*self.strip, *self.others])

    @property
    def state(self) -> State:
        """How the prompt came out; ``failed``: nothing of it could be scored."""
        if not self.candidates:
            return "not run"
        if self.after is None:
            return "failed"
        if self.gain is None:
            return "not scored before"
        return "same" if self.gain == 0 else "better" if self.gain > 0 else "worse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Films:
    """Finds the files of videos in ``folder``; those smaller than ``embed_below`` bytes become part of the page."""

    folder: Path
    embed_below: int | None = None

    def player(self, video: Video) -> Player:
        """The player of a video, with the still beside it (same name, ``.webp``)."""
        path = Path(video.path)
        if not path.resolve().is_relative_to(self.folder.resolve()) or ".." in path.parts:
            return Player(seed=video.seed, problem="the video lies outside the run folder")
        if not path.is_file() or not path.stat().st_size:
            return Player(seed=video.seed, problem="the video is missing")
        still = path.with_suffix(".webp")
        return Player(
            seed=video.seed,
            source=self._url(path, "video/mp4"),
            poster=self._url(still, "image/webp") if still.is_file() and not still.is_symlink() else None,
            width=video.width,
            height=video.height,
        )

    def _url(self, path: Path, kind: str) -> str:
        if self.embed_below is not None and path.stat().st_size < self.embed_below:
            return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
        return quote(path.relative_to(self.folder).as_posix())


def read_prompts(films: Films) -> list[PromptView]:
    """Every prompt of the run, in the order in which it was asked; those that were not reached have no candidates.

    Raises:
        RecordError: a record cannot be read.
    """
    folder = films.folder
    found = read_all(folder)
    best = {str(row.get("id")): row for row in _rows(folder / "best.jsonl")}
    asked = folder / "prompts.jsonl"
    texts = {prompt.id: prompt.text for prompt in records.read(asked, Prompt)} if asked.is_file() else {}
    for key, candidates in found.items():
        texts.setdefault(key, next((c.text for c in candidates if c.origin == "user"), candidates[0].text))
    return [_view(key, text, found.get(key, []), best.get(key, {}), films) for key, text in texts.items()]


def _rows(path: Path) -> list[Mapping[str, Any]]:
    try:
        rows = [records.parse_json(line) for line in path.read_bytes().splitlines()]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: {error}") from error
    return [row for row in rows if isinstance(row, dict)]


def _view(key: str, text: str, candidates: list[Candidate], row: Mapping[str, Any], films: Films) -> PromptView:
    user = next((candidate for candidate in candidates if candidate.origin == "user"), None)
    best = next((c for c in candidates if c.id == row.get("candidate") and c.reward is not None), None) or _highest(candidates)
    line = _line(user, best, candidates)
    rest = [candidate for candidate in candidates if candidate not in line]
    before = {c.id: text if i == 0 else line[i - 1].text for i, c in enumerate(line)}
    by_id = {candidate.id: candidate for candidate in candidates}
    for candidate in rest:
        before[candidate.id] = by_id[candidate.parent].text if candidate.parent in by_id else text
    strip, others = ([_attempt(c, before[c.id], c is best, films) for c in part] for part in (line, rest))
    return PromptView(
        id=key,
        text=text,
        candidates=candidates,
        before=user.reward if user else None,
        after=best.reward if best else None,
        changes=word_changes(text, best.text if best else text),
        stop=str(row.get("stop") or ""),
        strip=strip,
        others=others,
    )


def _highest(candidates: Sequence[Candidate]) -> Candidate | None:
    """The first candidate of the highest reward, for a run whose ``best.jsonl`` is not written yet."""
    scored = [(candidate.reward, -place) for place, candidate in enumerate(candidates) if candidate.reward is not None]
    return candidates[-max(scored)[1]] if scored else None


def _line(user: Candidate | None, best: Candidate | None, candidates: Sequence[Candidate]) -> list[Candidate]:
    """From the user's own words over the best's forebears to the best; all candidates when none is best."""
    if best is None:
        return list(candidates)
    by_id = {candidate.id: candidate for candidate in candidates}
    line = [best]
    while (parent := by_id.get(line[0].parent or "")) is not None and parent not in line:
        line.insert(0, parent)
    return line if user is None or user in line else [user, *line]


def _attempt(candidate: Candidate, before: str, is_best: bool, films: Films) -> Attempt:
    seeds = {video.seed: number for number, video in enumerate(candidate.videos, start=1)}

    def source(judge: str, seed: int | None) -> str:
        return f"{judge}, video {seeds[seed]}" if len(seeds) > 1 and seed in seeds else judge

    label = ORIGINS[candidate.origin]
    errors = [f"{source(f.judge, f.seed)}: {f.error}" for f in candidate.feedback if f.error is not None]
    return Attempt(
        label=f"{label} {candidate.round}" if candidate.origin == "rewrite" else label,
        id=candidate.id,
        is_best=is_best,
        reward=candidate.reward,
        changes=word_changes(before, candidate.text),
        players=[films.player(video) for video in candidate.videos],
        scores=candidate.mean_scores(),
        critiques=[(source(f.judge, f.seed), f.critique) for f in candidate.feedback if f.critique.strip()],
        errors=list(dict.fromkeys(errors if candidate.error is None else [*errors, candidate.error])),
    )
