"""The pictures in docs/ are of the real page, made here: `pytest --write-pictures tests/whole/test_page_pictures.py`.

Without that option they are made all the same, and those in docs/ have to have their names and sizes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from support.browser import PHONE, Person
from support.crowd import LineWire, Wire
from support.pages import TREE, page

PICTURES = TREE / "docs/img"
PAGE = page("docs/how-to/browser.md")
NAMES = [f"page-{one}.png" for one in ("away", "dark", "desktop", "empty", "phone", "search")]


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a PNG (its IHDR)."""
    width, height = struct.unpack("!II", path.read_bytes()[16:24])
    return width, height


@pytest.fixture
def keep(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Person, str], None]:
    """Makes a picture."""
    folder = PICTURES if request.config.getoption("--write-pictures") else tmp_path

    def picture(person: Person, what: str) -> None:
        name = f"page-{what}.png"
        person.page.evaluate("document.getAnimations().forEach(one => one.finish())")
        person.page.mouse.move(0, 0)
        (folder / name).write_bytes(person.page.screenshot())
        assert size_of(folder / name) == size_of(PICTURES / name), f"{name} is not up to date: --write-pictures"

    return picture


def talk(wires: dict[str, Wire]) -> None:
    """A conversation as any."""
    garden = {"room": "#garden"}
    wires["bob"].ask("set", **garden, changes={"topic": "What grows, and what does not"})
    said = wires["bob"].ask("send", **garden, body="The beans are up, all twelve rows!")
    wires["carol"].ask("send", **garden, body="Already? Mine have not even woken up.")
    wires["carol"].ask("relate", **garden, target=said["seq"], rel="react", key="🎉")
    wires["dave"].ask("relate", **garden, target=said["seq"], rel="react", key="🎉")
    wires["dave"].ask("send", **garden, body="waters the tomatoes", kind="action")
    asked = wires["bob"].ask("send", **garden, body="Has anybody tried https://example.org/seeds yet?")
    wires["carol"].ask("send", **garden, body="Twice. The peas were good.", reply_to=asked["seq"])
    wires["carol"].ask("send", **garden, body="alice, didn't you want some?")


def test_what_the_page_looks_like(browser: Browser, server: Any, keep: Callable[[Person, str], None]) -> None:
    with Person(browser, server) as alice:
        alice.enter("alice")
        keep(alice, "empty")
        wires = {nick: Wire((server.host, server.port)) for nick in ("bob", "carol", "dave")}
        for nick, wire in wires.items():
            wire.enter(nick, "#lobby", "#garden")
        alice.say("/join #garden")
        expect(alice.page.locator("#room-name")).to_have_text("#garden")
        talk(wires)
        with LineWire((server.host, server.line_port)) as eve:
            eve.enter("eve")
            eve.say("hello, I came with telnet")
            wires["dave"].ask("send", to="@alice", body="Are you coming on Sunday?")
            alice.sees("alice, didn't you want some?")
            alice.say("Oh yes, a handful. I bring coffee ☕")
            alice.sees("I bring coffee")
            expect(alice.room("#lobby").locator(".badge")).to_have_text("1")
            keep(alice, "desktop")
            alice.page.locator("#bar .search").click()
            alice.page.locator("#search-dialog [name=query]").fill("peas")
            alice.page.keyboard.press("Enter")
            expect(alice.page.locator(".found-text")).to_have_count(1)
            keep(alice, "search")
            alice.page.keyboard.press("Escape")
            state = alice.context.storage_state()
            for name, options in (("phone", PHONE), ("dark", {"color_scheme": "dark"})):
                with Person(browser, server, storage_state=state, **options) as again:
                    again.sees("I bring coffee")
                    keep(again, name)
        for wire in wires.values():
            wire.socket.close()
        server.kill9()
        alice.say("And cake, if somebody has eggs.")
        expect(alice.page.locator("#banner")).to_contain_text("Trying again")
        keep(alice, "away")
    assert sorted(path.name for path in PICTURES.glob("page-*")) == NAMES
    for name in NAMES:
        assert f"img/{name}" in PAGE, name
