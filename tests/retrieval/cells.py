"""List cells to test with, good and bad, and the plain way of reading them."""

from __future__ import annotations

import ast
import warnings

from hypothesis import strategies as st

__all__ = ["cells", "literal"]

literals = st.lists(st.text(st.sampled_from("ab ,'\"[]\\\n\r\t\0n#{é海\xa0"), max_size=6), max_size=3).map(repr)
pieces = st.lists(
    st.sampled_from(["[", "]", "'", '"', ", ", ",", "a", "b'", "\\", "\n", " ", "'''", "r", "1", "(", ")"]), max_size=9
)
cells = literals | pieces.map("".join) | st.text(max_size=12) | pieces.map(lambda p: f"['{''.join(p)}']")


def literal(cell: str) -> list[str] | None:
    """What ``ast.literal_eval`` makes of a cell, when that is a list of strings without lone surrogates and zero bytes."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = ast.literal_eval(cell)
        "".join(value).encode()
    except Exception:
        return None
    return value if isinstance(value, list) and "\0" not in "".join(value) else None
