"""Run folders as `rapo optimize` leaves them, without videos."""

from __future__ import annotations

import json
from pathlib import Path

from rapo_lightning import records
from rapo_lightning.types import Candidate, Feedback, Prompt


def save_run(folder: Path, prompts: int = 40, gain: float = 0.5) -> Path:
    """A finished run in which every rewrite is better by ``gain``."""
    folder.mkdir(parents=True)
    asked = [Prompt.of(f"ball {number} of {folder.name}") for number in range(prompts)]
    records.write(folder / "prompts.jsonl", asked)
    rows = []
    for prompt in asked:
        tried = [
            Candidate(
                id=name,
                prompt_id=prompt.id,
                round=round,
                text=text,
                origin="rewrite" if round else "user",
                feedback=(Feedback(judge="alignment", score=reward, seed=1),),
                reward=reward,
            )
            for round, name, text, reward in (
                (0, "r0", prompt.text, 0.25),
                (1, "r1", f"a clip of {prompt.text}", 0.25 + gain),
            )
        ]
        records.append(folder / "candidates-0.jsonl", *tried)
        rows.append({"id": prompt.id, "candidate": "r1"})
    (folder / "best.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (folder / "run.json").write_text(json.dumps({"status": "done", "config_hash": "abc"}))
    return folder
