"""UMT on VideoMAE's classes against a plain version from the checkpoint's own tensors, and the rule that decides."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from evaluation.backbones.umt import Umt
from evaluation.errors import ClipError, WeightsError
from evaluation.metrics.human_action import HumanAction, seen_actions, wanted_action
from evaluation.video import resize
from evaluation.video.clip import Record
from tests.evaluation import reference
from tests.evaluation.videos import clip_of

WIDTH, PATCH, LABELS = 128, 56, ["riding a bike", "abseiling", "Yoga", "zumba", "juggling balls", "archery", "dancing ballet"]


def save(path: Path, positions: bool = False) -> Path:
    generator = torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embed.proj.weight": (WIDTH, 3, 1, PATCH, PATCH), "patch_embed.proj.bias": (WIDTH,),
        "head.weight": (len(LABELS), WIDTH), "head.bias": (len(LABELS),),
    }  # fmt: skip
    for block in range(2):
        at = f"blocks.{block}."
        shapes |= {f"{at}attn.qkv.weight": (3 * WIDTH, WIDTH), f"{at}attn.q_bias": (WIDTH,), f"{at}attn.v_bias": (WIDTH,),
                   f"{at}attn.proj.weight": (WIDTH, WIDTH), f"{at}attn.proj.bias": (WIDTH,),
                   f"{at}mlp.fc1.weight": (96, WIDTH), f"{at}mlp.fc1.bias": (96,),
                   f"{at}mlp.fc2.weight": (WIDTH, 96), f"{at}mlp.fc2.bias": (WIDTH,)}  # fmt: skip
    state = {name: torch.randn(s, generator=generator) / math.prod(s[1:] or (9,)) ** 0.5 for name, s in shapes.items()}
    for name in ("fc_norm", "blocks.0.norm1", "blocks.0.norm2", "blocks.1.norm1", "blocks.1.norm2"):
        state[f"{name}.weight"] = 1 + 0.2 * torch.randn(WIDTH, generator=generator)
        state[f"{name}.bias"] = 0.2 * torch.randn(WIDTH, generator=generator)
    state["head.weight"] *= 4
    if positions:
        state["pos_embed"] = torch.randn(1, 16 * (224 // PATCH) ** 2, WIDTH, generator=generator)
    torch.save(state, path)
    return path


def labels_file(path: Path) -> Path:
    path.write_text("".join(f"{label}\t{number}\n" for number, label in enumerate(LABELS)), encoding="utf-8")
    return path


def table() -> Tensor:
    """(16, places, D): between the 8 frames of the table, as linear interpolation with half-pixel centres has it."""
    grid = (224 // PATCH) ** 2
    rows = torch.zeros(8, grid, WIDTH, dtype=torch.float64)
    for frame in range(8):
        for place in range(grid):
            for column in range(WIDTH):
                angle = (frame * grid + place) / 10000 ** (2 * (column // 2) / WIDTH)
                rows[frame, place, column] = math.cos(angle) if column % 2 else math.sin(angle)
    out = []
    for frame in range(16):
        x = max(0.0, (frame + 0.5) / 2 - 0.5)
        low, high = int(x), min(int(x) + 1, 7)
        out.append(rows[low] * (1 - x + low) + rows[high] * (x - low))
    return torch.stack(out)


def by_hand(frames: Tensor, state: dict[str, Tensor]) -> Tensor:
    own = {}
    for name, tensor in state.items():
        if name.endswith("attn.qkv.weight"):
            head = name.removesuffix("qkv.weight")
            own |= {f"{head}{which}.weight": third for which, third in zip("qkv", tensor.chunk(3))}
        else:
            own[name.replace("q_bias", "q.bias").replace("v_bias", "v.bias")] = tensor
    kernel = {"c.weight": own["patch_embed.proj.weight"][:, :, 0], "c.bias": own["patch_embed.proj.bias"]}
    places = own["pos_embed"].double().view(16, -1, WIDTH) if "pos_embed" in own else table()
    x = torch.cat([reference.patches(frame.double(), kernel, "c") + place for frame, place in zip(frames, places)])
    names = {"norm1": "norm1", "norm2": "norm2", "q": "attn.q", "k": "attn.k", "v": "attn.v", "out": "attn.proj",
             "up": "mlp.fc1", "down": "mlp.fc2"}  # fmt: skip
    x = reference.encoder(x, own, "blocks", names, WIDTH // 64, 1e-6, reference.erf_gelu)
    return reference.linear(reference.norm(x.mean(0), own, "fc_norm", 1e-6), own, "head")


@pytest.mark.parametrize("positions", [False, True])
@pytest.mark.parametrize("size", [(5, 60, 100), (16, 256, 256), (40, 90, 50)])
def test_logits_and_decision(tmp_path: Path, positions: bool, size: tuple[int, int, int]) -> None:
    path = save(tmp_path / "umt.pth", positions)
    clip = clip_of(*size)
    total, parts = size[0], min(16, size[0])
    edges = [int(total * i / parts) for i in range(parts + 1)]
    chosen = [(edges[i] + edges[i + 1] - 1) // 2 for i in range(parts)]
    frames = resize.umt(clip.frames_TCHW[chosen + chosen[-1:] * (16 - parts)])
    logits = by_hand(frames, torch.load(path, weights_only=True))
    backbone = Umt(path, labels_file(tmp_path / "labels.txt"))
    torch.testing.assert_close(backbone.logits(frames).double(), logits, atol=1e-4, rtol=0)
    assert backbone.model.fc_norm.eps == 1e-6
    metric = HumanAction(backbone)
    likely = sorted(range(len(LABELS)), key=lambda n: -float(logits[n]))[:5]
    for number, label in enumerate(LABELS):
        metric.update(clip, Record(index=number, prompt=f"A Person is {label}"))
        expected = number in likely and round(1 / (1 + math.exp(-float(logits[number]))), 4) >= 0.85
        assert metric.scores[number].value == float(expected)
        assert metric.scores[number].details["cor_num_per_video"] == int(expected)
    assert metric.compute() == sum(score.value for score in metric.scores.values()) / len(LABELS)


def test_the_rule() -> None:
    def logit(p: float) -> float:
        return math.log(p / (1 - p))

    logits = torch.tensor([logit(p) for p in (0.86, 0.999, 0.84996, 0.84994, 0.9, 0.95, 0.97)])
    assert seen_actions(logits, LABELS) == ["abseiling", "dancing ballet", "archery", "juggling balls", "riding a bike"]
    assert seen_actions(logits[:4], LABELS[:4]) == ["abseiling", "riding a bike", "Yoga"], "0.84996 rounds to 0.85"
    assert wanted_action("A person is Riding a bike.") == "riding a bike"
    assert wanted_action("a person is said: a person is yoga") == "yoga"
    assert wanted_action("a dog runs") is None
    assert wanted_action("a person is ") is None


def test_an_action_that_is_unknown_is_never_seen_and_one_that_is_absent_an_error(tmp_path: Path) -> None:
    metric = HumanAction(Umt(save(tmp_path / "umt.pth"), labels_file(tmp_path / "labels.txt")))
    metric.update(clip_of(3, 30, 30), Record(index=0, prompt="a person is flying"))
    assert (metric.scores[0].value, metric.scores[0].details["known"]) == (0.0, False)
    for prompt in ("", "a dog runs"):
        with pytest.raises(ClipError) as caught:
            metric.update(clip_of(3, 30, 30), Record(index=1, prompt=prompt))
        assert caught.value.code == "no_prompt"


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    path, labels = save(tmp_path / "umt.pth"), labels_file(tmp_path / "labels.txt")
    state = torch.load(path, weights_only=True)
    torch.save({**state, "norm.weight": torch.ones(1)}, tmp_path / "more.pth")
    torch.save({"a": torch.ones(1)}, tmp_path / "other.pth")
    (tmp_path / "few.txt").write_text("yoga\t0\n")
    (tmp_path / "odd.txt").write_text("yoga\nzumba\n")
    for file, names, match in (
        (tmp_path / "more.pth", labels, r"1 foreign keys \(norm.weight\)"),
        (tmp_path / "other.pth", labels, "not UMT's weights"),
        (path, tmp_path / "few.txt", "7 labels; .*few.txt: 1"),
        (path, tmp_path / "odd.txt", "label<tab>number"),
        (path, tmp_path / "absent.txt", "absent.txt"),
    ):
        with pytest.raises(WeightsError, match=match):
            Umt(file, names).model  # noqa: B018
