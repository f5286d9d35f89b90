"""The summary against plain loops: values, bootstrap over prompts, pairs, totals; nothing is NaN, nothing is imputed."""

from __future__ import annotations

import json
import math
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.dimensions import DIMENSIONS
from evaluation.errors import InputError
from evaluation.output.header import Header
from evaluation.output.scores import interval
from evaluation.output.summary import read_summary, summarise, totals_of, write_summary
from evaluation.rows import Row
from evaluation.totals import total
from tests.evaluation.output_rows import METRICS, evaluation_rows, row


def of_one(rows: Sequence[Row], **more: Any) -> dict[str, Any]:
    """The entry of the only metric."""
    metrics = summarise(rows, Header(**more))["metrics"]
    assert len(metrics) == 1
    entry: dict[str, Any] = next(iter(metrics.values()))
    return entry


def some_rows(metric: str, seed: int = 3, prompts: int = 7) -> list[Row]:
    """Several videos a prompt, of different lengths."""
    chance = random.Random(seed)
    rows = []
    for prompt in range(prompts):
        for _ in range(chance.randint(1, 4)):
            frames = chance.randint(2, 60)
            mean = chance.uniform(0.2, 0.9) * (100 if metric == "imaging_quality" else 1)
            more = {"total": mean * frames, "count": frames, "last": mean * chance.uniform(0.8, 1.1)}
            rows.append(row(metric, mean, len(rows), prompt_id=f"p{prompt}", **more))
    return rows


def by_loops(rows: Sequence[Row], value_of: Any, resamples: int = 3000) -> tuple[float, float]:
    """Prompts drawn with all of their videos, the metric worked out on the list of videos that this gives."""
    videos: dict[str, list[Row]] = defaultdict(list)
    for one in rows:
        videos[one.prompt_id].append(one)
    drawn = random.Random(1)
    values = []
    for _ in range(resamples):
        chosen = [one for prompt in drawn.choices(list(videos), k=len(videos)) for one in videos[prompt]]
        values.append(value_of(chosen))
    values.sort()
    return values[int(0.025 * resamples)], values[int(0.975 * resamples)]


def micro(rows: Sequence[Row]) -> float:
    return sum(one.total for one in rows) / sum(one.count for one in rows)


def macro(rows: Sequence[Row]) -> float:
    return sum(one.value or 0.0 for one in rows) / len(rows)


def last(rows: Sequence[Row]) -> float:
    return sum(one.last for one in rows) / len(rows)


@pytest.mark.parametrize(
    ("metric", "reduction", "value_of"),
    [
        ("subject_consistency", "single", micro),
        ("subject_consistency", "multi", macro),
        ("imaging_quality", "single", lambda rows: macro(rows) / 100),
        ("appearance_style", "multi", last),
        ("scene.florence2", "single", micro),
        ("clip_score", "multi", macro),
    ],
)
def test_value_and_interval_are_those_of_plain_loops(metric: str, reduction: Any, value_of: Any) -> None:
    rows = some_rows(metric)
    entry = of_one(rows, reduction=reduction)
    assert entry["value"] == pytest.approx(value_of(rows), rel=1e-12)
    assert entry["ci95"] == pytest.approx(by_loops(rows, value_of), abs=0.012)
    assert entry["ci95"][0] < entry["value"] < entry["ci95"][1]
    assert (entry["n_videos"], entry["n_prompts"]) == (len(rows), 7)
    others = [f(rows) for f in (micro, macro, last)]
    assert len({round(value, 6) for value in others}) == 3, "the three reductions can be told apart here"


