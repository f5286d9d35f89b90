"""Benchmarks' prompts from files in their own forms, and the names of their videos there and back."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from evaluation.errors import InputError
from evaluation.suites.naming import DIMENSION_FOLDERS, Names, names, prompt_and_sample
from evaluation.suites.prompts import PromptSuite, SuitePrompt
from evaluation.weights.lookup import find

LONG = "word " * 60


def write(path: Path, data: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def test_vbench_is_bundled_whole() -> None:
    suite = PromptSuite("vbench")
    counts = Counter(dimension for prompt in suite.prompts for dimension in prompt.dimension)
    assert len(suite.prompts) == 946
    assert len({prompt.prompt for prompt in suite.prompts}) == 944
    assert (sum(counts.values()), len(counts)) == (1362, 16)
    assert (counts["human_action"], counts["object_class"], counts["temporal_flickering"]) == (100, 79, 75)
    assert sum(prompt.samples_per_prompt for prompt in suite.prompts) == 4730
    scene = next(prompt for prompt in suite.prompts if "scene" in prompt.dimension)
    assert scene.auxiliary_info == {"scene": {"scene": {"scene": "alley"}}}
    assert len({prompt.id for prompt in suite.prompts}) == 946
    assert suite.revision == "vbench 0.1.5"
    assert len(suite.sha256) == 64


def test_vbench_names_its_videos_by_prompt() -> None:
    known = Names("vbench", PromptSuite("vbench").prompts)
    assert len(known.expected) == 4720
    assert all(lower.casefold() == upper.casefold() and lower != upper for lower, upper in known.collisions)
    assert {pair[0].rpartition("-")[0].casefold() for pair in known.collisions} == {"a fantasy landscape"}
    assert len(known.collisions) == 5
    for path in ("a red bicycle-3.mp4", "color/a red bicycle-3.gif", "some/where/color/a red bicycle-3.MP4"):
        [(prompt, sample)] = known.find(path)
        assert (prompt.prompt, sample) == ("a red bicycle", 3)
    for path in ("a red bicycle-5.mp4", "a red bicycle.mp4", "a red bicycle-3.txt", "a pink bicycle-1.webm", ""):
        assert known.find(path) == []
    twice = [name for name in known.expected if len(known.find(name)) == 2]
    assert len(twice) == 10
    special = Names("vbench", PromptSuite("vbench").prompts, special="-seed7")
    assert special.find("a red bicycle-seed7-0.mp4")[0][1] == 0
    assert special.find("a red bicycle-0.mp4") == []
    assert DIMENSION_FOLDERS["aesthetic_quality"] == "overall_consistency"


def test_vbench2(tmp_path: Path) -> None:
    entries = [
        {"prompt_en": "a", "dimension": ["Diversity"]},
        {"prompt_en": "b", "dimension": ["Mechanics"], "auxiliary_info": ["Is it?"]},
        {"prompt_en": LONG, "dimension": "Composition", "auxiliary_info": {"question": ["x"], "judge": [True, False]}},
        {"prompt_en": "b", "dimension": ["Human_Clothes"]},
    ]
    suite = PromptSuite("vbench2", write(tmp_path / "VBench2_full_info.json", entries), revision="abc")
    assert [prompt.samples_per_prompt for prompt in suite.prompts] == [20, 3, 3, 3]
    assert suite.prompts[1].auxiliary_info == {"Mechanics": ["Is it?"]}
    assert suite.prompts[2].auxiliary_info == {"Composition": {"question": ["x"], "judge": [True, False]}}
    assert suite.revision == "abc"
    assert suite.sha256 == hashlib.sha256(hashlib.sha256(suite.path.read_bytes()).digest()).hexdigest()
    known = Names("vbench2", suite.prompts)
    assert len(known.expected) == 29
    assert known.expected[-4] == f"Composition/{LONG[:180]}-2.mp4"
    assert known.find("Diversity/a-19.mp4") == [(suite.prompts[0], 19)]
    assert known.find(f"x/Composition/{LONG[:180]}-0.mp4") == [(suite.prompts[2], 0)]
    assert known.find("a-1.mp4") == [(suite.prompts[0], 1)]
    assert known.find("b-1.mp4") == []  # two dimensions have it; only the folder tells
    assert known.find("Human_Clothes/b-1.mp4") == [(suite.prompts[3], 1)]


def test_compbench(tmp_path: Path) -> None:
    write(
        tmp_path / "consistent_attribute_binding.json", [{"prompt": "p1", "phrases": "a; b"}, {"prompt": "p2", "phrases": "c; d"}]
    )
    write(tmp_path / "action_binding.json", [{"prompt": "p3", "phrase_0": ["a?", "b?"], "phrase_1": ["c?", "d?"]}])
    write(tmp_path / "other.json", [])
    prompts = PromptSuite("t2v_compbench", tmp_path).prompts
    assert [(p.prompt, p.dimension[0], p.number, p.samples_per_prompt) for p in prompts] == [
        ("p1", "consistent_attribute_binding", 0, 1),
        ("p2", "consistent_attribute_binding", 1, 1),
        ("p3", "action_binding", 0, 1),
    ]
    assert prompts[2].auxiliary_info == {"phrase_0": ["a?", "b?"], "phrase_1": ["c?", "d?"]}
    known = Names("t2v_compbench", prompts)
    assert known.expected == ("consistent_attr/0001.mp4", "consistent_attr/0002.mp4", "action_binding/0001.mp4")
    assert known.find("consistent_attr/0002.mp4") == [(prompts[1], 0)]
    assert known.find("0001.mp4") == []
    assert known.find("0002.mp4") == [(prompts[1], 0)]
    one = PromptSuite("t2v_compbench", tmp_path / "action_binding.json").prompts
    assert [prompt.prompt for prompt in one] == ["p3"]
    with pytest.raises(InputError, match=r"other\.json is none of"):
        PromptSuite("t2v_compbench", tmp_path / "other.json").prompts  # noqa: B018


def test_videophy(tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["caption", "video_url", "complexity"])
        writer.writeheader()
        writer.writerows(
            {"caption": c, "video_url": "u", "complexity": "1"} for c in ("Milk, poured in/out.", "b", "Milk, poured in/out.")
        )
    prompts = PromptSuite("videophy", path).prompts
    assert [(prompt.prompt, dict(prompt.auxiliary_info)) for prompt in prompts] == [
        ("Milk, poured in/out.", {"complexity": "1"}),
        ("b", {"complexity": "1"}),
    ]
    known = Names("videophy", prompts)
    assert known.expected == ("Milk,_poured_in-out._0.mp4", "b_0.mp4")
    assert known.find("Milk,_poured_in-out._0.mp4") == [(prompts[0], 0)]


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_videophy2_gathers_rules(tmp_path: Path, suffix: str) -> None:
    rows = [
        {"caption": "a", "physics_rules_followed": '["r1", "r2"]', "physics_rules_unfollowed": "['r3']", "is_hard": 1},
        {"caption": "a", "physics_rules_followed": ["r2", "r4"], "physics_rules_unfollowed": "[broken", "is_hard": 1},
        {"caption": "b", "physics_rules_followed": "", "action": "jump"},
    ]
    path = tmp_path / f"x.{suffix}"
    path.write_text(json.dumps(rows) if suffix == "json" else "\n".join(map(json.dumps, rows)))
    first, second = PromptSuite("videophy2", path).prompts
    assert first.auxiliary_info == {"is_hard": 1, "rules": ["r1", "r2", "r3", "r4"]}
    assert second.auxiliary_info == {"action": "jump"}


def test_phygenbench(tmp_path: Path) -> None:
    base = [{"caption": "c1", "physical_laws": "l1", "main_category": "Optics"}, {"caption": "c2", "physical_laws": "l2"}]
    write(tmp_path / "prompts.json", base)
    write(tmp_path / "single_question.json", [{**e, "singleimage_question": [{"Statement": e["caption"]}]} for e in base])
    write(tmp_path / "video_question.json", [{**e, "video_question": {"Description1": "d"}} for e in base])
    prompts = PromptSuite("phygenbench", tmp_path).prompts
    assert prompts[0].dimension == (), "a category is no dimension of a metric"
    assert prompts[0].auxiliary_info["main_category"] == "Optics"
    explicit = [{"caption": e["caption"], "explicit_caption": f"all of {e['caption']}"} for e in base]
    write(tmp_path / "explicit_prompts.json", explicit)
    assert PromptSuite("phygenbench", tmp_path).prompts[1].auxiliary_info["explicit_caption"] == "all of c2"
    assert prompts[1].auxiliary_info == {"physical_laws": "l2", "single": [{"Statement": "c2"}], "video": {"Description1": "d"}}
    known = Names("phygenbench", prompts)
    assert known.expected == ("output_video_1.mp4", "output_video_2.mp4")
    assert known.find("mine/output_video_2.mp4") == [(prompts[1], 0)]
    write(tmp_path / "video_question.json", [{**e, "video_question": {}} for e in reversed(base)])
    with pytest.raises(InputError, match="another caption"):
        PromptSuite("phygenbench", tmp_path).prompts  # noqa: B018


def test_evalcrafter(tmp_path: Path) -> None:
    data = {"0000": {"prompt": "a", "attributes": {"face": "x"}}, "0001": {"prompt": "b"}}
    prompts = PromptSuite("evalcrafter", write(tmp_path / "metadata.json", data)).prompts
    assert [(p.id, p.prompt, dict(p.auxiliary_info)) for p in prompts] == [
        ("evalcrafter-0000", "a", {"face": "x"}),
        ("evalcrafter-0001", "b", {}),
    ]
    (tmp_path / "p.txt").write_text("a\n\nb\n")
    again = PromptSuite("evalcrafter", tmp_path / "p.txt").prompts
    assert [p.prompt for p in again] == ["a", "b"]
    assert Names("evalcrafter", again).expected == ("0000.mp4", "0001.mp4")


def test_what_is_no_suite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="vbench3: no such suite; known: vbench, vbench_category, vbench2"):
        PromptSuite("vbench3")
    with pytest.raises(InputError, match="no such suite"):
        names("vbench3")
    for name in ("t2v_compbench", "phygenbench", "evalcrafter", "vbench2", "videophy"):
        with pytest.raises(InputError, match=f"{name}: its prompts are not bundled; name a copy of "):
            PromptSuite(name)
        with pytest.raises(InputError):
            PromptSuite(name, tmp_path / "none").prompts  # noqa: B018
        with pytest.raises(InputError):
            PromptSuite(name, write(tmp_path / "wrong.json", {"a": 1})).prompts  # noqa: B018
    with pytest.raises(ValueError, match="one video a prompt"):
        names("phygenbench")(SuitePrompt(id="a", prompt="b"), 1)


def test_names_without_a_suite() -> None:
    assert prompt_and_sample("x/a cat - sits-12.mp4") == ("a cat - sits", 12)
    assert prompt_and_sample("a cat-s-1.mp4", "-s") == ("a cat", 1)
    assert prompt_and_sample("a cat.mp4") == ("a cat", None)


def test_labels_need_no_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evaluation.backbones.umt import Umt

    for variable in ("EVALUATION_WEIGHTS", "VBENCH_CACHE_DIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    path = find(["k400_labels"])["k400_labels"].path
    labels = Umt(tmp_path / "none", path).labels
    assert (len(labels), labels[0], labels[1]) == (400, "riding a bike", "marching")
    (tmp_path / "kinetics_400_categories.txt").write_text("mine\t0\n")
    assert find(["k400_labels"])["k400_labels"].path == tmp_path / "kinetics_400_categories.txt"


def test_only_what_may_be_bundled_is() -> None:
    import evaluation.suites

    folder = Path(str(evaluation.suites.__file__)).parent / "data"
    assert sorted(path.name for path in folder.iterdir()) == ["NOTICE", "VBench_full_info.json", "kinetics_400_categories.txt"]
    notice = (folder / "NOTICE").read_text()
    assert "Apache License, Version 2.0" in notice
    assert hashlib.sha256((folder / "kinetics_400_categories.txt").read_bytes()).hexdigest() in notice
