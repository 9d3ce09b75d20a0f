"""A headless browser through WebDriver's own protocol (W3C WebDriver), without a package for it."""

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """Start a browser of its own; `close` ends it and removes its folder."""

    def __init__(self, width: int = 1240, height: int = 1100):
        self.folder = tempfile.mkdtemp()
        self.driver = subprocess.Popen(
            [CHROMEDRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        for line in self.driver.stdout:
            if "started successfully on port" in line:
                self.address = f"http://127.0.0.1:{line.split()[-1].rstrip('.')}"
                break
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        flags = [*FLAGS, f"--user-data-dir={self.folder}", f"--window-size={width},{height}"]
        options = {"binary": CHROMIUM, "args": flags}
        capabilities = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self.session = ""
        self.session = (
            "/session/" + self._ask("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]
        )

    def _ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.address + self.session + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with self.opener.open(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(json.load(error)["value"]["message"]) from None

    def open(self, address: str) -> None:
        self._ask("POST", "/url", {"url": address})

    def screen(self, width: int, height: int, *, touch: bool = False) -> None:
        """Take the size of another screen, such as a telephone's; a window itself is 500 pixels wide at least."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": touch}
        self._ask("POST", "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": size})

    def address_now(self) -> str:
        return self._ask("GET", "/url")

    def script(self, text: str, *args):
        """Run a function body in the page; `arguments` holds the arguments."""
        return self._ask("POST", "/execute/sync", {"script": text, "args": list(args)})

    def find(self, selector: str) -> str:
        return self._ask("POST", "/element", {"using": "css selector", "value": selector})[_ELEMENT]

    def click(self, selector: str) -> None:
        self._ask("POST", f"/element/{self.find(selector)}/click", {})

    def keys(self, selector: str, text: str) -> None:
        """Send real key presses to an element."""
        self._ask("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def drag(self, start: tuple[float, float], *way: tuple[float, float]) -> None:
        """Press the mouse at a point of the window, move it along a way and let go."""

        def move(to: tuple[float, float]) -> dict[str, object]:
            return {"type": "pointerMove", "duration": 20, "x": round(to[0]), "y": round(to[1])}

        steps = [move(start), {"type": "pointerDown", "button": 0}, *map(move, way), {"type": "pointerUp", "button": 0}]
        pointer = {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": steps}
        self._ask("POST", "/actions", {"actions": [pointer]})

    def box(self, selector: str) -> dict:
        return self.script(
            "const r = document.querySelector(arguments[0]).getBoundingClientRect();"
            "return {x: r.x, y: r.y, width: r.width, height: r.height}",
            selector,
        )

    def warnings(self) -> list[str]:
        """Return what the page logged as errors or warnings."""
        return [entry["message"] for entry in self._ask("POST", "/se/log", {"type": "browser"})]

    def screenshot(self) -> bytes:
        return base64.b64decode(self._ask("GET", "/screenshot"))

    def close(self) -> None:
        try:
            self._ask("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait(10)
            self.driver.stdout.close()
            for _ in range(20):  # the browser's last process may still write for a moment
                shutil.rmtree(self.folder, ignore_errors=True)
                time.sleep(0.05)
                if not shutil.os.path.exists(self.folder):
                    break


_POOR = r"""
const parts = c => { const n = c.match(/-?[\d.]+/g).map(Number), scale = c.startsWith('color(') ? 1 : 255
  return [...n.slice(0, 3).map(v => v / scale), n[3] ?? 1] }
const over = ([r, g, b, a], under) => [r, g, b].map((v, k) => a * v + (1 - a) * under[k])
const light = rgb => rgb.map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((s, v, k) => s + v * [0.2126, 0.7152, 0.0722][k], 0)
const ground = e => e ? over(parts(getComputedStyle(e).backgroundColor), ground(e.parentElement)) : [1, 1, 1]
const seen = e => e.getClientRects().length && !e.disabled && e.tagName !== 'OPTION' && getComputedStyle(e).visibility === 'visible'
return [...document.querySelectorAll('body *')].filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) && seen(e)).map(e => {
  const style = getComputedStyle(e), behind = ground(e), ink = over(parts(e instanceof SVGElement ? style.fill : style.color), behind)
  const [a, b] = [light(ink), light(behind)].sort((p, q) => q - p)
  return [e.textContent.trim().slice(0, 30), (a + 0.05) / (b + 0.05)] }).filter(([, ratio]) => ratio < arguments[0])
"""


def poor_words(browser: Browser, least: float = 4.5) -> list:
    """List the texts of a page whose contrast with what is behind them is below a ratio, WCAG's by default."""
    return browser.script(_POOR, least)
