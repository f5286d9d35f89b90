"""A report may hold anything that users and models write: 200 and more payloads stay text, in the parsed page and in Chromium."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rapo_lightning import report
from rapo_lightning.sspo.log import CandidateLog
from rapo_lightning.types import Candidate
from tests.house.run_folders import attempt, page, write_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SCRIPT = "document.documentElement.setAttribute('data-reached','1');alert(1)"
BODIES = [
    "<script>{js}</script>",
    "<script src={url}></script>",
    "<ScRiPt/x>{js}</sCrIpT >",
    "<scr\0ipt>{js}</scr\0ipt>",
    "<<script>{js}//<</script>",
    "<img src=x onerror={js}>",
    "<img src={url}>",
    "<img srcset='{url} 1x'>",
    "<image href={url}>",
    "<svg onload={js}></svg>",
    "<svg><script>{js}</script></svg>",
    "<svg><animate onbegin={js} attributeName=x dur=1s></svg>",
    "<svg><image href={url} /></svg>",
    "<svg><use href='data:image/svg+xml,<svg id=x onload={js}>#x'/></svg>",
    "<svg><foreignObject><iframe srcdoc='<script>{js}</script>'></iframe></foreignObject></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror={js}></style></mglyph></table></mtext></math>",
    "<iframe src=javascript:{js}></iframe>",
    "<iframe src={url}></iframe>",
    "<object data={url}></object>",
    "<embed src={url}>",
    "<link rel=stylesheet href={url}>",
    "<link rel=prefetch href={url}>",
    "<style>*{{background:url({url})}}</style>",
    "<style>@import '{url}';</style>",
    "<base href={url}>",
    "<meta http-equiv=refresh content='0;url={url}'>",
    "<form action={url}><input autofocus onfocus={js}></form>",
    "<details open ontoggle={js}>x</details>",
    "<video poster={url} src={url} autoplay onerror={js}></video>",
    "<audio src={url} autoplay></audio>",
    "<a href=javascript:{js} ping={url}>x</a>",
    "<body onload={js} background={url}>",
    "<noscript><p title='</noscript><img src=x onerror={js}>'></noscript>",
    "<template><script>{js}</script></template>",
    "<textarea></textarea><xmp></xmp><plaintext>",
    '" onmouseover={js} style=position:fixed;inset:0 autofocus onfocus={js} x="',
    "' style='background:url({url})' onload='{js}",
    "javascript:{js}",
    "data:text/html,<script>{js}</script>",
    "{{{{ 7331 * 7 }}}} {{% include 'report.css' %}} {{# x #}} {{{{ self.__init__.__globals__ }}}}",
    "${{7331*7}} #{{7331*7}} <%= 7331*7 %> {{{{= 7331*7 }}}}",
    "\u202e<script>{js}</script>\u202c\u2066",
    "\uff1cscript\uff1e{js}\uff1c/script\uff1e",
    "<script>\u2028{js}\u2029</script>",
    "&lt;script&gt;{js}&lt;/script&gt; &#60;script&#62; &#x3c;img src={url}&#x3e;",
    "%3Cscript%3E{js}%3C/script%3E",
    "+ADw-script+AD4-{js}+ADw-/script+AD4-",
]
WRAPPERS = ["{}", '"/>{}', "'>{}<'", "</td></span></article>{}", "</script></style></title></pre>{}", "-->]]>{}<!--<![CDATA["]


def payloads(url: str) -> list[str]:
    """Every body in every wrapper; what runs or is fetched shows itself."""
    return [wrapper.replace("{}", body.format(js=SCRIPT, url=url)) for body in BODIES for wrapper in WRAPPERS]


def hostile_run(folder: Path, texts: list[str]) -> Path:
    """A run in which every place that others write holds payloads, file names included."""
    candidates: list[Candidate] = []
    for number, text in enumerate(texts):
        film = folder / "videos" / re.sub(r"[/\0]", "_", text)[:60] / f"{number}.mp4"
        key = f"{number} {text}"
        user = attempt(folder, key, text, 0.5, id=f"a{text}", critique=text, judge=text, judge_error=text, film=str(film))
        worse = attempt(folder, key, f"{text} more {text}", 0.25, round=1, id=f"b{text}", parent=user, film=str(film))
        lost = attempt(folder, f"lost {text}", f"x {text}", None, error=text)
        candidates += [user, worse, lost]
    best = [{"id": c.prompt_id, "candidate": c.id, "stop": text} for c, text in zip(candidates[1::3], texts)]
    arms: list[dict[str, Any]] = [
        {"name": text, "right": 0.5, "judge": text, "difference": 0.5, "by_attribute": {text: 0.5}} for text in texts
    ]
    comparison = {
        "title": texts[0],
        "note": " ".join(texts),
        "arms": arms[:40],
        "worst": [{"prompt": t, "why": t} for t in texts],
    }
    write_run(
        folder,
        candidates,
        best=best,
        comparison=comparison,
        run={"note": texts[1], "status": texts[2], **dict(zip(texts, texts))},
    )
    (folder / "config.resolved.yaml").write_text("\n".join(texts), encoding="utf-8")
    return folder


def ordinary_run(folder: Path) -> Path:
    """The same places, with plain words."""
    return hostile_run(folder, [f"plain {number}" for number in range(len(payloads("")))])


def test_payloads_become_neither_elements_nor_attributes(tmp_path: Path) -> None:
    texts = payloads("http://127.0.0.1:9/reached")
    assert len(set(texts)) >= 200
    plain = page(report.write(ordinary_run(tmp_path / "plain")))
    shown = page(report.write(hostile_run(tmp_path / "hostile", texts)))
    assert set(shown.tags) == set(plain.tags)
    assert {(tag, name) for tag, name, _ in shown.attributes} == {(tag, name) for tag, name, _ in plain.attributes}
    assert [shown.tags.count(tag) for tag in ("script", "style", "link", "html", "head", "body", "title")] == [1] * 7
    assert shown.tags.count("article") == len(texts) + 200
    own = set(plain.attributes)
    for tag, name, value in shown.attributes:
        if name in {"src", "poster"}:
            assert re.fullmatch(r"videos/[\w.~%-]+/\d+\.(mp4|webp)", value), value
        elif (tag, name) in {("a", "href"), ("article", "id")}:
            assert re.fullmatch(r"#?prompt-\d+", value), value
        elif not re.fullmatch(r"-?[\d.]+", value):
            assert (tag, name, value) in own


def test_payloads_are_shown_as_they_were_written(tmp_path: Path) -> None:
    texts = payloads("http://127.0.0.1:9/reached")[:190]
    shown = page(report.write(hostile_run(tmp_path, texts)))
    as_shown = set(shown.texts)
    for text in texts:
        assert text in as_shown
        assert f"x {text}"[:190] in {one[:190] for one in as_shown}
    assert "51317" not in shown.html, "template syntax in text is not evaluated"


def test_every_file_of_a_hostile_run_is_found(tmp_path: Path) -> None:
    from urllib.parse import unquote

    shown = page(report.write(hostile_run(tmp_path, payloads("http://127.0.0.1:9/reached")[:40])))
    sources = [*shown.values("video", "src"), *shown.values("video", "poster")]
    assert len(sources) == 40 * 2 * 2
    assert all((tmp_path / unquote(source)).is_file() for source in sources)


def test_ids_from_a_log_cannot_leave_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (tmp_path / "x.mp4").write_bytes(b"private")
    log = CandidateLog(folder, 0)
    for number, path in enumerate(
        ("../x.mp4", "/etc/hostname", "videos/../../x.mp4", "javascript:alert(1)", "//example.org/x.mp4")
    ):
        made = attempt(folder, f"p{number}", "words", 0.5)
        log.append(made)
        line = log.path.read_text().replace(f"videos/p{number}/{made.id}-7.mp4", path)
        log.path.write_text(line)
    shown = page(report.write(folder))
    assert shown.values("video", "src") == []
    assert "private" not in shown.html


class Beacon(ThreadingHTTPServer):
    """Counts what is fetched from it."""

    hits = 0


@pytest.fixture
def beacon() -> Iterator[Beacon]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.hits += 1
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Says nothing."""

    server = Beacon(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def browse(path: Path, profile: Path) -> tuple[str, str]:
    """The page as Chromium has it after a while, and what Chromium logged. A dialog would keep it until the time is up."""
    assert CHROMIUM is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
    options += [f"--user-data-dir={profile}", "--virtual-time-budget=4000", "--enable-logging=stderr", "--v=0", "--dump-dom"]
    done = subprocess.run([CHROMIUM, *options, path.as_uri()], capture_output=True, timeout=120, check=True)
    return done.stdout.decode(), done.stderr.decode()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path")
def test_chromium_runs_and_fetches_nothing(tmp_path: Path, beacon: Beacon) -> None:
    url = f"http://127.0.0.1:{beacon.server_port}/reached"
    texts = payloads(url)

    # 1. The means to notice work: without escaping and policy the same texts run and fetch, and violations are logged.
    bare = tmp_path / "bare.html"
    bare.write_text(texts[0].replace(";alert(1)", "") + f"<img src={url}>", encoding="utf-8")
    assert "data-reached" in browse(bare, tmp_path / "profile")[0]
    assert beacon.hits > 0
    beacon.hits = 0

    # 2. The report of a run full of them is calm, plays by its own policy and its one script has run.
    path = report.write(hostile_run(tmp_path / "run", texts))
    dom, said = browse(path, tmp_path / "profile")
    assert "<article" in dom
    assert "data-reached=" not in dom.split("<head>")[0]
    assert "Content Security Policy" not in said
    assert '<button type="button">Gain</button>' in dom
    assert beacon.hits == 0

    # 3. Were a text ever to slip through unescaped, the policy would still hold.
    slipped = tmp_path / "run" / "slipped.html"
    safe = path.read_text(encoding="utf-8")
    slipped.write_text(
        safe.replace("<header>", f"<header>{texts[0]}<img src={url}><style>*{{color:red}}</style>"), encoding="utf-8"
    )
    dom, said = browse(slipped, tmp_path / "profile")
    assert "data-reached=" not in dom.split("<head>")[0]
    assert said.count("Content Security Policy") >= 3
    assert beacon.hits == 0


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path")
def test_chromium_sorts_the_table(tmp_path: Path) -> None:
    scores = {"p0": 0.5, "p1": 0.25, "p2": 0.75}
    candidates = [attempt(tmp_path, key, f"prompt {key}", score) for key, score in scores.items()]
    candidates.append(attempt(tmp_path, "p3", "prompt p3", None, error="lost"))
    html = report.write(write_run(tmp_path, candidates)).read_text()
    without_policy = re.sub(r"<meta http-equiv[^>]*>", "", html)
    click = "<script>for (let i = 0; i < CLICKS; i++) document.querySelectorAll('thead button')[3].click()</script></body>"
    for clicks, order in ((1, ["p1", "p0", "p2", "p3"]), (2, ["p2", "p0", "p1", "p3"])):
        copy = tmp_path / "clicked.html"
        copy.write_text(without_policy.replace("</body>", click.replace("CLICKS", str(clicks))))
        dom, _ = browse(copy, tmp_path / "profile")
        assert re.findall(r'<td class="prompt"><a[^>]*>prompt (p\d)</a>', dom) == order
