"""The videos of an evaluation as links and players of a page that lies in some folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from evaluation.rows import Row

__all__ = ["Film", "film"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """A video on a page: what it is called, its URL relative to the page, and its size in pixels, 0 if it is not known."""

    label: str
    name: str
    url: str
    width: int
    height: int


def film(row: Row, folder: Path) -> Film:
    """The video of a row for a page in ``folder``; the row's path is absolute, or relative to the working folder."""
    seed = f"seed {row.seed}" if row.seed is not None else f"video {row.index}"
    return Film(
        label=f"{row.variant}, {seed}",
        name=Path(row.video_path).name or row.video_path,
        url=_url(row.video_path, folder),
        width=row.width or 0,
        height=row.height or 0,
    )


def _url(path: str, folder: Path) -> str:
    """Relative, with every sign quoted that could make it anything else than a file; a file URL from another drive."""
    whole = os.path.abspath(path)  # noqa: PTH100
    try:
        relative = os.path.relpath(whole, folder.absolute())
    except ValueError:
        return Path(whole).as_uri()
    text = relative.replace(os.sep, "/")
    return quote(_bytes(text))


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
