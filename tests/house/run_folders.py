"""Run folders for the tests of the report: candidates with small stand-ins for their videos, and a page taken apart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path

from rapo_lightning.sspo.log import CandidateLog, video_path
from rapo_lightning.types import Candidate, Cost, Feedback, Origin, Video, candidate_id

__all__ = ["Page", "attempt", "page", "write_run"]


def attempt(
    folder: Path,
    prompt: str,
    text: str,
    reward: float | None,
    *,
    round: int = 0,
    parent: Candidate | None = None,
    id: str | None = None,
    judge: str = "alignment",
    critique: str = "fine",
    error: str | None = None,
    judge_error: str | None = None,
    film: str | None = None,
    seeds: Sequence[int] = (7,),
) -> Candidate:
    """A candidate; with an ``error`` it has no video, else each seed has one with a still. ``film`` names another file."""
    key = id or candidate_id(round, text)
    videos: list[Video] = []
    for seed in () if error is not None else seeds:
        path = Path(film or video_path(folder, prompt, key, seed))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"film of " + str(seed).encode())
        path.with_suffix(".webp").write_bytes(b"still")
        videos.append(Video(path=str(path), seed=seed, frames=17, fps=8.0, height=64, width=96))
    feedback = [Feedback(judge=judge, score=reward, critique=critique, seed=v.seed) for v in videos if reward is not None]
    if judge_error is not None:
        feedback.append(Feedback(judge="motion", error=judge_error, seed=videos[0].seed))
    origin: Origin = "rewrite" if round else "user"
    return Candidate(
        id=key,
        prompt_id=prompt,
        round=round,
        text=text,
        origin=origin,
        parent=parent.id if parent else None,
        videos=tuple(videos),
        feedback=tuple(feedback),
        reward=reward,
        cost=Cost(seconds=1.5, tokens=40 if round else 0),
        error=error,
    )


def write_run(
    folder: Path, candidates: Sequence[Candidate], *, best: Sequence[Mapping[str, object]] | None = None, **files: object
) -> Path:
    """A run folder from its candidates; ``files`` are JSON files by name, e.g. ``run={...}`` for run.json."""
    log = CandidateLog(folder, 0)
    log.path.parent.mkdir(parents=True, exist_ok=True)
    log.path.touch()
    for candidate in candidates:
        log.append(candidate)
    if best is not None:
        (folder / "best.jsonl").write_text("".join(json.dumps(row) + "\n" for row in best))
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


class Page(HTMLParser):
    """The elements, attributes and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.html = html
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        """All text, with single spaces."""
        return " ".join(" ".join(self.texts).split())

    def values(self, tag: str, name: str) -> list[str]:
        """An attribute's values, in order."""
        return [value for found, key, value in self.attributes if (found, key) == (tag, name)]


def page(path: Path) -> Page:
    """A written report, taken apart."""
    return Page(path.read_text(encoding="utf-8"))
