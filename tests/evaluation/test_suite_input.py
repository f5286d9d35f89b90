"""Folders of videos that are named as benchmarks want them, and VBench's list of prompts with videos."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from evaluation.catalog.table import entry
from evaluation.errors import InputError
from evaluation.inputs.full_info import read_full_info
from evaluation.inputs.read import read_input
from evaluation.inputs.suite import read_suite
from evaluation.job import Job
from evaluation.measures import Measure
from evaluation.suites.naming import names
from evaluation.suites.prompts import PromptSuite
from evaluation.work import works

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


def suite_of(folder: Path, name: str) -> PromptSuite:
    """Two prompts of each kind that a suite has, in its own form."""
    files: dict[str, dict[str, Any]] = {
        "evalcrafter": {"metadata.json": {"0000": {"prompt": "p0"}, "0001": {"prompt": "p1"}}},
        "videophy": {"test.json": [{"caption": "p0"}, {"caption": "p1"}]},
        "phygenbench": {"prompts.json": [{"caption": f"p{n}", "main_category": "Optics"} for n in range(2)]},
        "vbench2": {"full.json": [{"prompt_en": f"p{n}", "dimension": d} for n, d in enumerate(("Human_Clothes", "Material"))]},
        "t2v_compbench": {f"{d}.json": [{"prompt": "p0"}] for d in ("consistent_attribute_binding", "motion_binding")},
    }
    folder.mkdir(exist_ok=True)
    for file, content in files[name].items():
        (folder / file).write_text(json.dumps(content), encoding="utf-8")
    alone = len(files[name]) == 1 and name != "phygenbench"
    return PromptSuite(name, folder / next(iter(files[name])) if alone else folder)


@pytest.mark.parametrize(
    ("name", "metrics", "numbers"),
    [
        ("evalcrafter", ["aesthetic_quality", "clip_score"], [0, 1]),
        ("videophy", ["videophy.sa"], [0, 1]),
        ("videophy", ["subject_consistency"], [0, 1]),
        ("phygenbench", ["phygenbench.vlm"], [0, 1]),
        ("vbench2", ["human_clothes.vlm"], [0]),
        ("vbench2", ["human_clothes.vlm", "clip_score"], [0, 1]),
        ("vbench2", ["subject_consistency"], [0, 1]),
        ("phygenbench", ["temporal_flickering", "phygenbench.vlm"], [0, 1]),
        ("t2v_compbench", ["imaging_quality", "compbench.consistent_attribute.vlm"], [0, 1]),
        ("vbench2", ["clip_score"], [0, 1]),
        ("t2v_compbench", ["compbench.consistent_attribute.vlm"], [0]),
        ("t2v_compbench", ["warping_error"], [0, 1]),
    ],
)
def test_every_suite_has_its_videos_for_metrics_by_their_own_names(
    tmp_path: Path, name: str, metrics: list[str], numbers: list[int]
) -> None:
    suite = suite_of(tmp_path / "suite", name)
    files = [names(name)(prompt, 0) for prompt in suite.prompts]
    touch(tmp_path / "videos", *files)
    found = read_suite(tmp_path / "videos", suite, dimensions=metrics)
    assert [Path(record.video).relative_to(tmp_path / "videos").as_posix() for record in found.records] == [
        files[number] for number in numbers
    ]
    job = Job(records=found.records, metrics=tuple(metrics))
    by = {metric: Measure(id=metric, entry=entry(metric)) for metric in job.metrics}
    asked = [len(work.items) for work in works(job, by)]
    one_kind = any(metric.startswith(("human_clothes", "compbench")) for metric in metrics)
    assert asked == [len(metrics), *[len(metrics) - one_kind] * (len(numbers) - 1)], "and every one that is for it is asked"


def test_metrics_of_no_benchmark_and_of_another(tmp_path: Path) -> None:
    touch(tmp_path / "videos", f"{STILL}-0.mp4")
    assert len(read_suite(tmp_path / "videos", PromptSuite("vbench"), dimensions=["warping_error"]).records) == 1
    suite = suite_of(tmp_path / "suite", "vbench2")
    with pytest.raises(InputError, match="vbench2 has no prompts for color"):
        read_suite(tmp_path / "videos", suite, dimensions=["color.vqa"])
    acts = next(p.prompt for p in PromptSuite("vbench").prompts if p.dimension == ("human_action",))
    touch(tmp_path / "videos", f"{acts}-0.mp4")
    assert len(read_suite(tmp_path / "videos", PromptSuite("vbench"), dimensions=["human_action"], every=True).records) == 2
    few = read_suite(tmp_path / "videos", PromptSuite("vbench"), dimensions=["human_action"])
    assert [record.prompt for record in few.records] == [acts]
    assert not any("none of vbench's" in note for note in few.notes), "it is, though not for this dimension"


def test_two_models_in_one_folder_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, f"a/{STILL}-0.mp4", f"b/{STILL}-0.mp4")
    says = rf"'a/{STILL}-0\.mp4' and 'b/{STILL}-0\.mp4': both are video 0 of '{STILL}'; give the folder of one model"
    with pytest.raises(InputError, match=says):
        read_suite(tmp_path, PromptSuite("vbench"))


@pytest.mark.parametrize("name", ["prompts.txt", "prompts.csv"])
def test_a_byte_order_mark_is_no_part_of_a_prompt(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("caption\na" if name.endswith("csv") else "a\nb", encoding="utf-8-sig")
    assert PromptSuite("videophy2" if name.endswith("csv") else "evalcrafter", tmp_path / name).prompts[0].prompt == "a"


def test_a_category_of_vbench(tmp_path: Path) -> None:
    (tmp_path / "animal.txt").write_text("a dog\r\n\n a dog runs \n", encoding="utf-8-sig")
    touch(tmp_path / "videos", "a dog-0.mp4", "a dog runs-4.mp4", "a dog runs-x-1.mp4")
    found = read_input(
        tmp_path / "videos", suite="vbench_category", suite_path=tmp_path / "animal.txt", dimensions=["subject_consistency"]
    )
    assert [(r.prompt, r.sample, r.dimensions) for r in found.records] == [("a dog", 0, ()), ("a dog runs", 4, ())]
    assert len(found.missing) == 8


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
