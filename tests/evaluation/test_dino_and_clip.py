"""The four dimensions on DINO and CLIP against networks written out plainly, over sizes and lengths, whole and in batches."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from evaluation.backbones.clip import AestheticHead, OpenAIClip
from evaluation.backbones.dino import Dino
from evaluation.backbones.tokens import clean, tokenize
from evaluation.errors import ClipError, WeightsError
from evaluation.metrics.aesthetic_quality import AestheticQuality
from evaluation.metrics.appearance_style import AppearanceStyle
from evaluation.metrics.background_consistency import BackgroundConsistency
from evaluation.metrics.base import VideoMetric
from evaluation.metrics.consistency import consistency
from evaluation.metrics.subject_consistency import SubjectConsistency
from evaluation.video import resize
from evaluation.video.clip import Clip, Record
from tests.evaluation import reference, tiny
from tests.evaluation.videos import clip_of

#: Wide, tall, square, one that needs no resize, one that is almost square: 224 x 231 has the patches of a square; 2 to 7 frames.
CLIPS = [clip_of(5, 60, 104, 1), clip_of(2, 90, 70, 2), clip_of(7, 64, 64, 3), clip_of(3, 224, 224, 4), clip_of(3, 64, 66, 5)]
STYLE = Record(index=0, auxiliary_info={"appearance_style": "The &amp;amp; Ukiyo  style"})


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny.dino_folder(folder / "dino")
    tiny.dino_file(folder / "dino.pth", folder / "dino")
    tiny.clip_folder(folder / "clip")
    tiny.head_file(folder / "head.pth")
    return folder


def value(metric: VideoMetric, clip: Clip, record: Record = STYLE) -> float:
    metric.reset()
    metric.update(clip, record)
    return metric.scores[record.index].value


def mean_likeness(features: list[torch.Tensor]) -> float:
    total = 0.0
    for t in range(1, len(features)):
        before = max(0.0, reference.cosine(features[t - 1], features[t]))
        first = max(0.0, reference.cosine(features[0], features[t]))
        total += (before + first) / 2
    return total / (len(features) - 1)


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: str(clip.frames_THWC.shape))
def test_subject_consistency(weights: Path, clip: Clip) -> None:
    state = tiny.state_of(weights / "dino")
    features = [reference.dino_features(frame, state, 2) for frame in resize.dino(clip.frames_TCHW)]
    for file in ("dino", "dino.pth"):
        backbone = Dino(weights / file)
        expected = pytest.approx(mean_likeness(features), abs=2e-6)
        assert value(SubjectConsistency(backbone), clip) == expected
        mine = backbone.encode(resize.dino(clip.frames_TCHW)).double()
        torch.testing.assert_close(mine, torch.stack(features), atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: str(clip.frames_THWC.shape))
def test_background_consistency_and_aesthetic_quality(weights: Path, clip: Clip) -> None:
    state, head = tiny.state_of(weights / "clip"), torch.load(weights / "head.pth", weights_only=True)
    features = [reference.clip_image(frame, state, 2) for frame in resize.clip_f(clip.frames_TCHW)]
    backbone = OpenAIClip(weights / "clip")
    background = BackgroundConsistency(backbone)
    assert value(background, clip) == pytest.approx(mean_likeness(features), abs=2e-6)
    details = background.scores[0].details
    assert details == {"video_sim": background.scores[0].total, "cnt_per_video": len(clip.frames_THWC) - 1}
    ratings = [float(head["weight"][0].double() @ (f / f.norm()) + head["bias"][0]) / 10 for f in features]
    mine = value(AestheticQuality(backbone, AestheticHead(weights / "head.pth")), clip)
    assert mine == pytest.approx(sum(ratings) / len(ratings), abs=2e-6)


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: str(clip.frames_THWC.shape))
def test_appearance_style(weights: Path, clip: Clip) -> None:
    state = tiny.state_of(weights / "clip")
    text = reference.clip_text(tokens_by_hand("the & ukiyo style"), state, 1)
    frames = resize.clip_pil(clip.frames_TCHW)
    scale = float(state["logit_scale"].double().exp())
    expected = [scale * reference.cosine(reference.clip_image(frame, state, 2), text) / 100 for frame in frames]
    metric = AppearanceStyle(OpenAIClip(weights / "clip", text=True))
    assert value(metric, clip) == pytest.approx(sum(expected) / len(expected), abs=2e-6)
    details = metric.scores[0].details
    assert details["frame_results"] == pytest.approx(expected, abs=2e-6)
    assert details["cur_sim"] == details["frame_results"][-1]
    wrapped = Record(index=0, auxiliary_info={"appearance_style": dict(STYLE.auxiliary_info)})
    assert value(metric, clip, wrapped) == metric.scores[0].value


def tokens_by_hand(text: str) -> list[int]:
    """With `tiny`'s vocabulary: "the" is one token, any other word its letters, the last with its end mark."""
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    ids = [514]
    for word in text.split():
        number = [letters.index(letter) for letter in word]
        ids += [513] if word == "the" else [*number[:-1], number[-1] + 256]
    return [*ids, 515]


