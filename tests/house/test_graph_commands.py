"""``rapo graph`` and ``rapo rewrite`` as users call them, with fakes: what is built, found, drawn, refused and left alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from cli import app
from rapo_lightning.retrieval.store import load_graph
from tests.house.command import FAKES

PUBLISHED = """Input,Output,verb_obj_word,scenario_word,place
"A boat drifts, slowly, at dusk.",x,"['a boat drifts']","['at dusk']","['a calm sea']"
A dog runs on a beach.,x,['a dog runs'],[],"['a sandy beach', 'a calm sea']"
broken,x,['a dog runs',[],['a beach']
A boat drifts at night.,x,"['a boat drifts']","['at night']","['A calm  sea']"
nothing said,x,[],[],['a calm sea']
"""
REPLIES = {
    "gull": '{"scenes": ["a harbour"], "subjects": ["a gull"], "actions": ["a gull lands"], "atmosphere": []}',
    "fox": '{"scenes": ["a snowy field"], "subjects": ["a fox"], "actions": ["a fox sleeps"], "atmosphere": ["in fog"]}',
    "odd": "I cannot say.",
}


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A graph configuration of fakes."""
    path = tmp_path / "graph.yaml"
    language = {"class_path": "rapo_lightning.language.FakeLanguageModel", "init_args": {"answers": REPLIES}}
    encoder = {"class_path": "rapo_lightning.language.FakeTextEncoder", "init_args": {"dimension": 64}}
    path.write_text(yaml.safe_dump({"schema_version": 1, "encoder": encoder, "language_model": language}))
    return path


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    path = tmp_path / "captions.csv"
    path.write_text(PUBLISHED)
    return path


def call(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)], input=stdin)


