"""A real browser for tests and measurements: Chromium, driven over HTTP by the WebDriver protocol alone."""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--hide-scrollbars", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    *(
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
    ),  # a camera, which a moving disc is before
)
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the protocol's name of a reference
START = 30  # seconds to wait for the driver

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
MISSING = "" if CHROMIUM and DRIVER else "there is no Chromium with its chromedriver here"


class Browser:
    """One window of a browser.

    Args:
        address: of the driver.
        session: the driver's number of the window.
    """

    def __init__(self, address: str, session: str):
        self.address = f"{address}/session/{session}"

    def open(self, address: str) -> None:
        """Go to an address, and wait until it is loaded."""
        self._post("url", url=address)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript, and return what it returns, waiting for promises."""
        return self._post("execute/sync", script=script, args=list(arguments))

    def wait(self, condition: str, seconds: float = 30) -> None:
        """Wait until an expression in JavaScript is true.

        Raises:
            AssertionError: if it is not, after so many seconds.
        """
        end = time.monotonic() + seconds
        while not self.run(f"return Boolean({condition})"):
            assert time.monotonic() < end, f"after {seconds} s: {condition} is not true; {self.log()}"
            time.sleep(0.05)

    def draw(self, selector: str, points: list[tuple[float, float]]) -> None:
        """Draw a line with the mouse on an element, through points given as shares of its width and height."""
        self.run("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector)
        left, top, width, height = self.run(
            "const box = document.querySelector(arguments[0]).getBoundingClientRect();"
            "return [box.left, box.top, box.width, box.height]",
            selector,
        )
        places = [(round(left + width * x), round(top + height * y)) for x, y in points]
        moves = [{"type": "pointerMove", "duration": 10, "x": x, "y": y} for x, y in places]
        down, up = {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}
        self._act("pointer", [moves[0], down, *moves[1:], up])

    def hover(self, selector: str, x: float, y: float) -> None:
        """Move the mouse to a place of an element, given as shares of its width and height."""
        self.run("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector)
        place = self.run(
            "const box = document.querySelector(arguments[0]).getBoundingClientRect();"
            "return [Math.round(box.left + box.width * arguments[1]), Math.round(box.top + box.height * arguments[2])]",
            *(selector, x, y),
        )
        self._act("pointer", [{"type": "pointerMove", "duration": 0, "x": place[0], "y": place[1]}])

    def keys(self, keys: str) -> None:
        """Press keys, one after the other, as the protocol numbers them."""
        presses = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._act("key", presses)

    def choose(self, selector: str, path: Path) -> None:
        """Choose a file in an element for files."""
        found = self._post("element", using="css selector", value=selector)
        self._post(f"element/{found[ELEMENT]}/value", text=str(path))

    def screenshot(self) -> bytes:
        """What the window shows, as a PNG."""
        return base64.b64decode(self._ask("GET", "screenshot"))

    def whole(self) -> bytes:
        """The whole page, however long, as a PNG."""
        self.run("scrollTo(0, 0)")
        found = self.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(found["data"])

    def resize(self, width: int, height: int, dark: bool = False) -> None:
        """Give the page this size in pixels, and light or dark colours."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[scheme])

    def log(self) -> list[str]:
        """What the page wrote to the console, since it was asked last."""
        return [each["message"] for each in self._post("se/log", type="browser")]

    def devtools(self, command: str, **parameters: Any) -> Any:
        """Give a command of Chromium's own protocol."""
        return self._post("goog/cdp/execute", cmd=command, params=parameters)

    def _act(self, kind: str, actions: list[dict[str, Any]]) -> None:
        self._post("actions", actions=[{"type": kind, "id": kind, "actions": actions}])

    def _post(self, path: str, **values: Any) -> Any:
        return self._ask("POST", path, values)

    def _ask(self, method: str, path: str, values: Any = None) -> Any:
        return _ask(method, f"{self.address}/{path}", values)


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start a browser with an empty profile in a folder, and end it."""
    assert CHROMIUM is not None
    assert DRIVER is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen([DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address)
        flags = [*FLAGS, f"--user-data-dir={folder}"]
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": CHROMIUM, "args": flags},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        session = _ask("POST", f"{address}/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
        try:
            yield Browser(address, session)
        finally:
            with suppress(OSError):
                _ask("DELETE", f"{address}/session/{session}")
    finally:
        driver.terminate()
        driver.wait(10)


def _wait(address: str) -> None:
    end = time.monotonic() + START
    while True:
        with suppress(OSError):
            if _ask("GET", f"{address}/status")["ready"]:
                return
        assert time.monotonic() < end, "chromedriver does not answer"
        time.sleep(0.05)


def _ask(method: str, address: str, values: Any = None) -> Any:
    data = None if values is None else json.dumps(values).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(json.load(error)["value"]["message"]) from None