def test_frames_that_are_unlike_count_as_nothing() -> None:
    features = torch.randn(9, 6, generator=torch.Generator().manual_seed(0))
    cosines = [reference.cosine(a, b) for a, b in pairwise(features)]
    assert min(cosines) < 0 < max(cosines)
    assert float(consistency(features).mean()) == pytest.approx(mean_likeness(list(features)), abs=1e-6)


def test_prompts_are_cleaned_and_cut(weights: Path) -> None:
    assert clean("  A\tCafÃ© &amp;lt;3 ") == "a café <3"
    ids = tokens_by_hand("the sun in the sky")
    assert tokenize(weights / "clip", "The sun\n in THE sky", 20, cut=False)[0].tolist() == ids + [0] * (20 - len(ids))
    assert tokenize(weights / "clip", "the sun in the sky", 5, cut=True)[0].tolist() == [*ids[:4], 515]
    with pytest.raises(ValueError, match="82 tokens, and CLIP reads 77"):
        tokenize(weights / "clip", "x" * 80, 77, cut=False)
    with pytest.raises(WeightsError, match="no tokenizer"):
        tokenize(weights, "a", 77, cut=False)


def test_batches_do_not_change_a_value(weights: Path) -> None:
    dino, clip = Dino(weights / "dino"), OpenAIClip(weights / "clip", text=True)
    head = AestheticHead(weights / "head.pth")
    for batch in (1, 3):
        for whole, parts in (
            (SubjectConsistency(dino), SubjectConsistency(dino, batch=batch)),
            (BackgroundConsistency(clip), BackgroundConsistency(clip, batch=batch)),
            (AestheticQuality(clip, head), AestheticQuality(clip, head, batch=batch)),
            (AppearanceStyle(clip), AppearanceStyle(clip, batch=batch)),
        ):
            for video in CLIPS[:3]:
                assert value(whole, video) == pytest.approx(value(parts, video), abs=1e-6)


def test_a_style_that_is_absent_or_too_long_is_an_error(weights: Path) -> None:
    metric = AppearanceStyle(OpenAIClip(weights / "clip", text=True))
    for info in ({}, {"appearance_style": " "}, {"appearance_style": {}}, {"appearance_style": "x" * 90}):
        with pytest.raises(ClipError) as caught:
            metric.update(CLIPS[0], Record(index=0, auxiliary_info=info))
        assert caught.value.code == "no_prompt"
    assert metric.scores == {}


def test_pillow_smooths_and_tensors_do_not() -> None:
    wide = clip_of(2, 480, 832).frames_TCHW
    assert (resize.clip_pil(wide) - resize.clip_u8(wide)).abs().mean() > 0.05


def test_foreign_weights_are_refused(weights: Path, tmp_path: Path) -> None:
    state = tiny.state_of(shutil.copytree(weights / "clip", tmp_path / "clip"))
    del state["visual_projection.weight"]
    save_file(state, tmp_path / "clip/model.safetensors", {"format": "pt"})
    torch.save({**torch.load(weights / "dino.pth", weights_only=True), "odd": torch.ones(1)}, tmp_path / "odd.pth")
    torch.save({"weight": torch.ones(1, 8), "bias": torch.ones(1), "more": torch.ones(1)}, tmp_path / "head.pth")
    for make, match in (
        (lambda: Dino(weights / "head.pth"), "cls_token"),
        (lambda: Dino(tmp_path / "odd.pth"), r"foreign keys \(odd\)"),
        (lambda: AestheticHead(tmp_path / "head.pth"), r"1 foreign keys \(more\)"),
        (lambda: OpenAIClip(tmp_path / "clip"), r"1 missing keys \(visual_projection.weight\)"),
        (lambda: OpenAIClip(tmp_path / "absent"), "absent: no model folder"),
    ):
        with pytest.raises(WeightsError, match=match):
            make().model  # noqa: B018
