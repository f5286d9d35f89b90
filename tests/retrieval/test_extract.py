"""Extraction: answers are read strictly, nothing is invented or lost, and a second call asks only for what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rapo_lightning import records
from rapo_lightning.errors import InputError, PartError, RecordError, StorageError
from rapo_lightning.language.fake import FakeLanguageModel
from rapo_lightning.retrieval.captions import extraction_log
from rapo_lightning.retrieval.captions.extract import Progress, extract
from rapo_lightning.retrieval.captions.extraction_log import Extracted
from rapo_lightning.retrieval.captions.ingest import Skipped
from rapo_lightning.retrieval.captions.replies import read_reply
from rapo_lightning.types import CaptionPhrases, Failure, Message, Reply


def answer(scenes: object = (), subjects: object = (), actions: object = (), atmosphere: object = ()) -> str:
    return json.dumps({"scenes": scenes, "subjects": subjects, "actions": actions, "atmosphere": atmosphere})


def of(caption: str) -> CaptionPhrases:
    """What `Recorder` finds in ``a cat <n> runs in a park``."""
    return CaptionPhrases(caption=caption, scenes=("a park",), subjects=(caption.split(" runs")[0],), actions=("runs",))


class Recorder:
    """A model that answers by rule and notes what it was asked."""

    def __init__(self, rule: Callable[[str, float], str | None] | None = None) -> None:
        self.rule = rule or (lambda caption, _: answer(["a park"], [caption.split(" runs")[0]], ["runs"]))
        self.asked: list[str] = []
        self.calls: list[tuple[int, float, int, int]] = []

    def chat(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        max_new_tokens: int = 512,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Reply | Failure]:
        captions = [c[-1]["content"].split("Caption: ")[1].split("\n")[0] for c in conversations]
        self.asked += captions
        self.calls.append((len(captions), temperature, seed, max_new_tokens))
        texts = [self.rule(caption, temperature) for caption in captions]
        return [Failure(error="gone") if text is None else Reply(text=text) for text in texts]


def placed(number: int) -> list[tuple[str, str]]:
    return [(f"c.txt:{i}", f"a cat {i} runs in a park") for i in range(1, number + 1)]


def run(log: Path, model: object, captions: list[tuple[str, str]], size: int = 4) -> list[CaptionPhrases | Skipped]:
    return list(extract(captions, model, log, model_name="m", batch_size=size))  # type: ignore[arg-type]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "mine" / "extraction.jsonl"


def test_captions_are_asked_in_batches_greedily_and_come_back_in_order(log: Path) -> None:
    model, told = Recorder(), list[Progress]()
    found = list(extract(placed(10), model, log, model_name="m", batch_size=4, max_new_tokens=99, listen=told.append))
    assert found == [of(caption) for _, caption in placed(10)]
    assert model.calls == [(4, 0.0, 0, 99), (4, 0.0, 0, 99), (2, 0.0, 0, 99)]
    assert told == [Progress(done=n, asked=n) for n in (4, 8, 10)]


def test_the_template_is_used_as_it_is(log: Path) -> None:
    seen: list[Sequence[Message]] = []
    list(extract([("a:1", "braces {x}")], FakeLanguageModel(lambda c: seen.append(c) or ""), log, model_name="m"))  # type: ignore[func-returns-value]
    assert [message["role"] for message in seen[0]] == ["system", "user"]
    assert seen[0][1]["content"].startswith("Caption: braces {x}\n")
    assert '{"scenes": [], "subjects": [], "actions": [], "atmosphere": []}' in seen[0][1]["content"]


def test_a_second_call_asks_only_for_what_is_missing(log: Path) -> None:
    first, second, third = Recorder(), Recorder(), Recorder()
    run(log, first, placed(6))
    assert run(log, second, placed(9)) == [of(caption) for _, caption in placed(9)]
    assert second.asked == [caption for _, caption in placed(9)[6:]]
    told: list[Progress] = []
    again = extract(reversed(placed(9)), third, log, model_name="m", listen=told.append)
    assert list(again) == [of(caption) for _, caption in reversed(placed(9))]
    assert (third.calls, told[-1]) == ([], Progress(done=9, known=9))


def test_captions_are_counted_before_the_first_question(log: Path) -> None:
    run(log, Recorder(), placed(4))
    captions = [Skipped(place="c.txt:0", reason="not UTF-8"), *placed(6), ("c.txt:7", " "), placed(6)[5]]
    model, told = Recorder(), list[tuple[int, Progress]]()
    found = extract(
        captions,
        model,
        log,
        model_name="m",
        batch_size=1,
        counted=iter(captions),
        listen=lambda progress: told.append((len(model.asked), progress)),
    )
    list(found)
    assert told[0] == (0, Progress(total=9, before=4, to_ask=2))
    assert told[-1] == (2, Progress(total=9, before=4, to_ask=2, done=9, known=5, asked=2, skipped=2))


def test_a_closed_generator_keeps_what_was_answered(log: Path) -> None:
    first, second = Recorder(), Recorder()
    rows = extract(placed(12), first, log, model_name="m", batch_size=4)
    assert next(rows) == of(placed(1)[0][1])
    rows.close()  # type: ignore[attr-defined]
    assert first.asked == [caption for _, caption in placed(4)]
    assert run(log, second, placed(12)) == [of(caption) for _, caption in placed(12)]
    assert second.asked == [caption for _, caption in placed(12)[4:]]


def test_a_model_that_breaks_down_costs_its_batch_only(log: Path) -> None:
    def breaks(caption: str, _: float) -> str:
        if " 6 " in caption:
            raise KeyboardInterrupt
        return Recorder().rule(caption, 0) or ""

    with pytest.raises(KeyboardInterrupt):
        run(log, Recorder(breaks), placed(12))
    second = Recorder()
    assert run(log, second, placed(12)) == [of(caption) for _, caption in placed(12)]
    assert second.asked == [caption for _, caption in placed(12)[4:]]


def test_a_log_torn_at_any_byte_is_gone_on_from(log: Path) -> None:
    run(log, Recorder(), placed(3), size=1)
    whole = log.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(len(whole)):
        log.write_bytes(whole[:length])
        model = Recorder()
        assert run(log, model, placed(3)) == [of(caption) for _, caption in placed(3)]
        known = max(sum(end <= length for end in ends) - 1, 0)
        assert model.asked == [caption for _, caption in placed(3)[known:]]
        assert log.read_bytes() == whole


def test_a_log_of_another_template_or_model_is_refused(log: Path, tmp_path: Path) -> None:
    run(log, Recorder(), placed(1))
    before = log.read_bytes()
    with pytest.raises(InputError, match=r"extraction\.jsonl: made by template 'extract' .* model 'm', not by .* model 'other'"):
        list(extract(placed(1), Recorder(), log, model_name="other"))
    (tmp_path / "own.md").write_text("Caption: {caption}\nJSON.")
    with pytest.raises(InputError, match=r"made by template 'extract' .* not by template '.*own\.md'"):
        list(extract(placed(1), Recorder(), log, model_name="m", template=str(tmp_path / "own.md")))
    assert log.read_bytes() == before


@pytest.mark.parametrize("content", ["a caption", "a caption\n", "{}\n", '{"schema": "skipped/1"}\n'])
def test_a_file_that_is_no_log_stays_as_it_is(log: Path, content: str) -> None:
    log.parent.mkdir()
    log.write_text(content)
    with pytest.raises((InputError, RecordError), match=r"extraction\.jsonl"):
        run(log, Recorder(), placed(1))
    assert log.read_text() == content


def test_a_damaged_line_is_named(log: Path) -> None:
    run(log, Recorder(), placed(3))
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines[:2], b"{}\n", *lines[3:]]))
    with pytest.raises(RecordError, match=r"extraction\.jsonl:3: "):
        run(log, Recorder(), placed(3))


def test_repeated_captions_are_asked_about_once(log: Path) -> None:
    model = Recorder()
    captions = [("a:1", "a cat runs in a park"), ("a:2", " a cat runs in a park"), *placed(5), ("a:3", "a cat runs in a park")]
    found = run(log, model, captions, size=2)
    assert model.asked == ["a cat runs in a park", *[caption for _, caption in placed(5)]]
    assert found[0] == found[1] == found[-1] == of("a cat runs in a park")


def test_an_answer_that_cannot_be_read_is_asked_for_once_more(log: Path) -> None:
    def second_time(caption: str, temperature: float) -> str:
        return Recorder().rule(caption, 0) or "" if temperature or " 1 " not in caption else "Sorry."

    model, told = Recorder(second_time), list[Progress]()
    found = list(extract(placed(3), model, log, model_name="m", seed=5, listen=told.append))
    assert found == [of(caption) for _, caption in placed(3)]
    assert model.calls == [(3, 0.0, 5, 256), (1, 0.7, 5, 256)]
    assert told == [Progress(done=3, asked=3, asked_again=1)]


def test_one_that_still_cannot_is_skipped_for_good_with_the_reason(log: Path) -> None:
    model, told = Recorder(lambda caption, _: "Sorry."), list[Progress]()
    wanted = Skipped(place="c.txt:1", reason="the answer cannot be read: no whole JSON object")
    assert list(extract(placed(1), model, log, model_name="m", listen=told.append)) == [wanted]
    assert told == [Progress(done=1, asked=1, asked_again=1, skipped=1)]
    assert records.decode(log.read_text().splitlines()[1], Extracted).reason == wanted.reason
    model = Recorder()
    assert run(log, model, [("d.txt:7", placed(1)[0][1])]) == [Skipped(place="d.txt:7", reason=wanted.reason)]
    assert model.calls == []


def test_a_model_that_fails_is_told_and_asked_again_by_the_next_call(log: Path) -> None:
    found = run(log, Recorder(lambda caption, _: None if " 2 " in caption else Recorder().rule(caption, 0)), placed(3))
    assert found == [
        of(placed(1)[0][1]),
        Skipped(place="c.txt:2", reason="the language model failed: gone", failed=True),
        of(placed(3)[2][1]),
    ]
    model = Recorder()
    assert run(log, model, placed(3)) == [of(caption) for _, caption in placed(3)]
    assert model.asked == [placed(2)[1][1]]


def test_a_wrong_number_of_answers_is_the_models_fault(log: Path) -> None:
    model = Recorder()
    model.chat = lambda *arguments, **options: []  # type: ignore[method-assign]
    with pytest.raises(PartError, match="0 answers to 2 conversations"):
        run(log, model, placed(2))


def test_rows_that_were_skipped_before_pass_through_and_empty_captions_are_not_asked_about(log: Path) -> None:
    bad, model = Skipped(place="c.txt:9", reason="not UTF-8"), Recorder()
    found = list(extract([bad, *placed(1), ("c.txt:2", " "), ("c.txt:3", "a \udcff")], model, log, model_name="m"))
    assert found[:2] == [bad, of(placed(1)[0][1])]
    assert found[2:] == [
        Skipped(place="c.txt:2", reason="an empty caption"),
        Skipped(place="c.txt:3", reason="not UTF-8: byte 0xff"),
    ]
    assert model.asked == [placed(1)[0][1]]


def test_what_cannot_enter_a_graph_is_skipped_with_the_reason(log: Path) -> None:
    answers = {" 1 ": answer([], ["a cat"], ["runs"]), " 2 ": answer(["a park"]), " 3 ": answer(["a park"], ["a dog"])}
    model = Recorder(lambda caption, _: next(text for key, text in answers.items() if key in caption))
    told: list[Progress] = []
    found = list(extract(placed(3), model, log, model_name="m", listen=told.append))
    nothing = "a scene, but nothing said about it"
    assert [row.reason for row in found if isinstance(row, Skipped)] == ["no scene", nothing, nothing]
    assert told == [Progress(done=3, asked=3, skipped=3, dropped=1)]
    record = records.decode(log.read_text().splitlines()[3], Extracted)
    assert (record.place, record.dropped) == ("c.txt:3", ("invented: a dog",))


CAPTION = "Two boys, a woman's dog and a café at night: the dog is running along a snow-covered street. 一只猫在海滩上。"


@pytest.mark.parametrize(
    ("phrase", "kept"),
    [
        ("two boys", True),
        ("The  Boys", True),
        ("a woman's dog", True),
        ("woman’s dog", True),
        ("dogs", False),
        ("snow covered street", True),
        ("street with snow", True),
        ("a CAFÉ", True),
        ("three boys", False),
        ("street of gold", False),
        ("night sky", False),
        ("海滩", True),
        ("沙漠", False),
        ("the", True),
        ("with", False),
        ("...", False),
        ("dog " * 40, False),
    ],
)
def test_only_what_stands_in_the_caption_is_taken(phrase: str, kept: bool) -> None:
    phrases, dropped = read_reply(answer(["street"], [phrase]), CAPTION)
    assert bool(phrases.subjects) == kept
    assert len(dropped) == 1 - kept


def test_a_scene_that_is_an_action_is_refused() -> None:
    caption = "a man walking in a forest in the fog"
    text = answer(["Walking in a forest", "a forest"], ["a man", "A man"], ["walking in a  forest"], ["fog", "rain"])
    phrases, dropped = read_reply(text, caption)
    assert phrases == CaptionPhrases(
        caption=caption, scenes=("a forest",), subjects=("a man",), actions=("walking in a forest",), atmosphere=("fog",)
    )
    assert dropped == ["invented: rain", "a scene that is an action: Walking in a forest"]


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "Here:\n```json\n{}\n```\nDone {{smile}}.",
        '<think>{{"scenes": ["x"]}}</think>\n{}',
        "{}\n\nThe same again: {}",
        "Lists: {} <think> and more {{",
    ],
)
def test_an_answer_may_stand_amid_text(text: str) -> None:
    good = answer(["a park"], [], ["runs"])
    assert read_reply(text.format(good, good), "runs in a park")[0].scenes == ("a park",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no whole JSON object"),
        (answer(["a park"])[:-2], "no whole JSON object"),
        ("<think>" + answer(["a park"]), "no whole JSON object"),
        ("{" * 50_000, "no whole JSON object"),
        ('["a park"]', "no whole JSON object"),
        (answer(["a park"]) + answer(["a hall"]), "2 JSON objects that differ"),
        ("{}", "keys none, where"),
        ('{"scenes": []}', "keys scenes, where"),
        (answer()[:-1] + ', "objects": []}', "keys .*, objects, where"),
        (answer("a park"), "scenes is not a list of strings"),
        (answer([], None), "subjects is not a list of strings"),
        (answer([], [], [3]), "actions is not a list of strings"),
        (answer([], [], [], [["a"]]), "atmosphere is not a list of strings"),
        (answer(["\ud800"]), "half a character in it"),
    ],
)
def test_what_cannot_be_read_with_certainty_is_not_read(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_reply(text, "a park and a hall")


pieces = st.sampled_from(
    ["{", "}", "[", "]", '"', ":", ",", "<think>", "</think>", "```", "scenes", answer(["a"]), "\\ud800", "\n"]
)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40) | st.lists(pieces, max_size=12).map("".join))
def test_reading_an_answer_raises_nothing_but_its_refusal(text: str) -> None:
    try:
        phrases, _ = read_reply(text, "a b")
    except ValueError:
        return
    assert phrases.caption == "a b"


@pytest.mark.parametrize("newest", [1, 3, 1 << 16])
def test_known_captions_are_found_however_many_there_are(log: Path, newest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction_log, "NEWEST", newest)
    captions = placed(20)
    run(log, Recorder(), captions + captions)
    model = Recorder()
    assert run(log, model, captions) == [of(caption) for _, caption in captions]
    assert model.calls == []


def test_captions_with_one_hash_are_kept_apart(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction_log, "_key", lambda caption: 7)
    for _ in range(2):
        assert run(log, Recorder(), placed(5)) == [of(caption) for _, caption in placed(5)]


def test_known_captions_are_not_held_back_for_a_full_batch(log: Path) -> None:
    run(log, Recorder(), placed(100))
    taken: list[int] = []

    def source() -> object:
        for index, item in enumerate(placed(100)):
            taken.append(index)
            yield item

    next(extract(source(), Recorder(), log, model_name="m", batch_size=2))  # type: ignore[arg-type]
    assert len(taken) == 32


def test_a_full_disk_leaves_the_log_as_it_was(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(log, Recorder(), placed(4))
    before = log.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match=r"extraction\.jsonl: cannot be written: No space left"):
        run(log, Recorder(), placed(8))
    assert log.read_bytes() == before
