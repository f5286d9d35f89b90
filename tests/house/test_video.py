"""Video files: what is written is read back, bit for bit the same each time; broken and foreign files are errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rapo_lightning import video, video_codecs
from rapo_lightning.errors import VideoError
from rapo_lightning.video import poster, probe, read_frames, sample_frames, write_video


def moving_square(frames: int = 17, height: int = 64, width: int = 64) -> np.ndarray:
    """A red square of 20 pixels that moves 2 pixels a frame over blue, on even pixels; (T, H, W, 3) uint8."""
    scene = np.full((frames, height, width, 3), (40, 60, 200), np.uint8)
    for t in range(frames):
        scene[t, 10:30, 2 * t : 2 * t + 20] = (230, 30, 30)
    return scene


@pytest.fixture(params=["av", "cv2"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both backends; the second as on a machine without PyAV."""
    if request.param == "av":
        pytest.importorskip("av")
    else:
        monkeypatch.setattr(video, "find_spec", lambda name: None)
    video._decoded.clear()
    return str(request.param)


def test_frames_come_back(backend: str, tmp_path: Path) -> None:
    scene = moving_square()
    write_video(tmp_path / "new" / "a.mp4", scene, 15)
    back = read_frames(tmp_path / "new" / "a.mp4")
    assert back.dtype == np.uint8
    assert back.shape == scene.shape
    error = np.abs(back.astype(int) - scene)
    assert error.mean() < (2.5 if backend == "av" else 4)
    # No frame is lost, doubled or moved: each is nearest to its own original.
    distance = np.abs(back[:, None].astype(int) - scene[None]).mean((2, 3, 4))
    assert distance.argmin(1).tolist() == list(range(17))


def test_flat_colours_are_not_shifted(tmp_path: Path) -> None:
    pytest.importorskip("av")
    for colour in ((0, 0, 0), (255, 255, 255), (230, 30, 30), (40, 60, 200), (127, 127, 127)):
        write_video(tmp_path / "a.mp4", np.full((5, 32, 32, 3), colour, np.uint8), 8)
        np.testing.assert_allclose(read_frames(tmp_path / "a.mp4").mean((0, 1, 2)), colour, atol=1.5)


def test_the_header_tells_frames_rate_and_size(backend: str, tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", moving_square(9, 48, 80), 12.5)
    assert probe(tmp_path / "a.mp4") == (9, 12.5, 48, 80)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (32, 32), (80, 80), (33, 51), (96, 160)])
def test_equal_frames_give_equal_bytes(tmp_path: Path, height: int, width: int) -> None:
    """Sizes whose files differed from run to run with x264's macroblock tree."""
    y, x = np.mgrid[:height, :width]
    ramps = np.stack([np.stack([(x * 3 + t * 5) % 256, y * 3 % 256, x * 0 + 120], -1) for t in range(17)]).astype(np.uint8)
    contents = set()
    for _ in range(6):
        write_video(tmp_path / "a.mp4", ramps, 15)
        contents.add((tmp_path / "a.mp4").read_bytes())
    assert len(contents) == 1


def test_odd_sizes_grow_by_a_repeated_edge(backend: str, tmp_path: Path) -> None:
    scene = np.full((5, 33, 51, 3), 90, np.uint8)
    write_video(tmp_path / "a.mp4", scene, 8)
    back = read_frames(tmp_path / "a.mp4")
    assert back.shape == (5, 34, 52, 3)
    assert np.abs(back.astype(int) - 90).max() <= 5


