"""The picture: what `view` finds, that nothing overlaps, that texts stay texts, and that it is the same every time."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import combinations, pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rapo_lightning.errors import InputError
from rapo_lightning.retrieval import pictures as picture
from rapo_lightning.retrieval.graph import NODE_TYPES, RelationGraph
from rapo_lightning.retrieval.pictures.layout import COLUMN_X, lay_out
from rapo_lightning.retrieval.pictures.page import ModifierView, SceneView
from rapo_lightning.retrieval.pictures.shapes import Drawing
from rapo_lightning.retrieval.pictures.text import clean
from rapo_lightning.retrieval.pictures.view import Kind
from rapo_lightning.types import Modifier

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TEMPLATES = Path(picture.__file__).parents[2] / "templates"
SVG = "{http://www.w3.org/2000/svg}"
KINDS: tuple[Kind, ...] = ("subject", "action", "atmosphere")
TITLE = "Scenes near a boat"
PROMPT = "A small boat comes home to the harbour in the evening."
HOSTILE = [
    "<script>document.title='reached'</script>",
    "</title></style></svg><img src=x onerror=\"document.title='reached'\">",
    "\" onload='document.title=1' &amp; &#60; ]]> --> <![CDATA[",
    "{{ 7331 * 7 }} {% include 'report.css' %}",
    "nul \x00 bell \x07 half \ud800 not \ufffe a letter \U0001ffff",
    "\u202eturned\u2066 around",
    "سفينة صغيرة تعود إلى الميناء في المساء، والبحر هادئ",
    "דייג זקן מקפל רשת",
    "静かな港に夕日が沈む、穏やかな海の上を小さな船がゆっくりと帰ってくる。",
    "👩‍👩‍👧 family 🇯🇵🇫🇷 é̂",
    "x" * 300,
    "word " * 60,
    "",
]


def modifier(kind: Kind, text: str, similarity: float, count: int = 3) -> ModifierView:
    return ModifierView(kind=kind, text=text, similarity=similarity, count=count, chosen=similarity >= 0.6)


def harbour(**more: int) -> SceneView:
    rows = (
        modifier("subject", "a wooden boat", 0.81, 34),
        modifier("subject", "gulls", 0.48, 51),
        modifier("action", "rocking gently", 0.71),
        modifier("atmosphere", "calm", -0.07),
    )
    return SceneView(text="a quiet harbour", similarity=0.78, captions=1204, modifiers=rows, more=dict(more))  # type: ignore[arg-type]


def many(
    seed: int, scenes: int, words: Sequence[str] = ("amber", "dusk", "riverbank", "of", "WIDE", "glimmering")
) -> list[SceneView]:
    """Scenes with up to 14 modifiers of each kind, of one to nine words or one of ``words``."""
    chance = random.Random(seed)

    def text() -> str:
        return chance.choice(words) if words is HOSTILE else " ".join(chance.choices(words, k=chance.randint(1, 9)))

    def rows() -> list[ModifierView]:
        found = [modifier(kind, text(), chance.uniform(-1, 1), chance.randint(1, 900)) for kind in KINDS for _ in range(14)]
        return [row for row in found if chance.random() < 0.6]

    return [
        SceneView(
            text=text(),
            similarity=chance.uniform(-0.2, 1),
            captions=chance.randint(0, 1_234_567),
            modifiers=tuple(rows()),
            more={"subject": chance.choice([0, 143])},
        )
        for _ in range(scenes)
    ]


def layout(prompt: str, scenes: Sequence[SceneView], rows: int = 12) -> Drawing:
    return lay_out(prompt, scenes, title=TITLE, threshold=0.6, rows=rows)


def cases() -> list[tuple[str, list[SceneView]]]:
    ordinary = [(PROMPT * (seed % 4), many(seed, seed)) for seed in range(9)]
    return [*ordinary, *((text, many(number, 3, HOSTILE)) for number, text in enumerate(HOSTILE))]


def elements(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def lines(root: ET.Element, style: str = "") -> list[str]:
    """Each text with its lines joined, of a CSS class if one is given."""
    texts = [text for text in root.iter(f"{SVG}text") if not style or style in text.get("class", "").split()]
    return [" ".join("".join(span.itertext()) for span in text) for text in texts]


def graph(vectors: dict[str, Tensor], occurrence: dict[str, list[tuple[int, int]]], captions: int) -> RelationGraph:
    return RelationGraph.of(
        texts={name: [f"{name} {number}" for number in range(len(vectors[name]))] for name in NODE_TYPES},
        x={name: torch.nn.functional.normalize(vectors[name], dim=1) for name in NODE_TYPES},
        occurrence={name: torch.tensor(occurrence[name], dtype=torch.int64).reshape(-1, 2).T for name in NODE_TYPES},
        captions=captions,
        encoder="tiny",
    )


def small_graph() -> RelationGraph:
    """Scenes 1 and 2 are equally near to (1, 0); scene 1 stands in two captions with subjects of cosine 0.6, 0.6, 0, 1."""
    plane = torch.tensor
    return graph(
        {
            "scene": plane([[0.0, 1.0], [0.8, 0.6], [0.8, 0.6]]),
            "subject": plane([[0.6, 0.8], [0.6, 0.8], [0.0, 1.0], [1.0, 0.0]]),
            "action": plane([[-1.0, 0.0]]),
            "atmosphere": torch.zeros(0, 2),
        },
        {
            "scene": [(1, 0), (1, 1), (1, 1), (2, 2), (0, 3)],
            "subject": [(0, 0), (0, 1), (1, 1), (2, 1), (3, 1)],
            "action": [(0, 1)],
            "atmosphere": [],
        },
        4,
    )


def test_view_ranks_scenes_and_all_modifiers_ties_by_index() -> None:
    near, other = picture.view(small_graph(), PROMPT, torch.tensor([1.0, 0.0]), scenes=2, threshold=0.5)
    assert [scene.text for scene in (near, other)] == ["scene 1", "scene 2"]
    assert (near.similarity, near.captions, other.captions) == (pytest.approx(0.8), 2, 1)
    shown = [(m.text, round(m.similarity, 6), m.count, m.chosen) for m in near.modifiers]
    assert shown == [
        ("subject 3", 1.0, 1, True),
        ("subject 0", 0.6, 2, True),
        ("subject 1", 0.6, 1, True),
        ("subject 2", 0.0, 1, False),
        ("action 0", -1.0, 1, False),
    ]
    assert near.more == {"subject": 0, "action": 0, "atmosphere": 0}
    assert other.modifiers == ()


def test_view_keeps_the_first_of_each_kind_and_counts_the_others() -> None:
    (near,) = picture.view(small_graph(), PROMPT, torch.tensor([1.0, 0.0]), scenes=1, modifiers=1)
    assert [m.text for m in near.modifiers] == ["subject 3", "action 0"]
    assert near.more == {"subject": 3, "action": 0, "atmosphere": 0}


def test_view_marks_what_was_retrieved_where_that_is_known() -> None:
    chosen = [Modifier(text="subject 2", kind="subject"), Modifier(text="action 0", kind="scene")]
    (near,) = picture.view(small_graph(), PROMPT, torch.tensor([1.0, 0.0]), scenes=1, retrieved=chosen)
    assert [m.text for m in near.modifiers if m.chosen] == ["subject 2"]


def test_view_counts_modifiers_of_other_kinds_and_shows_none() -> None:
    vector = torch.tensor([1.0, 0.0])
    near, other = picture.view(small_graph(), PROMPT, vector, scenes=2, threshold=0.8, kinds=("action", "scene"))
    assert [m.text for m in near.modifiers] == ["action 0"]
    assert near.more == {"subject": 4, "action": 0, "atmosphere": 0}
    assert (near.chosen, other.chosen) == (True, True), "the phrases of the scenes reach the threshold exactly"
    assert not picture.view(small_graph(), PROMPT, vector, scenes=1, threshold=0.8, kinds=("subject",))[0].chosen
    (taken,) = picture.view(small_graph(), PROMPT, vector, scenes=1, retrieved=[Modifier(text="scene 1", kind="scene")])
    assert taken.chosen


@pytest.mark.parametrize("vector", [torch.ones(3), torch.ones(1, 2), torch.zeros(2), torch.tensor([float("nan"), 0.0])])
def test_an_embedding_that_does_not_fit_is_refused(vector: Tensor) -> None:
    with pytest.raises(InputError):
        picture.view(small_graph(), PROMPT, vector)


@pytest.mark.parametrize(("prompt", "scenes"), cases())
def test_no_two_texts_overlap_and_all_stand_within_the_picture(prompt: str, scenes: list[SceneView]) -> None:
    drawing = layout(prompt, scenes)
    boxes = [text.box for text in drawing.texts]
    assert all(left >= 0 and top >= 0 and right <= drawing.width and low <= drawing.height for left, top, right, low in boxes)
    touching = [(a, b) for a, b in combinations(boxes, 2) if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]]
    assert touching == []


@pytest.mark.parametrize(("prompt", "scenes"), cases())
def test_texts_stay_in_their_columns_and_clear_of_bars_and_tracks(prompt: str, scenes: list[SceneView]) -> None:
    drawing = layout(prompt, scenes)
    columns = [*COLUMN_X.values(), drawing.width]
    assert all(below.card.top >= above.bottom + 20 for above, below in pairwise(drawing.scenes))
    for scene in drawing.scenes:
        assert all(rest.bottom <= scene.bottom for rest in scene.rests)
        for drawn in scene.modifiers:
            column = KINDS.index(drawn.view.kind)
            assert columns[column] + drawn.radius < drawn.text.box[0]
            assert drawn.number.box[2] < columns[column + 1]
            assert max(drawn.text.bottom, drawn.number.bottom) <= drawn.bar.y
            assert drawn.text.top > scene.card.top + 22 + 5
        assert scene.note.bottom <= scene.bar.y < scene.card.top + scene.card.height <= scene.bottom


def test_what_is_nearer_has_a_thicker_line_a_longer_bar_and_what_is_frequent_a_larger_dot() -> None:
    far = SceneView(text="far", similarity=-0.5, captions=1)
    drawing = layout(PROMPT, [harbour(), far])
    assert drawing.links[0].weight > drawing.links[1].weight > 0
    boat, gulls, _, calm = drawing.scenes[0].modifiers
    assert boat.bar.length == pytest.approx(0.81 * boat.bar.whole, abs=0.1)
    assert (calm.bar.length, boat.bar.tick) == (0, pytest.approx(boat.bar.x + 0.6 * boat.bar.whole, abs=0.1))
    assert gulls.radius > boat.radius > calm.radius


def test_what_is_not_drawn_is_counted() -> None:
    rows = tuple(modifier("action", f"step {number}", 0.1) for number in range(20))
    scene = SceneView(text="a road", similarity=0.5, captions=1, modifiers=rows, more={"action": 1131, "subject": 2})
    drawing = layout(PROMPT, [scene])
    assert [m.text.lines for m in drawing.scenes[0].modifiers] == [(f"step {number}",) for number in range(12)]
    assert [text.lines[0].replace("\u202f", " ") for text in drawing.scenes[0].rests] == ["2 not shown", "and 1 139 more", "none"]


def test_the_picture_is_well_formed_named_and_described() -> None:
    root = elements(picture.picture(PROMPT, [harbour(subject=143)], title=TITLE, threshold=0.6))
    assert (root.tag, root.get("role")) == (f"{SVG}svg", "img")
    title, description = root[0], root[1]
    assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert (title.tag, title.text) == (f"{SVG}title", TITLE)
    assert description.tag == f"{SVG}desc"
    assert description.text is not None
    assert PROMPT in description.text
    assert "subjects “a wooden boat”; actions “rocking gently”" in description.text
    said = lines(root)
    for text in (TITLE, "Subjects", "Actions", "Atmosphere", "a quiet harbour", "a wooden boat", "0.81", "−0.07", "and 143 more"):
        assert text in said
    assert lines(root, "chosen") == ["a wooden boat", "0.81", "rocking gently", "0.71"]


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_stay_texts(text: str) -> None:
    scene = SceneView(text=text, similarity=0.7, captions=1, modifiers=(modifier("action", text, 0.7),), more={})
    plain = SceneView(text="a", similarity=0.7, captions=1, modifiers=(modifier("action", "a", 0.7),), more={})
    root = elements(picture.picture(text, [scene], title=text or "-"))
    usual = elements(picture.picture("a", [plain], title="a"))

    def skeleton(element: ET.Element) -> list[tuple[str, list[str]]]:
        return [
            (part.tag, sorted(set(part.attrib) - {"direction", "text-anchor"}))
            for part in element.iter()
            if part.tag != f"{SVG}tspan"
        ]

    assert skeleton(root) == skeleton(usual)
    shown = "".join(root.itertext())
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08]", shown)
    tips = [tip.text or "" for tip in root.iter(f"{SVG}title")]
    assert any(tip.startswith(clean(text)) for tip in tips if "action" in tip)


class Tags(HTMLParser):
    """The tags of a page with their attributes' names, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "tspan":
            self.found.append((tag, tuple(sorted({name for name, _ in attrs} - {"direction", "text-anchor"}))))


