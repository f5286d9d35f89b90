"""Florence-2, Grounding DINO, OWLv2, BLIP and VideoMAE from tiny folders against the classes and processors of their hub."""

from __future__ import annotations

import json
import math
import random
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluation.backbones.blip import Blip
from evaluation.backbones.boxes import labelled
from evaluation.backbones.florence2 import Florence2, phrases
from evaluation.backbones.grounding_dino import GroundingDino
from evaluation.backbones.owlv2 import Owlv2
from evaluation.backbones.videomae import VideoMae
from evaluation.catalog import proxies
from evaluation.catalog.table import CATALOG, load
from evaluation.detection import Captioner, Detector, RegionCaptioner, iou
from evaluation.errors import ClipError, WeightsError
from evaluation.metrics.human_action_videomae import HumanActionVideoMae
from evaluation.metrics.scene import SceneBlip
from evaluation.options import Options
from evaluation.towers import Towers
from evaluation.video import detector_inputs
from evaluation.video.clip import Clip, Record
from evaluation.weights.lookup import find
from tests.evaluation import tiny_detectors
from tests.evaluation.videos import clip_of

ACTIONS = ["riding a bike", "abseiling", "Yoga", "zumba", "juggling balls", "archery", "dancing ballet"]
FRAMES = torch.cat([clip_of(2, 41, 71, seed).frames_TCHW[:1] for seed in range(4)])
TASKS = {"<OD>": "Locate the objects with category name in the image.",
         "<DENSE_REGION_CAPTION>": "Locate the objects in the image, with their descriptions.",
         "<DETAILED_CAPTION>": "Describe in detail what is shown in the image."}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("detectors")
    return {
        "florence2": tiny_detectors.florence2_folder(root / "florence2"),
        "grounding_dino": tiny_detectors.grounding_dino_folder(root / "grounding_dino"),
        "owlv2": tiny_detectors.owlv2_folder(root / "owlv2"),
        "blip": tiny_detectors.blip_folder(root / "blip"),
        "videomae_k400": tiny_detectors.videomae_folder(root / "videomae", ACTIONS),
    }


def images(frames_TCHW: Tensor) -> list[np.ndarray]:
    return [frame.permute(1, 2, 0).numpy() for frame in frames_TCHW]


def florence_by_hub(folder: Path, task: str) -> list[Any]:
    """The hub's class on the hub's pixels, read by the hub's parser."""
    from transformers import CLIPImageProcessorPil, Florence2ForConditionalGeneration, PreTrainedTokenizerFast
    from transformers.models.florence2.processing_florence2 import Florence2PostProcessor

    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"})
    processor: Any = CLIPImageProcessorPil(
        size={"height": 32, "width": 32}, do_center_crop=False, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225]
    )
    model: Any = Florence2ForConditionalGeneration.from_pretrained(folder)
    parser: Any = Florence2PostProcessor({"description_with_bboxes": {}}, tokenizer)
    answers = []
    for image in images(FRAMES):
        pixels = processor(image, return_tensors="pt")["pixel_values"]
        text = "<image>" * 17 + "<s>" + TASKS[task] + "</s>"
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        out = model.generate(input_ids=ids, pixel_values=pixels, num_beams=3, do_sample=False, max_new_tokens=39)
        written = tokenizer.decode(out[0], skip_special_tokens=False)
        if task == "<DETAILED_CAPTION>":
            words = [token for token in out[0].tolist() if not tokenizer.convert_ids_to_tokens(token).startswith("<")]
            answers.append(" ".join(tokenizer.decode(words).lower().split()))
            continue
        found = located(parser, written, (71, 41))
        boxes = [(min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3])) for b in (item["bbox"] for item in found)]
        answers.append([(ascii_only(item["cat_name"]), box) for item, box in zip(found, boxes)])
    return answers


def located(parser: Any, text: str, size: tuple[int, int]) -> list[dict[str, Any]]:
    """The parser's boxes with a name; places that belong to no words leave a rest of themselves in its names."""
    found = parser(text=text, image_size=size, parse_tasks="description_with_bboxes")["description_with_bboxes"]
    named = [{**item, "cat_name": item["cat_name"].rpartition(">")[2]} for item in found]
    return [item for item in named if item["cat_name"]]


def ascii_only(text: str) -> str:
    return " ".join(text.encode("ascii", "ignore").decode().lower().split())


