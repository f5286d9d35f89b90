"""Turns templates into pages: everything that is put in is escaped, and the page may use nothing but itself and its videos."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from evaluation.output.figures import bounds, figure, is_clear, share, signed

__all__ = ["render", "visible"]


def render(template: str, **values: Any) -> str:
    """The page of a template of this package; text in ``values`` is escaped, `markupsafe.Markup` is not."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=visible,
    )
    environment.filters |= {
        "csp_hash": _csp_hash, "figure": figure, "signed": _minus(signed), "bounds": _minus(bounds), "share": share,
        "breaks": _breaks,
    }  # fmt: skip
    environment.globals |= {"is_clear": is_clear}
    return environment.get_template(template).render(**values) + "\n"


def visible(value: Any) -> Any:
    """Text that a page can hold: control characters and halves of surrogate pairs become U+FFFD."""
    if type(value) is not str:
        return value
    return "".join(sign if sign in "\n\t" or (sign >= " " and not _is_odd(sign)) else "\ufffd" for sign in value)


def _is_odd(sign: str) -> bool:
    return "\x7f" <= sign <= "\x9f" or "\ud800" <= sign <= "\udfff" or sign in "\ufffe\uffff"


def _csp_hash(text: str) -> str:
    """What the content security policy calls an inline style by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _minus(format_number: Any) -> Any:
    """With a minus sign as long as the plus."""
    return lambda *args, **more: format_number(*args, **more).replace("-", "−")


def _breaks(name: str) -> Any:
    """A name that may break after its underscores and points."""
    from markupsafe import Markup, escape

    return Markup(str(escape(visible(name))).replace("_", "_<wbr>").replace(".", ".<wbr>"))
