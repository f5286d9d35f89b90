"""The modules of the repository and what each imports, read from their source: nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

__all__ = ["ROOT", "imports", "module_level_imports", "sources", "tree"]

ROOT = Path(__file__).resolve().parents[2]


def sources() -> dict[str, Path]:
    """Every module of the product by its dotted name."""
    files = [*ROOT.glob("rapo_lightning/**/*.py"), *ROOT.glob("evaluation/**/*.py"), ROOT / "cli.py"]
    names = (".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files)
    return dict(sorted(zip(names, files, strict=True)))


def tree(file: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def imports(file: Path, known: set[str] | None = None) -> set[str]:
    """Dotted names of everything that a file imports anywhere; ``from a import b`` is ``a.b`` when that is a known module."""
    return {name for node in ast.walk(tree(file)) for name in _names(node, known or set())}


def module_level_imports(file: Path) -> set[str]:
    """What is imported when the file is, so neither in functions nor under ``if TYPE_CHECKING``."""
    return {name for node in _at_module_level(tree(file).body) for name in _names(node, set())}


def _at_module_level(body: list[ast.stmt]) -> Iterator[ast.AST]:
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            yield from _at_module_level([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            yield from _at_module_level([*node.body, *node.orelse, *node.finalbody, *(s for h in node.handlers for s in h.body)])
        elif isinstance(node, ast.With | ast.ClassDef):
            yield from _at_module_level(node.body)


def _names(node: ast.AST, known: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        if node.level:
            raise AssertionError(f"line {node.lineno}: a relative import")
        for alias in node.names:
            yield f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in known else node.module
