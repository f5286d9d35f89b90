"""Names what a track shows (colour, shape, size, action, speed) and where it happens; None wherever two names come close.

Legend of shapes: N frames of a track, H rows of the frame, C = 3 channels (RGB), P cells of a patch, Z backgrounds.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import torch

from rapo_lightning.shapes.layout import RADIUS, TRAVEL
from rapo_lightning.shapes.render import BACKGROUNDS, COLOUR_RGB, Batch, draw, shape_alpha
from rapo_lightning.shapes.scene import ATMOSPHERES, PLACES, SHAPES, TRANSLATIONS, Item
from rapo_lightning.shapes.segment import PATCH, REACH, Floats, Track, hue

__all__ = ["recognise_item", "recognise_relation", "recognise_setting"]

_SAME = 0.75  # share of a track's frames that must show what the whole track shows
_HUE = 22.0  # degrees from the named colour, at most
_HUE_MARGIN = 6.0  # degrees by which the next colour must be further away
_LIKENESS = 0.95  # least correlation of a track's mean mask with a shape; two that overlap stay below
_SOFTNESS = (0.06, 0.12, 0.18, 0.26, 0.36)  # standard deviations of the blurs looked for, in radii
_LIKENESS_MARGIN = 0.3  # of the way from the runner-up's own mask to the winner's
_MISFIT_RATIO = 1.5  # times as far from likeness 1 as the winner must the runner-up be
_SIZE_MARGIN = 0.06  # of log radius, to each side of the middle between small and large
_GROWTH = 0.62  # log of the end radius over the start radius of what grows
_BOUNCE = 11.0  # pixels
_ABSENT, _PRESENT = 0.4, 0.6  # share of the slightest true movement: below is none of it, above is some
_STRAY = (2.2, 0.16)  # root mean square of what the movement leaves unexplained: pixels, log radius
_PACE_MARGIN = 2.5  # pixels of travel to each side of the middle between slow and fast
_GAP_MARGIN = 2.0  # pixels by which one direction of a relation must outweigh the other
_SETTING_MARGIN = 1.8  # levels of root mean square by which the nearest background must lead
_FOREIGN = 14.0  # levels beyond which a background is none of ours
_GAIN = (0.75, 1.1)  # contrast of the video against the true renders


def recognise_item(track: Track) -> Item:
    """What one track shows; ``speed`` is also None when the action is no translation."""
    action, speed = _action(track)
    return Item(shape=_shape(track), colour=_colour(track), size=_size(track), action=action, speed=speed)


def recognise_relation(first: Track, second: Track) -> str | None:
    """Where the first object is against the second: by their mean centres, and so in most frames."""
    gap = np.stack([second.x - first.x, second.y - first.y], axis=1)  # N 2
    name, lead = _direction(gap.mean(axis=0))
    same = np.mean([_direction(each)[0] == name for each in gap])
    return name if lead >= _GAP_MARGIN and same >= _SAME else None


def recognise_setting(rows_2HC: Floats) -> tuple[str | None, str | None]:
    """Place and atmosphere by the nearest of the world's backgrounds, up to the video's contrast; the same in both halves."""
    whole, *halves = (_setting_distances(rows) for rows in (rows_2HC.mean(axis=0), *rows_2HC))
    if whole.min() > _FOREIGN or any(half.argmin() != whole.argmin() for half in halves):
        return None, None
    return _nearest(whole.min(axis=1), PLACES, _SETTING_MARGIN), _nearest(whole.min(axis=0), ATMOSPHERES, _SETTING_MARGIN)


def _setting_distances(rows_HC: Floats) -> Floats:
    """Root mean square difference to each background, in levels: (places, atmospheres). Lost contrast costs little."""
    away = rows_HC - _backgrounds()  # Z H C
    fade = 128.0 - _backgrounds()
    loss = (away * fade).sum(axis=(1, 2)) / np.square(fade).sum(axis=(1, 2))
    loss = np.clip(loss, 1 - _GAIN[1], 1 - _GAIN[0])
    distance = np.sqrt(np.square(away - loss[:, None, None] * fade).mean(axis=(1, 2))) + 10.0 * np.abs(loss)
    return np.asarray(distance.reshape(len(PLACES), len(ATMOSPHERES)))


def _nearest(distances: npt.NDArray[np.floating], names: tuple[str, ...], margin: float) -> str | None:
    order = np.argsort(distances)
    return names[int(order[0])] if distances[order[1]] - distances[order[0]] >= margin else None


def _direction(gap: npt.NDArray[np.floating]) -> tuple[str, float]:
    dx, dy = float(gap[0]), float(gap[1])
    if abs(dx) > abs(dy):
        return ("left of" if dx > 0 else "right of"), abs(dx) - abs(dy)
    return ("above" if dy > 0 else "below"), abs(dy) - abs(dx)


def _colour(track: Track) -> str | None:
    named = hue(np.asarray(list(COLOUR_RGB.values()), np.float64))
    seen = np.concatenate([np.median(track.colour, axis=0)[None], track.colour])
    gaps = np.abs((hue(seen)[:, None] - named + 180) % 360 - 180)  # 1+N colours
    name = _nearest(gaps[0], tuple(COLOUR_RGB), _HUE_MARGIN)
    same = np.mean(gaps[1:].argmin(axis=1) == gaps[0].argmin())
    return name if gaps[0].min() <= _HUE and same >= _SAME else None


def _shape(track: Track) -> str | None:
    """By the correlation of the mean mask with each shape; each third of the clip must bear it out, so nothing morphs."""
    masks = [part.mean(axis=0) for part in (track.patch, *np.array_split(track.patch, 3))]
    alike = np.stack([_likeness(mask) for mask in masks])  # 1+3 shapes softnesses
    likeness = alike.max(axis=2)
    best, second = (int(index) for index in np.argsort(-likeness[0])[:2])
    softness = int(alike[0, best].argmax())
    apart = 1.0 - _likeness_of_shapes()[best, softness, second].max()
    lead = (likeness[:, best] - np.delete(likeness, best, axis=1).max(axis=1)) / apart
    clear = lead[0] >= _LIKENESS_MARGIN and 1.0 - likeness[0, second] >= _MISFIT_RATIO * (1.0 - likeness[0, best])
    steady = lead[1:].min() >= -_LIKENESS_MARGIN and likeness[:, best].min() >= _LIKENESS
    return SHAPES[best] if clear and steady else None


def _likeness(mask_PP: Floats) -> Floats:
    """Correlation of a mask with every shape at every softness: (shapes, softnesses)."""
    mask = mask_PP.ravel() - mask_PP.mean()
    return np.asarray(_shapes() @ mask / max(float(np.linalg.norm(mask)), 1e-6))


def _size(track: Track) -> str | None:
    middle = np.log(list(RADIUS.values())).mean()
    away = float(np.log(track.radius.mean()) - middle)
    if abs(away) < _SIZE_MARGIN:
        return None
    return "large" if away > 0 else "small"


def _action(track: Track) -> tuple[str | None, str | None]:
    """The one movement that is present when all others are absent, and its pace."""
    time = track.time - 0.5
    hops = np.abs(np.sin(2 * np.pi * track.time))
    line = np.stack([np.ones_like(time), time, hops], axis=1)  # N 3
    paths = np.stack([track.x, track.y, np.log(track.radius)], axis=1)  # N 3
    fit = np.linalg.lstsq(line, paths, rcond=None)[0]
    (dx, dy, growth), bounce = fit[1], -fit[2, 1]
    stray = np.sqrt(np.square(paths - line @ fit).mean(axis=0))
    if max(stray[0], stray[1]) > _STRAY[0] or stray[2] > _STRAY[1]:
        return None, None
    travel = float(np.hypot(dx, dy))
    strength = {"travel": travel / TRAVEL["slow"], "bounce": bounce / _BOUNCE, "growth": abs(growth) / _GROWTH}
    present = [name for name, value in strength.items() if value > _ABSENT]
    if not present:
        return "still", None
    if len(present) > 1 or strength[present[0]] < _PRESENT:
        return None, None
    if present == ["travel"]:
        return _translation(float(dx), float(dy))
    if present == ["bounce"]:
        return "bounce", None
    return ("grow" if growth > 0 else "shrink"), None


def _translation(dx: float, dy: float) -> tuple[str | None, str | None]:
    along, across = max(abs(dx), abs(dy)), min(abs(dx), abs(dy))
    if across > 0.5 * along:
        return None, None
    left, right, up, down = TRANSLATIONS
    action = (right if dx > 0 else left) if abs(dx) > abs(dy) else (down if dy > 0 else up)
    away = along - (TRAVEL["slow"] + TRAVEL["fast"]) / 2
    if abs(away) < _PACE_MARGIN:
        return action, None
    return action, "fast" if away > 0 else "slow"


@cache
def _shapes() -> Floats:
    """The shapes' masks as patches of every softness, flat, of mean 0 and norm 1: (shapes, softnesses, P * P)."""
    import cv2

    fine = 4  # points a side of a cell
    axis = ((torch.arange(PATCH * fine) + 0.5) / (PATCH * fine) * 2 - 1) * REACH * 8
    masks = []
    for index in range(len(SHAPES)):
        sharp = shape_alpha(torch.tensor(index), axis, axis[:, None], torch.tensor(8.0)).numpy()
        soft = [cv2.GaussianBlur(sharp, (0, 0), share * PATCH * fine / (2 * REACH)) for share in _SOFTNESS]
        masks.append([cv2.resize(mask, (PATCH, PATCH), interpolation=cv2.INTER_AREA).ravel() for mask in soft])
    flat = np.asarray(masks, np.float32)
    flat -= flat.mean(axis=-1, keepdims=True)
    return np.asarray(flat / np.linalg.norm(flat, axis=-1, keepdims=True))


@cache
def _likeness_of_shapes() -> Floats:
    """The correlation of the shapes' masks with one another: (shapes, softnesses, shapes, softnesses)."""
    return np.asarray(np.tensordot(_shapes(), _shapes(), axes=(2, 2)))


@cache
def _backgrounds() -> Floats:
    """Mean of each row of every background over the horizon's phases: (Z, H, C), 0..255."""
    number, phases = len(BACKGROUNDS), 8
    empty = torch.zeros(number, 0, dtype=torch.int64)
    rows = []
    for phase in range(phases):
        shift = torch.full((number,), phase / phases)
        frames, _ = draw(Batch(torch.zeros(number, 0, 1, 3), empty, empty, torch.arange(number), shift))
        rows.append(frames[:, 0].mean(dim=2) * 255)
    return np.asarray(torch.stack(rows).mean(dim=0).numpy())
