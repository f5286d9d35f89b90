"""The page says what the summary says, links to its videos, needs nothing else, and whatever others wrote stays text in it."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from evaluation.output.figures import decimals, figure
from evaluation.output.header import Header
from evaluation.output.page import page, write_page
from evaluation.output.pages import visible
from evaluation.output.provenance import sources, weights_used
from evaluation.output.summary import summarise
from evaluation.rows import Row
from evaluation.video.record import Record
from evaluation.weights.table import WEIGHTS
from tests.evaluation.output_rows import HOSTILE, METRICS, evaluation_rows, row

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SCRIPT = "document.documentElement.setAttribute('data-reached','1')"
PAYLOADS = (
    *HOSTILE,
    f"<script>{SCRIPT}</script>",
    f"</title></style></p><img src=x onerror={SCRIPT}>",
    f'" onmouseover={SCRIPT} autofocus onfocus={SCRIPT} x="',
    f"<svg onload={SCRIPT}></svg>",
    f"]]>--></text></svg><iframe srcdoc='<script>{SCRIPT}</script>'>",
    f"javascript:{SCRIPT}",
    "data:text/html,<script>1</script>",
    "../../../etc/passwd",
    "http://127.0.0.1:9/reached.mp4",
    "\ud83d half a sign",
)


class Parts(HTMLParser):
    """Elements with their attributes, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.text += "" if tag in ("wbr", "bdi") else " "

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


def made(rows: Sequence[Row], **more: Any) -> str:
    header = Header(metrics=more.pop("metrics", METRICS), missing_files=more.pop("missing_files", ()))
    return page(rows, summarise(rows, header, allow_proxy=more.pop("allow_proxy", False)), **more)


def hostile(texts: Sequence[str]) -> str:
    """Every place that others fill holds each of the texts: names, prompts, files, messages, weights, the title."""
    rows: list[Row] = []
    for number, text in enumerate(texts):
        for variant in ("original", texts[0]):
            for metric, value in (
                ("scene", 0.5 + 0.01 * number * (variant != "original")),
                (text, 0.25 + 0.01 * number),
                ("color", 0.1),
            ):
                more = {"prompt": text, "prompt_id": f"{number}{text}", "variant": variant, "video_path": text, "backbone": text}
                more |= {
                    "weights_revision": text,
                    "weights_sha256": text,
                    "frame_policy": text,
                    "dtype": text,
                    "code_version": text,
                }
                rows.append(row(metric, value, 2 * number + (variant != "original"), **more))
            gone = 1000 + len(rows)
            rows.append(row("scene", position=gone, variant=variant, error="bad_reply", error_message=text, video_path=text))
    records = [Record(index=one.position, prompt_optimised=one.prompt) for one in rows]
    return made(rows, metrics=("scene", "color", *texts), missing_files=tuple(texts), records=records, title=texts[1])


def test_hostile_texts_become_neither_elements_nor_attributes() -> None:
    plain = Parts(hostile([f"plain {place}" for place in range(len(PAYLOADS))]))
    found = Parts(hostile(PAYLOADS))
    tags = [Counter(tag for tag, _ in parts.elements if tag not in ("wbr", "text", "g", "title")) for parts in (found, plain)]
    assert tags[0] == tags[1]
    names = [{(tag, name) for tag, attributes in parts.elements for name in attributes} for parts in (found, plain)]
    assert names[0] == names[1]
    assert not any(name.startswith("on") or name == "style" for _, name in names[0])
    for text in PAYLOADS:
        assert " ".join(visible(text).split()) in found.words
    assert [tag for tag, _ in found.elements].count("article") >= 6
    hostile(PAYLOADS).encode("utf-8")


def test_links_are_files_whatever_they_are_called(tmp_path: Path) -> None:
    rows = [row(value=0.1 * place, position=place, video_path=text, prompt_id=text) for place, text in enumerate(PAYLOADS)]
    rows += [row("x", position=place, error="missing", video_path=text) for place, text in enumerate(PAYLOADS)]
    parts = Parts(made(rows, folder=tmp_path, metrics=("clip_score", "x")))
    links = {value for _, attributes in parts.elements for name, value in attributes.items() if name in ("src", "href") and value}
    links -= {"data:,", "#metrics"}
    assert len(links) == len(PAYLOADS)
    assert all(re.fullmatch(r"(\.\./)+[\w%.\-~/]+", link) for link in links)
    far = next(link for link in links if link.endswith("/reached.mp4"))
    assert (tmp_path / unquote(far)).resolve() == Path("http:/127.0.0.1:9/reached.mp4").absolute()