def test_florence2_against_the_hub(folders: dict[str, Path]) -> None:
    backbone = Florence2(folders["florence2"])
    assert all(isinstance(backbone, protocol) for protocol in (Detector, RegionCaptioner, Captioner))
    objects = florence_by_hub(folders["florence2"], "<OD>")
    found = backbone.detect(FRAMES.float())
    assert [[(ascii_only(item.label), item.box) for item in frame if ascii_only(item.label)] for frame in found] == objects
    assert all(objects)
    parts = florence_by_hub(folders["florence2"], "<DENSE_REGION_CAPTION>")
    described = backbone.describe(FRAMES.float())
    named = [[(ascii_only(item.caption), item.box) for item in frame] for frame in described]
    assert [[item for item in frame if item[0]] for frame in named] == parts
    for frame, seen in zip(described, found):
        for region in frame:
            overlaps = [iou(region.box, item.box) for item in seen]
            best = max(overlaps)
            assert region.label == (seen[overlaps.index(best)].label if best >= 0.5 else "")
    assert {region.label == "" for frame in described for region in frame} == {True, False}
    texts = backbone.caption(FRAMES)
    assert texts == florence_by_hub(folders["florence2"], "<DETAILED_CAPTION>")
    assert len(set(texts)) > 1


def test_answers_cut_into_phrases() -> None:
    from transformers.models.florence2.processing_florence2 import Florence2PostProcessor

    parser: Any = Florence2PostProcessor({"description_with_bboxes": {}}, SimpleNamespace(all_special_tokens=[]))
    dice = random.Random(1)
    words = {number: "abcdefgh"[number] for number in range(8)}
    places = {100 + place: place for place in range(1000)}
    for _ in range(200):
        ids: list[int] = []
        for _ in range(dice.randrange(6)):
            ids += [dice.randrange(8) for _ in range(dice.randrange(3))]
            ids += [dice.randrange(100, 1100) for _ in range(dice.choice([0, 2, 4, 5, 8, 11]))]
            ids += [50] * dice.randrange(2)
        text = "".join(words[token] if token in words else f"<loc_{places[token]}>" for token in ids if token != 50)
        theirs = located(parser, text, (777, 555))
        ours = []
        for label, told in phrases(ids, places, {50}, set()):
            for start in range(0, len(told) - 3, 4):
                sides = zip(told[start : start + 4], (777, 555, 777, 555))
                box = [int((place + 0.5) * side / 1000) for place, side in sides]
                ours.append({"bbox": box, "cat_name": "".join(words[token] for token in label)})
        assert ours == theirs
    assert phrases([1, 60, 2, 101, 102, 103, 104], places, {50}, {60}) == [([2], [1, 2, 3, 4])], "a mark ends what is before it"


@pytest.mark.parametrize("labels", [("cat", "dog"), ("x", "cat"), ("red Dog?", "b.c"), ("a",)])
def test_grounding_dino_against_the_hub(folders: dict[str, Path], labels: tuple[str, ...]) -> None:
    from transformers import GroundingDinoForObjectDetection, GroundingDinoImageProcessorPil

    backbone = GroundingDino(folders["grounding_dino"])
    words = {"cat": "cat", "dog": "dog", "x": "x", "a": "a", "red Dog?": "r ##e ##d dog", "b.c": "b c"}
    vocabulary = json.loads((folders["grounding_dino"] / "tokenizer.json").read_text())["model"]["vocab"]
    ids, spans = [101], []
    for label in labels:
        pieces = [vocabulary[word] for word in words[label].split()]
        spans.append(range(len(ids), len(ids) + len(pieces)))
        ids += [*pieces, 1012]
    processor: Any = GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 100})
    model: Any = GroundingDinoForObjectDetection.from_pretrained(folders["grounding_dino"])
    tokens = torch.tensor([[*ids, 102]])
    found = backbone.detect(FRAMES.float(), labels)
    counts = []
    for image, ours in zip(images(FRAMES), found):
        pixels = processor(image, return_tensors="pt")["pixel_values"]
        assert pixels.shape[-2:] == (58, 100)
        with torch.no_grad():
            out = model(pixel_values=pixels, input_ids=tokens)
        expected = []
        for logits, (x, y, w, h) in zip(out.logits[0].tolist(), out.pred_boxes[0].tolist()):
            scores = [max(1 / (1 + math.exp(-logits[token])) for token in span) for span in spans]
            box = [max(0, (x - w / 2) * 71), max(0, (y - h / 2) * 41), min(71, (x + w / 2) * 71), min(41, (y + h / 2) * 41)]
            if max(scores) > 0.35:
                expected.append((max(scores), labels[scores.index(max(scores))], box))
        expected.sort(key=lambda item: -item[0])
        assert [item.label for item in ours] == [label for _, label, _ in expected]
        np.testing.assert_allclose([item.box for item in ours], [box for _, _, box in expected], atol=2e-4)
        counts.append(len(ours))
    assert min(counts) > 0
    assert labels == ("red Dog?", "b.c") or min(counts) < 12
    assert backbone.settings == {"threshold": 0.35}


