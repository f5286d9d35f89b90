"""What ``rapo data`` does: training data for the models of Stage 1, L_r (refactoring) and L_d (selection)."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from rapo_lightning import records
from rapo_lightning.arms import Arms, GivenTexts, Interrupted, first_rendered
from rapo_lightning.errors import ConfigError, InputError
from rapo_lightning.graph_tools import graph_tools, model_name, place, tell
from rapo_lightning.interruption import StopSignals
from rapo_lightning.progress import Listen, Tally
from rapo_lightning.retrieval.augment import RAPOAugmenter
from rapo_lightning.retrieval.augmentation import Augmentation
from rapo_lightning.retrieval.captions import Progress, Skipped, open_captions
from rapo_lightning.run_folder import choose, opened, update_run
from rapo_lightning.run_log import run_log
from rapo_lightning.session import OnCandidate, Outcome, make_trainer
from rapo_lightning.settings import build_optimize, load_optimize, resolved
from rapo_lightning.tuning.refactor_data import write_refactor_data
from rapo_lightning.tuning.select_data import preferences
from rapo_lightning.types import Candidate, Prompt

__all__ = ["refactor_data", "select_data"]


def refactor_data(
    captions: Path,
    *,
    out: Path,
    config_file: Path,
    column: str | None = None,
    limit: int | None = None,
    overrides: Sequence[str] = (),
    allow: Sequence[str] = (),
    device: str | None = None,
    listen: Listen | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Pairs for L_r from a captions file, by the language model (and encoder) of a graph configuration.

    ``settings`` go to `write_refactor_data`: temperature, seed, alike, max_new_tokens.

    Raises:
        ConfigError: the configuration is wrong or has no language model.
        InputError: the captions cannot be used, or the folder holds data of others.
        Stopped: a signal asked to stop; the same call goes on.
    """
    file = open_captions(captions, column)
    tools = graph_tools(config_file, overrides, allow)
    if tools.model is None or tools.config.language_model is None:
        raise ConfigError(f"{config_file}: language_model: missing; it says the captions as people do")
    place(tools, device)

    def rows() -> Iterator[tuple[str, str] | Skipped]:
        yield from islice(file.captions(), limit)

    def told(progress: Progress) -> None:
        if listen is not None:
            tell(progress, listen, verb="said", dropped="answers refused")

    first = next((row[1] for row in file.captions() if not isinstance(row, Skipped)), "")
    with StopSignals() as signals:
        return write_refactor_data(
            rows(),
            tools.model,
            out,
            model_name=model_name(tools.config.language_model),
            # Not where the file lies: it may move, and more captions may follow.
            source=f"{captions.name}, first caption {hashlib.sha256(first.encode()).hexdigest()[:8]}",
            batch_size=tools.config.batch_size,
            encoder=tools.encoder,
            counted=None if listen is None else rows(),
            listen=told,
            pause=signals.check,
            **settings,
        )


def select_data(
    config_file: Path,
    prompts: Sequence[Prompt],
    *,
    out: Path,
    margin: float = 0.05,
    overrides: Sequence[str] = (),
    allow: Sequence[str] = (),
    command: Sequence[str] = (),
    echo: bool = True,
    listen: Callable[[str, int], OnCandidate] | None = None,
    says: Listen | None = None,
) -> tuple[dict[str, Any] | None, Outcome]:
    """Pairs for L_d: the texts that it will choose among are rendered with one noise and judged; of each two the better is noted.

    These are both rewrites of a prompt and, if the augmenter lets them take part, its own words, which are rendered anyway.

    Args:
        config_file: an ``optimize`` configuration with a `RAPOAugmenter`; its selection is not asked.
        prompts: users' prompts.
        out: a run folder; ``pairs.jsonl`` and ``data.json`` appear in it. A run that is there is continued.
        margin: rewards that differ by this or less are a tie.
        listen: called with a name and a number of videos before these are rendered; gives what is told of their candidates.
        says: told how the rewriting before that goes, from its beginning on.

    Returns:
        what ``data.json`` says (None: interrupted), and the outcome of the last run.

    Raises:
        ConfigError: the configuration has no such augmenter.
        InputError: no prompt gave a pair.
        Stopped: a signal asked to stop amid the rewriting.
    """
    config, positions = load_optimize(config_file, overrides, allow)
    if config.trainer.get("devices", 1) not in (1, "1"):
        raise InputError("rapo data select runs on one device: trainer.devices must be 1")
    choose(out, resolved(config, allow))
    parts = build_optimize(config, positions, allow)
    if not isinstance(parts.augmenter, RAPOAugmenter):
        raise ConfigError(f"{config_file}: augmenter: must be a RAPOAugmenter, which makes both rewrites")
    with (
        StopSignals() as signals,
        opened(out, resolved(config, allow), list(prompts), config_file=config_file, command=command) as folder,
        run_log(folder, 0, echo=echo),
    ):
        parts.augmenter.to(make_trainer(config, folder, len(prompts), signals).strategy.root_device)
        explained: list[Augmentation] = []

        def rewritten() -> None:
            if says is not None:
                text = f"rewritten: {len(explained):,} of {len(prompts):,} prompts"
                says(Tally(text=text, done=len(explained), total=len(prompts)))

        if says is not None:
            says(f"{len(prompts):,} prompts: each is rewritten twice, then all texts are rendered and judged")
        rewritten()
        for start in range(0, len(prompts), config.batch_size):
            signals.check()
            explained += parts.augmenter.explain(prompts[start : start + config.batch_size])
            rewritten()
        texts = {
            name: {one.prompt.id: one.options[branch] for one in explained for branch in branches if branch in one.options}
            for name, branches in (("refactored", ("refactored", "merged")), ("naive", ("naive",)))
        }
        arms = Arms(folder, config, parts, prompts, signals, listen)
        chosen: dict[str, tuple[Candidate | None, ...]] = {}
        known: tuple[Candidate | None, ...] = ()
        try:
            for name, given in texts.items():
                outcome, _ = arms.one(name, folder / "arms" / name, 0, 2 - bool(known), known, augmenter=GivenTexts(given))
                known = first_rendered(outcome, "user")
                chosen[name] = first_rendered(outcome, "rapo")
        except Interrupted as interrupted:
            update_run(folder, status="interrupted")
            return None, interrupted.outcome
        for name in ("pairs.jsonl", "data.json"):
            (folder / name).unlink(missing_ok=True)  # perhaps of another margin
        if all("raw" in one.options for one in explained):
            chosen = {"raw": known, **chosen}
        own = [[one for one in of_prompt if one is not None] for of_prompt in zip(*chosen.values(), strict=True)]
        pairs, without = preferences(prompts, own, margin=margin)
        if not pairs:
            raise InputError(f"{folder}: no prompt gave a pair: {', '.join(f'{why} ({n})' for why, n in without.items())}")
        records.write(folder / "pairs.jsonl", pairs)
        better = Counter((pair.prompt, pair.completion) for pair in pairs)
        of_arm = {
            name: sum(better[one] for one in {(p.text, c.text) for p, c in zip(prompts, arm, strict=True) if c is not None})
            for name, arm in chosen.items()
        }
        values = {
            "kind": "select",
            "margin": margin,
            "prompts": len(prompts),
            "pairs": len(pairs),
            "better": of_arm,
            "without": without,
        }
        records.write_text_atomic(folder / "data.json", json.dumps(values, indent=2) + "\n")
        update_run(folder, status="done")
    return values, outcome
