"""The README is true: its commands run, its tree is the repository's, its links lead somewhere.

``rapo optimize`` runs as written, on fakes laid over the configuration by ``--set``: no weights, no cost, the reader's command
line. The large models' runs are dry runs already. ``make`` is asked what it would do.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cli import app
from evaluation.commands.app import app as evaluation_app
from rapo_lightning.generators.fake import FakeGenerator
from rapo_lightning.language import FakeTextEncoder
from rapo_lightning.retrieval import growing
from rapo_lightning.retrieval.graph_data import write_published
from rapo_lightning.retrieval.store import load_graph
from rapo_lightning.types import CaptionPhrases, Prompt, Video
from tests import contracts
from tests.house.modules import ROOT
from tests.tuning.run_folders import save_run

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [line.removeprefix("$ ") for kind, block in BLOCKS for line in block.splitlines() if kind == "console"]
FAKES = {
    "generator": "{class_path: rapo_lightning.generators.FakeGenerator}",
    "judges.alignment": "{class_path: rapo_lightning.judges.FakeJudge}",
    "rewriter": "{class_path: rapo_lightning.rewriters.FakeRewriter}",
}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader stands: the repository's configurations, a prompt file, and the part that the README shows."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "configs", folder / "configs")
    shutil.copytree(ROOT / "relation_graph" / "shapes", folder / "relation_graph" / "shapes")
    released = FakeTextEncoder(dimension=384)  # as wide as the release's
    growing.create(folder / "made", released)
    phrases = CaptionPhrases(caption="A boat drifts.", scenes=("a calm sea",), actions=("a boat drifts",))
    growing.add(folder / "made", [phrases], released)
    write_published(load_graph(folder / "made"), folder / "graph_data")
    for name, boat in (("captions.csv", "boat"), ("more.csv", "ship")):
        row = f"A {boat} drifts at dusk.,x,['a {boat} drifts'],['at dusk'],['a calm sea']"
        (folder / name).write_text(f"Input,Output,verb_obj_word,scenario_word,place\n{row}\n")
    encoder = {"class_path": "rapo_lightning.language.FakeTextEncoder"}
    answers = {"boat": "A boat drifting at dusk."}
    model = {"class_path": "rapo_lightning.language.FakeLanguageModel", "init_args": {"answers": answers}}
    (folder / "fakes.yaml").write_text(yaml.safe_dump({"encoder": encoder, "language_model": model}))
    (folder / "prompts.csv").write_text("prompt,locked\na red ball,ball\ntwo cats,\nrain on a roof,\n")
    save_run(folder / "runs" / "quickstart")
    videos = [folder / "runs" / "quickstart" / f"{name}.mp4" for name in ("raw", "better")]
    FakeGenerator().generate(["a red ball", "one large red ball"], [1, 1], [str(path) for path in videos])
    variants = zip(videos, ("original", "optimised"), strict=True)
    lines = [json.dumps({"video": path.name, "prompt": "a red ball", "variant": name, "seed": 1}) for path, name in variants]
    (folder / "runs" / "quickstart" / "manifest.jsonl").write_text("\n".join(lines))
    (code,) = (block for kind, block in BLOCKS if kind == "python")
    (folder / "brightness.py").write_text(code)
    return folder


def test_it_opens_with_the_two_commands() -> None:
    assert COMMANDS[:2] == ["make quickstart", "make test"]
    assert README.index("make quickstart") < 100
    assert len([command for command in COMMANDS if command.startswith("rapo ")]) >= 5


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_run(reader: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reader)
    program, *arguments = shlex.split(command)
    if program == "make":
        done = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
        assert ".venv/bin/" in done.stdout
    elif program == "rapo" and arguments[0] == "optimize":
        parts = {**FAKES, "augmenter": "null"} if "shapes_rapo" in command else FAKES
        fakes = [word for key, part in parts.items() for word in ("--set", f"{key}={part}")]
        result = CliRunner().invoke(app, [*arguments, *fakes, "--json"])
        assert result.exit_code == 0, result.output
        out = Path(arguments[arguments.index("--out") + 1])
        assert (out / "report.html").exists() == ("--dry-run" not in arguments)
    elif program == "rapo" and arguments[0] == "rewrite":
        fake = "augmenter.init_args.language_model={class_path: rapo_lightning.language.FakeLanguageModel}"
        result = CliRunner().invoke(app, [*arguments, "--set", fake])
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith(arguments[arguments.index("--prompt") + 1])
    elif program == "rapo" and arguments[0] == "train":
        result = CliRunner().invoke(app, [*arguments, "--set", "epochs=1", "--set", "check.prompts=0"])
        assert result.exit_code == 0, result.output
        assert Path(arguments[arguments.index("--out") + 1], "adapter", "adapter_model.safetensors").is_file()
    elif program == "rapo" and arguments[0] == "evaluate":
        result = CliRunner().invoke(app, [*arguments, "--set", "own={}"])
        assert result.exit_code == 0, result.output
        assert Path(arguments[arguments.index("--out") + 1], "report.html").is_file()
    elif program == "python":
        assert arguments[:2] == ["-m", "evaluation"]
        result = CliRunner().invoke(evaluation_app, arguments[2:])
        assert result.exit_code == 0, result.output
    elif program == "rapo" and arguments[:2] == ["data", "select"]:
        result = CliRunner().invoke(app, [*arguments[:2], "--help"])
        assert result.exit_code == 0, "run with fakes by test_data_commands"
    elif program == "rapo" and arguments[0] in ("data", "graph"):
        fakes = ["--config", "fakes.yaml"] if arguments[1] in ("build", "add", "refactor") else []
        result = CliRunner().invoke(app, [*arguments, *fakes])
        assert result.exit_code == 0, result.output
    elif program == "rapo":
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code in (0, 2), result.output
        assert result.exit_code == 0 or "HF_HUB_OFFLINE is set; where there is a network: hf download" in result.stderr
    else:
        assert program == "cp"
        subprocess.run([program, *arguments], timeout=60, check=True)


def test_the_part_that_it_shows_keeps_its_contract(reader: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(reader)
    assert len((reader / "brightness.py").read_text().strip().splitlines()) <= 24
    from brightness import BrightnessJudge  # type: ignore[import-not-found]

    prompts = [Prompt.of("a red ball"), Prompt.of("two cats")]
    answers = FakeGenerator().generate([p.text for p in prompts], [1, 2], [str(tmp_path / f"{p.id}.mp4") for p in prompts])
    videos = [answer for answer in answers if isinstance(answer, Video)]
    assert len(videos) == 2
    contracts.check_judge(BrightnessJudge(), videos, prompts)


@pytest.mark.slow
def test_the_first_command_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Needs ckpt/shapes: no fakes, nothing made smaller."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    command = next(command for command in COMMANDS if command.startswith("rapo optimize"))
    result = CliRunner().invoke(app, shlex.split(command)[1:])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "a crimson ball goes left over the dunes"
    assert 2 <= len(list((tmp_path / "runs/mine/videos").rglob("*.mp4"))) <= 4, (
        "the prompt's own, and rewrites until one is right"
    )


def tree() -> list[tuple[str, str]]:
    """(path, purpose) of each line of the tree."""
    block = BLOCKS[-1][1]
    rows, folders = [], [""]
    for line in block.splitlines():
        name, _, purpose = line.strip().partition(" ")
        depth = (len(line) - len(line.lstrip())) // 2
        folders[depth + 1 :] = [f"{folders[depth]}{name}"]
        rows.append((folders[depth + 1], purpose.strip()))
    return rows


def test_the_tree_has_one_purpose_a_line_and_everything_in_it_is_there() -> None:
    rows = tree()
    assert README.rstrip().endswith("```")
    assert [path for path, purpose in rows if not purpose] == []
    assert len({path for path, _ in rows}) == len(rows)
    assert [path for path, _ in rows if not (ROOT / path).exists()] == []
    assert [path for path, _ in rows if (ROOT / path).is_dir() != path.endswith("/")] == []


def test_the_tree_leaves_no_module_or_package_out() -> None:
    shown = {path for path, _ in tree()}
    modules = {
        f.relative_to(ROOT).as_posix() for name in ("rapo_lightning", "evaluation") for f in (ROOT / name).glob("[!_]*.py")
    }
    packages = {f"{f.parent.relative_to(ROOT).as_posix()}/" for f in ROOT.glob("rapo_lightning/*/__init__.py")}
    configs = {f"{folder.relative_to(ROOT).as_posix()}/" for folder in (ROOT / "configs").iterdir() if folder.is_dir()}
    assert (modules | packages | configs) - shown == set()


def test_its_links_lead_to_files() -> None:
    for page in (README, (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        local = [target for target in re.findall(r"\]\(([^)]+)\)", page) if not target.startswith("https://")]
        assert [target for target in local if not (ROOT / target).exists()] == []


def test_files_that_it_names_exist() -> None:
    named = set(re.findall(r"`((?:configs|tests|rapo_lightning|ckpt|benchmarks)/[\w./-]+)`", README))
    assert len(named) >= 3
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_continuous_integration_runs_make_test_and_nothing_else() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert script.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in script
    assert script.rstrip().splitlines()[-1] == "make test"
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    subprocess.run(["bash", "-n", ROOT / ".ci/run"], check=True, timeout=10)