@pytest.mark.parametrize("size", [(41, 71), (130, 80)])
def test_owlv2_against_the_hub(folders: dict[str, Path], size: tuple[int, int]) -> None:
    from transformers import CLIPTokenizer, Owlv2ForObjectDetection

    frames = torch.cat([clip_of(2, *size, seed).frames_TCHW[:1] for seed in range(3)])
    backbone, labels = Owlv2(folders["owlv2"]), ("cat", "Red dog")
    loader: Any = CLIPTokenizer
    tokenizer = loader.from_pretrained(folders["owlv2"])
    model: Any = Owlv2ForObjectDetection.from_pretrained(folders["owlv2"])
    texts = [f"a photo of a {label}" for label in labels]
    tokens = tokenizer(texts, padding=True, return_tensors="pt")
    pixels = detector_inputs.owlv2(frames, 96)
    kept = 0
    for frame, ours in zip(pixels, backbone.detect(frames.float(), labels)):
        with torch.no_grad():
            out = model(pixel_values=frame[None], **tokens)
        expected, side = [], max(size)
        for logits, (x, y, w, h) in zip(out.logits[0].tolist(), out.pred_boxes[0].tolist()):
            score = 1 / (1 + math.exp(-max(logits)))
            left, right = (min(max(edge * side, 0), size[1]) for edge in (x - w / 2, x + w / 2))
            top, bottom = (min(max(edge * side, 0), size[0]) for edge in (y - h / 2, y + h / 2))
            if score > 0.1 and right > left and bottom > top:
                expected.append((score, labels[logits.index(max(logits))], (left, top, right, bottom)))
        expected.sort(key=lambda item: -item[0])
        assert [item.label for item in ours] == [label for _, label, _ in expected]
        np.testing.assert_allclose([item.box for item in ours], [box for _, _, box in expected], atol=2e-4)
        kept += len(ours)
    assert 0 < kept < 3 * 36
    with pytest.raises(ClipError, match="OWLv2 cannot look for") as caught:
        backbone.detect(frames.float(), ("x y " * 60,))
    assert caught.value.code == "no_prompt"


def test_blip_and_scene_against_the_hub(folders: dict[str, Path]) -> None:
    from tokenizers import Tokenizer
    from transformers import BlipForConditionalGeneration, BlipImageProcessorPil

    processor: Any = BlipImageProcessorPil(size={"height": 32, "width": 32})
    model: Any = BlipForConditionalGeneration.from_pretrained(folders["blip"])
    tokenizer = Tokenizer.from_file(str(folders["blip"] / "tokenizer.json"))
    expected = []
    for image in images(FRAMES):
        pixels = processor(image, return_tensors="pt")["pixel_values"]
        ids = model.generate(pixel_values=pixels, num_beams=3, do_sample=False, max_new_tokens=23)[0].tolist()
        expected.append(tokenizer.decode(ids[1:], skip_special_tokens=True))
    backbone = Blip(folders["blip"])
    assert backbone.caption(FRAMES) == expected
    assert len(set(expected)) > 1
    clip = clip_of(9, 41, 71, 1)
    metric = SceneBlip(backbone, batch=3)
    metric.update(clip, Record(index=0, auxiliary_info={"scene": {"scene": expected[1].split()[0]}}))
    assert metric.scores[0].details["captions"][0] == expected[1]
    assert metric.scores[0].total >= 1


