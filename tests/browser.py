"""Headless Chromium for tests: Debian's browser and driver, driven by selenium; absent, such tests are skipped."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

# Root needs no-sandbox; a browser that phones home would make the network test worthless.
_SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-prefers-reduced-motion",
)
_PAGE_LOAD_S = 60


@contextmanager
def open_browser(profile: Path) -> Iterator[webdriver.Chrome]:
    """Start a browser with an empty profile."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no chromium with chromedriver; install Debian's chromium and chromium-driver")
    options = Options()
    options.binary_location = browser
    for switch in (*_SWITCHES, f"--user-data-dir={profile}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    try:
        chrome.set_page_load_timeout(_PAGE_LOAD_S)
        chrome.set_script_timeout(_PAGE_LOAD_S)
        yield chrome
    finally:
        chrome.quit()


class Tab:
    """A page in the browser, and what came of opening it."""

    def __init__(self, chrome: webdriver.Chrome, path: Path, width: int) -> None:
        self.chrome = chrome
        size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 700}
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        chrome.get("about:blank")
        for kind in ("browser", "performance"):
            chrome.get_log(kind)
        began = time.monotonic()
        chrome.get(path.as_uri())
        wait(lambda: self.run("return document.documentElement.dataset.ready === 'true'"))
        self.load_s = time.monotonic() - began

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page."""
        return self.chrome.execute_script(script, *arguments)

    def texts(self, selector: str) -> list[str]:
        """Return the text of every element."""
        return list(self.run("return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)", selector))

    def column(self, name: str) -> list[str]:
        """Return what stands in a column of the leaderboard's shown rows."""
        names = [text.rstrip(" ▲▼") for text in self.texts("#board thead th")]
        return self.texts(f"#board tbody td:nth-child({names.index(name) + 1})")

    def complaints(self) -> list[str]:
        """Return what the console says."""
        return [entry["message"] for entry in self.chrome.get_log("browser")]

    def requests(self) -> list[str]:
        """Return every address that was asked for."""
        messages = (json.loads(entry["message"])["message"] for entry in self.chrome.get_log("performance"))
        sent = (m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent")
        return [address for address in sent if not address.startswith(("data:", "blob:", "chrome://"))]


def wait(holds: Callable[[], Any], seconds: float = 20) -> None:
    """Wait until something holds."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.05)
