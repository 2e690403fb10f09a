"""People with a browser: real pages in a real Chromium, each with a window and a memory of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

# Without a sandbox, as containers have none to give; and without the browser's own errands on the net.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@contextmanager
def chromium(path: str) -> Iterator[Browser]:
    """A browser without a window."""
    expect.set_options(timeout=15_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Person:
    """Somebody with a browser. What goes wrong in the page is an error of the test, unless it is in `forgiven`."""

    def __init__(self, browser: Browser, server: Any, **options: Any) -> None:
        self.url = f"http://localhost:{server.port}/"
        self.context: BrowserContext = browser.new_context(**{"locale": "en-GB", **DESKTOP, **options})
        self.context.set_default_timeout(15_000)
        self.errors: list[str] = []
        # What the browser says when the server is away, or was killed while something was still being fetched.
        self.forgiven = ("WebSocket connection to", "Failed to load resource: net::ERR_CONNECTION_")
        self.page = self.window()

    def window(self, place: str = "") -> Page:
        """Another window of the same browser."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.errors.append(f"{error}"))
        page.on("console", self._console)
        page.goto(self.url + place)
        return page

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(self.forgiven):
            self.errors.append(message.text)

    def __enter__(self) -> Person:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.context.close()
        assert kind is not None or not self.errors, self.errors

    # -- what people do -------------------------------------------------------------------------------------------

    def enter(self, nick: str) -> None:
        self.page.get_by_label("Name", exact=True).first.fill(nick)
        self.page.get_by_role("button", name="Join").click()
        expect(self.page.locator("#connection")).to_have_text("connected")
        expect(self.page.locator("#log .top")).not_to_have_text("Loading …")

    def say(self, *texts: str) -> None:
        for text in texts:
            self.page.locator("#words").fill(text)
            self.page.locator("#words").press("Enter")

    def sees(self, text: str) -> None:
        """There is a message with this text, once."""
        expect(self.page.locator("#log article .body", has_text=text)).to_have_count(1)

    def room(self, name: str) -> Any:
        """Its place in the list of rooms."""
        return self.page.locator("#side .room", has_text=name)

    def message(self, text: str) -> Any:
        return self.page.locator("#log article", has=self.page.locator(".body", has_text=text)).last

    def deed(self, text: str, name: str) -> None:
        """Do something with a message."""
        self.message(text).hover()
        self.message(text).get_by_role("button", name=name, exact=True).click()

    def bodies(self) -> list[str]:
        found: list[str] = self.page.locator("#log article[data-seq] .body").all_inner_texts()
        return found

    def numbers(self) -> list[int]:
        return [
            int(one)
            for one in self.page.evaluate("[...document.querySelectorAll('[data-seq]')].map(a => a.dataset.seq)")
        ]


def wait_for(holds: Callable[[], Any], seconds: float = 15) -> Any:
    """Look again and again, until it holds."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "it never held"
        time.sleep(0.05)
    return found
