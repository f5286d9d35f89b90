"""The package's own commands, from the command line to the files and exit codes."""

from __future__ import annotations

import csv
import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from evaluation.__main__ import as_vbench_writes
from evaluation.commands.app import app
from evaluation.totals import total
from tests.evaluation.videos import moving, write_mp4
from tests.house.modules import ROOT


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, as_vbench_writes([str(argument) for argument in arguments]))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for number in range(2):
        write_mp4(folder / f"a cat-{number}.mp4", moving(4, 64, 64, number))
    return folder


def test_vbench_s_way_of_naming_dimensions() -> None:
    given = ["run", "--dimension", "a", "b", "--mode", "x", "--dimension=c", "--dimension", "d"]
    assert as_vbench_writes(given) == ["run", "--dimension", "a,b", "--mode", "x", "--dimension=c", "--dimension", "d"]
    assert as_vbench_writes(["metrics"]) == ["metrics"]


def test_run_writes_everything_and_goes_on(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    order = ["run", "--videos_path", videos, "--mode", "custom_input", "--dimension", "temporal_flickering", "ssim_adj"]
    result = call(*order, "--output_path", out, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "2 videos, 2 metrics: 4 scores to find, 0 are there already" in result.stderr
    assert "temporal_flickering" in result.stdout
    rows = list(csv.DictReader((out / "scores.csv").read_text().splitlines()))
    assert [(row["prompt"], row["metric"], row["status"]) for row in rows] == [
        ("a cat", metric, "ok") for _ in range(2) for metric in ("temporal_flickering", "ssim_adj")
    ]
    assert set(json.loads((out / "summary.json").read_text())["metrics"]) == {"temporal_flickering", "ssim_adj"}
    assert "flickering" in (out / "report.html").read_text()
    before = {name: (out / name).read_bytes() for name in ("scores.csv", "summary.json", "manifest.jsonl")}
    again = call(*order, "--output_path", out, "--device", "cpu")
    assert "0 scores to find, 4 are there already" in again.stderr
    assert {name: (out / name).read_bytes() for name in before} == before
    same = call("run", "--manifest", out / "manifest.jsonl", "--dimension", "ssim_adj", "--output_path", out)
    assert "0 scores to find, 2 are there already" in same.stderr, "the manifest it wrote finds the same files"


def test_a_category_s_videos_and_those_that_it_lacks(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "animal.txt").write_text("a cat\na dog\n", encoding="utf-8")
    order = ["run", "--videos_path", videos, "--mode", "vbench_category", "--output_path", tmp_path / "out", "--device", "cpu"]
    done = call(*order, "--category", tmp_path / "animal.txt", "--dimension", "temporal_flickering")
    assert done.exit_code == 0, done.output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    entry = summary["metrics"]["temporal_flickering"]
    assert (entry["n_videos"], entry["n_missing"], len(summary["missing_files"])) == (2, 8, 8)
    assert summary["notes"] == ["8 of 10 videos of vbench_category are not there, such as 'a cat-2.mp4'"]
    wrong = call(*order, "--category", tmp_path / "animal.txt", "--dimension", "color")
    assert (wrong.exit_code, "vbench_category has no color" in wrong.stderr) == (2, True)
    none = call(*order, "--dimension", "temporal_flickering")
    assert (none.exit_code, "prompts are not bundled" in none.stderr) == (2, True)


def test_gates_errors_and_dry_runs(videos: Path, tmp_path: Path) -> None:
    order = ["run", "--videos_path", videos, "--mode", "custom_input", "--dimension", "temporal_flickering"]
    dry = call(*order, "--output_path", tmp_path / "dry", "--dry-run")
    assert (dry.exit_code, list(tmp_path.iterdir())) == (0, [])
    met = call(*order, "--output_path", tmp_path / "a", "--fail-under", "temporal_flickering=0.1")
    failed = call(*order, "--output_path", tmp_path / "a", "--fail-under", "temporal_flickering=0.999")
    assert (met.exit_code, failed.exit_code) == (0, 4)
    assert "not met: temporal_flickering" in failed.stderr
    odd = call(*order, "--output_path", tmp_path / "b", "--fail-under", "temporal_flicker=1")
    assert odd.exit_code == 2
    assert "has no metric temporal_flicker" in odd.stderr
    assert not list((tmp_path / "b").glob("findings*")), "before the first video"
    (tmp_path / "m.jsonl").write_text(json.dumps({"video": "none.mp4", "prompt": "x"}) + "\n")
    lost = call("run", "--manifest", tmp_path / "m.jsonl", "--dimension", "temporal_flickering", "--output_path", tmp_path / "c")
    assert lost.exit_code == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--dimension", "ssim_adj"], "either --videos_path or --manifest"),
        (["--videos_path", ".", "--mode", "custom_input", "--dimension", "color"], "custom_input has no color"),
        (["--videos_path", ".", "--mode", "other", "--dimension", "color"], "--mode other: one of"),
        (["--videos_path", ".", "--dimension", "colour"], "no prompts for colour"),
        (["--videos_path", "{videos}", "--mode", "custom_input"], "--dimension names what to measure"),
        (["--videos_path", "{videos}", "--mode", "custom_input", "--dimension", "ssim"], "did you mean"),
        (["--manifest", "{videos}", "--dimension", "ssim_adj", "--weights", "raft"], "give NAME=PATH"),
        (["--videos_path", "{videos}", "--mode", "custom_input", "--dimension", "imaging_quality"], "musiq_spaq_ckpt"),
        (["--manifest", "x", "--dimension", "color", "--dev_flag"], "--dev_flag: DINOv2"),
        (["--videos_path", "none", "--mode", "custom_input", "--dimension", "ssim_adj"], "no such file or folder"),
        (["--videos_path", "{videos}", "--mode", "custom_input", "--dimension", "zzz"], "evaluation metrics` lists them"),
        (["--videos_path", "{videos}", "--mode", "custom_input", "--dimension", "ssim_adj", "--device", "no"], "device no"),
        (["--videos_path", "{videos}", "--mode", "custom_input", "--dimension", "ssim_adj", "--device", "cuda:99"], "cannot be"),
        (["--videos_path", "{videos}", "--mode", "custom_input", "--dimension", "ssim_adj", "--import", "no.json"], "no.json:"),
        (["--videos_path", "{videos}", "--mode", "custom_input", "--dimension", "ssim_adj", "--vbench-compat"], "VBench's files"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_a_line(videos: Path, tmp_path: Path, arguments: list[str], says: str) -> None:
    given = [argument.replace("{videos}", str(videos)) for argument in arguments]
    result = call("run", *given, "--output_path", tmp_path / "out")
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert all(line.startswith("evaluation: ") for line in result.stderr.splitlines() if says in line)
    assert "Traceback" not in result.output
    assert not list((tmp_path / "out").glob("findings-*")), "before the first video"


def test_a_folder_of_something_else_is_left_alone(videos: Path, tmp_path: Path) -> None:
    for name in ("manifest.jsonl", "report.html"):
        (tmp_path / name).write_text(json.dumps({"video": str(videos / "a cat-0.mp4"), "prompt": "a cat", "schema": 1}) + "\n")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    result = call("run", "--manifest", tmp_path, "--dimension", "ssim_adj", "--output_path", tmp_path)
    assert result.exit_code == 2
    assert "manifest.jsonl, report.html are of something else" in result.stderr
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    result = call("run", "--manifest", tmp_path, "--dimension", "ssim_adj", "--output_path", tmp_path / "report.html")
    assert (result.exit_code, "no folder that can be written" in result.stderr) == (2, True)


def test_a_disk_that_is_full_is_told_in_a_line(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    order = ["run", "--videos_path", videos, "--mode", "custom_input", "--dimension", "ssim_adj", "--device", "cpu"]
    for place, name in (
        ("evaluation.output.files.os.replace", "scores.csv"),
        ("evaluation.findings.os.fsync", "findings-0.jsonl"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, full)
            result = call(*order, "--output_path", tmp_path / name)
        assert result.exit_code == 1
        assert f"{tmp_path / name / name}: No space left on device; the same command goes on" in result.stderr
    assert call(*order, "--output_path", tmp_path / "scores.csv").exit_code == 0


def test_vbench_s_files_of_variants_of_any_name(videos: Path, tmp_path: Path) -> None:
    names = ["a", "a.", "..", "x/../y", "n" * 300, "\ud800"]
    lines = [json.dumps({"video": str(videos / "a cat-0.mp4"), "prompt": "a cat", "variant": name}) for name in names]
    lines.append(json.dumps({"video": "none.mp4", "prompt": "a cat", "variant": "lost"}))
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    order = ["run", "--manifest", tmp_path / "m.jsonl", "--dimension", "temporal_flickering", "--output_path", tmp_path / "o"]
    result = call(*order, "--vbench-compat", "--device", "cpu")
    assert result.exit_code == 3, result.output
    assert "no VBench files of lost" in result.stderr
    assert len(list((tmp_path / "o/vbench").iterdir())) == len(names)
    assert len(list((tmp_path / "o/vbench").glob("*/*_eval_results.json"))) == len(names)


def test_compare_total_and_export(videos: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        order = ["run", "--videos_path", videos, "--mode", "custom_input", "--dimension", "temporal_flickering"]
        assert call(*order, "--output_path", tmp_path / name, "--vbench-compat").exit_code == 0
    compared = call("compare", f"first={tmp_path / 'a'}", tmp_path / "b", "--out", tmp_path / "c.html")
    assert compared.exit_code == 0, compared.output
    assert "first" in compared.stdout
    assert "first" in (tmp_path / "c.html").read_text()
    exported = call("export", tmp_path / "a", "--out", tmp_path / "vb")
    assert exported.exit_code == 0, exported.output
    (archive,) = (tmp_path / "vb").glob("*.zip")
    value = json.loads((tmp_path / "a/summary.json").read_text())["metrics"]["temporal_flickering"]["value"]
    for source in (archive, tmp_path / "a", next((tmp_path / "a/vbench").rglob("*_eval_results.json"))):
        told = json.loads(call("total", source, "--fill-missing-zero", "--json").stdout)
        assert len(told["missing"]) == 15
        expected = total({"temporal_flickering": value}, fill_missing_zero=True)
        assert (told["quality"], told["total"]) == (pytest.approx(expected.quality), pytest.approx(expected.total))
    assert call("total", tmp_path / "none.json").exit_code == 2
    assert call("export", tmp_path / "a", "--out", tmp_path / "x", "--variant", "best").exit_code == 2


def test_lists(tmp_path: Path) -> None:
    metrics = {row["metric"]: row for row in json.loads(call("metrics", "--json").stdout)}
    assert metrics["temporal_flickering"]["runs_here"] is True
    assert "dino_vitbase16_pretrain.pth" in metrics["subject_consistency"]["lacks"][0]
    assert "- subject_consistency" in call("metrics").stdout
    result = call("prompts", "vbench", "--out", tmp_path / "p.jsonl")
    assert "946 prompts" in result.stdout
    assert json.loads((tmp_path / "p.jsonl").read_text().splitlines()[0])["dimension"] == ["temporal_flickering"]
    assert call("prompts", "evalcrafter").exit_code == 2


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from evaluation.__main__ import main; sys.argv = ['x', 'run', '--help']\n"
    code += "try: main()\nexcept SystemExit: pass\nprint(sorted({'torch', 'transformers', 'cv2', 'av'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--imaging_quality_preprocessing_mode" in done.stdout
