"""What ``rapo pairs`` does: finished runs in, a folder of training data out, with a card that says what was left out and why.

``train.jsonl`` and ``validation.jsonl`` hold prompts with their best wording, ``preferences-train.jsonl`` and
``preferences-validation.jsonl`` a better and a worse one, in TRL's columns; no prompt is on both sides.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rapo_lightning import records
from rapo_lightning.errors import InputError
from rapo_lightning.run_folder import read_prompts, read_run
from rapo_lightning.sspo.log import read_all
from rapo_lightning.tuning.pair_files import split
from rapo_lightning.tuning.pairs import Pairs, pairs_of
from rapo_lightning.types import Candidate, PromptPair, Trajectory

__all__ = ["read_run_trajectories", "write_pairs"]


def write_pairs(
    runs: Sequence[Path],
    out: Path,
    *,
    margin: float,
    errors: float = 2.0,
    losers: int = 4,
    validation: float = 0.05,
    seed: int = 0,
    parquet: bool = False,
) -> dict[str, Any]:
    """Turn runs into training data; returns what ``data.json`` says. Files of an earlier call there are replaced.

    Args:
        runs: run folders of ``optimize`` or ``quickstart``.
        out: the folder of the data.
        margin, errors, losers: see `pairs_of`.
        validation: the share of the prompts that is kept apart.
        seed: of that share.
        parquet: write each file as parquet, too.

    Raises:
        InputError: no run in a folder, or no prompt teaches anything: says why, with counts.
    """
    trajectories = [one for run in runs for one in read_run_trajectories(run)]
    found = pairs_of(trajectories, margin=margin, errors=errors, losers=losers)
    if not found.pairs:
        why = ", ".join(f"{reason} ({count})" for reason, count in found.none.items()) or "they hold no prompts"
        raise InputError(f"{', '.join(map(str, runs))}: nothing to learn from: {why}")
    files = _files(found, validation, seed)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made: {error.strerror or error}") from error
    if (out / "README.md").exists() and not (out / "data.json").exists():
        raise InputError(f"{out}: has a README.md of something else, which would be replaced; choose another --out")
    for name, rows in files.items():
        records.write_text_atomic(out / f"{name}.jsonl", "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))
        (out / f"{name}.parquet").unlink(missing_ok=True)  # of an earlier call
        if parquet:
            _write_parquet(out / f"{name}.parquet", rows, preferences=name.startswith("preferences"))
    values = {
        "kind": "refine",
        "runs": [{"folder": str(run), "status": read_run(run).get("status"), "config": _name(run)} for run in runs],
        "settings": {"margin": margin, "errors": errors, "losers": losers, "validation": validation, "seed": seed},
        "prompts": len(trajectories),
        "pairs": len(found.pairs),
        "preferences": len(found.preferences),
        "files": {name: len(rows) for name, rows in files.items()},
        "without": found.none,
        "losers_without": found.losers,
        "mean_gain": round(sum(pair.gain or 0.0 for pair in found.pairs) / len(found.pairs), 4),
    }
    records.write_text_atomic(out / "data.json", json.dumps(values, indent=2, ensure_ascii=False) + "\n")
    records.write_text_atomic(out / "README.md", _card(values))
    return values


def read_run_trajectories(folder: Path) -> Iterator[Trajectory]:
    """A run's prompts with everything recorded of them; the best is the one that the run chose.

    Raises:
        InputError: the folder holds no run, or one that has not ended.
    """
    if not read_run(folder):
        raise InputError(f"{folder}: no run.json there; is it a run folder?")
    chosen = _chosen(folder)
    if not chosen:
        raise InputError(f"{folder}: the run has no results yet (best.jsonl); let it finish")
    logged = read_all(folder)
    for prompt in read_prompts(folder):
        candidates: Sequence[Candidate] = logged.get(prompt.id, [])
        best = next((one for one in candidates if one.id == chosen.get(prompt.id)), None)
        yield Trajectory(prompt=prompt, candidates=tuple(candidates), best=best)


def _chosen(folder: Path) -> dict[str, str | None]:
    path = folder / "best.jsonl"
    try:
        rows = [records.parse_json(line) for line in path.read_bytes().splitlines()]
        return {row["id"]: row["candidate"] for row in rows}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def _files(found: Pairs, validation: float, seed: int) -> dict[str, list[dict[str, Any]]]:
    files: dict[str, list[dict[str, Any]]] = {}
    for prefix, pairs in (("", found.pairs), ("preferences-", found.preferences)):
        for name, part in zip(("train", "validation"), split(pairs, validation, seed), strict=True):
            files[prefix + name] = [_row(pair) for pair in part]
    return files


def _row(pair: PromptPair) -> dict[str, Any]:
    if pair.rejected is None:
        return {"prompt": pair.prompt, "completion": pair.completion, "gain": pair.gain}
    return {"prompt": pair.prompt, "chosen": pair.completion, "rejected": pair.rejected, "gain": pair.gain}


def _write_parquet(path: Path, rows: Sequence[Mapping[str, Any]], *, preferences: bool) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise InputError("writing parquet needs pyarrow: pip install 'rapo-lightning[parquet]'") from error
    aside = path.with_suffix(".part")
    texts = ("prompt", "chosen", "rejected") if preferences else ("prompt", "completion")
    columns = pyarrow.schema([*((name, pyarrow.string()) for name in texts), ("gain", pyarrow.float64())])
    parquet.write_table(pyarrow.Table.from_pylist(list(rows), schema=columns), aside)
    aside.replace(path)


def _name(run: Path) -> str | None:
    """The configuration's hash, which says whether two runs are of one kind."""
    found = read_run(run).get("config_hash")
    return str(found) if found else None


def _card(values: Mapping[str, Any]) -> str:
    settings, without = values["settings"], values["without"]
    lines = ["# Prompts and their best wordings", ""]
    lines.append(
        f"From {len(values['runs'])} runs with {values['prompts']:,} prompts: {values['pairs']:,} pairs with a mean gain of"
    )
    lines.append(f"{values['mean_gain']:.3f}, {values['preferences']:,} preferences. A text teaches if its reward is more than")
    lines.append(
        f"{settings['margin']:g} above the user's own words' and, with several seeds, more than {settings['errors']:g} standard"
    )
    lines.append("errors. Files of one side share no prompt with those of the other.")
    lines += ["", "| left out | prompts |", "|---|---|", *(f"| {reason} | {count:,} |" for reason, count in without.items())]
    if losers := values["losers_without"]:
        lines += ["", "| losers left out | texts |", "|---|---|", *(f"| {why} | {count:,} |" for why, count in losers.items())]
    lines += ["", "| file | rows |", "|---|---|", *(f"| `{name}.jsonl` | {count:,} |" for name, count in values["files"].items())]
    return "\n".join(lines) + "\n"