def test_links_lead_to_the_videos(tmp_path: Path) -> None:
    film = tmp_path / "videos" / "a film, 100 % #1 ü.mp4"
    film.parent.mkdir()
    film.write_bytes(b"film")
    rows = [row(value=v, position=p, prompt_id=f"p{p}", video_path=str(film)) for p, v in enumerate((0.1, 0.9))]
    written = write_page(tmp_path / "out" / "report.html", rows, summarise(rows, Header()), title="x")
    parts = Parts(written.read_text(encoding="utf-8"))
    (source, *_) = [attributes["src"] for tag, attributes in parts.elements if tag == "video"]
    assert (written.parent / unquote(source or "")).resolve() == film
    (player, *_) = [attributes for tag, attributes in parts.elements if tag == "video"]
    assert (player["preload"], player["width"], player["height"]) == ("none", "720", "480")
    assert "autoplay" not in player


def test_the_page_needs_nothing_else() -> None:
    html = made(evaluation_rows(6))
    assert html.startswith("<!DOCTYPE html>")
    parts = Parts(html)
    assert "script" not in {tag for tag, _ in parts.elements}
    assert "link" in {tag for tag, _ in parts.elements}
    assert {attributes["href"] for tag, attributes in parts.elements if tag == "link"} == {"data:,"}
    assert not re.search(r"@import|url\(|src=.?http", html)
    (policy,) = [a["content"] for t, a in parts.elements if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
    style = re.search(r"<style>(.*?)</style>", html, re.S)
    assert style is not None
    assert base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode() in (policy or "")
    assert (policy or "").startswith("default-src 'none'")
    ids = [attributes["id"] for _, attributes in parts.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["aria-labelledby"] for _, a in parts.elements if "aria-labelledby" in a} <= set(ids)
    scrolling = [a for t, a in parts.elements if t == "div" and a.get("tabindex") == "0"]
    assert scrolling
    assert all(a.get("role") == "region" and a.get("aria-label") for a in scrolling)


def test_the_page_says_what_the_summary_says() -> None:
    rows = evaluation_rows(12)
    summary = summarise(rows, Header(metrics=METRICS, missing_files=("a cat-0.mp4",)), allow_proxy=True)
    words = Parts(page(rows, summary, title="Tuned")).words
    for held in summary["variants"].values():
        for score in held["metrics"].values():
            assert figure(score["value"], decimals(score["value"])) in words
    for gain in summary["paired"]["metrics"].values():
        assert f"{100 * gain['win_rate']:.0f} %" in words
    assert "No VBench total, as 6 of 16 dimensions have no value: multiple_objects, human_action, color" in words
    assert "In place of VBench’s own backbones: motion_smoothness.raft_warp, object_class.florence2." in words
    assert "Quality score (with proxies)" in words
    assert "videos/original/p008-43.mp4: no such file" in words
    assert "12 metrics" in words
    assert "a cat-0.mp4" in words
    assert "Largest gains" in words
    assert "12 metrics on 48 videos of 12 prompts" in words
    better = sum(gain["ci95"][0] > 0 for gain in summary["paired"]["metrics"].values())
    assert re.search(rf"optimised against original metrics better ?{better} ", words)


def test_totals_stand_where_all_parts_are_there() -> None:
    from evaluation.dimensions import DIMENSIONS

    rows = evaluation_rows(4, metrics=tuple(DIMENSIONS))
    summary = summarise(rows, Header(metrics=tuple(DIMENSIONS)))
    words = Parts(page(rows, summary)).words
    for held in summary["variants"].values():
        assert f"{held['totals']['total']:.4f}" in words
    assert "No VBench total" not in words
    filled = Parts(page(rows[:3], summarise(rows[:3], Header(), fill_missing_zero=True))).words
    assert "Absent dimensions count as 0, as 13 of 16" in filled
    imported = summarise(rows[:15], Header(), imported={"original": {"overall_consistency": 0.25}})
    assert "Imported from elsewhere: overall_consistency." in Parts(page(rows[:15], imported)).words


def test_prompts_at_both_ends_are_those_with_the_largest_gains() -> None:
    rows = []
    for place, (before, after) in enumerate([(0.5, 0.9), (0.5, 0.5), (0.5, 0.1), (0.5, 0.6)]):
        for variant, value in (("original", before), ("optimised", after)):
            more = {
                "variant": variant,
                "prompt_id": f"p{place}",
                "prompt": f"take {place}",
                "video_path": f"{variant}{place}.mp4",
            }
            rows.append(row(value=value, position=len(rows), **more))
    records = [Record(index=one.position, prompt_optimised=f"made of {one.video_path}") for one in rows]
    html = made(rows, metrics=("clip_score",), records=records)
    gains, losses = html.split("<h3>Largest losses</h3>")
    gains = gains.split("<h3>Largest gains</h3>")[1]
    assert re.findall(r"take \d", gains) == ["take 0", "take 3"]
    assert re.findall(r"take \d", losses.split("</section>")[0]) == ["take 2"]
    assert re.findall(r'<video [^>]*src="[./\w]*?(\w+\.mp4)"', gains)[:2] == ["original0.mp4", "optimised0.mp4"]
    assert "made of optimised0.mp4" in gains
    alone = made([one for one in rows if one.variant == "optimised"], metrics=("clip_score",))
    best, worst = alone.split("<h3>Worst prompts</h3>")
    assert re.findall(r"take \d", best.split("<h3>Best prompts</h3>")[1]) == ["take 0", "take 3"]
    assert re.findall(r"take \d", worst.split("</section>")[0]) == ["take 2", "take 1"]


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [row()],
        [row("scene", None)],
        [row(position=i, error="corrupt") for i in range(300)],
        [row(), row(variant="b", position=1)],
    ],
)
def test_little_or_nothing_still_makes_a_page(rows: list[Row]) -> None:
    words = Parts(made(rows, metrics=())).words
    assert "Where the numbers come from" in words
    assert "nan" not in words.lower().split()
    if len(rows) == 300:
        assert "100 more lines are in summary.json" in words
    if not rows:
        assert "No metric was asked for" in words