def test_the_page_holds_the_picture_and_the_whole_list_and_may_load_nothing() -> None:
    page = picture.page(PROMPT, [harbour(), *many(1, 2, HOSTILE)], title=HOSTILE[1], threshold=0.6, note=HOSTILE[0])
    policy = re.search('http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src &#39;none&#39;") or policy[1].startswith("default-src 'none'")
    assert "script-src" not in policy[1]
    names = {name for _, attributes in Tags(page).found for name in attributes}
    assert not {name for name in names if name.startswith("on")} | (names & {"style", "src", "xlink:href"})
    assert {tag for tag, _ in Tags(page).found} & {"script", "img", "iframe", "object", "image", "foreignobject"} == set()
    assert page.count("<svg") == page.count("</svg>") == 1
    assert '<td><span class="text" dir="auto">a wooden boat</span></td>' in page


def test_a_picture_is_the_same_every_time() -> None:
    first, second = (picture.picture(PROMPT, many(4, 5), title=TITLE) for _ in range(2))
    assert first == second
    assert picture.page(PROMPT, many(4, 5), title=TITLE) == picture.page(PROMPT, many(4, 5), title=TITLE)


def test_colours_are_those_of_the_report_in_light_and_dark() -> None:
    style, report = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("picture.css", "report.css"))
    light, dark = (
        dict(re.findall(r"--(\w[\w-]*): (#\w+);", block)) for block in re.findall(r":root \{(.*?)\}", report, re.DOTALL)
    )
    for name, colours in (("light", light), ("dark", dark)):
        block = re.search(rf"set {name} = (.*?) %\}}", style, re.DOTALL)
        assert block is not None
        ours = json.loads(block[1])
        assert {key: ours[key] for key in ("page", "card", "ink", "quiet", "rule", "accent")} == {
            key: colours[key] for key in ("page", "card", "ink", "quiet", "rule", "accent")
        }


