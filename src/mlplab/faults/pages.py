"""Names, classes, columns, addresses and titles that hold HTML and script run nothing and ask for nothing, in a real browser."""

import csv
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from mlplab.faults.browser import CHROMEDRIVER, CHROMIUM, Browser
from mlplab.faults.campaign import Outcome
from mlplab.faults.trials import SMALL, run
from mlplab.runs.events import read_events

# What runs if it is taken for markup or for code; PLACE is the address of a server that counts what is asked of it.
HOSTILE = (
    "<script>hit()</script>",
    "</script><script>hit()</script>",
    "<img src=x onerror=hit()>",
    '"><svg onload=hit()>',
    "' onmouseover=hit() autofocus onfocus=hit() tabindex=1 x='",
    "<iframe src=PLACE></iframe>",
    "<link rel=stylesheet href=PLACE>",
    "<img src=PLACE>",
    "<!--<script>hit()",
    "</title></style></textarea></pre></code><script>hit()</script>",
    "![a](PLACE)",
    "[a](javascript:hit())",
    "]: PLACE ![b][a]",
    "`<img src=PLACE>",
    "```<img src=PLACE>",
    "<style>@import 'PLACE';*{background:url(PLACE)}</style>",
    "<math><mtext></p><script>hit()</script>",
    "${hit()}",
    "{{hit()}}",
    "<base href=PLACE>",
    "<meta http-equiv=refresh content='0;url=PLACE'>",
)
# Counted before any script of a page runs, and asked for after.
COUNTS = "window.hits = 0; window.hit = () => { window.hits += 1 }; window.alert = window.hit"
ASKED = """return [window.hits ?? -1, performance.getEntriesByType('resource').map(e => e.name).filter(
    n => !/^(file|data|blob):/.test(n))]"""


def pages(outcome: Outcome, effort: str, place: Path) -> None:
    """Make runs, sweeps and reports whose names are hostile, and open all that they write in a browser."""
    if not (CHROMIUM and CHROMEDRIVER):
        print("pages: not tried, as no Chromium with its driver is installed")
        return
    with _server() as (address, asked):
        browser = Browser(1280, 1000)
        try:
            command = {"cmd": "Page.addScriptToEvaluateOnNewDocument", "params": {"source": COUNTS}}
            browser._ask("POST", "/goog/cdp/execute", command)
            (place / "control.html").write_text(f"<script>hit()</script><img src={address}control>")
            outcome.note(_opened(browser, place / "control.html", asked), "what should run and ask does not")
            asked.clear()
            texts = [text.replace("PLACE", address) for text in HOSTILE]
            share = {"short": 21, "quick": 3, "long": 1}[effort]
            for number, text in outcome.mine(enumerate(texts[::share])):
                made = _made(outcome, place / str(number), text, texts)
                for path in made:
                    found = _opened(browser, path, asked)
                    outcome.note(not found, f"{text} in {path.name} of {path.parent.name}: {found}")
                for path in [path for path in made if path.name in ("playground.html", "run.html", "report.html")][:3]:
                    for form in ("#{}", "#model.width={}", "#lr={}&data={}", "?x={}#{}", "#name={}"):
                        for sign in (text, quote(text)):
                            found = _opened(browser, path, asked, form.replace("{}", sign))
                            outcome.note(not found, f"{path.name}{form} with {sign}: {found}")
        finally:
            browser.close()


def _made(outcome: Outcome, place: Path, text: str, texts: list[str]) -> list[Path]:
    """Train a table with hostile names of columns, classes, file and folder, twice, and report, compare and show it."""
    folder = place / text.replace("/", "\u2215")[:60]
    folder.mkdir(parents=True)
    table = folder / f"{text.replace('/', chr(0x2215))[:60]}.csv"
    with table.open("w", newline="") as file:
        rows = [[k % 7, k % 5 - k % 2, (text, "b", texts[(k // 2) % len(texts)])[k % 3]] for k in range(120)]
        csv.writer(file).writerows([[text, f"{text} 2", "label"], *rows])
    (place / "conf" / "data").mkdir(parents=True)
    node = {"_target_": "mlplab.data.file_module.FileDataModule", "path": str(table), "batch_size": 16}
    (place / "conf" / "data" / "hostile.yaml").write_text(json.dumps(node | {"label": "label"}))
    small = [word for word in SMALL if not word.startswith("data.")]
    words = ["train", *small, "data=hostile", f"--config-dir={place / 'conf'}"]
    root = place / "logs" if "${" in text else folder / "logs"  # which is Hydra's to fill in
    logs = f"paths.logs={root}"
    told = run([*words, "data.batch_size=16", logs])
    outcome.note(told.code == 0 and told.is_clean, f"train with {text}: {told.code} {told.err[-300:]}")
    sweep = run([*words, logs, "-m", "data.batch_size=8,16", "seed=0,1", "launcher=inline", "sweep=s"])
    outcome.note(sweep.code == 0 and sweep.is_clean, f"sweep with {text}: {sweep.code} {sweep.err[-300:]}")
    runs = [str(path.parent) for path in root.glob("train/*/result.json")]
    jobs = [str(path.parent) for path in (root / "sweep" / "s").glob("*/result.json")]
    for words in (
        ["report", str(root / "sweep" / "s")],
        ["compare", *jobs[:2], logs],
        ["playground", *runs[:1], logs],
        ["runs", logs],
    ):
        told = run(words)
        outcome.note(told.code == 0 and told.is_clean, f"{words[0]} with {text}: {told.code} {told.err[-300:]}")
    return [*sorted(place.rglob("*.html")), *_rendered(place)]


def _rendered(place: Path) -> list[Path]:
    """Render the Markdown of a folder as readers of it do, and TensorBoard's texts as TensorBoard does."""
    from markdown import markdown
    from tensorboard.plugin_util import markdown_to_safe_html

    made = []
    for path in sorted(place.rglob("*.md")):
        target = path.with_suffix(".md.html")
        target.write_text(markdown(path.read_text(), extensions=["tables", "fenced_code"]))
        made.append(target)
    for path in sorted(place.rglob("events.out*")):
        for event in read_events(path):
            for value in event.summary.value:
                for number, text in enumerate(value.tensor.string_val):
                    target = path.parent / f"{value.tag.replace('/', '_')}{number}.text.html"
                    target.write_text(markdown_to_safe_html(text.decode(errors="replace")))
                    made.append(target)
    return made


def _opened(browser: Browser, path: Path, asked: list[str], state: str = "") -> list[str]:
    """Open a page, move over it, and list what ran and what was asked for."""
    browser.open("about:blank")
    browser.open(path.as_uri() + state)
    browser.script("document.querySelectorAll('details').forEach(e => e.open = true)")
    browser.script("for (const e of document.querySelectorAll('[onmouseover],[onfocus]')) window.hit()")
    hits, requests = browser.script(ASKED)
    found = [*(["ran"] if hits else []), *requests, *asked]
    asked.clear()
    return found


@contextmanager
def _server() -> Iterator[tuple[str, list[str]]]:
    """Count the requests to a server on this machine."""
    asked: list[str] = []

    class Counting(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counting)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