def test_weights_are_named_with_licence_and_hash() -> None:
    rows = [
        row("aesthetic_quality", 0.5, 0, backbone="clip_l14+laion_head", weights_revision="abc+", weights_sha256="11+22"),
        row("aesthetic_quality", 0.5, 1, backbone="clip_l14+laion_head", weights_revision="abc+", weights_sha256="11+33"),
        row("x", 0.5, 2, backbone="mine", weights_sha256="44"),
        row("x", position=3, error="empty", dtype="float16"),
    ]
    found = [(used.name, used.licence, used.revision, used.sha256) for used in weights_used(rows)]
    head = WEIGHTS["laion_head"].licence
    assert found == [
        ("clip_l14", WEIGHTS["clip_l14"].licence, "abc", "11"), ("laion_head", head, "", "22"), ("laion_head", head, "", "33"),
        ("mine", "", "", "44"),
    ]  # fmt: skip
    (first, second) = sources(rows, ["aesthetic_quality", "x", "none"])
    assert (first.backbones, first.dtypes) == (("clip_l14+laion_head",), ("float32",))
    assert (second.backbones, second.dtypes) == (("mine",), ("float32", "float16"))
    words = Parts(made(rows, metrics=())).words
    for told in ("not known", head, WEIGHTS["laion_head"].source, "4 of 720 × 480, 49 frames, 8 fps", "33"):
        assert told in words


def test_equal_rows_give_equal_pages() -> None:
    rows = evaluation_rows(5)
    assert made(rows) == made(list(reversed(rows)))
    moved = [replace(one, seconds=0.0) for one in rows]
    assert made(moved) != made(rows)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path")
def test_chromium_runs_nothing_and_keeps_the_policy(tmp_path: Path) -> None:
    path = tmp_path / "hostile.html"
    path.write_text(hostile(PAYLOADS), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
    options += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000", "--enable-logging=stderr", "--v=0"]
    done = subprocess.run([str(CHROMIUM), *options, "--dump-dom", path.as_uri()], capture_output=True, timeout=120, check=True)
    dom = done.stdout.decode()
    assert "<article" in dom
    assert "data-reached=" not in dom.split("<head>")[0]
    assert "Content Security Policy" not in done.stderr.decode()
