"""Captions files: every form is read, every bad row is told with its line and reason, and the fast way equals the plain one."""

from __future__ import annotations

import builtins
import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rapo_lightning import records
from rapo_lightning.errors import InputError
from rapo_lightning.retrieval.captions import csv_file as caption_csv
from rapo_lightning.retrieval.captions import phrase_blocks
from rapo_lightning.retrieval.captions.ingest import Skipped, open_captions
from rapo_lightning.retrieval.captions.list_cells import distinct
from rapo_lightning.types import CaptionPhrases
from tests.retrieval.cells import cells, literal

HEADER = "Input,Output,verb_obj_word,scenario_word,place"
GOOD = "a man walks,raw,['walking'],['calm'],['a park']"
IS_GOOD = CaptionPhrases(caption="a man walks", scenes=("a park",), actions=("walking",), atmosphere=("calm",))


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def writer(content: str | bytes, name: str = "rows.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return writer


def published(*rows: str) -> str:
    return "\n".join([HEADER, *rows]) + "\n"


def phrases(path: Path) -> list[CaptionPhrases | Skipped]:
    """All rows, with the places of skipped ones without their folder."""
    found = open_captions(path).phrases()
    return [Skipped(place=Path(r.place).name, reason=r.reason) if isinstance(r, Skipped) else r for r in found]


def skipped(rows: Iterable[object]) -> dict[str, str]:
    return {row.place: row.reason for row in rows if isinstance(row, Skipped)}


def test_the_published_form(write: Any) -> None:
    path = write(published(GOOD, "two,raw,\"['a', 'b']\",[''],['x']"))
    assert open_captions(path).has_phrases
    assert phrases(path) == [IS_GOOD, CaptionPhrases(caption="two", scenes=("x",), actions=("a", "b"))]


def test_the_three_kinds_form(write: Any) -> None:
    path = write("Input,Output,subject_word,verb_obj_word,atmosphere_word,place\nc,,['dog'],['runs'],['dusk'],['park']\n")
    wanted = CaptionPhrases(caption="c", scenes=("park",), subjects=("dog",), actions=("runs",), atmosphere=("dusk",))
    assert phrases(path) == [wanted]


def test_columns_that_make_one_list_add_up_in_any_order(write: Any) -> None:
    path = write("place,atmosphere_word,Input,scenario_word,verb_obj_word\n['p'],['dusk'],c,\"['Dusk', 'calm']\",['runs']\n")
    assert phrases(path) == [CaptionPhrases(caption="c", scenes=("p",), actions=("runs",), atmosphere=("Dusk", "calm"))]


def test_quotes_commas_and_line_breaks(write: Any) -> None:
    rows = [
        ['he said "go", then\nleft', "raw\nraw", ["a dog's tail, wet", 'the "best"'], ['says "it\'s"'], ["x, y"]],
        ["plain", "", ["b\\c\n"], ["é 海"], ["['", "', '", "']"]],
    ]
    buffer = io.StringIO()
    csv.writer(buffer).writerows([HEADER.split(","), *rows])
    assert phrases(write(buffer.getvalue())) == [
        CaptionPhrases(
            caption='he said "go", then\nleft',
            scenes=("x, y",),
            actions=("a dog's tail, wet", 'the "best"'),
            atmosphere=('says "it\'s"',),
        ),
        CaptionPhrases(caption="plain", scenes=("['", "', '", "']"), actions=("b\\c",), atmosphere=("é 海",)),
    ]


def test_phrases_are_tidied_and_distinct(write: Any) -> None:
    row = "c,,\"[' a  b', 'A b', '', 'c\xa0d']\",['  '],\"['x ', 'y', 'x']\""
    assert phrases(write(published(row))) == [CaptionPhrases(caption="c", scenes=("x", "y"), actions=("a b", "c d"))]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("c,,['a'],['b'],['x'", "place: a malformed list: \"['x'\""),
        ("c,,['a'],,['x']", "scenario_word: a malformed list: ''"),
        ("c,,__import__('os'),['b'],['x']", "verb_obj_word: a malformed list: \"__import__('os')\""),
        ("c,,['a'],\"['b', 3]\",['x']", "scenario_word: not a list of strings: \"['b', 3]\""),
        ("c,,['a'],['b'],'x'", "place: not a list of strings: \"'x'\""),
        ("c,,['a'],['b'],('x')", "place: not a list of strings: \"('x')\""),
        (",,['a'],['b'],['x']", "Input: empty"),
        ("  ,,['a'],['b'],['x']", "Input: empty"),
        ("c,,['a'],['b']", "4 cells for 5 columns"),
        ("c,,['a'],['b'],['x'],", "6 cells for 5 columns"),
        ("c,,['a'],['b'],['']", "no scene"),
        ("c,,['a'],['b'],[]", "no scene"),
        ("c,,[''],[' '],['x']", "a scene, but nothing said about it"),
        ("c,,['a'],\"['b', '\\ud800']\",['x']", "scenario_word: a list with half a character in it: \"['b', '\\\\ud800']\""),
        ("c,,['a'],\"['b\"x,['x']", "not CSV: ',' expected after '\"'"),
    ],
)
def test_a_bad_row_is_told_and_the_others_kept(write: Any, row: str, reason: str) -> None:
    assert phrases(write(published(GOOD, row, GOOD))) == [IS_GOOD, Skipped(place="rows.csv:3", reason=reason), IS_GOOD]