def test_videomae_against_the_hub(folders: dict[str, Path]) -> None:
    from transformers import VideoMAEForVideoClassification, VideoMAEImageProcessorPil

    model: Any = VideoMAEForVideoClassification.from_pretrained(folders["videomae_k400"])
    processor: Any = VideoMAEImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )  # fmt: skip
    metric = HumanActionVideoMae(VideoMae(folders["videomae_k400"]))
    decisions = []
    for number, clip in enumerate((clip_of(37, 41, 71, 1), clip_of(16, 90, 50, 2))):
        total = len(clip.frames_THWC)
        edges = [int(total * part / 16) for part in range(17)]
        chosen = [clip.frames_THWC[(edges[part] + edges[part + 1] - 1) // 2] for part in range(16)]
        with torch.no_grad():
            logits = model(pixel_values=processor(chosen, return_tensors="pt")["pixel_values"]).logits[0]
        torch.testing.assert_close(
            metric.backbone.logits(detector_inputs.videomae(torch.from_numpy(np.stack(chosen)).permute(0, 3, 1, 2), 32)), logits,
            atol=1e-5, rtol=0,
        )  # fmt: skip
        likely = sorted(range(7), key=lambda label: -float(logits[label]))[:5]
        for place, action in enumerate(ACTIONS):
            metric.update(clip, Record(index=7 * number + place, prompt=f"A person is {action}"))
            seen = place in likely and round(1 / (1 + math.exp(-float(logits[place]))), 4) >= 0.85
            score = metric.scores[7 * number + place]
            assert (score.value, score.details["cor_num_per_video"], score.details["known"]) == (seen, seen, True)
            decisions.append(seen)
    assert 0 < sum(decisions) < len(decisions)
    assert metric.compute() == sum(decisions) / len(decisions)
    with pytest.raises(ClipError, match="what a person is doing"):
        metric.update(clip_of(4, 30, 30), Record(index=99, prompt="a dog"))


def test_inputs_against_the_hub() -> None:
    from transformers import Owlv2ImageProcessorPil

    large = torch.cat([clip_of(2, 800, 1021, seed).frames_TCHW[:1] for seed in range(2)])
    assert torch.equal(detector_inputs.det(FRAMES), FRAMES.float())
    assert torch.equal(detector_inputs.det_cv2(FRAMES), FRAMES.float())
    small, by_cv2 = detector_inputs.det(large), detector_inputs.det_cv2(large)
    assert small.shape == by_cv2.shape == (2, 3, 720, 918)
    y, x = (300 + 0.5) * 800 / 720 - 0.5, (400 + 0.5) * 1021 / 918 - 0.5
    (top, left), (down, across) = (int(y), int(x)), (y - int(y), x - int(x))
    corner = large[0, :, top : top + 2, left : left + 2].double()
    weights = torch.tensor([[(1 - down) * (1 - across), (1 - down) * across], [down * (1 - across), down * across]])
    torch.testing.assert_close(small[0, :, 300, 400].double(), (corner * weights).sum((1, 2)), atol=1e-3, rtol=0)
    assert not torch.equal(small, small.round())
    assert torch.equal(by_cv2, by_cv2.round())
    assert float((small - by_cv2).abs().max()) < 1.01
    square = clip_of(2, 60, 60).frames_TCHW
    processor: Any = Owlv2ImageProcessorPil(size={"height": 96, "width": 96})
    theirs = torch.tensor(np.stack([processor(image)["pixel_values"][0] for image in images(square)]))
    ours = detector_inputs.owlv2(square, 96)
    torch.testing.assert_close(ours[..., 1:-1, 1:-1], theirs[..., 1:-1, 1:-1].float(), atol=1e-4, rtol=0)
    padded = detector_inputs.owlv2(clip_of(2, 30, 60).frames_TCHW, 96)
    grey = (0.5 - torch.tensor([0.48145466, 0.4578275, 0.40821073])) / torch.tensor([0.26862954, 0.26130258, 0.27577711])
    torch.testing.assert_close(padded[0, :, 60, 50], grey)


@pytest.fixture(scope="module")
def towers(folders: dict[str, Path]) -> Towers:
    return Towers(find(folders, folders))


@pytest.fixture(scope="module")
def clips() -> dict[int, Clip]:
    """One video twice, by the size of batches in which it is looked at; what is found of it is kept."""
    return {batch: clip_of(5, 41, 71, 2) for batch in (8, 16)}


@pytest.mark.parametrize("name", [entry.id for entry in proxies.ENTRIES])
def test_every_proxy_runs_from_the_catalogue_in_batches_of_any_size(towers: Towers, clips: dict[int, Clip], name: str) -> None:
    assert set(CATALOG[name].weights) <= towers.found.keys()
    auxiliary = {"object_class": {"object": "cat"}, "multiple_objects": {"object": "cat and dog"}, "color": {"color": "red"},
                 "spatial_relationship": {"object_a": "cat", "object_b": "dog", "relationship": "on the left of"},
                 "scene": {"scene": "alley"}}  # fmt: skip
    record = Record(index=0, prompt="a red person is riding a bike", auxiliary_info=auxiliary)
    scores, seen = [], []
    for batch, clip in clips.items():
        fixed = batch == 16 and name.startswith("scene")
        metric: Any = load(name).build(towers, Options(batch=batch, fixed=fixed))
        assert metric.id == name + ".fixed" * fixed
        assert not metric.exact
        assert metric.provenance == dict(getattr(metric.backbone, "settings", {}))
        metric.update(clip, record)
        scores.append(metric.scores[0])
        seen.append(list(clip._found.values()))
    assert (scores[0].value, scores[0].total, scores[0].count) == (scores[1].value, scores[1].total, scores[1].count)
    for few, many in zip(*seen):
        assert len(few) == len(many) == 16
        for one, other in zip(few, many):
            if isinstance(one, str):
                assert one == other
                continue
            assert [item.label for item in one] == [item.label for item in other]
            np.testing.assert_allclose([item.box for item in one], [item.box for item in other], atol=1e-3)


def test_the_same_frames_give_the_same_answers(folders: dict[str, Path], towers: Towers) -> None:
    frames, labels = FRAMES[:2].float(), ("cat", "dog")
    again = Towers(find(folders, folders))
    assert again.florence2.detect(frames) == towers.florence2.detect(frames) == towers.florence2.detect(frames)
    assert again.grounding_dino.detect(frames, labels) == towers.grounding_dino.detect(frames, labels)
    assert again.owlv2.detect(frames, labels) == towers.owlv2.detect(frames, labels)
    assert again.blip.caption(FRAMES[:2]) == towers.blip.caption(FRAMES[:2])


def test_one_run_of_florence2_serves_three_metrics(towers: Towers, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    clip = clip_of(16, 41, 71)
    label = towers.florence2.detect(clip.frames_TCHW[:1].float())[0][0].label
    generate = towers.florence2.model.generate
    monkeypatch.setattr(towers.florence2.model, "generate", lambda **given: (asked.append(1), generate(**given))[1])
    record = Record(index=0, auxiliary_info={
        "object_class": label, "multiple_objects": f"{label} and cat",
        "spatial_relationship": {"object_a": label, "object_b": "cat", "relationship": "on the top of"}})  # fmt: skip
    values = []
    for dimension in ("object_class", "multiple_objects", "spatial_relationship"):
        metric = load(f"{dimension}.florence2").build(towers, Options(batch=8))
        metric.update(clip, record)
        values.append(metric.compute())
    assert len(asked) == 2
    assert values[0] >= 1 / 16


def test_what_is_not_a_number_is_an_error() -> None:
    probabilities, boxes = torch.full((1, 2, 1), 0.5), torch.full((1, 2, 4), 0.5)
    assert len(labelled(probabilities, boxes, ["cat"], 0.4, (10, 20))[0]) == 2
    assert labelled(probabilities, boxes, ["cat"], 0.5, (10, 20)) == [[]], "as likely as the threshold is not enough"
    for broken in ((probabilities * math.nan, boxes), (probabilities, boxes * math.inf)):
        with pytest.raises(ClipError) as caught:
            labelled(*broken, ["cat"], 0.4, (10, 20))
        assert caught.value.code == "non_finite"


def test_foreign_folders_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    def copy(name: str, without: str) -> Path:
        target = tmp_path / f"{name}-{without}"
        shutil.copytree(folders[name], target)
        (target / without).unlink()
        return target

    for backbone, match in (
        (Florence2(copy("florence2", "tokenizer.json")), "no tokenizer.json"),
        (Florence2(copy("florence2", "preprocessor_config.json")), "size of pictures"),
        (Florence2(copy("florence2", "model.safetensors")), "no model folder"),
        (GroundingDino(copy("grounding_dino", "preprocessor_config.json")), "size of pictures"),
    ):
        with pytest.raises(WeightsError, match=match):
            backbone.detect(FRAMES[:1].float(), ("cat",))
    foreign = shutil.copytree(folders["florence2"], tmp_path / "foreign")
    shutil.copy(folders["grounding_dino"] / "tokenizer.json", foreign / "tokenizer.json")
    with pytest.raises(WeightsError, match="no <loc_0> to <loc_999>"):
        Florence2(foreign).detect(FRAMES[:1].float())
    with pytest.raises(WeightsError, match=r"missing keys|foreign keys"):
        Blip(shutil.copytree(folders["owlv2"], tmp_path / "blip")).caption(FRAMES[:1])
    with pytest.raises(WeightsError, match="does not name the labels"):
        VideoMae(tiny_detectors.videomae_folder(tmp_path / "unnamed", [f"LABEL_{n}" for n in range(7)])).labels  # noqa: B018
    for labels in (("",), ("a b " * 20,)):
        with pytest.raises(ClipError, match=r"names no object|reads 32"):
            GroundingDino(folders["grounding_dino"]).detect(FRAMES[:1].float(), labels)
