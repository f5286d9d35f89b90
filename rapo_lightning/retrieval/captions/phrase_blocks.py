"""The published caption CSV a block of lines at a time: what takes Python long for one row is done for many in one call.

Works on blocks in which every line is one well-formed row, which one pattern tells; all others are left to the reading row by row
(`rapo_lightning.retrieval.captions.csv_file`), with the same result.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, final

from rapo_lightning.retrieval.captions.list_cells import distinct, read_list
from rapo_lightning.retrieval.captions.rows import Skipped
from rapo_lightning.types import CaptionPhrases

__all__ = ["PhraseBlocks"]

#: One list of phrases a row; None in the place of a malformed cell.
Lists = Sequence["tuple[str, ...] | None"]
KINDS = ("scenes", "subjects", "actions", "atmosphere")
# A field that is not quoted is taken up to the next comma, which is quickest; whether it crossed a line is told by counting.
_INNER = '[^"]*+(?:""[^"]*+)*+'
_BARE, _BARE_LAST = '[^,"][^,]*+', '[^,\\n"][^,\\n]*+'
#: A cell of one phrase as ``['a']``, of which the phrase is taken; any other as a second group. Of the others, most hold two.
_CELL = rf"""(?:\['([^']*+)'\]|("{_INNER}"|%s))"""
#: A caption as two groups, what stands between quotes, or all of it.
_CAPTION = rf"""(?:"({_INNER})"|(%s)|)"""
_UNUSED = rf"""(?:"{_INNER}"|%s|)"""
#: Of cells that a zero byte ends, one by one, the phrases of one that holds two, or the one with an apostrophe, or else nothing.
_OTHERS = re.compile(r"""\"\[(?:'([^'"]++)', '([^'"]++)'|""([^"]++)"")\]\"\0|[^\0]++\0""").findall
#: What parts words in ASCII besides the space; other control characters are letters to it.
_PARTING = "\t\v\f\r\x1c\x1d\x1e\x1f"
#: Setting the slots of new objects column by column is three times as fast as calling the class for every row.
_SET = {name: getattr(CaptionPhrases, name).__set__ for name in ("caption", *KINDS)}


@final
class PhraseBlocks:
    """Reads blocks of one file.

    Args:
        columns: the file's columns in order.
        caption: the caption's column.
        lists: the columns that ``scenes``, ``subjects``, ``actions`` and ``atmosphere`` are made of.
        row: reads one row, the needed cells by column; `ValueError` tells why it is skipped.
    """

    def __init__(
        self,
        *,
        columns: Sequence[str],
        caption: str,
        lists: Mapping[str, Sequence[str]],
        row: Callable[[Mapping[str, str]], CaptionPhrases],
    ) -> None:
        used = set(chain.from_iterable(lists.values()))
        fields, self._groups, width = [], {}, 0
        for column in columns:
            bare = _BARE_LAST if column == columns[-1] else _BARE
            fields.append((_CELL if column in used else _CAPTION if column == caption else _UNUSED) % bare)
            if column in used or column == caption:
                self._groups[column] = slice(width, width := width + 2)
        self._pattern = re.compile(f"^{','.join(fields)}\n", re.MULTILINE)
        self._caption, self._lists, self._row = caption, lists, row
        self._malformed = 0

    def read(self, name: str, text: str, number: int) -> list[CaptionPhrases | Skipped] | None:
        """The rows of whole lines that begin at a line ``number`` of the file ``name``; None when a line is not one row."""
        rows = self._pattern.findall(text)
        # As each row holds at least one line's end, none is missed and none spans two lines exactly when the counts agree.
        if not rows or len(rows) != text.count("\n"):
            return None
        columns = list(zip(*rows))
        quoted_or_bare = zip(*columns[self._groups[self._caption]])
        captions = [(quoted.replace('""', '"') if quoted else bare).strip() for quoted, bare in quoted_or_bare]
        lists: dict[str, Lists] = {}
        before = self._malformed
        for kind in KINDS:
            found = [self._read(*columns[self._groups[column]]) for column in self._lists[kind]]
            if any(column is None for column in found):
                return None
            lists[kind] = _joined([column for column in found if column is not None], len(rows))
        result: list[CaptionPhrases | Skipped] = _objects(captions, lists)
        if self._malformed > before or not (all(captions) and all(lists["scenes"]) and all(lists["actions"])):
            for index, (caption, scenes, *kinds) in enumerate(zip(captions, *lists.values())):
                if not (caption and scenes and any(kinds)) or None in kinds:
                    result[index] = self._again(f"{name}:{number + index}", columns, index)
        return result

    def _read(self, ones: Sequence[str], others: Sequence[str]) -> Lists | None:
        """A column's phrases from its cells; None when a field holds a comma, so that its row is another than it seemed."""
        single = " ".join(filter(None, ones))
        if "," in single:
            return None
        rest = [*filter(None, others)]
        found = tuple(zip(*_OTHERS("\0".join((*rest, ""))))) if rest else ((), (), ())
        if not _is_plain(" ".join(filter(None, chain((single,), *found)))):
            return [self._cell(_field(*groups)) for groups in zip(ones, others)]
        cells = zip(rest, *found, *map(_folded, found[:2]))
        listed = iter([(a, b) if x != y else (c,) if c else self._cell(cell) for cell, a, b, c, x, y in cells])
        return [(one,) if one else next(listed) if other else () for one, other in zip(ones, others)]

    def _cell(self, field: str) -> tuple[str, ...] | None:
        try:
            return distinct(read_list(_unquoted(field)))
        except ValueError:
            self._malformed += 1
            return None

    def _again(self, place: str, columns: Sequence[Sequence[str]], index: int) -> CaptionPhrases | Skipped:
        """A row that is most likely to be skipped, read by itself, which tells the reason."""
        row = {}
        for column, groups in self._groups.items():
            first, other = (values[index] for values in columns[groups])
            row[column] = first.replace('""', '"') or other if column == self._caption else _unquoted(_field(first, other))
        try:
            return self._row(row)
        except ValueError as error:
            return Skipped(place=place, reason=str(error))


def _field(one: str, other: str) -> str:
    """A list's field from its groups."""
    return other or f"['{one}']"


def _is_plain(phrases: str) -> bool:
    """Whether none of the phrases, a space between them, needs a closer look: for an escape, or a blank that is not one space."""
    parted = any(map(phrases.__contains__, _PARTING)) if phrases.isascii() else not phrases.isprintable()
    return not parted and "\\" not in phrases and "  " not in phrases and phrases[:1] != " " and phrases[-1:] != " "


def _folded(phrases: Sequence[str]) -> list[str]:
    """Each phrase's case-folded form."""
    return "\0".join(phrases).casefold().split("\0")


def _unquoted(field: str) -> str:
    return field[1:-1].replace('""', '"') if field[:1] == '"' else field


def _joined(columns: Sequence[Lists], length: int) -> Lists:
    """Of several columns that make one list the sum, row by row."""
    if len(columns) < 2:
        return columns[0] if columns else [()] * length
    return [None if None in row else distinct(chain(*filter(None, row))) for row in zip(*columns)]


def _objects(captions: Sequence[str], lists: Mapping[str, Lists]) -> list[Any]:
    """A `CaptionPhrases` a row."""
    columns = {"caption": captions, **lists}
    found = list(map(object.__new__, repeat(CaptionPhrases, len(captions))))
    for name, values in columns.items():
        deque(map(_SET[name], found, values), maxlen=0)
    return found
