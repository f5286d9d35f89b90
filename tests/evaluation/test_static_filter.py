"""Which videos are static, on given flow against plain numpy, over sizes and lengths; which of them are kept, in which order."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.errors import ClipError
from evaluation.static_filter import is_static, static_videos
from evaluation.video.clip import Clip, Record
from tests.evaluation.flowing import GivenFlow, field, lengths, numbered, padded_sides
from tests.evaluation.videos import clip_of


def by_hand(clip: Clip, strength: float) -> bool:
    count, height, width, _ = clip.frames_THWC.shape
    _, _, tall, wide = padded_sides(height, width, 8)

    def speed(before: int, after: int) -> float:
        size = np.sort(lengths(field(before, after, tall, wide, strength)).ravel())[::-1]
        return float(size[: int(tall * wide * 0.02)].mean())

    threshold, most = 3 * min(height, width) / 256, round(2 * count / 16)
    if sum(speed(t, t + 1) > threshold for t in range(count - 1)) > most:
        return False
    return max(speed(0, count - 1), speed(count - 1, 0)) <= 2 * most * threshold


SIZES = [(5, 128, 200), (16, 131, 150), (17, 144, 133), (24, 128, 128)]


@pytest.mark.parametrize("strength", [0.2, 0.35, 0.4, 0.5, 0.7, 2.0])
@pytest.mark.parametrize("size", SIZES)
def test_the_rule(size: tuple[int, int, int], strength: float) -> None:
    clip = numbered(*size)
    expected = by_hand(clip, strength)
    for batch in (1, 3, 8):
        flow = GivenFlow(strength)
        assert is_static(clip, flow, batch) == expected
        assert expected == ((size[0] - 1, 0) in flow.pairs) or size[0] == 5, "the ends are compared only where that can matter"


def test_both_answers_occur() -> None:
    assert [by_hand(numbered(*SIZES[1]), strength) for strength in (0.2, 2.0)] == [True, False]


class Turned(GivenFlow):
    """Still from frame to frame; the last frame is far from the first."""

    def flow(self, frames_BCHW, pairs):  # type: ignore[no-untyped-def]
        start = len(self.pairs)
        flow = super().flow(frames_BCHW, pairs)
        for one, (before, after) in zip(flow, self.pairs[start:]):
            one.fill_(9.0 if before - after > 1 else 0.0)
        return flow


def test_a_video_that_drifts_is_not_static() -> None:
    assert not is_static(numbered(16, 128, 128), Turned(1.0))
    assert is_static(numbered(48, 128, 128), Turned(1.0)), "six pairs may move, so the ends may be twelve thresholds apart"


def test_what_cannot_be_judged_has_a_code() -> None:
    still = numbered(9, 128, 128)
    for clip, flow, code in (
        (clip_of(5, 100, 200), GivenFlow(1.0), "too_small"),
        (still, GivenFlow(0.1, bad=8), "non_finite"),
        (still, GivenFlow(0.1, bad=3), "non_finite"),
    ):
        with pytest.raises(ClipError) as caught:
            is_static(clip, flow)
        assert caught.value.code == code


def test_the_first_five_of_every_prompt() -> None:
    still = numbered(8, 128, 128)
    moving = Clip(frames_THWC=still.frames_THWC // 3, fps=8.0, sha256="1", path="dark.mp4")
    moving.frames_THWC[:, 0, 0, 0] = np.arange(8)
    records = [
        Record(index=index, video=f"{prompt}-{sample}.mp4", prompt=prompt, variant=variant)
        for index, (variant, prompt, sample) in enumerate(
            [("original", "a", sample) for sample in range(12)]
            + [("optimised", "a", sample) for sample in range(12, 16)]
            + [("original", "b", sample) for sample in range(3)]
        )
    ]
    loaded: list[str] = []

    def load(record: Record) -> Clip:
        loaded.append(record.video)
        if record.video == "a-1.mp4":
            raise ClipError("corrupt", "a-1.mp4: broken")
        return moving if record.video in ("a-0.mp4", "b-1.mp4") else still

    class ByClip(GivenFlow):
        def flow(self, frames_BCHW, pairs):  # type: ignore[no-untyped-def]
            dark = float(frames_BCHW[0, 1].mean()) < -0.5
            return super().flow(frames_BCHW, pairs) * (5 if dark else 0)

    found = static_videos(records, load, ByClip(1.0))
    # In the order of characters: 0, 1, 10, 11, 2, 3, 4, 5.
    assert [record.video for record in found.kept] == [
        "a-2.mp4", "a-3.mp4", "a-4.mp4", "a-10.mp4", "a-11.mp4",
        "a-12.mp4", "a-13.mp4", "a-14.mp4", "a-15.mp4", "b-0.mp4", "b-2.mp4",
    ]  # fmt: skip
    assert "a-5.mp4" not in loaded
    assert {index: error.code for index, error in found.errors.items()} == {1: "corrupt"}
    assert [index for index, static in found.static.items() if not static] == [0, 17]
    assert found.short == ("a", "b")
    every = static_videos(records[:12], load, ByClip(1.0), keep=None)
    assert len(every.kept) == 10
    assert every.short == ()
