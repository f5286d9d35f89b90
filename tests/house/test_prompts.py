"""Prompt files of every form, and an error with file and line for each thing that can be wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rapo_lightning.errors import InputError
from rapo_lightning.prompts import load_prompts
from rapo_lightning.types import Prompt, prompt_id


def write(folder: Path, name: str, content: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def test_text_has_one_prompt_a_line(tmp_path: Path) -> None:
    file = write(tmp_path, "p.txt", '\ufeff  A red ball. \r\n\n   \nÜber, "den" Bergen')
    assert load_prompts(file) == [Prompt.of("A red ball."), Prompt.of('Über, "den" Bergen')]


def test_repeated_texts_get_ids_of_their_own(tmp_path: Path) -> None:
    first = prompt_id("a ball")
    assert [prompt.id for prompt in load_prompts(write(tmp_path, "p.txt", "a ball\na cube\na ball\na ball\n"))] == [
        first,
        prompt_id("a cube"),
        f"{first}-2",
        f"{first}-3",
    ]
    rows = [{"prompt": "a ball"}, {"prompt": "x", "id": f"{first}-2"}, "a ball"]
    assert [prompt.id for prompt in load_prompts(write(tmp_path, "p.json", json.dumps(rows)))] == [
        first,
        f"{first}-2",
        f"{first}-3",
    ]


def test_csv_columns(tmp_path: Path) -> None:
    text = 'id, phys_law ,captions,locked,source\nb-1,gravity,"A ball,\nfalling",ball; two balls ;,web\n\n,,A cube,,\n'
    assert load_prompts(write(tmp_path, "p.csv", text)) == [
        Prompt(
            id="b-1",
            text="A ball,\nfalling",
            context={"physical_rule": "gravity", "locked": ["ball", "two balls"], "source": "web"},
        ),
        Prompt.of("A cube", source=""),
    ]


@pytest.mark.parametrize("column", ["prompt", "text", "captions", "caption"])
def test_known_text_columns(tmp_path: Path, column: str) -> None:
    assert load_prompts(write(tmp_path, "p.csv", f"n,{column}\n1,a ball\n")) == [Prompt.of("a ball", n="1")]


def test_named_columns_come_first(tmp_path: Path) -> None:
    file = write(tmp_path, "p.csv", "prompt,long,law,phys_law\na,b,c,d\n")
    assert load_prompts(file, text_column="long", rule_column="law") == [
        Prompt.of("b", prompt="a", physical_rule="c", phys_law="d")
    ]
    assert load_prompts(file) == [Prompt.of("a", long="b", law="c", physical_rule="d")]


def test_json_lines_and_lists(tmp_path: Path) -> None:
    rows = ["a ball", {"text": "a cube", "id": 7, "locked": ["cube"], "physical_rule": "inertia", "n": [1, None]}]
    expected = [
        Prompt.of("a ball"),
        Prompt(id="7", text="a cube", context={"physical_rule": "inertia", "n": [1, None], "locked": ["cube"]}),
    ]
    assert load_prompts(write(tmp_path, "p.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n")) == expected
    assert load_prompts(write(tmp_path, "p.json", json.dumps(rows, indent=1))) == expected
    assert load_prompts(write(tmp_path, "q.jsonl", '"a ball"\n'), text_column="caption_2") == [Prompt.of("a ball")]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("p.txt", "", ": holds no prompts"),
        ("p.txt", " \n\n", ": holds no prompts"),
        ("p.txt", b"a ball\na \xff ball\n", ":2: not UTF-8: byte 0xff at column 3"),
        ("p.txt", "a ball\n".encode("utf-16"), ":1: not UTF-8: byte 0xff at column 1"),
        ("p.csv", "prompt\n", ": holds no prompts"),
        ("p.csv", "", ": holds no prompts"),
        (
            "p.csv",
            "title,n\na,1\n",
            ":2: no column prompt or text or captions or caption among title, n; name the right one with text_column",
        ),
        ("p.csv", "prompt,n\na,1\n ,2\n", ":3: the prompt (prompt) must be text and not empty"),
        ("p.csv", "prompt,n\na\n", ":2: 1 values for 2 columns"),
        ("p.csv", 'prompt,n\n"a\nb",1\na,b,c\n', ":4: 3 values for 2 columns"),
        ("p.csv", "prompt,prompt\na,b\n", ":1: column 'prompt' stands twice in the header"),
        ("p.csv", 'prompt\n"a ball\n', ":2: unexpected end of data"),
        ("p.csv", 'prompt\n"a" ball\n', ":2: ',' expected after '\"'"),
        ("p.csv", f"prompt\n{'x' * 200_000}\n", ":2: field larger than field limit (131072)"),
        ("p.csv", "prompt,id\na,x\nb,x\n", ":3: id 'x' was given before, at "),
        ("p.csv", f"prompt,id\na,{'x' * 101}\n", ":2: prompt id "),
        ("p.csv", "prompt,id\na,../x\n", ":2: prompt id '../x': use 1 to 100 letters"),
        ("p.jsonl", '"a"\n{"prompt": \n', ":2: not JSON: Expecting value"),
        ("p.jsonl", '{"prompt": "a", "n": NaN}\n', ":1: not JSON: NaN is no number"),
        ("p.jsonl", '"\\ud800"\n', ":1: not JSON: 'utf-8' codec can't encode"),
        ("p.jsonl", "3\n", ":1: must be an object or a string"),
        ("p.jsonl", '{"prompt": 3}\n', ":1: the prompt (prompt) must be text and not empty"),
        ("p.jsonl", '{"prompt": "a", "id": true}\n', ":1: the id must be text"),
        ("p.jsonl", '{"prompt": "a", "locked": [1]}\n', ":1: locked must be words"),
        ("p.jsonl", "{}\n", ":1: no column prompt or text or captions or caption among none"),
        ("p.jsonl", "[" * 100_000, ":1: not JSON: nested too deeply"),
        ("p.json", '["a", {"text": ""}]', ": item 2: the prompt (text) must be text and not empty"),
        ("p.json", '{"prompt": "a"}', ": must hold a list of prompts"),
        ("p.json", "[", ": not JSON: Expecting value"),
        ("p.md", "a", ": prompt files end in .txt, .csv, .jsonl or .json, not '.md'"),
        ("p", "a", ": prompt files end in .txt, .csv, .jsonl or .json, not 'without a suffix'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, content: str | bytes, problem: str) -> None:
    file = write(tmp_path, name, content)
    with pytest.raises(InputError) as caught:
        load_prompts(file)
    assert str(caught.value).startswith(f"{file}{problem}")


def test_a_named_column_must_be_there(tmp_path: Path) -> None:
    file = write(tmp_path, "p.csv", "prompt\na\n")
    with pytest.raises(InputError, match=r"p\.csv:2: no column long among prompt"):
        load_prompts(file, text_column="long")
    with pytest.raises(InputError, match=r"p\.csv:2: no column law among prompt"):
        load_prompts(file, rule_column="law")


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.txt: No such file"):
        load_prompts(tmp_path / "none.txt")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=r"folder\.csv: Is a directory"):
        load_prompts(tmp_path / "folder.csv")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    suffix=st.sampled_from([".txt", ".csv", ".jsonl", ".json"]),
    head=st.sampled_from([b"", b"prompt,id,locked\n", b'"a ball"\n', b'[{"text": "a"}, ']),
    content=st.binary(max_size=30) | st.text('ab,"\n\r[]{}:1\\u', max_size=30).map(str.encode),
)
def test_any_file_gives_prompts_or_an_input_error(tmp_path: Path, suffix: str, head: bytes, content: bytes) -> None:
    file = write(tmp_path, f"p{suffix}", head + content)
    try:
        prompts, problem = load_prompts(file), ""
    except InputError as error:
        prompts, problem = [], str(error)
    assert bool(prompts) != problem.startswith(str(file))
    assert len({prompt.id for prompt in prompts}) == len(prompts)
