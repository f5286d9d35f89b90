"""``rapo graph`` and ``rapo rewrite`` on places and texts that cannot be used: one line each, and an exit code."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rapo_lightning.errors import InputError
from rapo_lightning.graph_search import search
from rapo_lightning.graph_tools import model_name
from rapo_lightning.language import FakeTextEncoder
from rapo_lightning.planning import gather_prompts
from rapo_lightning.retrieval.captions import open_captions
from rapo_lightning.retrieval.store import load_graph
from rapo_lightning.rewriting import gather
from rapo_lightning.sections import Part
from tests.house.test_graph_commands import answer, call, captions, tools

__all__ = ["captions", "tools"]

ODD = os.fsdecode(b"a \xff ball")


def said(*arguments: object, code: int = 2) -> str:
    result = call(*arguments)
    assert result.exit_code == code, result.output
    (line,) = result.stderr.splitlines()[-1:]
    assert line.startswith("rapo: ")
    assert "Traceback" not in result.output
    return str(line)


def test_places_where_nothing_can_be_made(tmp_path: Path, tools: Path, captions: Path) -> None:
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file" / "g", tmp_path / ("n" * 250)):
        line = said("graph", "build", captions, "-c", tools, "--out", out)
        assert "Not a directory" in line or "File name too long" in line
    answer("graph", "build", captions, "-c", tools, "--out", tmp_path / "g")
    answer("graph", "convert", tmp_path / "g", tmp_path / "published")
    assert "Not a directory" in said(
        "graph", "convert", tmp_path / "published", tmp_path / "file" / "g", "--encoder", "ckpt/shapes/encoder"
    )


def test_texts_that_are_not_utf_8(tmp_path: Path, tools: Path, captions: Path) -> None:
    with pytest.raises(InputError, match="--prompt: not UTF-8"):
        gather(ODD, None, None)
    with pytest.raises(InputError, match="--prompt: not UTF-8"):
        gather_prompts(None, None, text=ODD, file=None, limit=None)  # type: ignore[arg-type]
    answer("graph", "build", captions, "-c", tools, "--out", tmp_path / "g")
    with pytest.raises(InputError, match="the prompt: not UTF-8"):
        search(tmp_path / "g", ODD, FakeTextEncoder(dimension=64), None)  # type: ignore[arg-type]
    path = tmp_path / f"{ODD}.csv"
    path.write_bytes(captions.read_bytes())
    with pytest.raises(InputError, match=r"a \\xff ball\.csv: the file's name: not UTF-8: byte 0xff; rename it"):
        open_captions(path)


def test_missing_embeddings_are_made_anew_where_the_encoder_is_named(tmp_path: Path) -> None:
    (tmp_path / "graph.yaml").write_text(
        json.dumps(
            {"encoder": {"class_path": "rapo_lightning.language.SentenceEncoder", "init_args": {"model": "ckpt/shapes/encoder"}}}
        )
    )
    (tmp_path / "captions.csv").write_text(
        "Input,Output,verb_obj_word,scenario_word,place\na,x,['a dog runs'],['at dusk'],['a beach']\n"
    )
    answer("graph", "build", tmp_path / "captions.csv", "-c", tmp_path / "graph.yaml", "--out", tmp_path / "g")
    answer("graph", "convert", tmp_path / "g", tmp_path / "published")
    (tmp_path / "published" / "verb_words_embed.json").unlink()
    line = said("graph", "convert", tmp_path / "published", tmp_path / "no")
    assert "verb_words_embed.json" in line
    answer("graph", "convert", tmp_path / "published", tmp_path / "again", "--encoder", "ckpt/shapes/encoder")
    before, after = load_graph(tmp_path / "g"), load_graph(tmp_path / "again")
    assert after.texts("action") == before.texts("action")
    assert float((after.x("action") - before.x("action")).abs().max()) < 1e-6


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("captions", None),
        ("nodes", None),
        ("files", None),
        ("nodes", {"scene": 1}),
        ("captions", -1),
        ("captions", 1e3),
        ("name", 3),
    ],
)
def test_a_description_of_a_graph_that_is_none(tmp_path: Path, tools: Path, captions: Path, place: str, value: object) -> None:
    answer("graph", "build", captions, "-c", tools, "--out", tmp_path / "g")
    path = tmp_path / "g" / "graph.json"
    values = json.loads(path.read_text())
    values["segments"][0][place] = value
    path.write_text(json.dumps(values))
    assert "no description of a relation graph" in said("graph", "stats", tmp_path / "g")


@pytest.mark.parametrize("name", ["key.scene", "node.action", "occurrence.atmosphere", "x.scene"])
@pytest.mark.parametrize("damage", ["gone", "shape", "huge"])
def test_tensors_that_do_not_fit_together(tmp_path: Path, tools: Path, captions: Path, name: str, damage: str) -> None:
    answer("graph", "build", captions, "-c", tools, "--out", tmp_path / "g")
    (path,) = (tmp_path / "g" / "segments").glob("*/tensors.safetensors")
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    if damage == "gone":
        del header[name]
    else:
        header[name]["shape"] = [10**12, 0] if damage == "huge" else [*header[name]["shape"], 7]
    told = json.dumps(header).encode()
    path.write_bytes(len(told).to_bytes(8, "little") + told + content[8 + length :])
    manifest = tmp_path / "g" / "graph.json"
    values = json.loads(manifest.read_text())
    values["segments"][0]["files"]["tensors.safetensors"] = path.stat().st_size
    manifest.write_text(json.dumps(values))
    assert "damaged" in said("graph", "stats", tmp_path / "g")


def test_answers_are_kept_apart_by_all_that_decides_them() -> None:
    def name(**arguments: object) -> str:
        return model_name(Part(class_path="rapo_lightning.language.HuggingFaceChat", init_args={"model": "m", **arguments}))

    assert name() == name(batch_size=250) == name(adapter=None) == "m"
    others = {name(adapter="a"), name(adapter="b"), name(base_url="http://a"), name(), name(dtype="float32")}
    assert len(others) == 5
    part = Part(class_path="x.Y", init_args={})
    assert model_name(part) == "x.Y" != model_name(part, max_new_tokens=5)


def test_parquet_with_a_column_twice(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.Table.from_arrays([pyarrow.array(["a"]), pyarrow.array(["b"])], names=["caption", "caption"])
    parquet.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"x\.parquet: several columns caption"):
        open_captions(tmp_path / "x.parquet")
