"""Inputs: the manifest and one's own videos, right and wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.errors import InputError
from evaluation.inputs.custom import read_custom
from evaluation.inputs.manifest import manifest_lines, prompt_id_of, read_manifest
from evaluation.video.record import Record


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_line_with_all_keys_and_one_with_two(tmp_path: Path) -> None:
    whole = {
        "video": "v/a.mp4", "prompt": "a cat", "prompt_id": "p17", "variant": "optimised", "prompt_optimised": "a big cat",
        "seed": 42, "index": 3, "dimension": ["aesthetic_quality"], "auxiliary_info": {"color": {"color": "red"}},
    }  # fmt: skip
    found = read_manifest(write(tmp_path / "m.jsonl", whole, "", {"video": str(tmp_path / "b.mp4"), "prompt": "a dog"}))
    first, second = found.records
    assert first == Record(
        index=0, video=str(tmp_path / "v/a.mp4"), prompt="a cat", prompt_id="p17", variant="optimised",
        prompt_optimised="a big cat", seed=42, sample=3, dimensions=("aesthetic_quality",),
        auxiliary_info={"color": {"color": "red"}},
    )  # fmt: skip
    assert second == Record(index=1, video=str(tmp_path / "b.mp4"), prompt="a dog", prompt_id=prompt_id_of("a dog"))
    again = read_manifest(write(tmp_path / "again.jsonl", manifest_lines(found.records).rstrip()))
    assert again.records == found.records


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("{", "not JSON"),
        ([1], "not an object"),
        ({"video": "a.mp4"}, "prompt is missing"),
        ({"video": "a.mp4", "prompt": "x", "optimised": True}, "unknown key 'optimised'"),
        ({"video": "a.mp4", "prompt": "x", "seed": "4"}, 'seed is "4", not int or null'),
        ({"video": "a.mp4", "prompt": "x", "index": True}, "index is true"),
        ({"video": "a.mp4", "prompt": "x", "dimension": [1]}, "dimension holds something that is no name"),
        ({"video": "", "prompt": "x"}, "video is empty"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, row: Any, says: str) -> None:
    path = write(tmp_path / "m.jsonl", {"video": "a.mp4", "prompt": "x"}, row)
    with pytest.raises(InputError) as caught:
        read_manifest(path)
    assert f"m.jsonl:2: {says}" in str(caught.value)


def test_all_wrong_lines_at_once_and_files_that_are_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_manifest(write(tmp_path / "m.jsonl", *["{"] * 30))
    assert len(str(caught.value).splitlines()) == 21
    assert str(caught.value).endswith("10 more")
    (tmp_path / "b.jsonl").write_bytes(b"\xff\xfe\x00")
    for name in ("b.jsonl", "none.jsonl", "."):
        with pytest.raises(InputError, match="no manifest"):
            read_manifest(tmp_path / name)


def test_ids_that_stand_for_two_prompts_are_told(tmp_path: Path) -> None:
    rows = [{"video": f"{n}.mp4", "prompt": text, "prompt_id": "p"} for n, text in enumerate(["a cat", "a better cat"])]
    (note,) = read_manifest(write(tmp_path / "m.jsonl", *rows)).notes
    assert "1 prompt ids with different prompts (p)" in note


def test_own_videos(tmp_path: Path) -> None:
    for name in ("a red-haired man-1.mp4", "a red-haired man-0.MP4", "notes.txt", "b.gif"):
        (tmp_path / name).write_bytes(b"x")
    found = read_custom(tmp_path).records
    assert [(Path(r.video).name, r.prompt, r.sample, r.index) for r in found] == [
        ("a red-haired man-0.MP4", "a red-haired man", 0, 0),
        ("a red-haired man-1.mp4", "a red-haired man", 1, 1),
        ("b.gif", "b", 0, 2),
    ]
    assert found[0].prompt_id == found[1].prompt_id != found[2].prompt_id
    assert [r.prompt for r in read_custom(tmp_path / "b.gif", prompt="a bee").records] == ["a bee"]
    prompts = tmp_path / "prompts.json"
    names = {"a red-haired man-0.MP4": "one", "a red-haired man-1": "two", str(tmp_path / "b.gif"): "three", "more": "four"}
    prompts.write_text(json.dumps(names), encoding="utf-8")
    given = read_custom(tmp_path, prompt_file=prompts)
    assert [r.prompt for r in given.records] == ["one", "two", "three"]
    assert given.notes == ("1 prompts without a video",)


def test_own_videos_that_cannot_be_taken(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        read_custom(tmp_path / "none")
    with pytest.raises(InputError, match="no videos"):
        read_custom(tmp_path)
    (tmp_path / "a.mp4").write_bytes(b"x")
    with pytest.raises(InputError, match="not both"):
        read_custom(tmp_path, prompt="x", prompt_file="y")
    prompts = tmp_path / "prompts.json"
    for content, says in (
        ('{"b.mp4": "x"}', r"no prompt for 1 videos \(a.mp4\)"),
        ('["x"]', "not of the form"),
        ("{", "no file of"),
    ):
        prompts.write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=says):
            read_custom(tmp_path, prompt_file=prompts)