def test_the_interval_is_over_prompts_not_over_videos() -> None:
    """Twenty videos a prompt, all alike: what is known is known from four prompts."""
    rows = [row("clip_score", [0.1, 0.4, 0.5, 0.9][i // 20], i, prompt_id=f"p{i // 20}") for i in range(80)]
    entry = of_one(rows)
    four = of_one([row("clip_score", value, i, prompt_id=f"p{i}") for i, value in enumerate((0.1, 0.4, 0.5, 0.9))])
    assert entry["ci95"] == pytest.approx(four["ci95"], abs=1e-12)
    assert entry["ci95"][1] - entry["ci95"][0] > 0.4


def test_the_interval_covers_the_truth_about_nineteen_times_in_twenty() -> None:
    generator = np.random.default_rng(2)
    covered = 0
    for _ in range(150):
        prompts = generator.normal(0, 1, 40)
        bounds = interval((p, float(prompts[p] + generator.normal(0, 0.5)), 1.0) for p in range(40) for _ in range(3))
        assert bounds is not None
        covered += bounds[0] <= 0 <= bounds[1]
    assert 0.87 <= covered / 150 <= 0.99


def test_blocks_and_order_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = evaluation_rows(12)
    once = summarise(rows, Header(metrics=METRICS))
    shuffled = random.Random(0).sample(rows, len(rows))
    assert json.dumps(summarise(shuffled, Header(metrics=METRICS))) == json.dumps(once)
    monkeypatch.setattr("evaluation.output.scores._BLOCK", 24 * 7)
    again = summarise(rows, Header(metrics=METRICS))["metrics"]["aesthetic_quality"]["ci95"]
    assert again == pytest.approx(once["metrics"]["aesthetic_quality"]["ci95"], abs=0.01)


def test_errors_left_out_and_missing_rows_enter_no_mean() -> None:
    rows = [row("color", 0.25, 0), row("color", 0.75, 1), row("color", None, 2), row("color", position=3, error="corrupt")]
    asked = {("original", "color"): 6, ("original", "scene"): 2}
    summary = summarise(rows, Header(metrics=("scene", "color"), asked=asked, missing_files=("a cat-0.mp4",)))
    entry = summary["metrics"]["color"]
    assert entry["value"] == 0.5
    assert [entry[key] for key in ("n_videos", "n_prompts", "n_errors", "n_left_out", "n_missing")] == [2, 2, 1, 1, 2]
    assert list(summary["metrics"]) == ["scene", "color"]
    nothing = {"value": None, "ci95": None, "n_videos": 0, "n_prompts": 0, "n_errors": 0, "n_missing": 2, "n_left_out": 0}
    assert summary["metrics"]["scene"] == {**nothing, "range": None, "higher_is_better": True, "exact": True}
    assert summary["errors"] == [{"video_path": "videos/3.mp4", "metric": "color", "code": "corrupt", "message": "it is corrupt"}]
    assert summary["missing_files"] == ["a cat-0.mp4"]


def test_one_prompt_all_errors_and_nothing_at_all() -> None:
    assert of_one([row(value=0.3, seed=s, position=s, prompt_id="p") for s in range(5)])["ci95"] is None
    lost = summarise([row(position=i, error="empty") for i in range(3)], Header())
    assert lost["metrics"]["clip_score"]["value"] is None
    assert lost["metrics"]["clip_score"]["n_errors"] == len(lost["errors"]) == 3
    nothing = summarise([], Header(metrics=("scene",)))
    assert nothing["metrics"]["scene"]["value"] is None
    assert nothing["totals"]["missing"] == list(DIMENSIONS)
    assert (nothing["variants"], nothing["paired"], nothing["pairs"], nothing["errors"]) == ({}, None, [], [])
    for summary in (lost, nothing):
        assert "NaN" not in json.dumps(summary)


def test_the_keys_are_those_of_the_specification(tmp_path: Path) -> None:
    summary = summarise(evaluation_rows(6), Header(metrics=METRICS, precision="vbench"))
    keys = ["schema", "protocol", "reduction", "precision", "metrics", "totals", "paired", "missing_files", "errors"]
    assert [key for key in summary if key in keys] == keys
    entry = summary["metrics"]["aesthetic_quality"]
    wanted = ["value", "ci95", "n_videos", "n_prompts", "n_errors", "n_missing", "range", "higher_is_better", "exact"]
    assert [key for key in entry if key in wanted] == wanted
    assert {"quality", "semantic", "total", "missing", "proxies"} <= set(summary["totals"])
    pair = summary["paired"]["metrics"]["aesthetic_quality"]
    assert list(pair) == ["delta", "ci95", "win_rate", "wins", "ties", "losses", "n_pairs", "n_prompts", "n_unpaired"]
    assert (summary["precision"], summary["schema"]) == ("vbench", 1)
    assert {name: entry["exact"] for name, entry in summary["metrics"].items() if not entry["exact"]} == {
        name: False for name in METRICS if name not in DIMENSIONS
    }
    assert read_summary(write_summary(tmp_path / "summary.json", summary)) == summary
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(InputError, match="no summary"):
        read_summary(tmp_path / "other.json")


def test_pairs_by_hand() -> None:
    """p0: seeds 1 and 2, +.25 and 0; p1: -.5; p2 only before; p3 only after; p4 failed after; p5 left out on both sides."""
    before = [("p0", 1, 0.25), ("p0", 2, 0.5), ("p1", 1, 0.75), ("p2", 1, 0.5), ("p4", 1, 0.5), ("p5", 1, None)]
    after = [("p1", 1, 0.25), ("p0", 2, 0.5), ("p3", 1, 0.5), ("p0", 1, 0.5), ("p4", 1, "oom"), ("p5", 1, None)]
    rows = []
    for variant, given in (("original", before), ("optimised", after)):
        for prompt, seed, value in given:
            more: dict[str, Any] = {"prompt_id": prompt, "seed": seed, "variant": variant, "index": len(rows)}
            more |= {"error": value} if isinstance(value, str) else {"value": value}
            rows.append(row("color", position=len(rows), **more))
    entry = summarise(rows, Header())["paired"]["metrics"]["color"]
    assert entry["delta"] == pytest.approx((0.25 + 0 - 0.5) / 3)
    assert [entry[key] for key in ("wins", "ties", "losses", "n_pairs", "n_prompts", "n_unpaired")] == [1, 1, 1, 3, 2, 3]
    assert entry["win_rate"] == 0.5
    # Two prompts: both twice, or one of each; a quarter, a quarter, a half of the resamples.
    assert entry["ci95"] == pytest.approx([-0.5, 0.125])
    lower = [replace(one, higher_is_better=False) for one in rows]
    turned = summarise(lower, Header())["paired"]["metrics"]["color"]
    assert turned["delta"] == pytest.approx(-entry["delta"])
    assert (turned["wins"], turned["losses"], turned["ci95"]) == (1, 1, pytest.approx([-0.125, 0.5]))


def test_a_paired_interval_draws_prompts_with_all_their_pairs() -> None:
    rows = evaluation_rows(8, seeds=(1, 2, 3), metrics=("imaging_quality",))
    entry = summarise(rows, Header())["paired"]["metrics"]["imaging_quality"]
    key = {(one.prompt_id, one.seed): one.value for one in rows if one.variant == "original"}
    gains = [
        (one.prompt_id, (one.value - key[one.prompt_id, one.seed]) / 100)
        for one in rows
        if one.variant == "optimised" and one.value is not None and key[one.prompt_id, one.seed] is not None
    ]
    assert entry["n_pairs"] == len(gains) == 23
    assert entry["n_unpaired"] == 1
    assert entry["delta"] == pytest.approx(math.fsum(gain for _, gain in gains) / 23)
    stand_ins = [row(value=gain, position=i, prompt_id=prompt) for i, (prompt, gain) in enumerate(gains)]
    assert entry["ci95"] == pytest.approx(by_loops(stand_ins, macro), abs=0.01)


def test_pairs_without_seeds_and_twins() -> None:
    values = [("original", 0.1), ("original", 0.2), ("optimised", 0.4), ("optimised", 0.1)]
    rows = [
        row(value=value, position=place, variant=variant, prompt_id="p", seed=None, index=place % 2)
        for place, (variant, value) in enumerate(values)
    ]
    entry = summarise(rows, Header())["paired"]["metrics"]["clip_score"]
    assert (entry["wins"], entry["losses"], entry["n_pairs"]) == (1, 1, 2)
    twins = [replace(one, seed=5, index=0) for one in rows]
    entry = summarise(twins, Header())["paired"]["metrics"]["clip_score"]
    assert (entry["wins"], entry["losses"], entry["n_pairs"], entry["ci95"]) == (1, 1, 2, None)


def test_variants_are_kept_apart() -> None:
    rows = evaluation_rows(5, variants=("naive", "optimised", "original"))
    summary = summarise(rows, Header(metrics=METRICS))
    assert list(summary["variants"]) == ["original", "naive", "optimised"]
    assert summary["variant"] == "optimised"
    assert summary["metrics"] == summary["variants"]["optimised"]["metrics"]
    assert [(pair["baseline"], pair["candidate"]) for pair in summary["pairs"]] == [
        ("original", "naive"),
        ("original", "optimised"),
    ]
    assert summary["paired"] == summary["pairs"][1]
    alone = summarise([one for one in rows if one.variant == "naive"], Header(metrics=METRICS))
    assert alone["metrics"] == summary["variants"]["naive"]["metrics"]
    assert (alone["variant"], alone["paired"], list(alone["variants"])) == ("naive", None, ["naive"])
    asked = Counter((one.variant, one.metric) for one in rows) + Counter({("optimised", "dynamic_degree"): 4})
    counted = summarise(rows, Header(metrics=METRICS, asked=asked))
    found = {(v, m): e["n_missing"] for v, held in counted["variants"].items() for m, e in held["metrics"].items()}
    assert {key for key, count in found.items() if count} == {("optimised", "dynamic_degree")}
    assert found["optimised", "dynamic_degree"] == 4


def sixteen(leave: Sequence[str] = ()) -> list[Row]:
    values = {name: 0.3 + 0.03 * place for place, name in enumerate(DIMENSIONS) if name not in leave}
    return [row(name, 100 * value if name == "imaging_quality" else value, 0) for name, value in values.items()]


def test_totals_with_all_parts_without_one_and_with_one_imported() -> None:
    whole = summarise(sixteen(), Header())
    values = {name: 0.3 + 0.03 * place for place, name in enumerate(DIMENSIONS)}
    by_hand = total(values)
    assert whole["totals"]["total"] == pytest.approx(by_hand.total, abs=1e-12)
    lacking = sixteen(leave=["motion_smoothness"])
    none = summarise(lacking, Header())["totals"]
    assert (none["quality"], none["total"], none["missing"]) == (None, None, ["motion_smoothness"])
    assert none["semantic"] == pytest.approx(by_hand.semantic)
    given = summarise(lacking, Header(), imported={"original": {"motion_smoothness": values["motion_smoothness"], "scene": 0.0}})
    assert given["totals"]["total"] == pytest.approx(by_hand.total, abs=1e-12)
    assert given["totals"]["imported"] == ["motion_smoothness"], "a value of one's own is not replaced"
    filled = summarise(lacking, Header(), fill_missing_zero=True)["totals"]
    assert filled["total"] == pytest.approx(total({**values, "motion_smoothness": 0.0}).total, abs=1e-12)
    for wrong in ({"other": {"scene": 0.5}}, {"original": {"clip_score": 0.5}}, {"original": {"scene": math.nan}}):
        with pytest.raises(InputError, match="imported"):
            summarise(lacking, Header(), imported=wrong)


def test_a_total_with_a_proxy_has_another_name() -> None:
    rows = [replace(one, metric="color.florence2") if one.metric == "color" else one for one in sixteen()]
    plain = summarise(rows, Header())["totals"]
    assert (plain["semantic"], plain["total"], plain["missing"], plain["proxies"]) == (None, None, ["color"], [])
    proxy = summarise(rows, Header(), allow_proxy=True)["totals"]
    whole = summarise(sixteen(), Header())["totals"]
    assert (proxy["total"], proxy["semantic"]) == (None, None)
    assert (proxy["total.proxy"], proxy["semantic.proxy"]) == (whole["total"], whole["semantic"])
    assert proxy["quality"] == whole["quality"]
    assert "quality.proxy" not in proxy
    two = totals_of({"color.a": 0.5, "color.b": 0.5, "scene": 0.1}, {}, allow_proxy=True)
    assert "two proxies" in two["note"]
    assert two["total"] is None


def test_rows_that_contradict_are_refused() -> None:
    with pytest.raises(InputError, match="two rows for video 0"):
        summarise([row(), row(value=0.6)], Header())
    for bad in ({"value": math.nan}, {"total": math.inf}, {"last": math.nan}):
        with pytest.raises(InputError, match=r"videos/0\.mp4"):
            summarise([row(**bad)], Header())
