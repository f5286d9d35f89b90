"""Folders of videos that are named as benchmarks want them, and VBench's list of prompts with videos."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from evaluation.errors import InputError
from evaluation.inputs.full_info import read_full_info
from evaluation.inputs.read import read_input
from evaluation.inputs.suite import read_suite
from evaluation.suites.prompts import PromptSuite

STILL = "In a still frame, a stop sign"


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def test_a_flat_folder_of_vbench(tmp_path: Path) -> None:
    acts = next(p.prompt for p in PromptSuite("vbench").prompts if p.dimension == ("human_action",))
    touch(tmp_path, f"{STILL}-0.mp4", f"{STILL}-4.gif", f"{acts}-1.mp4", "my own-0.mp4", "notes.txt")
    found = read_suite(tmp_path, PromptSuite("vbench"))
    assert [(Path(r.video).name, r.prompt, r.sample, r.dimensions) for r in found.records] == [
        (f"{STILL}-0.mp4", STILL, 0, ("temporal_flickering",)),
        (f"{STILL}-4.gif", STILL, 4, ("temporal_flickering",)),
        (f"{acts}-1.mp4", acts, 1, ("human_action",)),
    ]
    assert [r.index for r in found.records] == [0, 1, 2]
    assert len(found.missing) == 4730 - 3, "two prompts are listed twice"
    lost = {record.video: record for record in found.missing}
    still = lost[str(tmp_path / f"{STILL}-1.mp4")]
    assert (still.prompt, still.sample, still.dimensions) == (STILL, 1, ("temporal_flickering",))
    assert len(lost) == 4720 - 3
    assert "4,717 of 4,720 videos of vbench are not there" in found.notes[0]
    assert any("my own-0.mp4" in note for note in found.notes)
    few = read_suite(tmp_path, PromptSuite("vbench"), dimensions=["human_action"])
    assert [r.prompt for r in few.records] == [acts]
    assert len(few.missing) == 499


def test_folders_by_dimension_and_a_name_between(tmp_path: Path) -> None:
    prompts = PromptSuite("vbench").prompts
    both = next(p for p in prompts if {"subject_consistency", "dynamic_degree", "motion_smoothness"} <= set(p.dimension))
    place = next(p for p in prompts if {"scene", "background_consistency"} <= set(p.dimension))
    touch(tmp_path, f"subject_consistency/{both.prompt}-x-0.mp4", f"scene/{place.prompt}-x-0.mp4")
    found = read_suite(tmp_path, PromptSuite("vbench"), special="-x")
    assert {r.prompt: set(r.dimensions) for r in found.records} == {
        both.prompt: {"subject_consistency", "dynamic_degree", "motion_smoothness"},
        place.prompt: {"scene", "background_consistency"},
    }
    assert found.records[-1].auxiliary_info or found.records[0].auxiliary_info
    lost = {Path(record.video).relative_to(tmp_path).as_posix(): set(record.dimensions) for record in found.missing}
    assert lost[f"subject_consistency/{both.prompt}-x-1.mp4"] == {"subject_consistency", "dynamic_degree", "motion_smoothness"}
    assert f"subject_consistency/{both.prompt}-x-0.mp4" not in lost
    some = next(p for p in prompts if "overall_consistency" in p.dimension)
    assert lost[f"overall_consistency/{some.prompt}-x-4.mp4"] == set(some.dimension)
    assert all("/" in name for name in lost)
    only = read_suite(tmp_path, PromptSuite("vbench"), special="-x", dimensions=["background_consistency"])
    assert {record.dimensions for record in only.missing} == {("background_consistency",)}


def test_a_prompt_that_is_listed_twice_counts_twice(tmp_path: Path) -> None:
    texts = Counter(p.prompt for p in PromptSuite("vbench").prompts)
    (twice, count), *_ = texts.most_common(1)
    assert count == 2
    found = read_suite(touch(tmp_path, f"{twice}-0.mp4"), PromptSuite("vbench"))
    assert [r.prompt for r in found.records] == [twice, twice]
    assert len({r.video for r in found.records}) == 1


def test_another_suite_from_its_own_file(tmp_path: Path) -> None:
    (tmp_path / "prompts.json").write_text(json.dumps([{"caption": "x"}] * 2))
    with pytest.raises(InputError, match="evalcrafter"):
        read_input(tmp_path, suite="evalcrafter")
    with pytest.raises(InputError, match="no such suite"):
        read_input(tmp_path, suite="vbench9")


def test_nothing_that_the_suite_knows(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        read_suite(tmp_path / "none", PromptSuite("vbench"))
    touch(tmp_path, "a cat.mp4")
    with pytest.raises(InputError, match=r"none of 1 videos is named as vbench wants it, such as '.*-0.mp4'.*custom_input"):
        read_suite(tmp_path, PromptSuite("vbench"))
    with pytest.raises(InputError, match="no prompts for colour"):
        read_suite(tmp_path, PromptSuite("vbench"), dimensions=["colour"])


def test_vbench_s_list_with_videos(tmp_path: Path) -> None:
    entries = [
        {"prompt_en": "alley", "dimension": ["scene"], "auxiliary_info": {"scene": {"scene": {"scene": "alley"}}}},
        {
            "prompt_en": "a cat",
            "dimension": ["color"],
            "auxiliary_info": {"color": "red"},
            "video_list": ["v/a-0.mp4", "a-1.mp4"],
        },
        {"prompt_en": "b", "dimension": [], "video_list": [str(tmp_path / "b.mp4")]},
    ]
    entries[0]["video_list"] = ["alley.mp4"]
    path = tmp_path / "full_info.json"
    path.write_text(json.dumps(entries))
    first, second, third, fourth = read_input(path).records
    assert first.auxiliary_info == {"scene": {"scene": "alley"}}
    assert (second.video, second.sample, third.sample) == (str(tmp_path / "v/a-0.mp4"), 0, 1)
    assert (second.auxiliary_info, second.dimensions) == ({"color": "red"}, ("color",))
    assert (fourth.video, fourth.dimensions) == (str(tmp_path / "b.mp4"), ())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "no list of prompts"),
        ("{}", "no list of prompts"),
        ('[{"prompt": "x"}]', "entry 0: no prompt_en"),
        ('[{"prompt_en": "x", "video_list": "a.mp4"}]', "video_list is no list"),
        ('[{"prompt_en": "x"}]', "none has a video_list"),
    ],
)
def test_lists_that_are_none(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError, match=says):
        read_full_info(tmp_path / "x.json")
