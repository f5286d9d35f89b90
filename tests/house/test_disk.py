"""A disk that is full, over quota or read-only ends a run with one line and exit code 1; the same command goes on from there."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli import app
from rapo_lightning import records, video, video_codecs
from rapo_lightning.errors import RunFolderError, StorageError, VideoError
from rapo_lightning.run_folder import opened, read_run
from rapo_lightning.run_log import run_log
from rapo_lightning.sspo.ask import ask
from rapo_lightning.types import Prompt
from tests.house.command import PROMPTS, candidates, config, journal

FAULTS = [errno.ENOSPC, errno.EDQUOT, errno.EROFS]


@pytest.fixture
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What is recorded of a run that nothing stops."""
    folder = tmp_path_factory.mktemp("whole")
    call(folder)
    return candidates(folder / "run")


def call(folder: Path, *arguments: object) -> Result:
    path = folder / "run.yaml" if (folder / "run.yaml").exists() else config(folder, logger="csv", batch_size=2)
    return CliRunner().invoke(app, ["optimize", str(path), "--out", str(folder / "run"), "--quiet", *map(str, arguments)])


def failing(real: Callable[..., Any], number: int, *, after: int) -> Callable[..., Any]:
    """``real``, until it has been called ``after`` times."""
    calls = iter(range(after))

    def call(*arguments: Any, **options: Any) -> Any:
        if next(calls, None) is None:
            raise OSError(number, os.strerror(number))
        return real(*arguments, **options)

    return call


@pytest.mark.parametrize("number", FAULTS)
@pytest.mark.parametrize(
    ("where", "after"),
    [("video_codecs.encode_av", 0), ("video_codecs.encode_av", 4), ("records.os.fsync", 12), ("records.os.fsync", 20)],
)
def test_a_run_ends_at_once_in_one_line_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Any, number: int, where: str, after: int
) -> None:
    pytest.importorskip("av")
    holder = {"video_codecs.encode_av": video_codecs, "records.os.fsync": records.os}[where]
    name = where.rpartition(".")[2]
    with monkeypatch.context() as patch:
        patch.setattr(holder, name, failing(getattr(holder, name), number, after=after))
        result = call(tmp_path)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), "no trace"
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"rapo: {tmp_path / 'run'}/")
    assert line.endswith(f": cannot be written: {os.strerror(number)}; once it can, the same command goes on")
    assert not [path for path in (tmp_path / "run").rglob("*") if path.name.endswith((".tmp", ".lock.json"))]
    told = candidates(tmp_path / "run")
    assert all(row == expected for key, rows in told.items() for row, expected in zip(rows, whole[key]))
    result = call(tmp_path)
    assert (result.exit_code, result.output) == (0, "")
    assert candidates(tmp_path / "run") == whole
    assert sorted(journal(tmp_path).values()) == [1] * 15, "nothing was rendered twice"
    assert read_run(tmp_path / "run")["status"] == "done"


def test_the_record_says_why_a_run_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_codecs, "encode_av", failing(video_codecs.encode_av, errno.ENOSPC, after=3))
    assert call(tmp_path).exit_code == 1
    run = read_run(tmp_path / "run")
    assert run["status"] == "failed"
    assert "No space left on device" in run["error"]


def test_a_start_on_a_full_disk_is_no_fault_of_the_command_but_a_read_only_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, error in ((errno.ENOSPC, StorageError), (errno.EROFS, RunFolderError)):
        with monkeypatch.context() as patch:
            patch.setattr(records.os, "fsync", failing(os.fsync, number, after=0))
            with pytest.raises(error, match="cannot be written"), opened(tmp_path / "run", {"seed": 1}, [Prompt.of("a")]):
                pass
    assert (StorageError.exit_code, RunFolderError.exit_code) == (1, 2)


def test_a_part_that_meets_a_full_disk_ends_the_run_and_other_trouble_does_not() -> None:
    def part(number: int) -> Callable[[Sequence[object]], list[object]]:
        return failing(lambda items: [*items], number, after=0)

    with pytest.raises(StorageError, match="No space left on device; once it can"):
        ask(part(errno.ENOSPC), ["a", "b"])
    assert len(ask(part(errno.ENOENT), ["a", "b"])) == 2


@pytest.mark.parametrize("number", FAULTS)
def test_videos_tell_a_failing_disk_from_a_failing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    np = pytest.importorskip("numpy")
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    monkeypatch.setattr(video_codecs, "encode_av", failing(video_codecs.encode_av, number, after=0))
    with pytest.raises(StorageError, match=f"a.mp4: cannot be written: {os.strerror(number)}"):
        video.write_video(tmp_path / "a.mp4", frames, 8)
    monkeypatch.setattr(video_codecs, "encode_av", failing(video_codecs.encode_av, errno.EACCES, after=0))
    with pytest.raises(VideoError):
        video.write_video(tmp_path / "a.mp4", frames, 8)
    assert list(tmp_path.iterdir()) == []


def test_opencv_that_writes_a_part_and_says_nothing_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np = pytest.importorskip("numpy")
    monkeypatch.setattr(video, "find_spec", lambda name: None)
    monkeypatch.setattr(video_codecs, "probe_cv2", lambda path: (1, 8.0, 8, 8))
    with pytest.raises(StorageError, match="written in part"):
        video.write_video(tmp_path / "a.mp4", np.zeros((2, 8, 8, 3), np.uint8), 8)
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_cannot_be_written_is_no_reason_to_end(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import logging

    (tmp_path / "logs" / "rank_0.log").mkdir(parents=True)
    with run_log(tmp_path, 0):
        logging.getLogger("rapo_lightning.test").warning("heard")
    assert capfd.readouterr().err == "rapo: heard\n"


def test_prompts_are_as_many_as_the_runs_above_render() -> None:
    assert len(PROMPTS) * 3 == 15