def answer(*arguments: object, code: int = 0) -> dict[str, Any]:
    result = call(*arguments, "--json")
    assert result.exit_code == code, result.output
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def test_build_tells_what_was_taken_and_what_was_not(tmp_path: Path, tools: Path, captions: Path) -> None:
    result = call("graph", "build", captions, "--config", tools, "--out", tmp_path / "g")
    assert result.exit_code == 0, result.output
    first, *rest = result.stdout.splitlines()
    assert first.startswith(f"{tmp_path / 'g'}: 3 captions added in ")
    assert first.endswith("new: 2 scenes, 0 subjects, 2 actions, 2 atmospheres")
    assert rest[0] == f"skipped: 2 rows, listed in {tmp_path / 'g' / 'skipped.jsonl'}"
    places = [json.loads(line)["place"] for line in (tmp_path / "g" / "skipped.jsonl").read_text().splitlines()]
    assert places == [f"{captions}:4", f"{captions}:6"]
    assert load_graph(tmp_path / "g").texts("scene") == ["a calm sea", "a sandy beach"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_add_takes_what_is_new_and_tells_what_is_known(tmp_path: Path, tools: Path, captions: Path) -> None:
    call("graph", "build", captions, "--config", tools, "--out", tmp_path / "g")
    more = tmp_path / "more.csv"
    more.write_text(PUBLISHED + "A fox sleeps.,x,['a fox sleeps'],['in fog'],['a snowy field']\n")
    found = answer("graph", "add", tmp_path / "g", more, "--config", tools)
    assert (found["added"]["captions"], found["added"]["duplicates"]) == (1, 3)
    assert found["added"]["nodes"] == {"scene": 1, "subject": 0, "action": 1, "atmosphere": 1}
    assert answer("graph", "stats", tmp_path / "g")["captions"] == 4


def test_plain_captions_go_through_the_language_model_once(tmp_path: Path, tools: Path) -> None:
    file = tmp_path / "captions.txt"
    file.write_text("A gull lands in a harbour.\nAn odd one.\n\nA fox sleeps on a snowy field in fog.\n")
    result = call("graph", "build", file, "--config", tools, "--out", tmp_path / "g")
    assert result.exit_code == 0, result.output
    assert "2 captions added" in result.stdout
    graph = load_graph(tmp_path / "g")
    assert (graph.texts("scene"), graph.texts("subject")) == (["a harbour", "a snowy field"], ["a gull", "a fox"])
    skipped = [json.loads(line) for line in (tmp_path / "g" / "skipped.jsonl").read_text().splitlines()]
    assert [row["place"] for row in skipped] == [f"{file}:2"]
    file.write_text(file.read_text() + "A gull lands in fog.\n")
    again = call("graph", "add", tmp_path / "g", file, "--config", tools)
    assert again.exit_code == 0
    assert "3 known already" in again.stderr


def test_an_interrupted_build_leaves_nothing_and_goes_on(tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rapo_lightning.retrieval import growing

    file = tmp_path / "captions.txt"
    file.write_text("A gull lands in a harbour.\nA fox sleeps on a snowy field in fog.\n")

    def interrupted(*_: object) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(growing, "_add", interrupted)
        assert call("graph", "build", file, "--config", tools, "--out", tmp_path / "g").exit_code == 130
    assert not (tmp_path / "g").exists()
    result = call("graph", "build", file, "--config", tools, "--out", tmp_path / "g")
    assert result.exit_code == 0
    assert "2 known already" in result.stderr
    assert load_graph(tmp_path / "g").captions == 2


def test_a_limit_is_a_limit_for_the_language_model_too(tmp_path: Path, tools: Path) -> None:
    file = tmp_path / "captions.txt"
    file.write_text("A gull lands in a harbour.\nA fox sleeps on a snowy field in fog.\nA gull lands in fog.\n")
    result = call("graph", "build", file, "--config", tools, "--out", tmp_path / "g", "--limit", 1)
    assert result.exit_code == 0
    assert result.stderr.startswith(
        "1 captions: 0 known already, 1 to ask the language model about\nextracted: 1 of 1 captions, "
    )
    assert load_graph(tmp_path / "g").captions == 1


def test_places_that_cannot_be_built_in(tmp_path: Path, tools: Path, captions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("mine")
    result = call("graph", "build", captions, "--config", tools, "--out", tmp_path / "file")
    assert result.exit_code == 2
    assert "is not an empty folder" in result.stderr
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert call("graph", "build", captions, "--config", tools, "--out", ".").exit_code == 0
    assert load_graph(tmp_path / "here").captions == 3


def test_skipped_rows_of_all_additions_are_kept(tmp_path: Path, tools: Path, captions: Path) -> None:
    call("graph", "build", captions, "--config", tools, "--out", tmp_path / "g")
    more = tmp_path / "more.csv"
    more.write_text(PUBLISHED.splitlines()[0] + "\nbad,x,['a,[],['b']\nA fox sleeps.,x,['a fox sleeps'],[],['a field']\n")
    assert call("graph", "add", tmp_path / "g", more, "--config", tools).exit_code == 0
    call("graph", "add", tmp_path / "g", more, "--config", tools)
    places = [json.loads(line)["place"] for line in (tmp_path / "g" / "skipped.jsonl").read_text().splitlines()]
    assert places == [f"{captions}:4", f"{captions}:6", f"{more}:2"], "each once, though the second file was added twice"


def test_a_graph_that_is_there_is_not_built_over(tmp_path: Path, tools: Path, captions: Path) -> None:
    call("graph", "build", captions, "--config", tools, "--out", tmp_path / "g")
    before = sorted((path.name, path.read_bytes()) for path in (tmp_path / "g").rglob("*") if path.is_file())
    result = call("graph", "build", captions, "--config", tools, "--out", tmp_path / "g")
    assert (result.exit_code, result.stderr) == (2, f"rapo: {tmp_path / 'g'}: a graph is there; `rapo graph add` adds to it\n")
    assert sorted((path.name, path.read_bytes()) for path in (tmp_path / "g").rglob("*") if path.is_file()) == before


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "", "empty"),
        ("a.csv", "place,verb_obj_word\n['x'],['y']\n", "Input"),
        ("a.csv", "Input,Output,verb_obj_word,scenario_word,place\nnothing,x,[],[],[]\n", "no caption can be used"),
        ("a.json", "[]", "a.json"),
    ],
)
def test_captions_that_cannot_be_used(tmp_path: Path, tools: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    result = call("graph", "build", tmp_path / name, "--config", tools, "--out", tmp_path / "g")
    assert result.exit_code == 2, result.output
    assert name in result.stderr
    assert says in result.stderr
    assert not (tmp_path / "g").exists()


def test_search_and_show_find_what_is_near(tmp_path: Path, tools: Path, captions: Path) -> None:
    call("graph", "build", captions, "--config", tools, "--out", tmp_path / "g")
    found = answer("graph", "search", tmp_path / "g", "a boat on a calm sea at dusk", "--config", tools)
    scene = found["scenes"][0]
    assert (scene["text"], scene["captions"]) == ("a calm sea", 3)
    similarities = [row["similarity"] for row in scene["modifiers"] if row["kind"] == "action"]
    assert similarities == sorted(similarities, reverse=True)
    text = call("graph", "search", tmp_path / "g", "a boat on a calm sea at dusk", "--config", tools).stdout
    assert text.splitlines()[0].endswith("a calm sea  (3 captions)")
    for suffix, opening in ((".svg", "<svg"), (".html", "<!doctype html>")):
        out = tmp_path / f"near{suffix}"
        result = call("graph", "show", tmp_path / "g", "a boat at dusk", "--config", tools, "--out", out)
        assert (result.exit_code, result.stdout) == (0, f"{out}\n")
        assert out.read_text().lower().startswith(opening)
    refused = call("graph", "show", tmp_path / "g", "a boat", "--config", tools, "--out", tmp_path / "near.png")
    assert refused.exit_code == 2
    assert call("graph", "search", tmp_path / "g", "  ", "--config", tools).exit_code == 2


def test_another_encoder_is_refused(tmp_path: Path, tools: Path, captions: Path) -> None:
    call("graph", "build", captions, "--config", tools, "--out", tmp_path / "g")
    arguments = ("--config", tools, "--set", "encoder.init_args.dimension=32")
    for command in (("search", tmp_path / "g", "a boat"), ("add", tmp_path / "g", captions)):
        result = call("graph", *command, *arguments)
        assert result.exit_code == 2
        assert "fake-64 (64 dimensions), not with fake-32 (32 dimensions)" in result.stderr


def test_a_file_of_nothing_usable_is_an_error_and_leaves_nothing(tmp_path: Path, tools: Path, captions: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text(PUBLISHED.splitlines()[0] + "".join(f"\nrow {n},x,[{n},[],['b']" for n in range(5)) + "\n")
    call("graph", "build", captions, "--config", tools, "--out", tmp_path / "g")
    for command in (("build", bad, "--out", tmp_path / "new"), ("add", tmp_path / "g", bad)):
        result = call("graph", *command, "--config", tools)
        assert result.exit_code == 2, result.output
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("rapo: ")]
        assert f"{bad}: no caption can be used: the first at {bad}:2; " in line
        assert line.endswith("; and 2 other reasons")
    assert not [path for path in tmp_path.iterdir() if "new" in path.name]
    known = call("graph", "add", tmp_path / "g", captions, "--config", tools)
    assert known.exit_code == 0, "what is known already is no error"


def test_a_text_file_has_no_columns(tmp_path: Path, tools: Path) -> None:
    (tmp_path / "a.txt").write_text("A gull lands in a harbour.\n")
    result = call("graph", "build", tmp_path / "a.txt", "--config", tools, "--out", tmp_path / "g", "--column", "foo")
    assert (result.exit_code, result.stderr) == (2, f"rapo: {tmp_path / 'a.txt'}: a text file has no column 'foo'\n")


def test_the_style_is_that_of_the_captions_taken(tmp_path: Path, tools: Path, captions: Path) -> None:
    call("graph", "build", captions, "--config", tools, "--out", tmp_path / "g")
    assert json.loads((tmp_path / "g" / "style.json").read_text())["captions"] == 3
    captions.write_text(PUBLISHED + "A fox sleeps on snow in fog.,x,['a fox sleeps'],['in fog'],['a snowy field']\n")
    call("graph", "add", tmp_path / "g", captions, "--config", tools)
    call("graph", "build", captions, "--config", tools, "--out", tmp_path / "whole")
    assert (tmp_path / "g" / "style.json").read_text() == (tmp_path / "whole" / "style.json").read_text()


def test_convert_names_the_encoder_as_configurations_do(tmp_path: Path, tools: Path, captions: Path) -> None:
    call("graph", "build", captions, "--config", tools, "--out", tmp_path / "g")
    call("graph", "convert", tmp_path / "g", tmp_path / "graph_data")
    result = call("graph", "convert", tmp_path / "graph_data", tmp_path / "back")
    assert result.exit_code == 2
    assert "embeddings of 64 numbers are not sentence-transformers/all-MiniLM-L6-v2's" in result.stderr
    assert not (tmp_path / "back").exists()
    assert call("graph", "convert", tmp_path / "graph_data", tmp_path / "back", "--encoder", "ckpt/fake-64").exit_code == 0
    assert call("graph", "search", tmp_path / "back", "a boat", "--config", tools).exit_code == 0


def test_convert_goes_there_and_back(tmp_path: Path, tools: Path, captions: Path) -> None:
    call("graph", "build", captions, "--config", tools, "--out", tmp_path / "g")
    there = answer("graph", "convert", tmp_path / "g", tmp_path / "graph_data")
    assert there["form"] == "published graph_data"
    assert len(list((tmp_path / "graph_data").iterdir())) == 12
    back = answer("graph", "convert", tmp_path / "graph_data", tmp_path / "back", "--encoder", "fake-64")
    assert back["form"] == "relation graph"
    first, second = load_graph(tmp_path / "g"), load_graph(tmp_path / "back")
    for kind in ("scene", "action", "atmosphere"):
        assert second.texts(kind) == first.texts(kind)
        assert (second.x(kind) - first.x(kind)).abs().max() < 1e-6
    assert call("graph", "convert", tmp_path / "nowhere", tmp_path / "x").exit_code == 2


def test_what_is_no_graph_is_said_in_one_line(tmp_path: Path) -> None:
    for command in ("stats", "search"):
        result = call("graph", command, tmp_path, *(["a boat"] if command == "search" else []))
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == f"rapo: {tmp_path}: no relation graph here; `rapo graph build` makes one\n"


@pytest.fixture
def rewriting(tmp_path: Path, tools: Path, captions: Path) -> Path:
    """An optimize configuration whose augmenter is Stage 1 on a small graph, its language model a fake."""
    call("graph", "build", captions, "--config", tools, "--out", tmp_path / "g")
    fake = {
        "class_path": "rapo_lightning.language.FakeLanguageModel",
        "init_args": {"answers": {"Detail:": "a boat at dusk, drifting"}},
    }
    encoder = {"class_path": "rapo_lightning.language.FakeTextEncoder", "init_args": {"dimension": 64}}
    arguments = {"graph": "g", "encoder": encoder, "language_model": fake, "threshold": 0.1, "modifiers": 1}
    arguments |= {"refactor": False, "naive": False, "select": False, "kinds": ["action"]}
    augmenter = {"class_path": "rapo_lightning.retrieval.augment.RAPOAugmenter", "init_args": arguments}
    path = tmp_path / "rewrite.yaml"
    path.write_text(yaml.safe_dump({**FAKES, "augmenter": augmenter}))
    return path


def test_rewrite_shows_what_changed(tmp_path: Path, rewriting: Path) -> None:
    result = call("rewrite", rewriting, "--prompt", "a boat at dusk", "--steps", "--out", tmp_path / "out.jsonl")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "a boat at dusk"
    assert lines[1].startswith("  retrieved   ")
    assert lines[-2:] == ["  -> a boat at dusk, drifting", "  a boat at dusk{+, drifting+}"]
    (row,) = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert (row["rewritten"], row["failed"], row["modifiers"]) == (
        "a boat at dusk, drifting",
        False,
        [{"kind": "action", "text": "a boat drifts"}],
    )


def test_rewrite_reads_files_and_standard_input(tmp_path: Path, rewriting: Path) -> None:
    result = call("rewrite", rewriting, "--out", tmp_path / "out.txt", stdin="a boat at dusk\n\na snail\n")
    assert result.exit_code == 3, "the fake loses the snail: undone, and nothing else was written"
    assert result.stderr.startswith("1 of 2 prompts failed: ")
    assert "\n  failed: merging" in result.stdout
    assert (tmp_path / "out.txt").read_text() == "a boat at dusk, drifting\na snail\n"
    (tmp_path / "p.txt").write_text("a boat at dusk\na snail\n")
    found = answer("rewrite", rewriting, "--prompts", tmp_path / "p.txt", "--limit", "1")
    assert [row["prompt"] for row in found["rewrites"]] == ["a boat at dusk"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--prompt", " "], "the prompt is empty"),
        (["--prompt", "x", "--prompts", "y.txt"], "give one of them"),
        (["--prompt", "x", "--out", "x.pdf"], "go to a .txt or .jsonl file"),
        (["--prompt", "x", "--set", "augmenter=null"], "`rapo rewrite` runs this part alone"),
        ([], "standard input: holds no prompts"),
    ],
)
def test_rewrite_refuses_what_it_cannot_use(rewriting: Path, arguments: list[str], says: str) -> None:
    result = call("rewrite", rewriting, *arguments, stdin="")
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
