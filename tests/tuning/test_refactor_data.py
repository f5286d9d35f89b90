"""Pairs for L_r: captions said backwards, what is refused, and a second call that goes on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from rapo_lightning import records
from rapo_lightning.errors import InputError
from rapo_lightning.language import FakeLanguageModel, FakeTextEncoder
from rapo_lightning.retrieval.captions import Progress, Skipped
from rapo_lightning.tuning.refactor_data import Refused, write_refactor_data
from rapo_lightning.types import Message, PromptPair

CAPTIONS = [f"A boat number {n} drifts on a calm sea." for n in range(5)]


class Counting:
    """Answers with the caption's words in another order, except where told otherwise, and counts what it is asked."""

    def __init__(self, **special: str) -> None:
        self.special = special
        self.asked: list[str] = []
        self.model = FakeLanguageModel(self._answer)

    def _answer(self, conversation: Sequence[Message]) -> str:
        caption = conversation[-1]["content"].split("Caption: ")[1].split("\n")[0]
        self.asked.append(caption)
        number = caption.split()[3]
        if number == self.special.get("stop"):
            raise KeyboardInterrupt
        return self.special.get(f"n{number}", f'"show me boat {number} drifting on the sea"')


def placed(captions: Sequence[str]) -> list[tuple[str, str] | Skipped]:
    return [(f"c.txt:{number}", caption) for number, caption in enumerate(captions, start=1)]


def make(folder: Path, counting: Counting, captions: Sequence[tuple[str, str] | Skipped], **changes: object) -> dict[str, object]:
    options = {"model_name": "m", "source": "c.txt", "batch_size": 2, **changes}
    return write_refactor_data(captions, counting.model, folder, **options)  # type: ignore[arg-type]


def test_pairs_lead_back_to_the_captions(tmp_path: Path) -> None:
    made = make(tmp_path / "d", Counting(), [*placed(CAPTIONS), Skipped(place="c.txt:9", reason="empty")])
    pairs = list(records.read(tmp_path / "d" / "pairs.jsonl", PromptPair))
    assert [pair.completion for pair in pairs] == CAPTIONS
    assert pairs[3].prompt == "show me boat 3 drifting on the sea"
    assert (made["pairs"], made["refused"], made["skipped"], made["failed"]) == (5, {}, {"empty": 1}, 0)
    assert json.loads((tmp_path / "d" / "data.json").read_text()) == made


def test_what_is_no_lesson_is_refused_with_its_reason(tmp_path: Path) -> None:
    special = {"n0": "", "n1": CAPTIONS[1].upper(), "n2": "boat " * 40, "n3": "two cats asleep"}
    made = make(tmp_path / "d", Counting(**special), placed(CAPTIONS), encoder=FakeTextEncoder(), alike=0.3)
    refused = {record.caption: record.reason for record in records.read(tmp_path / "d" / "refused.jsonl", Refused)}
    assert refused == {
        CAPTIONS[0]: "empty",
        CAPTIONS[1]: "the caption itself",
        CAPTIONS[2]: "more than twice as long as the caption",
        CAPTIONS[3]: "means something else",
    }
    assert made["pairs"] == 1


def test_it_goes_on_and_asks_about_each_caption_once(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "d", Counting(stop="3"), placed(CAPTIONS))
    counting = Counting()
    made = make(tmp_path / "d", counting, placed([*CAPTIONS, CAPTIONS[0], CAPTIONS[4]]))
    assert counting.asked == CAPTIONS[2:]
    assert made["pairs"] == 5
    pairs = (tmp_path / "d" / "pairs.jsonl").read_bytes()
    (tmp_path / "d" / "pairs.jsonl").write_bytes(pairs[:-20])
    assert make(tmp_path / "d", counting, placed(CAPTIONS))["pairs"] == 5, "a torn last line is made again"


def test_what_the_model_failed_on_is_asked_again(tmp_path: Path) -> None:
    down = FakeLanguageModel({"number 1": "show me boat 1 drifting on the sea"})  # fails on all others
    made = write_refactor_data(placed(CAPTIONS), down, tmp_path / "d", model_name="m", source="c.txt", batch_size=2)
    assert (made["pairs"], sum(made["skipped"].values()), made["failed"], made["refused"]) == (1, 4, 4, {})
    skipped = list(records.read(tmp_path / "d" / "skipped.jsonl", Skipped))
    assert [(row.place, row.failed) for row in skipped] == [(f"c.txt:{number}", True) for number in (1, 3, 4, 5)]
    assert make(tmp_path / "d", Counting(), placed(CAPTIONS))["pairs"] == 5
    assert not (tmp_path / "d" / "skipped.jsonl").exists(), "none was skipped the last time"


def test_skipped_rows_are_named_once_however_often_it_is_called(tmp_path: Path) -> None:
    rows = [Skipped(place="c.txt:7", reason="not UTF-8"), *placed(CAPTIONS), Skipped(place="c.txt:9", reason="empty")]
    for _ in range(2):
        make(tmp_path / "d", Counting(), rows)
        assert list(records.read(tmp_path / "d" / "skipped.jsonl", Skipped)) == [rows[0], rows[-1]]


def test_captions_are_counted_before_the_first_question_and_a_pause_comes_between_batches(tmp_path: Path) -> None:
    make(tmp_path / "d", Counting(), placed(CAPTIONS[:2]))
    counting, told, pauses = Counting(n3=""), list[tuple[int, Progress]](), []
    rows = [*placed(CAPTIONS), Skipped(place="c.txt:9", reason="empty"), *placed(CAPTIONS[:1])]
    make(
        tmp_path / "d",
        counting,
        rows,
        counted=iter(rows),
        listen=lambda progress: told.append((len(counting.asked), progress)),
        pause=lambda: pauses.append(len(counting.asked)),
    )
    assert told[0] == (0, Progress(total=7, before=3, to_ask=3))
    assert told[-1] == (3, Progress(total=7, before=3, to_ask=3, done=7, known=3, asked=3, skipped=1, dropped=1))
    assert pauses == [0, 0, 2, 3]


def test_other_settings_and_useless_captions_are_refused(tmp_path: Path) -> None:
    make(tmp_path / "d", Counting(), placed(CAPTIONS))
    with pytest.raises(InputError, match=r"made with another temperature \(1\.0, not 0\.5\), seed \(0, not 3\)"):
        make(tmp_path / "d", Counting(), placed(CAPTIONS), temperature=0.5, seed=3)
    with pytest.raises(InputError, match=r"made with another source \(c\.txt, not d\.txt\)"):
        make(tmp_path / "d", Counting(), placed(CAPTIONS), source="d.txt")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        make(tmp_path / "other", Counting(), placed(CAPTIONS))
    with pytest.raises(InputError, match=r"no caption gave a pair: empty \(1\)"):
        make(tmp_path / "none", Counting(n0=""), placed(CAPTIONS[:1]))
