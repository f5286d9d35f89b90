"""What a terminal shows: the figures of the summary, in 80 columns, whatever the names; comparisons and their files likewise."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from evaluation.errors import InputError
from evaluation.output.compare import comparison_csv, comparison_html, comparison_text, write_comparison
from evaluation.output.comparison import Run, compare, read_runs
from evaluation.output.figures import bounds, decimals, figure, is_clear, plain, share, signed
from evaluation.output.header import Header
from evaluation.output.summary import summarise, write_summary
from evaluation.output.table import write_tables
from evaluation.output.terminal import summary_text, table_text
from tests.evaluation.output_rows import HOSTILE, METRICS, evaluation_rows, row


def line_of(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.strip().startswith(start))


@pytest.mark.parametrize("value", [0.9548, 0.0, 0.01402, 0.00042, 66.123, 312.5, 12345.6, -0.25, 1.0])
def test_four_significant_digits_or_more(value: float) -> None:
    shown = float(figure(value))
    assert shown == pytest.approx(value, rel=6e-4)
    assert len(figure(value)) <= 9


def test_numbers_as_people_read_them() -> None:
    assert (figure(None), signed(None), bounds(None, 3), share(None)) == ("–", "–", "–", "–")
    assert (signed(0.01), signed(-0.01, 2), signed(-0.00001), signed(0.00001)) == ("+0.0100", "-0.01", "0.0000", "0.0000")
    assert bounds([-0.5, 0.25], 2, sign=True) == "-0.50 to +0.25"
    assert (share(0.5), decimals(0.0)) == ("50 %", 4)
    assert [is_clear({"ci95": ends}) for ends in (None, [-1, 1], [0.1, 0.2], [-2, -1], [0.0, 1.0])] == [
        "",
        "",
        "better",
        "worse",
        "",
    ]
    assert plain("a\x1b[31m\u202eb\n\tc\ud800", 5) == "a [3…"
    assert plain("🐈‍⬛ x") == "🐈‍⬛ x"


def test_the_summary_in_80_columns() -> None:
    files = tuple(f"{'a very long prompt ' * 6}-{i}.mp4" for i in range(5))
    summary = summarise(evaluation_rows(), Header(metrics=METRICS, missing_files=files), allow_proxy=True)
    text = summary_text(summary)
    assert max(map(cell_len, text.splitlines())) <= 80
    for name, score in summary["variants"]["original"]["metrics"].items():
        found = line_of(text, name)
        assert figure(score["value"]) in found
        assert bounds(score["ci95"], decimals(score["value"])) in found
        assert found.split()[-2:] == [str(score["n_videos"]), str(score["n_errors"])]
    gains = text[text.index("optimised compared with original") :]
    for name, gain in summary["paired"]["metrics"].items():
        found = line_of(gains, name[:20])
        assert f" {100 * gain['win_rate']:.0f} %" in found
        assert found.endswith(is_clear(gain) or str(gain["n_pairs"]))
    assert "errors: 12 missing, 10 bad_reply" in text
    assert "videos/original/p008-43.mp4: no such file (12 metrics)" in text
    assert f"quality.proxy {figure(summary['totals']['quality.proxy'])}" in text
    assert "and 2 more" in " ".join(text.split())
    assert max(map(cell_len, summary_text(summary, width=20).splitlines())) <= 72


def test_a_summary_without_much() -> None:
    alone = summary_text(summarise([row("scene", 0.25), row("scene", None, 1)], Header(asked={("original", "scene"): 4})))
    assert "original" not in alone
    assert line_of(alone, "scene").split() == ["scene", "0.2500", "–", "1", "0", "2", "1"]
    assert line_of(alone, "metric").split()[-3:] == ["missing", "left", "out"]
    assert "no totals: 15 of VBench's 16 dimensions have no value" in alone
    nothing = summary_text(summarise([], Header()))
    assert "protocol vbench" in nothing
    lost = summary_text(summarise([row(error="empty", position=i) for i in range(9)], Header()))
    assert "errors: 9 empty" in lost
    assert "and 6 more" in lost


def test_names_of_others_do_not_steer_the_terminal() -> None:
    rows = [row(text, 0.5, i, variant=text, video_path=text) for i, text in enumerate(HOSTILE)]
    rows.append(row("x", position=99, error="corrupt", error_message="\x1b[2J\x07 gone [red]not[/red] :smile:"))
    text = summary_text(summarise(rows, Header()))
    assert not {sign for sign in text if not sign.isprintable()} - {"\n", "\u200d"}
    assert "gone [red]not[/red] :smile:" in text


def runs() -> list[Run]:
    rows = evaluation_rows(8)
    return [
        Run(name=name, rows=tuple(one for one in rows if one.variant == variant), metrics=METRICS)
        for name, variant in (("base", "original"), ("tuned", "optimised"))
    ]


def test_a_comparison_has_the_values_of_the_summaries() -> None:
    rows = evaluation_rows(8)
    found = compare(runs())
    summary = summarise(rows, Header(metrics=METRICS))
    assert found["baseline"] == "base"
    assert list(found["metrics"]) == list(METRICS)
    for metric, entry in found["metrics"].items():
        assert entry["values"]["base"] == summary["variants"]["original"]["metrics"][metric]
        assert entry["values"]["tuned"] == summary["variants"]["optimised"]["metrics"][metric]
        assert entry["differences"] == {"tuned": summary["paired"]["metrics"][metric]}
        values = {name: score["value"] for name, score in entry["values"].items()}
        better = (min if metric == "warping_error" else max)(values, key=lambda name: values[name])
        assert entry["best"] == [better]
    assert found["totals"]["tuned"] == summary["variants"]["optimised"]["totals"]
    assert found["notes"] == []
    json.dumps(found, allow_nan=False)


def test_prompts_are_the_same_only_with_the_same_text() -> None:
    base, tuned = runs()
    other = replace(tuned, rows=tuple(replace(one, prompt=f"{one.prompt}!") for one in tuned.rows), reduction="multi")
    found = compare([base, other])
    assert {entry["differences"]["tuned"]["n_pairs"] for entry in found["metrics"].values()} == {0}
    assert [note.partition(":")[0] for note in found["notes"]] == [
        "the runs differ in reduction (single, multi)",
        "not all runs have the same prompts",
    ]
    assert "no prompt and seed is in two runs" in comparison_text(found)
    weights = replace(tuned, rows=tuple(replace(one, weights_sha256="0") for one in tuned.rows if one.metric == "temporal_style"))
    assert any(note == "other weights in some runs: temporal_style" for note in compare([base, weights])["notes"])


def test_ties_and_metrics_of_one_run() -> None:
    first = Run(name="a", rows=(row("x", 0.5, 0), row("y", 0.5, 0)))
    second = Run(name="b", rows=(row("x", 0.5, 0), row("z", 0.25, 0)))
    found = compare([first, second])["metrics"]
    assert {metric: entry["best"] for metric, entry in found.items()} == {"x": ["a", "b"], "y": [], "z": []}
    assert found["y"]["values"]["b"]["value"] is None
    for wrong, message in (([first], "two runs or more"), ([first, first], "same name: a")):
        with pytest.raises(InputError, match=message):
            compare(wrong)


def test_the_text_fits_and_names_the_runs() -> None:
    base, tuned = runs()
    third = replace(tuned, name="a run of quite some name, 雨の中を走る猫")
    text = comparison_text(compare([base, tuned, third]))
    assert max(map(cell_len, text.splitlines()[:-8])) <= 80
    assert "3 a run…" in text or "3 a r" in text
    assert "is a run of quite some name, 雨の中を走る猫" in text
    lines = text.splitlines()
    at = lines.index("warping_error (lower is better)")
    assert lines[at + 1].split()[1] == "base"
    assert lines[at + 2].split()[2].endswith("*")
    short = comparison_text(compare([base, tuned]), width=100)
    assert line_of(short, "base").split()[0] == "base"


def test_csv_json_and_html(tmp_path: Path) -> None:
    found = compare(runs())
    lines = list(csv.DictReader(io.StringIO(comparison_csv(found))))
    assert len(lines) == 2 * len(METRICS)
    for line in lines:
        score = found["metrics"][line["metric"]]["values"][line["run"]]
        assert float(line["value"]) == score["value"]
        assert [float(line["ci95_low"]), float(line["ci95_high"])] == score["ci95"]
        assert (line["best"] == "true") == (line["run"] in found["metrics"][line["metric"]]["best"])
        gain = found["metrics"][line["metric"]]["differences"].get(line["run"])
        assert line["delta"] == ("" if gain is None else repr(gain["delta"]))
    assert json.loads(write_comparison(tmp_path / "a.json", found).read_text()) == found
    assert write_comparison(tmp_path / "a.csv", found).read_bytes() == comparison_csv(found).encode()
    html = write_comparison(tmp_path / "a.HTML", found).read_text()
    assert html == comparison_html(found)
    for metric, entry in found["metrics"].items():
        assert figure(entry["values"]["tuned"]["value"], max(decimals(s["value"]) for s in entry["values"].values())) in html
        assert metric.replace("_", "_<wbr>").replace(".", ".<wbr>") in html
    with pytest.raises(InputError, match=r"\.html, \.csv or \.json"):
        write_comparison(tmp_path / "a.txt", found)


def test_hostile_names_stay_text_in_a_comparison() -> None:
    hostile: list[Any] = [Run(name=text, rows=(row(text, 0.5, 0, prompt=text),)) for text in HOSTILE]
    html = comparison_html(compare(hostile))
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html
    assert len(comparison_csv(compare(hostile))) > 1000


def test_runs_are_read_from_folders(tmp_path: Path) -> None:
    rows = evaluation_rows(4)
    write_tables(tmp_path / "both", rows)
    write_summary(
        tmp_path / "both" / "summary.json", summarise(rows, Header(metrics=METRICS, reduction="multi", precision="vbench"))
    )
    found = read_runs(tmp_path / "both")
    assert [run.name for run in found] == ["both:original", "both:optimised"]
    assert (found[0].reduction, found[0].precision, found[0].metrics) == ("multi", "vbench", METRICS)
    table = tmp_path / "one" / "scores.parquet"
    write_tables(table.parent, [one for one in rows if one.variant == "optimised"])
    assert [run.name for run in read_runs(table)] == ["one"]
    assert [run.name for run in read_runs(table, name="x")] == ["x"]
    gains = compare([found[0], *read_runs(table)])["metrics"]["aesthetic_quality"]["differences"]["one"]
    assert gains == summarise(rows, Header())["paired"]["metrics"]["aesthetic_quality"]
    write_tables(tmp_path / "none", [])
    for wrong in ("none", "absent"):
        with pytest.raises(InputError, match=wrong):
            read_runs(tmp_path / wrong)


def test_the_names_of_runs_are_never_pushed_out() -> None:
    rows = evaluation_rows()
    tiny = [replace(row, value=None if row.value is None else row.value / 1000, total=row.total / 1000) for row in rows]
    runs = [Run(name=name, rows=tuple(row for row in tiny if row.variant == name)) for name in ("original", "optimised")]
    for width in (40, 80, 200):
        text = comparison_text(compare(runs), width=width)
        names = {line.split("0.")[0].strip() for line in text.splitlines() if line.startswith("  ") and "0." in line}
        assert len(names) == 2, text
        assert all(names)
        assert ("0.00" in text, text.count("95 % interval")) == (True, 2 if width == 200 else 1)
    table = table_text("", ["metric", "value"], [["a_long_name", "0." + "1" * 90]], 80)
    assert "a_long_name" in table