def test_bytes_that_are_not_utf8_cost_their_row_only(write: Any) -> None:
    bad = [
        f"{before}\xff{after}".encode("latin-1") for before, after in (GOOD.split("walks"), GOOD.split("raw"), GOOD.split("park"))
    ]
    content = b"\n".join([HEADER.encode(), GOOD.encode(), *bad, "é,,['a'],[],['x']".encode(), GOOD.encode()])
    found = phrases(write(content))
    assert skipped(found) == {
        "rows.csv:3": "Input: not UTF-8: byte 0xff",
        "rows.csv:4": "Output: not UTF-8: byte 0xff",
        "rows.csv:5": "place: not UTF-8: byte 0xff",
    }
    assert [found[0], found[5]] == [IS_GOOD, IS_GOOD]
    assert isinstance(found[4], CaptionPhrases)
    assert found[4].caption == "é"


def test_line_numbers_are_those_of_the_file(write: Any) -> None:
    rows = [GOOD, "\"a\n\nb\",raw,['a'],[],['x']", "", "bad", '"c\nd","e\n",[],[],[\'x\']', "bad", GOOD]
    assert skipped(phrases(write("\n" + published(*rows)))) == {
        "rows.csv:8": "1 cells for 5 columns",
        "rows.csv:9": "a scene, but nothing said about it",
        "rows.csv:12": "1 cells for 5 columns",
    }


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_and_a_byte_order_mark(write: Any, end: str, last: bool) -> None:
    content = "\ufeff" + end.join([HEADER, GOOD, "bad", GOOD]) + end * last
    assert phrases(write(content)) == [IS_GOOD, Skipped(place="rows.csv:3", reason="1 cells for 5 columns"), IS_GOOD]