def test_the_suffix_says_what_is_written(tmp_path: Path) -> None:
    for name, start in (("a.svg", "<svg "), ("b.HTML", "<!DOCTYPE html>")):
        path = picture.write(tmp_path / name, PROMPT, [harbour()], title=TITLE)
        assert path.read_text(encoding="utf-8").startswith(start)
    with pytest.raises(InputError, match=r"c\.png: .*\.svg or \.html"):
        picture.write(tmp_path / "c.png", PROMPT, [harbour()], title=TITLE)
    assert not (tmp_path / "c.png").exists()


MEASURE = """<script>
const texts = [...document.querySelectorAll("svg text")].map((t) => [t.textContent, t.getBBox()]);
const found = [];
texts.forEach(([a, p], i) => texts.slice(i + 1).forEach(([b, q]) => {
  const deep = 2.5; // The leading above capitals and below feet may touch.
  const across = p.width && q.width && p.x < q.x + q.width && q.x < p.x + p.width;
  if (across && p.y + deep < q.y + q.height && q.y + deep < p.y + p.height) found.push([a, b]);
}));
const view = document.querySelector("svg").viewBox.baseVal;
const inside = (p) => p.x >= view.x && p.x + p.width <= view.x + view.width && p.y + p.height <= view.height;
const outside = texts.filter(([, p]) => !inside(p)).map(([a]) => a);
document.title = JSON.stringify({ texts: texts.length, found, outside });
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("words", [None, HOSTILE])
def test_a_browser_finds_no_overlap_either(tmp_path: Path, words: list[str] | None) -> None:
    scenes = many(2, 4, words) if words else many(2, 4)
    svg = picture.picture(PROMPT * 3, scenes, title=TITLE, threshold=0.6)
    (tmp_path / "show.html").write_text(f"<!DOCTYPE html><meta charset=utf-8><body>{svg}{MEASURE}", encoding="utf-8")
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--dump-dom",
    ]
    out = subprocess.run(
        [*command, (tmp_path / "show.html").as_uri()], capture_output=True, timeout=120, check=True
    ).stdout.decode()
    title = re.search(r"<title>(\{.*?\})</title>", out)
    assert title is not None
    found = json.loads(title[1])
    assert found["texts"] > 100
    assert (found["found"], found["outside"]) == ([], [])
