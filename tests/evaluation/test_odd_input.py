"""Names, texts and files that nobody expects: each is scored, or is an error that says so; nothing is dropped or waited for."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from evaluation.errors import ClipError, InputError
from evaluation.inputs.custom import read_custom
from evaluation.inputs.manifest import manifest_lines, numbered, read_manifest
from evaluation.job import Job
from evaluation.metrics.base import Score, VideoMetric
from evaluation.output.table import read_rows, write_parquet
from evaluation.results import write_results
from evaluation.run import evaluate, plan
from evaluation.video.clip import Clip, decode
from evaluation.video.decoding import seconds_of
from evaluation.video.record import Record
from tests.evaluation.videos import moving, write_mp4

METRICS = ("temporal_flickering",)
TEXTS = ("a\u2028b\x85c", "\ud800 alone", "=1+1, <b>\r\n", "日本語", "\x1b[31mred")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mp4(tmp_path_factory.mktemp("video") / "a.mp4", moving(4, 64, 64))


def test_texts_of_all_kinds_come_back_from_every_file(video: Path, tmp_path: Path) -> None:
    lines = [json.dumps({"video": str(video), "prompt": text, "variant": text}, ensure_ascii=False) for text in TEXTS]
    manifest = tmp_path / "m.jsonl"
    manifest.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode("utf-8", "surrogatepass"))
    job = Job(records=read_manifest(manifest).records, metrics=METRICS, device="cpu")
    assert tuple(record.prompt for record in job.records) == TEXTS
    write_results(evaluate(job, tmp_path / "out"), job)
    again = read_manifest(tmp_path / "out/manifest.jsonl").records
    assert [(record.prompt, record.variant, record.prompt_id) for record in again] == [
        (record.prompt, record.variant, record.prompt_id) for record in job.records
    ]
    assert [row.prompt for row in read_rows(tmp_path / "out/scores.csv")] == list(TEXTS)
    assert not plan(job, tmp_path / "out").todo, "findings with line separators in them are read back, too"


class Each(VideoMetric):
    """Asks each prompt anew."""

    id = "each"

    def score(self, clip: Clip, record: Record) -> Score:
        if record.prompt == "odd":
            raise KeyError("colour")
        return Score.of_video(float(len(record.prompt)))


def test_answers_to_texts_of_all_kinds_are_not_asked_for_again(video: Path, tmp_path: Path) -> None:
    records = numbered(Record(index=0, video=str(video), prompt=text, prompt_id=text) for text in TEXTS)
    job = Job(records=records, own=(Each(),), device="cpu")
    done = evaluate(job, tmp_path)
    assert [row.value for row in done.rows] == [float(len(text)) for text in TEXTS]
    assert (plan(job, tmp_path).known, plan(job, tmp_path).todo) == (len(TEXTS), ())


def test_whatever_a_metric_raises_is_the_video_s(video: Path, tmp_path: Path) -> None:
    records = numbered(Record(index=0, video=str(video), prompt=text) for text in ("odd", "even"))
    done = evaluate(Job(records=records, own=(Each(),), device="cpu"), tmp_path)
    assert [(row.error_code, row.value) for row in done.rows] == [("failed", None), (None, 4.0)]
    assert "KeyError: 'colour' (test_odd_input.py:" in str(done.rows[0].error_message)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("[" * 100_000, "not JSON"),
        ({"seed": 2**64}, f"seed is {2**64}, not"),
        ({"seed": -(2**63) - 1}, "seed is -9223372036854775809, not"),
        ({"index": -1}, "index is -1, not 0 to"),
        ({"variant": ""}, "variant is empty"),
    ],
)
def test_numbers_that_no_table_holds_are_refused_before_the_work(tmp_path: Path, row: Any, says: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(row if isinstance(row, str) else json.dumps({"video": "a.mp4", "prompt": "x", **row}))
    with pytest.raises(InputError, match=f"m.jsonl:1: {says}"):
        read_manifest(path)


def test_seeds_below_0_and_above_int64_in_one_table(video: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    seeds = [-(2**63), None, 2**64 - 1]
    records = numbered(Record(index=0, video=str(video), prompt="x", seed=seed) for seed in seeds)
    rows = evaluate(Job(records=records, metrics=METRICS, device="cpu"), tmp_path).rows
    assert [row.seed for row in read_rows(write_parquet(tmp_path / "s.parquet", rows))] == seeds


def test_paths_that_are_no_videos_are_error_rows(video: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.mp4")
    paths = ["nul\0.mp4", "n" * 3000 + ".mp4", "fifo.mp4", "/dev/zero", ".", f"{video}/x.mp4", str(video)]
    records = numbered(Record(index=0, video=str(tmp_path / path), prompt="x") for path in paths)
    done = evaluate(Job(records=records, metrics=METRICS, device="cpu"), tmp_path / "out")
    assert [row.error_code for row in done.rows] == [
        "missing", "unreadable", "unreadable", "unreadable", "unreadable", "missing", None
    ]  # fmt: skip
    assert seconds_of(tmp_path / "fifo.mp4") is None, "and is not waited for"
    assert read_manifest_again(records, tmp_path) == records
    with pytest.raises(InputError, match="no such file or folder"):
        read_custom("n" * 3000)


@pytest.mark.parametrize("name", ["a.webm", "a.mkv", "a.mp4"])
def test_a_longer_sound_makes_no_longer_video(tmp_path: Path, name: str) -> None:
    with av.open(str(tmp_path / name), "w") as container:
        picture = container.add_stream("libvpx-vp9" if name.endswith("webm") else "libx264", rate=8)
        sound = container.add_stream("libopus", rate=48_000)
        picture.width, picture.height, picture.pix_fmt = 64, 64, "yuv420p"
        for frame in moving(24, 64, 64):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(picture.encode(None))
        for start in range(0, 7 * 48_000, 960):
            quiet = av.AudioFrame.from_ndarray(np.zeros((1, 1920), np.int16), format="s16", layout="stereo")
            quiet.sample_rate, quiet.pts = 48_000, start
            container.mux(sound.encode(quiet))
        container.mux(sound.encode(None))
    assert seconds_of(tmp_path / name) == pytest.approx(3.0)


def read_manifest_again(records: tuple[Record, ...], folder: Path) -> tuple[Record, ...]:
    (folder / "again.jsonl").write_text(manifest_lines(records), encoding="utf-8")
    return tuple(replace(record, prompt_id="") for record in read_manifest(folder / "again.jsonl").records)


def test_a_link_to_nothing_is_a_video_that_is_missing(video: Path, tmp_path: Path) -> None:
    (tmp_path / "a-0.mp4").symlink_to(video)
    (tmp_path / "b-0.mp4").symlink_to(tmp_path / "none.mp4")
    (tmp_path / "c.mp4").mkdir()
    records = read_custom(tmp_path).records
    assert [record.prompt for record in records] == ["a", "b"]
    done = evaluate(Job(records=records, metrics=METRICS, device="cpu"), tmp_path / "out")
    assert [row.error_code for row in done.rows] == [None, "missing"]


def test_numbers_in_names_that_no_table_holds_are_part_of_the_prompt(video: Path, tmp_path: Path) -> None:
    for name in ("a-12.mp4", f"b-{2**64}.mp4", os.fsdecode(b"c\xff-1.mp4")):
        (tmp_path / name).symlink_to(video)
    records = read_custom(tmp_path).records
    assert [(record.prompt, record.sample) for record in records] == [("a", 12), (f"b-{2**64}", 0), ("c\udcff", 1)]


def test_a_playlist_by_the_name_of_a_video_reaches_for_nothing(tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0.2)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.mp4"
        texts = {
            "a.mp4": f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n",
            "b.m3u8": f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n",
            "c.mp4": f"ffconcat version 1.0\nfile {url}\n",
        }
        for name, text in texts.items():
            (tmp_path / name).write_text(text)
            assert seconds_of(tmp_path / name) in (None, 1.0)
            with pytest.raises(ClipError, match=name):
                decode(tmp_path / name)
        with pytest.raises(TimeoutError):
            server.accept()


def test_one_picture_is_too_short_in_whatever_container(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(moving(1, 32, 32)[0]).save(tmp_path / "still.gif")
    with pytest.raises(ClipError) as caught:
        decode(tmp_path / "still.gif")
    assert caught.value.code == "too_short"