@pytest.mark.parametrize("broken", ["\"never closed,raw,['a'],[],['x']", "c,raw,\"['a'],[],['x']", "c,raw,['a'],[],\"['x']"])
def test_a_quote_that_is_never_closed_costs_its_line_only(write: Any, broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption_csv, "BLOCK", 100)
    found = phrases(write(published(GOOD, broken, *[GOOD] * 9)))
    assert list(skipped(found)) == ["rows.csv:3"]
    assert found.count(IS_GOOD) == 10
    found = phrases(write(published(GOOD, broken, GOOD, "c2,raw,\"['a', 'b']\",[],['x']", GOOD)))
    assert list(skipped(found)) == ["rows.csv:3"]
    assert len(found) == 5


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_blocks_may_end_anywhere(write: Any, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    content = published(GOOD, '"a\nb","c\n""d"",\n",[\'a\'],[],[\'x\']', "bad", "é,,['a'],[],['x']", GOOD) * 3
    whole = phrases(write(content))
    monkeypatch.setattr(caption_csv, "BLOCK", size)
    assert phrases(write(content)) == whole
    assert len(skipped(whole)) == 5  # two more headers, as rows


def test_a_field_over_the_csv_limit_is_told(write: Any) -> None:
    found = phrases(write(published(GOOD, f"c,{'x' * 140_000},['a'],[],['x']", GOOD)))
    assert found == [IS_GOOD, Skipped(place="rows.csv:3", reason="not CSV: field larger than field limit (131072)"), IS_GOOD]


def test_a_line_without_end_is_refused_before_it_fills_the_memory(write: Any) -> None:
    with pytest.raises(InputError, match=r"rows\.csv:3: no end of line in \d+ characters"):
        phrases(write(published(GOOD) + "x" * 3_000_000))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty, not even a header"),
        ("\n\n", "empty, not even a header"),
        (HEADER + "\n", "holds no captions"),
        ("Input,Output,verb_obj_word,scenario_word\n", "no column place; found Input, Output, verb_obj_word, scenario_word"),
        ("Input,Output,place\n", "no column verb_obj_word and scenario_word; found Input, Output, place"),
        ("Input,scenario_word,place\n", "no column verb_obj_word; found"),
        ("Input,verb_obj_word,place\n", "no column scenario_word; found"),
        ("caption,scenes\n", "no column subjects or actions or atmosphere; found"),
        ("caption,actions\n", "no column scenes; found"),
        ("Output,verb_obj_word,scenario_word,place\n", "no column caption or .* or Input; found"),
        ("Input,a,a\n", ":1: column 'a' stands twice in the header"),
        (b"Input,\xff\n", r":1: the header: not UTF-8: byte 0xff"),
        (b"\xff\xfeI\x00n\x00", r":1: UTF-16; captions files are UTF-8"),
        (b"\x00I\x00n", r":1: the header: a zero byte in it; is the file UTF-16"),
        ('Input,"a"b\n', r":1: the header is not CSV: .* expected after"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_what_was_found(write: Any, content: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=rf"rows\.csv:?.*{message}"):
        phrases(write(content))


def test_unreadable_files(tmp_path: Path) -> None:
    for name in ("none.csv", "none.txt", "none.jsonl", "none.parquet"):
        with pytest.raises(InputError, match=rf"{name}: No such file"):
            open_captions(tmp_path / name)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=r"folder\.csv: Is a directory"):
        open_captions(tmp_path / "folder.csv")
    (tmp_path / "a.tsv").touch()
    with pytest.raises(InputError, match=r"end in \.txt, \.csv, \.jsonl or \.parquet, not \.tsv"):
        open_captions(tmp_path / "a.tsv")


def test_a_disk_that_fails_midway_is_told(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(published(*[GOOD] * 99))
    monkeypatch.setattr(caption_csv, "BLOCK", 500)
    rows = open_captions(path).phrases()
    assert next(rows) == IS_GOOD

    def failing(text: str) -> bool:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(caption_csv, "_is_clean", failing)
    with pytest.raises(InputError, match=r"rows\.csv: Input/output error"):
        list(rows)


def test_plain_captions(write: Any, tmp_path: Path) -> None:
    for name, content in {
        "a.txt": b"one\n\n \xff\ntwo, and more  \n",
        "a.csv": b'id,text\n1,one\n\n2,"\xff"\n3,"two, and more "\n',
        "a.jsonl": b'{"prompt": "one"}\n\n{"prompt": "\xff"}\n{"prompt": "two, and more"}\n',
    }.items():
        file = open_captions(write(content, name))
        assert not file.has_phrases
        place = f"{tmp_path / name}:"
        first = 1 + (name == "a.csv")
        good, bad, last = file.captions()
        assert (good, last) == ((f"{place}{first}", "one"), (f"{place}{first + 3}", "two, and more"))
        assert isinstance(bad, Skipped)
        assert (bad.place, "not UTF-8: byte 0xff" in bad.reason) == (f"{place}{first + 2}", True)
        with pytest.raises(InputError, match="without phrases"):
            file.phrases()
    with pytest.raises(InputError, match="holds no captions"):
        list(open_captions(write("\n", "b.txt")).captions())


def test_a_named_column_and_the_captions_of_a_file_with_phrases(write: Any) -> None:
    path = write("caption,mine\nno,yes\n")
    assert [row[1] for row in open_captions(path, "mine").captions() if isinstance(row, tuple)] == ["yes"]
    with pytest.raises(InputError, match="no column other; found caption, mine"):
        open_captions(path, "other")
    path = write(published(GOOD))
    assert list(open_captions(path).captions()) == [(f"{path}:2", "a man walks")]


def test_json_lines_with_phrases(write: Any) -> None:
    lines = [
        records.encode(IS_GOOD),
        json.dumps({"caption": "c", "scenes": ["x"], "subjects": ["a  b", ""], "actions": None}),
        *('{"caption": "c", "scenes": "x"}', '{"caption": 3, "scenes": ["x"]}', '{"caption": "c", "scenes": ["x", 3]}'),
        *("[1]", "{", '{"caption": "c", "scenes": ["\\ud800"]}', '{"scenes": ["x"], "actions": ["a"]}'),
    ]
    found = phrases(write("\n".join(lines), "rows.jsonl"))
    assert found[:2] == [IS_GOOD, CaptionPhrases(caption="c", scenes=("x",), subjects=("a b",))]
    reasons = list(skipped(found).values())
    assert list(skipped(found)) == [f"rows.jsonl:{number}" for number in range(3, 10)]
    assert reasons[:4] == [
        "scenes: a malformed list: 'x'",
        "caption: not text",
        "scenes: not a list of strings: \"['x', 3]\"",
        "neither a JSON object nor a string",
    ]
    assert reasons[4].startswith("not JSON: ")
    assert reasons[5:] == ["half a character in it: \\ud800", "caption: missing"]


def test_json_lines_that_begin_badly(write: Any) -> None:
    file = open_captions(write('{\n"one"\n', "a.jsonl"))
    assert [row if isinstance(row, Skipped) else row[1] for row in file.captions()][1] == "one"
    with pytest.raises(InputError, match=r"a\.jsonl: no row can be read, the first because: .*a\.jsonl:1: not JSON"):
        open_captions(write("{\n{\n", "a.jsonl"))
    with pytest.raises(InputError, match=r"a\.jsonl: empty"):
        open_captions(write("", "a.jsonl"))


def test_parquet(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    bad = pa.array([b"one", b"\xff", b"", b"two"], pa.binary()).view(pa.string())
    lists = {"scenes": [["x"], ["x"], ["x"], []], "actions": [["a"], None, ["a"], ["a"]]}
    pq.write_table(pa.table({"text": bad, **lists}), tmp_path / "a.parquet")
    found = phrases(tmp_path / "a.parquet")
    assert found[0] == CaptionPhrases(caption="one", scenes=("x",), actions=("a",))
    assert list(skipped(found)) == [f"a.parquet: row {n}" for n in (2, 3, 4)]
    assert [reason.split(":")[0] for reason in skipped(found).values()] == ["not UTF-8", "text", "no scene"]
    pq.write_table(
        pa.table({"Input": ["c"], "verb_obj_word": ["['a']"], "scenario_word": ["[]"], "place": ["['x']"]}),
        tmp_path / "b.parquet",
    )
    assert phrases(tmp_path / "b.parquet") == [CaptionPhrases(caption="c", scenes=("x",), actions=("a",))]
    pq.write_table(pa.table({"prompt": ["c"]}), tmp_path / "c.parquet")
    assert list(open_captions(tmp_path / "c.parquet").captions()) == [(f"{tmp_path / 'c.parquet'}: row 1", "c")]
    whole = (tmp_path / "a.parquet").read_bytes()
    for content in (b"", b"no", whole[:-9]):
        (tmp_path / "d.parquet").write_bytes(content)
        with pytest.raises(InputError, match=r"d\.parquet: not a readable parquet file"):
            open_captions(tmp_path / "d.parquet")


def test_parquet_without_pyarrow(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r'pip install "rapo-lightning\[parquet\]"'):
        open_captions(write(b"PAR1", "a.parquet"))


def test_a_skipped_row_can_be_recorded(tmp_path: Path) -> None:
    row = Skipped(place="a.csv:3", reason="no scene")
    records.append(tmp_path / "skipped.jsonl", row)
    assert list(records.read(tmp_path / "skipped.jsonl", Skipped)) == [row]


def plainly(text: str) -> list[CaptionPhrases | None]:
    """The plain way; None for a row that is skipped."""
    found: list[CaptionPhrases | None] = []
    for row_ in csv.reader(io.StringIO(text), strict=True):
        lists = [literal(cell) for cell in row_[2:]]
        actions, atmosphere, scenes = (distinct(phrases or ()) for phrases in lists)
        good = row_[0].strip() and scenes and (actions or atmosphere) and None not in lists
        row = CaptionPhrases(caption=row_[0].strip(), scenes=scenes, actions=actions, atmosphere=atmosphere)
        found.append(row if good else None)
    return found


texts = st.text(st.sampled_from("ab ,'\"\n\\é[]"), max_size=8)
simple = st.lists(st.sampled_from(["a", "b c", "A", "d's", "", " e", "f  g", "h, i", 'j"k']), max_size=3).map(repr)
rows_ = st.lists(st.tuples(texts, texts, *[simple | simple | cells] * 3), min_size=1, max_size=8)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows_, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_blocks_rows_and_the_plain_way_agree(tmp_path: Path, rows: list[tuple[str, ...]], quoting: Any) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, quoting=quoting, lineterminator="\n").writerows([[c.replace("\r", "") for c in row] for row in rows])
    path = tmp_path / "rows.csv"
    path.write_text(f"{HEADER}\n{buffer.getvalue()}", encoding="utf-8", newline="")
    in_blocks, in_rows = both_ways(path)
    assert in_blocks == in_rows
    assert [None if isinstance(row, Skipped) else row for row in in_blocks] == plainly(buffer.getvalue())


def both_ways(path: Path) -> list[list[CaptionPhrases | Skipped]]:
    """All rows, in blocks and row by row."""
    in_blocks = list(open_captions(path).phrases())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phrase_blocks.PhraseBlocks, "read", lambda *arguments: None)
        return [in_blocks, list(open_captions(path).phrases())]


fields = st.sampled_from(
    ["['a']", "\"['a', 'b']\"", '"[""d\'s""]"', "[]", "['']", "", "c", '"c, d"', "['a", "b']", 'e"f', '"g', "'", " "]
)
raw_lines = st.lists(st.one_of(st.just(GOOD), st.lists(fields, min_size=4, max_size=6).map(",".join)), min_size=1, max_size=6)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    raw_lines,
    st.sampled_from([HEADER, "place,scenario_word,verb_obj_word,Output,Input", "place,Input,Output,subject_word,verb_obj_word"]),
)
def test_blocks_and_rows_agree_on_broken_files(tmp_path: Path, lines: list[str], header: str) -> None:
    path = tmp_path / "rows.csv"
    # A row of separators alone is a blank line, and a file of nothing else is an error; so there is always one more row.
    path.write_text("\n".join([header, *lines, GOOD]), encoding="utf-8")
    in_blocks, in_rows = both_ways(path)
    assert in_blocks == in_rows


def test_the_fast_way_is_taken(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells with apostrophes, empty lists, other scripts and bad rows do not send a whole block the slow way."""
    monkeypatch.setattr(caption_csv, "_rows", lambda *arguments: pytest.fail("read row by row"))
    rows = [
        GOOD,
        '"a, b",,"[""d\'s""]",[],[\'x\']',
        "é,,['海'],[''],['x']",
        "c,,['a'],nan,['x']",
        "c,,['a'],['b'],[]",
        ",,[],[],[]",
    ]
    assert list(skipped(phrases(write(published(*rows))))) == ["rows.csv:5", "rows.csv:6", "rows.csv:7"]