def test_a_browser_can_play_it(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    write_video(tmp_path / "a.mp4", moving_square(), 15)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    content = (tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat"), "the index must come first, so that playing starts at once"


def test_a_file_appears_whole_or_not_at_all(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "a.mp4", moving_square(), 15)
    before = (tmp_path / "a.mp4").read_bytes()

    def broken(path: Path, frames: Any, fps: float) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(video_codecs, f"encode_{backend}", broken)
    with pytest.raises(VideoError, match="disk full"):
        write_video(tmp_path / "a.mp4", moving_square(), 15)
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == before


@pytest.mark.parametrize(
    ("frames", "fps"),
    [
        (np.zeros((0, 8, 8, 3), np.uint8), 8),
        (np.zeros((2, 8, 8, 3), np.float32), 8),
        (np.zeros((2, 3, 8, 8), np.uint8), 8),
        (np.zeros((2, 8, 8, 3), np.uint8), 0),
        (np.zeros((2, 8, 8, 3), np.uint8), float("nan")),
    ],
)
def test_what_is_no_video_is_not_written(tmp_path: Path, frames: Any, fps: float) -> None:
    with pytest.raises(VideoError):
        write_video(tmp_path / "a.mp4", frames, fps)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VideoError, match="cannot be written"):
        write_video(tmp_path / "file" / "a.mp4", moving_square(), 8)


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "playlist", "headless", "truncated", "folder"])
def test_broken_and_foreign_files_are_errors(backend: str, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, moving_square(), 15)
    content = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        at = content.index(b"mdat")
        path.write_bytes(
            {
                "empty": b"",
                "text": b"not a video at all",
                "playlist": b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n",
                "headless": content[:32],
                "truncated": content[: at + (len(content) - at) // 4],
            }[damage]
        )
    with pytest.raises(VideoError, match=r"a\.mp4"):
        read_frames(path)


def test_limits_hold_for_a_fresh_and_for_a_kept_video(backend: str, tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", moving_square(), 15)
    for _ in range(2):
        with pytest.raises(VideoError, match="more than 10 frames"):
            read_frames(tmp_path / "a.mp4", max_frames=10)
        with pytest.raises(VideoError, match="or 1000 pixels"):
            read_frames(tmp_path / "a.mp4", max_pixels=1000)
        read_frames(tmp_path / "a.mp4")


def test_a_video_is_decoded_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    decoded = []
    decode = video_codecs.decode_av
    monkeypatch.setattr(video_codecs, "decode_av", lambda path, *limits: (decoded.append(path), decode(path, *limits))[1])
    path = tmp_path / "a.mp4"
    write_video(path, moving_square(), 15)
    first = read_frames(path)
    first[:] = 0
    assert read_frames(path).any(), "a caller's changes stay its own"
    assert len(decoded) == 1
    write_video(path, moving_square(9), 15)
    assert len(read_frames(path)) == 9
    assert len(decoded) == 2


def test_kept_videos_stay_within_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "CACHE_BYTES", 2 * moving_square().nbytes)
    for name in "abc":
        write_video(tmp_path / f"{name}.mp4", moving_square(), 15)
        read_frames(tmp_path / f"{name}.mp4")
    kept = {Path(path).name for path, _, _ in video._decoded}
    assert kept == {"b.mp4", "c.mp4"}


@pytest.mark.parametrize(
    ("total", "count", "expected"),
    [(17, 1, [8]), (17, 2, [0, 16]), (17, 5, [0, 4, 8, 12, 16]), (3, 8, [0, 1, 2]), (1, 4, [0]), (10, 4, [0, 3, 6, 9])],
)
def test_sampled_frames_are_even_and_hold_both_ends(total: int, count: int, expected: list[int]) -> None:
    frames = np.arange(total, dtype=np.uint8)[:, None, None, None].repeat(3, -1)
    assert sample_frames(frames, count)[:, 0, 0, 0].tolist() == expected


def test_sampling_no_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="0 frames"):
        sample_frames(moving_square(), 0)


def test_a_poster_is_the_middle_frame_or_a_strip(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", moving_square(), 15)
    poster(tmp_path / "a.mp4", tmp_path / "new" / "a.webp")
    with Image.open(tmp_path / "new" / "a.webp") as still:
        assert (still.format, still.size) == ("WEBP", (64, 64))
        assert np.abs(np.asarray(still.convert("RGB")).astype(int) - moving_square()[8]).mean() < 8
    poster(tmp_path / "a.mp4", tmp_path / "strip.webp", count=4, max_height=32)
    with Image.open(tmp_path / "strip.webp") as still:
        assert still.size == (4 * 32, 32)
    with pytest.raises(VideoError, match="cannot be written"):
        poster(tmp_path / "a.mp4", tmp_path / "a.unknown")
