"""VBench's files hold what VBench's own script reads from them, and come back unchanged."""

from __future__ import annotations

import json
import random
import re
import zipfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from evaluation.dimensions import DIMENSIONS
from evaluation.errors import InputError
from evaluation.output import vbench_files
from evaluation.output.header import Header
from evaluation.output.summary import summarise
from evaluation.output.vbench import Written, eval_results, full_info, read_values, read_videos, write_vbench
from evaluation.rows import Row
from evaluation.totals import total
from evaluation.video.record import Record
from tests.evaluation.output_rows import HOSTILE, row

#: minimum, maximum, weight, whether it is of the quality score; from the specification.
TABLE = {
    "subject consistency": (0.1462, 1.0, 1, 1), "background consistency": (0.2615, 1.0, 1, 1),
    "temporal flickering": (0.6293, 1.0, 1, 1), "motion smoothness": (0.706, 0.9975, 1, 1), "dynamic degree": (0.0, 1.0, 0.5, 1),
    "aesthetic quality": (0.0, 1.0, 1, 1), "imaging quality": (0.0, 1.0, 1, 1), "object class": (0.0, 1.0, 1, 0),
    "multiple objects": (0.0, 1.0, 1, 0), "human action": (0.0, 1.0, 1, 0), "color": (0.0, 1.0, 1, 0),
    "spatial relationship": (0.0, 1.0, 1, 0), "scene": (0.0, 0.8222, 1, 0), "appearance style": (0.0009, 0.2855, 1, 0),
    "temporal style": (0.0, 0.364, 1, 0), "overall consistency": (0.0, 0.364, 1, 0),
}  # fmt: skip


def as_the_script_scores(archive: Path, folder: Path) -> tuple[dict[str, float], float]:
    """The zip unpacked into a folder, first of two of every dictionary's values, absent ones 0, and the weighted total."""
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder)
    scores: dict[str, float] = {}
    for file in folder.iterdir():
        if file.name.startswith((".", "__")) or not file.name.endswith("json"):
            continue
        held = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(held, dict):
            scores |= {key.replace("_", " "): held[key][0] for key in held}
    halves = [0.0, 0.0]
    for key, (low, high, weight, quality) in TABLE.items():
        halves[quality] += weight * (scores.get(key, 0) - low) / (high - low)
    return scores, (4 * halves[1] / 6.5 + halves[0] / 9) / 5


def suite() -> list[Row]:
    """All sixteen dimensions on six videos of three prompts, with extra keys, an error and one left out."""
    chance = random.Random(4)
    rows = []
    for position in range(6):
        given = {"prompt_id": f"p{position // 2}", "prompt": f"a cat, {position // 2}", "video_path": f"cat-{position}.mp4"}
        for name in DIMENSIONS:
            frames = chance.randint(8, 16)
            good = chance.randint(1, frames)
            value = good / frames * (100 if name == "imaging_quality" else 1)
            details: dict[str, Any] = {"more": "that VBench does not have"}
            if name in ("dynamic_degree", "human_action"):
                value, frames, good = float(position % 3 == 0), 1, int(position % 3 == 0)
            if name == "spatial_relationship":
                details["frame_results"] = [1.0, 0.5]
            sums = {"total": value * frames, "count": frames, "last": value / 2}
            rows.append(row(name, value, position, details=details, **sums, **given))
    lost: dict[str, Any] = {"status": "error", "value": None, "error_code": "corrupt", "error_message": "no", "count": 0}
    rows[2] = replace(rows[2], **lost)
    rows[26] = replace(rows[26], status="left_out", value=None, total=0.0, count=0)
    assert rows[26].metric == "color"
    rows.append(row("color.florence2", 0.5, 0))
    rows.append(row("clip_score", 0.5, 0))
    return rows


def written(folder: Path, rows: list[Row], **more: Any) -> Written:
    return write_vbench(folder, rows, now=datetime(2025, 7, 1, 12, 30, 59), **more)


@pytest.mark.parametrize("reduction", ["single", "multi"])
def test_the_script_reads_the_zip(tmp_path: Path, reduction: Any) -> None:
    rows = suite()
    files = written(tmp_path, rows, reduction=reduction)
    scores, theirs = as_the_script_scores(files.archive, tmp_path / "unpacked")
    mine = summarise(rows, Header(reduction=reduction))
    assert {key.replace(" ", "_") for key in scores} == set(DIMENSIONS)
    assert mine["totals"]["total"] == pytest.approx(theirs, abs=1e-12)
    assert read_values(files.archive) == {key.replace(" ", "_"): value for key, value in scores.items()}
    for name, value in read_values(files.eval_results).items():
        assert value == mine["metrics"][name]["value"]
    assert files.n_errors == 1


def test_a_part_of_the_dimensions_is_filled_with_zero_by_the_script(tmp_path: Path) -> None:
    rows = [one for one in suite() if one.metric in ("scene", "subject_consistency", "clip_score")]
    files = written(tmp_path, rows)
    _, theirs = as_the_script_scores(files.archive, tmp_path / "unpacked")
    assert total(read_values(files.archive), fill_missing_zero=True).total == pytest.approx(theirs, abs=1e-12)


