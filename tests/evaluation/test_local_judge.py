"""Local judges of four families against the same models fed by hand: own text, own pixels, no cache, no batch."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation.errors import ClipError, WeightsError
from evaluation.judge.base import Ask
from evaluation.judge.frames import FramePolicy, View
from evaluation.judge.local import LocalJudge
from tests.evaluation import tiny_judges
from tests.evaluation.videos import clip_of

MAKERS: dict[str, Callable[[Path], Path]] = {
    "qwen25": tiny_judges.qwen25,
    "qwen3": tiny_judges.qwen3,
    "internvl": tiny_judges.internvl,
    "llava_onevision": tiny_judges.llava_onevision,
}
QUESTION = 'Is it "so"? Answer yes or no.'
STEPS = 5
CLIPS = [clip_of(9, 32, 48, 1), clip_of(5, 50, 33, 2, fps=16.0)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in MAKERS.items()}


def small(frame: np.ndarray, height: int, width: int, mean: Any, std: Any) -> np.ndarray:
    """One frame as Pillow and plain arithmetic make it, (H, W, 3)."""
    picture = Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC)
    return (np.asarray(picture).astype(np.float64) / 255 - np.array(mean)) / np.array(std)


def patches(frames: list[np.ndarray], patch: int = 8) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Pairs of frames cut into patches, four neighbours after one another, by loops."""
    frames = [*frames, *frames[-1:]] if len(frames) % 2 else frames
    height, width = frames[0].shape[:2]
    rows = []
    for t in range(0, len(frames), 2):
        for y in range(0, height, 2 * patch):
            for x in range(0, width, 2 * patch):
                for dy in (0, patch):
                    for dx in (0, patch):
                        block = [f[y + dy : y + dy + patch, x + dx : x + dx + patch] for f in frames[t : t + 2]]
                        rows.append(np.stack(block).transpose(3, 0, 1, 2).ravel())
    return np.stack(rows), (len(frames) // 2, height // patch, width // patch)


def fed(name: str, view: View, model: Any, tokenizer: Any) -> tuple[str, dict[str, Any]]:
    """What stands in the text for a view, and the tensors, after each family's own rules."""
    frames, ids = list(view.frames_THWC), tokenizer.convert_tokens_to_ids
    height, width = frames[0].shape[:2]
    if name in ("qwen25", "qwen3"):
        mean, std = ([0.4, 0.5, 0.6], [0.2, 0.3, 0.25]) if name == "qwen25" else ([0.5] * 3, [0.5] * 3)
        tall, wide = round(height / 16) * 16, round(width / 16) * 16
        many = (len(frames) + 1) // 2 * 2 if name == "qwen3" and not view.picture else 1
        most = (32 * 48 if name == "qwen25" else 64 * 64) if view.picture or name == "qwen25" else 32 * 48 * 6
        if many * tall * wide > most:
            shrink = (many * height * width / most) ** 0.5
            tall, wide = int(height / shrink / 16) * 16, int(width / shrink / 16) * 16
        rows, (t, h, w) = patches([small(frame, tall, wide, mean, std) for frame in frames])
        token = "<|image_pad|>" if view.picture else "<|video_pad|>"
        each = token * (h * w // 4)
        text = f"<|vision_start|>{each * t}<|vision_end|>"
        if name == "qwen3" and not view.picture:
            seconds = [*view.seconds, view.seconds[-1]]
            times = [(seconds[2 * i] + seconds[2 * i + 1]) / 2 for i in range(t)]
            text = "".join(f"<{time:.1f} seconds><|vision_start|>{each}<|vision_end|>" for time in times)
        pixels = torch.tensor(rows, dtype=torch.float32)
        grid = torch.tensor([[t, h, w]])
        more = (
            {"pixel_values": pixels, "image_grid_thw": grid}
            if view.picture
            else {"pixel_values_videos": pixels, "video_grid_thw": grid}
        )
        if name == "qwen25" and not view.picture:
            more["second_per_grid_ts"] = torch.tensor([2 / view.fps])
        return text, {**more, "types": (ids(token), 1 if view.picture else 2)}
    if name == "internvl":
        tiles = [small(frame, 32, 32, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]).transpose(2, 0, 1) for frame in frames]
        one = f"<img>{'<IMG_CONTEXT>' * 4}</img>"
        text = one if view.picture else "\n".join(f"Frame{i + 1}: {one}" for i in range(len(frames)))
        return f"{text}\n", {"pixel_values": torch.tensor(np.stack(tiles), dtype=torch.float32)}
    tiles = [small(frame, 40, 40, [0.5] * 3, [0.5] * 3).transpose(2, 0, 1) for frame in frames]
    text = "<video>" * (9 * len(frames) + 1)  # 5 x 5 patches, pooled to 3 x 3, and a newline
    return f"{text}\n", {"pixel_values_videos": torch.tensor(np.stack(tiles)[None], dtype=torch.float32)}


@lru_cache
def bare(name: str, folder: Path) -> tuple[Any, Any]:
    import transformers
    from transformers import AutoTokenizer

    classes = {"qwen25": "Qwen2_5_VL", "qwen3": "Qwen3VL", "internvl": "InternVL", "llava_onevision": "LlavaOnevision"}
    model = getattr(transformers, f"{classes[name]}ForConditionalGeneration").from_pretrained(folder).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def by_hand(
    name: str, folder: Path, view: View | None, question: str, system: str = "", prefix: str = ""
) -> tuple[list[int], torch.Tensor, Any]:
    """(greedy tokens, log probabilities of the first, tokenizer) by whole passes of the bare model."""
    model, tokenizer = bare(name, folder)
    shown, more = fed(name, view, model, tokenizer) if view is not None else ("", {})
    types = more.pop("types", None)
    text = f"<|im_start|>system\n{system}<|im_end|>\n" if system else ""
    text += f"<|im_start|>user\n{shown}{question}<|im_end|>\n<|im_start|>assistant\n{prefix}"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    start, first = len(ids), None
    for _ in range(STEPS):
        tokens = torch.tensor([ids])
        kinds = {"mm_token_type_ids": (tokens == types[0]).int() * types[1]} if types else {}
        with torch.no_grad():
            logits = model(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False, **more, **kinds).logits[
                0, -1
            ]
        first = logits.log_softmax(-1) if first is None else first
        ids.append(int(logits.argmax()))
        if ids[-1] == tokenizer.convert_tokens_to_ids("<|im_end|>"):
            break
    assert first is not None
    return ids[start:], first, tokenizer


@pytest.mark.parametrize("name", MAKERS)
def test_replies_and_probabilities_are_the_models_own(name: str, folders: dict[str, Path]) -> None:
    judge = LocalJudge(str(folders[name]), frames=4)
    views: list[View | None] = [
        judge.policy.view(CLIPS[0]),
        judge.policy.view(CLIPS[1]),
        judge.policy.view(CLIPS[0]).still(1),
        None,
    ]
    asks = [
        Ask(
            video=view,
            text=QUESTION,
            system=system,
            prefix=prefix,
            candidates=("Yes", "No", "yes", " Yes", "3"),
            max_new_tokens=STEPS,
        )
        for view in views
        for system, prefix in (("", ""), ("Be brief.", "So: "))
    ]
    answers = judge.answer(asks)
    for ask, answer in zip(asks, answers):
        tokens, first, tokenizer = by_hand(name, folders[name], ask.video, QUESTION, ask.system, ask.prefix)
        assert answer.text == tokenizer.decode(tokens, skip_special_tokens=True).strip()
        wanted = {word: tokenizer(word)["input_ids"][0] for word in ("Yes", "No", "yes", " Yes", "3")}
        assert answer.logprobs == pytest.approx({word: float(first[token]) for word, token in wanted.items()}, abs=2e-5)
    alone = [judge.answer([ask])[0] for ask in asks]
    assert [one.text for one in alone] == [answer.text for answer in answers]
    for one, answer in zip(alone, answers):
        assert one.logprobs == pytest.approx(answer.logprobs, abs=1e-5)
    assert judge.generate(views[0], QUESTION, max_new_tokens=STEPS) == answers[0].text
    assert judge.token_logprobs(views[0], QUESTION, ["Yes", "No"]) == pytest.approx(
        {word: answers[0].logprobs[word] for word in ("Yes", "No")}, abs=1e-5
    )


def test_candidates_that_begin_alike_are_left_out(folders: dict[str, Path]) -> None:
    judge = LocalJudge(str(folders["qwen25"]), frames=2)
    known = judge.token_logprobs(judge.policy.view(CLIPS[0]), QUESTION, ["yes", "yet", "No", " 1", " 2", "3"])
    assert set(known) == {"No", "3"}


def test_marks_in_a_prompt_are_taken_out(folders: dict[str, Path]) -> None:
    judge = LocalJudge(str(folders["qwen25"]), frames=2)
    view = judge.policy.view(CLIPS[0])
    plain = judge.token_logprobs(view, "a cat", ["Yes", "No"])
    sly = "a c<|im_end|><|vid<|image_pad|>eo_pad|>at"
    assert judge.token_logprobs(view, sly, ["Yes", "No"]) == pytest.approx(plain, abs=1e-6)


def test_a_batch_that_does_not_fit_is_asked_in_halves(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    judge = LocalJudge(str(folders["qwen25"]), frames=2, batch=4)
    view = judge.policy.view(CLIPS[0])
    asks = [Ask(video=view, text=f"{QUESTION} {i}", candidates=("Yes",), max_new_tokens=2) for i in range(4)]
    wanted = judge.answer(asks)
    run, sizes = LocalJudge._run, []

    def cramped(self: LocalJudge, part: Any) -> Any:
        sizes.append(len(part))
        if len(part) > limit:
            raise torch.OutOfMemoryError
        return run(self, part)

    monkeypatch.setattr(LocalJudge, "_run", cramped)
    limit = 1
    found = judge.answer(asks)
    assert [answer.text for answer in found] == [answer.text for answer in wanted]
    assert sizes == [4, 2, 1, 1, 2, 1, 1]
    limit = 0
    with pytest.raises(ClipError) as caught:
        judge.answer(asks)
    assert caught.value.code == "oom"


def test_it_says_what_it_is_without_loading(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    judge = LocalJudge(str(folders["internvl"]), frames=2, max_side=20, layout="grid", columns=1)
    inner = hashlib.sha256((folders["internvl"] / "model.safetensors").read_bytes()).digest()
    digest = hashlib.sha256(inner).hexdigest()
    assert judge.id == f"{folders['internvl'].name}@sha256:{digest[:12]}|tiles-pil|ends(2),grid1,max20"
    assert judge.provenance == {"backbone": f"{folders['internvl'].name}|tiles-pil", "revision": None, "sha256": digest}
    assert judge.policy.id == "ends(2),grid1,max20"
    assert judge._loaded is None
    judge.generate(judge.policy.view(CLIPS[0]), QUESTION, max_new_tokens=1)
    assert pickle.loads(pickle.dumps(judge))._loaded is None  # noqa: S301
    root = tmp_path / "models--org--judge"
    shutil.copytree(folders["qwen25"], root / "snapshots/abc123")
    (root / "refs").mkdir()
    (root / "refs/main").write_text("abc123")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    cached = LocalJudge(str(root / "snapshots/abc123"))
    assert (cached.id, cached.provenance["revision"]) == ("abc123@abc123|patches-pil|ends(16)", "abc123")


def test_what_is_no_judge_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    def problem(folder: Path, **settings: Any) -> str:
        judge = LocalJudge(str(folder), frames=2, **settings)
        view = judge.policy.view(CLIPS[0])
        with pytest.raises(WeightsError) as caught:
            judge.generate(view, QUESTION)
        return str(caught.value)

    assert "no/such-model: no such folder, nor is it in the Hugging Face cache" in problem(Path("no/such-model"))
    (tmp_path / "empty").mkdir()
    assert "holds no safetensors" in problem(tmp_path / "empty")
    other = shutil.copytree(folders["qwen25"], tmp_path / "other")
    (other / "config.json").write_text(json.dumps({"model_type": "bert"}))
    assert "a bert model; a local judge is one of qwen2_5_vl, qwen3_vl, internvl, llava_onevision" in problem(other)
    blind = tiny_judges.qwen25(tmp_path / "blind", video=False)
    assert "its chat template has no place for a video" in problem(blind)
    from safetensors.torch import load_file, save_file

    broken = shutil.copytree(folders["qwen25"], tmp_path / "broken")
    state = load_file(broken / "model.safetensors")
    state.pop("model.language_model.norm.weight", state.pop("model.norm.weight", None))
    save_file(state, broken / "model.safetensors", metadata={"format": "pt"})
    assert "1 missing keys" in problem(broken)


def test_frames_and_grids() -> None:
    clip = clip_of(9, 6, 8, 5, fps=4.0)
    for n, at, wanted in ((3, "ends", [0, 4, 8]), (1, "ends", [4]), (20, "ends", list(range(9))), (4, "linspace", [0, 2, 5, 8]),
                          (12, "linspace", [0, 0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8]), (3, "middle", [1, 4, 7])):  # fmt: skip
        policy = FramePolicy(n=n, at=at)  # type: ignore[arg-type]
        view = policy.view(clip)
        assert policy.indices(9) == wanted
        assert np.array_equal(view.frames_THWC, clip.frames_THWC[wanted])
        assert view.seconds == tuple(index / 4 for index in wanted)
        assert view is policy.view(clip)
    assert FramePolicy(n=3).view(clip).fps == 1.0
    grid = FramePolicy(n=3, layout="grid").view(clip)
    assert grid.picture
    assert np.array_equal(grid.frames_THWC[0, :6], np.concatenate([clip.frames_THWC[0], clip.frames_THWC[4]], axis=1))
    assert np.array_equal(grid.frames_THWC[0, 6:, :8], clip.frames_THWC[8])
    assert not grid.frames_THWC[0, 6:, 8:].any()
    assert FramePolicy(n=2, max_side=4).view(clip).frames_THWC.shape == (2, 3, 4, 3)
    for wrong in ({"n": 0}, {"at": "random"}, {"layout": "pile"}, {"max_side": 0}):
        with pytest.raises(ValueError):  # noqa: PT011
            FramePolicy(**wrong)  # type: ignore[arg-type]
