"""Measures how far the verifier can be trusted: ``python -m rapo_lightning.shapes.verify_gates --renders 10000``.

Prints one JSON line a gate and attribute: true renders read right after encoding to mp4; scenes accepted although one attribute
was changed; videos decided under moderate degradation.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rapo_lightning.shapes import scene as world
from rapo_lightning.shapes.render import draw, sample_arranged
from rapo_lightning.shapes.scene import Scene, Split, sample
from rapo_lightning.shapes.verify import all_right, check, read
from rapo_lightning.video import read_frames, write_video

__all__ = ["DEGRADATIONS", "counterfactuals", "encoded", "measure_degraded", "measure_true", "renders"]

Frames = npt.NDArray[np.uint8]
_FPS = 8.0
_CHUNK = 50  # videos drawn at once
_VALUES = {
    "shape": world.SHAPES,
    "colour": world.COLOURS,
    "size": world.SIZES,
    "action": world.ACTIONS,
    "speed": world.SPEEDS,
    "place": world.PLACES,
    "atmosphere": world.ATMOSPHERES,
    "relation": world.RELATIONS,
}


def renders(count: int, seed: int) -> Iterator[tuple[Scene, Frames]]:
    """``count`` random scenes, half of the training and half of the test split, with their true frames, (T, H, W, 3) uint8."""
    splits: tuple[Split, ...] = ("train", "test")
    for part, split in enumerate(splits):
        rng = np.random.default_rng([seed, part])
        left = (count + 1 - part) // 2
        while left:
            scenes, batch = sample_arranged(rng, min(left, _CHUNK), split)
            frames, _ = draw(batch)
            yield from zip(scenes, (frames * 255).round().byte().numpy(), strict=True)
            left -= len(scenes)


def counterfactuals(scene: Scene, rng: np.random.Generator) -> dict[str, Scene]:
    """The complete scene with one attribute changed to a random other value, for each attribute.

    A changed action gains or loses its speed; two objects still differ in shape and colour; a changed count drops the second
    object or adds another.
    """
    return {name: _changed(scene, name, value, rng) for name, value in scene.attributes().items()}


def encoded(frames_THWC: Frames) -> Frames:
    """The frames after a round trip through the suite's own mp4."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "render.mp4"
        write_video(path, frames_THWC, _FPS)
        return read_frames(path)


def _blur(frames_THWC: Frames, rng: np.random.Generator) -> Frames:
    import cv2

    return np.asarray([cv2.GaussianBlur(frame, (0, 0), 1.0) for frame in frames_THWC], np.uint8)


def _noise(frames_THWC: Frames, rng: np.random.Generator) -> Frames:
    return np.asarray((frames_THWC + rng.normal(0.0, 8.0, frames_THWC.shape)).round().clip(0, 255), np.uint8)


def _contrast(frames_THWC: Frames, rng: np.random.Generator) -> Frames:
    return np.asarray((128 + 0.85 * (frames_THWC - 128.0)).round(), np.uint8)


def _jitter(frames_THWC: Frames, rng: np.random.Generator) -> Frames:
    padded = np.pad(frames_THWC, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    _, height, width, _ = frames_THWC.shape
    shifts = rng.integers(0, 3, size=(len(frames_THWC), 2))
    return np.stack([frame[y : y + height, x : x + width] for frame, (y, x) in zip(padded, shifts, strict=True)])


def _low_quality(frames_THWC: Frames, rng: np.random.Generator) -> Frames:
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=int(_FPS), options={"crf": "32", "preset": "veryfast"})
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames_THWC:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        output.mux(stream.encode())
    file.seek(0)
    with av.open(file, "r") as source:
        return np.asarray([frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)], np.uint8)


#: Each takes frames (T, H, W, 3) and a source of randomness.
DEGRADATIONS: dict[str, Callable[[Frames, np.random.Generator], Frames]] = {
    "blur of 1 pixel": _blur,
    "noise of 8/255": _noise,
    "contrast x 0.85": _contrast,
    "jitter of 1 pixel": _jitter,
    "mp4 at crf 32": _low_quality,
}