def test_each_video_has_the_keys_of_its_dimension() -> None:
    results = eval_results(suite())
    assert set(results) == set(DIMENSIONS)
    extra = {name: sorted(set(results[name][1][0]) - {"video_path", "video_results"}) for name in results}
    frames = ["frame_count", "success_frame_count"]
    assert {name: keys for name, keys in extra.items() if keys} == {
        "background_consistency": ["cnt_per_video", "video_sim"],
        "object_class": frames, "multiple_objects": frames, "scene": frames,
        "human_action": ["cor_num_per_video"],
        "appearance_style": ["cur_sim"],
        "spatial_relationship": ["frame_results"],
        "color": ["cur_success_frame_rate"],
    }  # fmt: skip
    first = next(one for one in suite() if one.metric == "scene")
    assert results["scene"][1][0]["frame_count"] == first.count
    assert results["scene"][1][0]["success_frame_count"] == pytest.approx(first.total)
    assert [video["video_results"] for video in results["dynamic_degree"][1]] == [True, False, False, True, False, False]
    assert all(
        isinstance(video["video_results"], bool) for name in ("dynamic_degree", "human_action") for video in results[name][1]
    )
    assert max(video["video_results"] for video in results["imaging_quality"][1]) > 1
    assert 0 < results["imaging_quality"][0] <= 1
    assert len(results["temporal_flickering"][1]) == 5, "the error is left out"
    assert [video["video_path"] for video in results["color"][1]] == [f"cat-{i}.mp4" for i in range(6) if i != 1]
    told = [
        replace(one, details={"frame_results": [0.1, 0.2], "cur_sim": 0.2}) for one in suite() if one.metric == "appearance_style"
    ]
    assert eval_results(told)["appearance_style"][1][0] | {"video_results": 0} == {
        "video_path": "cat-0.mp4", "video_results": 0, "frame_results": [0.1, 0.2], "cur_sim": 0.2,
    }  # fmt: skip


def test_names_and_layout_of_the_files(tmp_path: Path) -> None:
    styles = [Record(index=i, auxiliary_info={"appearance_style": {"appearance_style": "oil"}}) for i in (2, 3)]
    files = written(tmp_path / "deep", suite(), records=styles)
    assert files.eval_results.name == "results_2025-07-01-12:30:59_eval_results.json"
    assert files.full_info.name == "results_2025-07-01-12:30:59_full_info.json"
    assert files.eval_results.read_text().startswith('{\n    "subject_consistency": [\n        0.')
    info = json.loads(files.full_info.read_text())
    assert [entry["prompt_en"] for entry in info] == ["a cat, 0", "a cat, 1", "a cat, 2"]
    assert [entry["video_list"] for entry in info] == [[f"cat-{2 * i}.mp4", f"cat-{2 * i + 1}.mp4"] for i in range(3)]
    assert sorted(info[0]["dimension"]) == sorted(DIMENSIONS)
    assert [entry.get("auxiliary_info") for entry in info] == [None, styles[0].auxiliary_info, None]
    with zipfile.ZipFile(files.archive) as archive:
        assert all(re.fullmatch(r"results_[\d-]+_(eval_results|full_info)\.json", name) for name in archive.namelist())
        assert json.loads(archive.read(archive.namelist()[1])) == info
    again = written(tmp_path / "again", suite(), records=styles)
    assert again.archive.read_bytes() == files.archive.read_bytes()


def test_the_clock_names_the_files(tmp_path: Path) -> None:
    name = write_vbench(tmp_path, suite()).eval_results.name
    then = datetime.strptime(name[8:27], "%Y-%m-%d-%H:%M:%S")
    assert abs((datetime.now() - then).total_seconds()) < 60


def test_hostile_names_come_back(tmp_path: Path) -> None:
    rows = [row("scene", 0.5, i, prompt=text, video_path=text, prompt_id=text) for i, text in enumerate(HOSTILE)]
    files = written(tmp_path, rows)
    value, videos = read_videos(files.archive)["scene"]
    assert value == 0.5
    assert [video["video_path"] for video in videos] == list(HOSTILE)
    assert [entry["prompt_en"] for entry in full_info(rows)] == list(HOSTILE)


def test_what_cannot_be_exported_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to export"):
        written(tmp_path, [row("scene", position=0, error="empty"), row("clip_score", 0.5, 1), row("color.vqa", 0.5, 1)])
    with pytest.raises(InputError, match="not of optimised, original"):
        written(tmp_path, [row("scene", 0.5, 0), row("scene", 0.5, 1, variant="optimised")])
    assert list(tmp_path.iterdir()) == []


def test_files_of_others_are_read_as_upstream_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "theirs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("b_eval_results.json", '{"scene": [0.25, []], "human action": [true], "i2v_subject": [0.9, []]}')
        archive.writestr("a_eval_results.json", '{"scene": [0.75, []], "color": [0.5, [{"video_path": "x"}, 3]]}')
        archive.writestr("a_full_info.json", '[{"prompt_en": "x"}]')
        archive.writestr("one/down.json", '{"temporal_style": [0.2, []]}')
        archive.writestr("two/folders/down.json", "{")
        archive.writestr("__MACOSX/._b.json", "{")
        archive.writestr(".hidden.json", "{")
        archive.writestr("notes.txt", "{")
    assert read_values(path) == {"scene": 0.25, "human_action": 1.0, "color": 0.5, "temporal_style": 0.2}
    assert read_videos(path)["color"] == (0.5, [{"video_path": "x"}])
    monkeypatch.setattr(vbench_files, "LARGEST", 100)
    with pytest.raises(InputError, match="larger than"):
        read_values(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"scene": [NaN, []]}', "NaN is no number"),
        ('{"scene": 0.5}', r"scene: no \[value, videos\]"),
        ('{"scene": ["0.5", []]}', r"scene: no \[value, videos\]"),
        ('{"scene": [1e999, []]}', r"scene: no \[value, videos\]"),
        ('{"other": [0.5, []]}', "no results of VBench"),
        ("[]", "no results of VBench"),
        ("", "no JSON"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x_eval_results.json"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"x_eval_results\.json.*{message}"):
        read_values(path)
    with pytest.raises(InputError, match=r"gone\.json: cannot be read"):
        read_values(tmp_path / "gone.json")
