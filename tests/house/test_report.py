"""The report says what the records say: figures, order, film strips, differences, errors; and it needs nothing but its folder."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.statistics import paired_bootstrap
from rapo_lightning import records, report
from rapo_lightning.errors import RecordError
from rapo_lightning.report_diff import word_changes
from rapo_lightning.report_plot import best_so_far, plot
from rapo_lightning.report_view import Films, PromptView, read_prompts
from rapo_lightning.types import Prompt
from tests.house.run_folders import attempt, page, write_run


def views(folder: Path) -> dict[str, PromptView]:
    return {view.id: view for view in read_prompts(Films(folder=folder))}


def run_of_four(folder: Path) -> Path:
    """Prompts: better over two rounds, failed, worse, unchanged."""
    ball = attempt(folder, "ball", "a red ball", 0.25)
    astray = attempt(folder, "ball", "a square", 0.125, round=1, parent=ball)
    better = attempt(folder, "ball", "a red ball rolls", 0.5, round=1, parent=ball)
    best = attempt(folder, "ball", "a red ball rolls left", 0.75, round=2, parent=better, critique="now it rolls")
    failed = attempt(folder, "cats", "two cats", None, error="generator: out of memory")
    rain = attempt(folder, "rain", "rain on a roof", 0.5)
    worse = attempt(folder, "rain", "rain", 0.375, round=1, parent=rain)
    snail = attempt(folder, "snail", "a snail", 0.5, judge_error="no score in the answer", seeds=(7, 8))
    rows = [{"id": "ball", "candidate": best.id, "stop": "patience"}, {"id": "rain", "candidate": worse.id}]
    candidates = [ball, astray, better, best, failed, rain, worse, snail]
    records.write(folder / "prompts.jsonl", [Prompt(id=c.prompt_id, text=c.text) for c in (ball, failed, rain, snail)])
    return write_run(folder, candidates, best=rows, run={"status": "done", "environment": {"versions": {"torch": "2.13"}}})


def test_the_figures_are_those_of_the_records(tmp_path: Path) -> None:
    folder = run_of_four(tmp_path / "first")
    summary = report.Summary.of(read_prompts(Films(folder=folder)))
    assert (summary.prompts, summary.failed, summary.waiting, summary.with_errors) == (4, 1, 0, 2)
    assert (summary.rounds, summary.videos, summary.seconds, summary.tokens) == (2, 4 + 2 + 2, 12.0, 4 * 40)
    assert (summary.compared, summary.better, summary.worse) == (3, 1, 1)
    assert (summary.before, summary.after) == (pytest.approx(1.25 / 3), pytest.approx(1.625 / 3))
    assert summary.gain == paired_bootstrap([0.5, -0.125, 0.0], seed=0)
    shown = page(report.write(folder)).text
    assert "0.417 → 0.542" in shown
    assert "Gain, 95 % interval +0.125 −0.125 to +0.500" in shown
    assert "Scored before and after: 3 prompts, 1 better, 1 worse." in shown


def test_failures_come_first_then_the_largest_loss_then_the_rest(tmp_path: Path) -> None:
    html = report.write(run_of_four(tmp_path)).read_text()
    places = [html.index(f'<article class="prompt" id="prompt-{number}">') for number in (1, 2, 3, 4)]
    assert [
        text in html[place : place + 400] for text, place in zip(("two cats", "rain on a roof", "a red ball", "a snail"), places)
    ]
    assert [view.state for view in views(tmp_path).values()] == ["better", "failed", "worse", "same"]


def test_the_strip_leads_from_the_original_to_the_best(tmp_path: Path) -> None:
    ball = views(run_of_four(tmp_path))["ball"]
    assert [(one.label, one.reward, one.is_best) for one in ball.strip] == [
        ("Original", 0.25, False),
        ("Round 1", 0.5, False),
        ("Round 2", 0.75, True),
    ]
    assert [one.changes[-1] for one in ball.strip] == [("same", "a red ball"), ("added", "rolls"), ("added", "left")]
    assert [(one.label, one.changes) for one in ball.others] == [
        ("Round 1", [("same", "a "), ("removed", "red ball"), ("added", "square")])
    ]
    assert (ball.stop, ball.rounds, ball.videos, ball.gain) == ("patience", 2, 4, 0.5)


def test_players_scores_critiques_and_errors_are_on_the_page(tmp_path: Path) -> None:
    shown = page(report.write(run_of_four(tmp_path)))
    sources = shown.values("video", "src")
    assert len(sources) == len(shown.values("video", "poster")) == 8
    assert all((tmp_path / source).is_file() for source in [*sources, *shown.values("video", "poster")])
    assert set(shown.values("video", "preload")) == {"none"}
    assert "generator: out of memory" in shown.texts
    assert "motion, video 1: no score in the answer" in shown.texts
    assert "now it rolls" in shown.texts
    assert "alignment, video 2" in shown.texts
    assert shown.values("a", "href") == [f"#prompt-{number}" for number in (1, 2, 3, 4)]
    assert "stopped: patience" in shown.text


def test_a_running_run_without_derived_files_is_reported(tmp_path: Path) -> None:
    user = attempt(tmp_path, "ball", "a red ball", 0.5)
    tie = attempt(tmp_path, "ball", "a red ball, again", 0.5, round=1, parent=user)
    records.write(tmp_path / "prompts.jsonl", [Prompt(id="ball", text="a red ball"), Prompt(id="later", text="two cats")])
    write_run(tmp_path, [user, tie], run={"status": "started"})
    found = views(tmp_path)
    assert [one.is_best for one in found["ball"].strip] == [True], "ties go to the earlier"
    assert [view.state for view in found.values()] == ["same", "not run"]
    shown = page(report.write(tmp_path))
    assert "Not reached: 1. Status of the run: started" in shown.text
    assert page(report.write(write_run(tmp_path / "empty", []))).text.count("No prompt has been recorded yet.") == 1


def test_videos_that_are_gone_or_lie_elsewhere_are_named_not_linked(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    outside = tmp_path / "private.mp4"
    gone, escaped, linked = (attempt(folder, name, name, 0.5) for name in ("gone", "escaped", "linked"))
    for view, target in ((escaped, tmp_path / "escaped.mp4"), (linked, outside)):
        target.write_bytes(b"private")
        path = Path(view.videos[0].path)
        path.unlink()
        path.symlink_to(target)
    up = attempt(folder, "up", "up", 0.5, film=str(folder / "videos" / ".." / ".." / "up.mp4"))
    Path(gone.videos[0].path).write_bytes(b"")
    write_run(folder, [gone, escaped, linked, up])
    shown = page(report.write(folder, embed_below=10**6))
    assert shown.values("video", "src") == []
    assert shown.texts.count("the video lies outside the run folder") == 3
    assert shown.texts.count("the video is missing") == 1
    assert base64.b64encode(b"private").decode() not in shown.html


def test_small_files_become_part_of_the_page_when_asked(tmp_path: Path) -> None:
    small = attempt(tmp_path, "ball", "a red ball", 0.5)
    large = attempt(tmp_path, "cats", "two cats", 0.5)
    Path(large.videos[0].path).write_bytes(bytes(100))
    shown = page(report.write(write_run(tmp_path, [small, large]), embed_below=100))
    film = "data:video/mp4;base64," + base64.b64encode(b"film of 7").decode()
    assert shown.values("video", "src") == [film, f"videos/cats/{large.id}-7.mp4"]
    assert shown.values("video", "poster") == ["data:image/webp;base64," + base64.b64encode(b"still").decode()] * 2


def test_a_long_run_shows_failures_and_the_first_200(tmp_path: Path) -> None:
    fine = [attempt(tmp_path, f"p{number}", f"prompt {number}", 0.5, film=str(tmp_path / "v.mp4")) for number in range(205)]
    failed = [attempt(tmp_path, f"f{number}", f"lost {number}", None, error="no") for number in range(3)]
    shown = page(report.write(write_run(tmp_path, [*fine, *failed])))
    assert shown.tags.count("article") == 203
    assert "Of this run’s 208 prompts the page shows all that failed and 200 of the others; 5 are left out here." in shown.text
    assert "lost 2" in shown.texts
    assert "prompt 199" in shown.texts
    assert "prompt 200" not in shown.texts


def test_a_comparison_stands_on_top_with_its_note(tmp_path: Path) -> None:
    arms = [
        {"name": "raw", "videos_per_prompt": 1, "right": 0.4, "low": 0.3, "high": 0.5, "by_attribute": {"colour": 0.9}},
        {
            "name": "loop",
            "videos_per_prompt": 6,
            "right": 0.625,
            "low": 0.5,
            "high": 0.75,
            "difference": 0.225,
            "difference_low": -0.05,
            "difference_high": 0.5,
            "judge": 0.8,
            "kappa": 0.5,
            "by_attribute": {"shape": 0.75},
        },
    ]
    comparison = {
        "title": "Does it help?",
        "note": "A toy world only.",
        "arms": arms,
        "worst": [{"prompt": "bees", "why": "none"}],
    }
    write_run(tmp_path, [attempt(tmp_path, "ball", "a red ball", 0.5)], comparison=comparison)
    text = page(report.write(tmp_path)).text
    assert text.index("A toy world only.") < text.index("Summary")
    assert "loop 6 62.5 % 50.0 % to 75.0 % +22.5 −5.0 to +50.0 80.0 % 0.50" in text
    assert "Arm colour shape raw 90.0 % – loop – 75.0 %" in text
    assert "bees none" in text
    for wrong, what in (("{", "comparison.json"), ('{"arms": [{"name": "a", "right": "x"}]}', r"arms\.0\.right")):
        (tmp_path / "comparison.json").write_text(wrong)
        with pytest.raises(RecordError, match=what):
            report.write(tmp_path)


def test_configuration_and_environment_are_shown_and_secrets_are_not(tmp_path: Path) -> None:
    run = {"environment": {"versions": {"torch": "2.13"}}, "command": ["rapo", "optimize"], "openai": {"api_key": "sk-sentinel"}}
    write_run(tmp_path, [attempt(tmp_path, "ball", "a red ball", 0.5)], run={**run, "note": "Toy world."})
    (tmp_path / "config.yaml").write_text("api_key: sk-sentinel")
    (tmp_path / "config.resolved.yaml").write_text("seed: 3\napi_key: '***'\n")
    shown = page(report.write(tmp_path))
    assert "environment.versions.torch 2.13 command rapo, optimize openai.api_key ***" in shown.text
    assert "seed: 3\napi_key: '***'\n" in shown.texts
    assert shown.text.count("Toy world.") == 2, "as a note at the top and among the facts"
    assert "sk-sentinel" not in shown.html
    (tmp_path / "run.json").write_text("[")
    with pytest.raises(RecordError, match=r"run\.json"):
        report.write(tmp_path)


def test_the_page_asks_for_nothing_from_elsewhere(tmp_path: Path) -> None:
    shown = page(report.write(run_of_four(tmp_path)))
    urls = [value for _, name, value in shown.attributes if name in {"src", "href", "poster", "action", "data", "srcset"}]
    assert urls
    assert not [url for url in urls if "://" in url or url.startswith("//")]
    assert "url(" not in shown.html
    assert "@import" not in shown.html
    assert not [(tag, name) for tag, name, _ in shown.attributes if name == "style" or name.startswith("on")]


def test_a_best_jsonl_that_is_no_json_is_named(tmp_path: Path) -> None:
    write_run(tmp_path, [attempt(tmp_path, "ball", "a red ball", 0.5)])
    (tmp_path / "best.jsonl").write_text("{\n")
    with pytest.raises(RecordError, match=r"best\.jsonl"):
        report.write(tmp_path)
    (tmp_path / "best.jsonl").write_text(json.dumps(["no", "object"]) + "\n")
    assert report.write(tmp_path).is_file()


def test_word_changes() -> None:
    assert word_changes("a red ball", "a blue ball, slowly") == [
        ("same", "a "),
        ("removed", "red "),
        ("added", "blue "),
        ("same", "ball"),
        ("added", ", slowly"),
    ]
    assert word_changes("红色的球", "蓝色的球") == [("removed", "红"), ("added", "蓝"), ("same", "色的球")]
    long = "word " * 3000
    assert word_changes(long, long + "more") == [("removed", long.strip()), ("added", long + "more")]
    assert word_changes(long, long) == [("same", long.strip())]


@given(st.text("ab ,。红", max_size=30), st.text("ab ,。红", max_size=30))
def test_changes_spell_both_texts(old: str, new: str) -> None:
    changes = word_changes(old, new)
    assert "".join(run for kind, run in changes if kind != "removed") == new.strip()
    assert "".join("".join(run for kind, run in changes if kind != "added").split()) == "".join(old.split())


def test_the_plot_shows_the_best_so_far(tmp_path: Path) -> None:
    first = attempt(tmp_path, "a", "one", 0.5, seeds=(1, 2))
    lower = attempt(tmp_path, "a", "two", 0.25, round=1, seeds=(1, 2))
    unscored = attempt(tmp_path, "a", "three", None, round=2, seeds=(1,))
    higher = attempt(tmp_path, "a", "four", 0.75, round=3, seeds=(1, 2))
    assert best_so_far([first, lower, unscored, higher], 8) == [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.75, 0.75]
    assert best_so_far([unscored], 8) is None
    assert plot([[attempt(tmp_path, "b", "one", 0.5)]]) is None, "one video makes no curve"
    drawn = plot([[first, lower, unscored, higher], [attempt(tmp_path, "c", "one", 0.25)], [unscored]])
    assert drawn is not None
    points = [tuple(map(float, point.split(","))) for point in drawn.line[1:].split()]
    assert len(points) == 7
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert [y for _, y in points] == sorted((y for _, y in points), reverse=True), "rewards never fall"
    assert drawn.end.label == "0.500"
    assert [tick.label for tick in drawn.y_ticks] == ["0.3", "0.4", "0.5", "0.6", "0.7"]
    assert [tick.label for tick in drawn.x_ticks] == ["1", "2", "4", "6"]