def measure_true(videos: Iterable[tuple[Scene, Frames]], seed: int) -> Iterator[dict[str, object]]:
    """How often each attribute is read right, and how often a scene is accepted with that one attribute changed."""
    rng = np.random.default_rng(seed)
    answers: dict[str, Counter[bool | None]] = defaultdict(Counter)
    accepted: dict[str, Counter[bool]] = defaultdict(Counter)
    seconds, number = 0.0, 0
    for scene, frames in videos:
        video = encoded(frames)
        start = time.perf_counter()
        reading = read(video)
        seconds, number = seconds + time.perf_counter() - start, number + 1
        checks = check(reading, scene)
        answers["all"][all_right(checks)] += 1
        for key, value in checks.items():
            answers[key.split(".")[-1]][value] += 1
        for key, other in counterfactuals(scene, rng).items():
            accepted[key.split(".")[-1]][all_right(check(reading, other)) is True] += 1
    for name, counts in answers.items():
        yield {"gate": "true renders", "attribute": name, **_line(counts)}
    for name, tried in accepted.items():
        yield {"gate": "one attribute changed", "attribute": name, "tried": tried.total(), "accepted": tried[True]}
    yield {"gate": "speed", "videos": number, "milliseconds_a_video": round(1000 * seconds / max(number, 1), 2)}


def measure_degraded(videos: Sequence[tuple[Scene, Frames]], seed: int) -> Iterator[dict[str, object]]:
    """How many videos, all attributes together, are read right, wrong or left undecided under each degradation and mp4."""
    rng = np.random.default_rng(seed)
    for name, degrade in DEGRADATIONS.items():
        counts = Counter(all_right(check(read(encoded(degrade(frames, rng))), scene)) for scene, frames in videos)
        yield {"gate": "degraded", "by": name, **_line(counts)}


def _line(counts: Mapping[bool | None, int]) -> dict[str, int]:
    return {"right": counts.get(True, 0), "wrong": counts.get(False, 0), "undecided": counts.get(None, 0)}


def _changed(scene: Scene, name: str, value: str, rng: np.random.Generator) -> Scene:
    if name == "count":
        return _other_count(scene, rng)
    if name in _VALUES:
        new: dict[str, Any] = {name: _other(_VALUES[name], [value], rng)}
        return replace(scene, **new)
    number, field = int(name[0]) - 1, name[2:]
    taken = [getattr(item, field) for item in scene.items] if field in ("shape", "colour") else [value]
    new = {field: _other(_VALUES[field], taken, rng)}
    if field == "action":
        speed = scene.items[number].speed or _other(world.SPEEDS, [], rng)
        new["speed"] = speed if new["action"] in world.TRANSLATIONS else None
    items = list(scene.items)
    items[number] = replace(items[number], **new)
    return replace(scene, items=tuple(items))


def _other(values: Sequence[str], taken: Sequence[str | None], rng: np.random.Generator) -> str:
    return str(rng.choice([value for value in values if value not in taken]))


def _other_count(scene: Scene, rng: np.random.Generator) -> Scene:
    if len(scene.items) == 2:
        return replace(scene, items=scene.items[:1], relation=None)
    while True:
        more = sample(rng, objects=2)
        if more.items[1].shape != scene.items[0].shape and more.items[1].colour != scene.items[0].colour:
            return replace(scene, items=(scene.items[0], more.items[1]), relation=more.relation)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--renders", type=int, default=1000, help="true renders, half of them of the test split")
    parser.add_argument("--degraded", type=int, default=300, help="renders for each degradation")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for line in measure_true(renders(given.renders, given.seed), given.seed):
        print(json.dumps(line), flush=True)
    for line in measure_degraded(list(renders(given.degraded, given.seed + 1)), given.seed):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
