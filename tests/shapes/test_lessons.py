"""What the tiny models are taught: conversations in the suite's own templates, verdicts that fit the video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rapo_lightning.judges.reply import parse_alignment
from rapo_lightning.shapes import lessons
from rapo_lightning.shapes.captions import caption, details, state, user_prompt
from rapo_lightning.shapes.chat import answer_rows, chat_tokenizer, packed_rows, rendered
from rapo_lightning.shapes.critique import compare, critique, reply, verdict
from rapo_lightning.shapes.dataset import arranged_scenes
from rapo_lightning.shapes.judge_lessons import altered, clean_lessons, request_for
from rapo_lightning.shapes.judge_model import VIDEO_TOKENS, EqualVideos, judge_model, to_patches
from rapo_lightning.shapes.lessons import complete, lesson
from rapo_lightning.shapes.scene import Scene, held_out, mirrored, sample
from rapo_lightning.shapes.train_encoder import pair
from rapo_lightning.templates import Template

TEMPLATES = {name: Template.load(name) for name in lessons.TEMPLATES}


def _scenes(count: int, seed: int = 0) -> list[Scene]:
    rng = np.random.default_rng(seed)
    return [sample(rng) for _ in range(count)]


def test_completing_keeps_what_was_stated() -> None:
    rng = np.random.default_rng(0)
    for scene in _scenes(300):
        stated = state(scene, rng)
        full = complete(stated, rng)
        assert stated.attributes().items() <= full.attributes().items()
        assert caption(full).startswith("A smooth animated clip of ")


def test_a_rewrite_never_repeats_a_try_and_keeps_the_request() -> None:
    rng = np.random.default_rng(1)
    seen = 0
    for _ in range(600):
        messages, answer = lesson(rng, TEMPLATES)
        told = messages[-1]["content"]
        if "Tries so far" in told:
            seen += 1
            assert f'"{answer}"' not in told
    assert seen > 250


def test_no_held_out_triple_is_taught() -> None:
    held = [scene for scene in _scenes(2000) if any(held_out(item) for item in scene.items)]
    assert held == []


def test_a_video_of_what_was_asked_for_is_right_in_either_order() -> None:
    rng = np.random.default_rng(2)
    for scene in _scenes(300):
        stated = state(scene, rng)
        assert all(compare(stated, scene).values())
        assert all(compare(mirrored(stated), scene).values())
        assert verdict(stated, compare(stated, scene), len(scene.items)) == (5, [], [], [])


def test_one_changed_attribute_lowers_the_score_and_is_named() -> None:
    rng = np.random.default_rng(3)
    lowered = 0
    for scene in _scenes(400):
        asked = state(scene, rng)
        other = altered(asked, rng)
        score, missing, wrong, extra = verdict(other, compare(other, scene), len(scene.items))
        if other != asked and compare(other, scene) != compare(asked, scene):
            lowered += 1
            assert score < 5
            assert missing + wrong + extra
    assert lowered > 300


def test_the_reply_is_what_the_alignment_judge_parses() -> None:
    rng = np.random.default_rng(4)
    for scene in _scenes(200):
        asked = request_for(scene, rng)
        checks = compare(asked, scene)
        parsed = parse_alignment(reply(asked, checks, len(scene.items)))
        assert (parsed.score, parsed.critique) == pytest.approx(critique(asked, checks, len(scene.items)))


def test_a_missing_object_is_named_once_and_an_extra_one_too() -> None:
    one, two = (arranged_scenes(1, "train", 5, objects=count).scenes[0] for count in (1, 2))
    _, missing, wrong, _ = verdict(two, compare(two, Scene(items=two.items[:1], place=two.place, atmosphere=two.atmosphere)), 1)
    assert len(missing) == 1
    assert wrong == []
    more = Scene(items=(*one.items, two.items[0]), place=one.place, atmosphere=one.atmosphere, relation="above")
    assert verdict(one, compare(one, more), 2)[3] == ["another object"]


def test_rendering_equals_the_chat_template(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    lessons = [lesson(rng, TEMPLATES) for _ in range(40)]
    texts = [message["content"] for messages, _ in lessons for message in messages]
    chat_tokenizer(texts, 600).save_pretrained(tmp_path)
    from transformers import Qwen2Tokenizer

    tokenizer = Qwen2Tokenizer.from_pretrained(tmp_path)
    for messages, _ in lessons:
        assert rendered(messages) == tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        last = {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": messages[-1]["content"]}]}
        with_video = tokenizer.apply_chat_template([*messages[:-1], last], tokenize=False, add_generation_prompt=True)
        assert rendered(messages, video=True) == with_video


def test_rows_hold_every_conversation_and_mark_its_answer() -> None:
    pairs = [([1, 2, 3], [4, 5]), ([6], [7, 8]), ([9, 10], [11])]
    tokens, answer = answer_rows(pairs, 6, pad=0)
    assert tokens.tolist() == [[1, 2, 3, 4, 5, 0], [6, 7, 8, 0, 0, 0], [9, 10, 11, 0, 0, 0]]
    assert tokens[answer].tolist() == [4, 5, 7, 8, 11]
    packed, marked = packed_rows(pairs, 8, pad=0)
    assert packed.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8], [9, 10, 11, 0, 0, 0, 0, 0]]
    assert packed[marked].tolist() == [4, 5, 7, 8, 11]
    with pytest.raises(ValueError, match="longer than 4"):
        answer_rows(pairs, 4, pad=0)


def test_equal_videos_compute_what_the_model_computes() -> None:
    torch.manual_seed(0)
    ids = {"end": 1, "pad": 0, "image": 6, "video": 5, "vision_start": 3, "vision_end": 4}
    model = judge_model(ids, 200, small=True).eval()
    rows = torch.randint(10, 200, (3, 220), generator=torch.Generator().manual_seed(1))
    rows[:, :6] = torch.tensor([2, 50, 51, 52, 53, 3])
    rows[:, 6 : 6 + VIDEO_TOKENS], rows[:, 6 + VIDEO_TOKENS] = 5, 4
    patches = to_patches(torch.rand(3, 17, 64, 64, 3, generator=torch.Generator().manual_seed(2)))
    with torch.no_grad():
        ours = EqualVideos(model, rows[0]).eval()(patches, rows)
        theirs = model(
            input_ids=rows,
            attention_mask=torch.ones_like(rows),
            mm_token_type_ids=(rows == 5).int() * 2,
            pixel_values_videos=patches,
            video_grid_thw=torch.tensor([[5, 8, 8]] * 3),
            second_per_grid_ts=torch.tensor([0.5] * 3),
        ).logits[:, :-1]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_judge_lessons_start_with_a_description() -> None:
    rng = np.random.default_rng(7)
    scene = _scenes(1)[0]
    lessons = clean_lessons(scene, 8, rng, Template.load("judge_alignment"))
    assert [answer for _, answer in lessons[:3]] == [caption(scene)] * 3
    assert all(parse_alignment(answer).score is not None for _, answer in lessons[3:])


def test_details_say_what_the_caption_says() -> None:
    for scene in _scenes(50):
        said = details(scene)
        assert set(said) <= set(scene.attributes())
        assert all(sentence.endswith(".") for sentence in said.values())


def test_pairs_have_cosines_and_words() -> None:
    rng = np.random.default_rng(8)
    targets = [pair(rng) for _ in range(300)]
    assert all(first and second and 0.0 <= target <= 1.0 for first, second, target in targets)
    assert len({target for _, _, target in targets}) > 4


def test_a_user_prompt_states_only_what_was_stated() -> None:
    rng = np.random.default_rng(9)
    for scene in _scenes(200):
        stated = state(scene, rng)
        if stated.place is None:
            text = user_prompt(stated, rng)
            assert not any(word in text for word in ("desert", "dunes", "ocean", "meadow", "downtown", "snowy"))
