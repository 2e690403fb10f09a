"""The page and who one is: commands, accounts, names, windows, and rooms that do not let one in."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

from playwright.sync_api import Browser, expect
from support.browser import PHONE, Person
from support.crowd import LineWire, Wire


def test_commands_do_what_they_do_on_the_line_port(browser: Browser, server: Any) -> None:
    with Person(browser, server) as ann, LineWire((server.host, server.line_port)) as bob:
        ann.enter("ann")
        bob.enter("bob")
        ann.say("/me waves", "//etc is a folder")
        bob.until("* ann waves")
        bob.until("<ann> /etc is a folder")
        ann.say("/hlep")
        expect(ann.page.locator("#composer-problem")).to_contain_text("There is no command /hlep. Nothing was sent.")
        expect(ann.page.locator("#words")).to_have_value("/hlep")
        ann.say("/topic tea at four")
        bob.until("tea at four")
        ann.say("/nick anna")
        bob.until("anna")
        expect(ann.page.locator("#me")).to_have_text("anna")
        ann.say("/msg bob psst")
        bob.until("-anna- psst")
        ann.say("/join #den")
        expect(ann.page.locator("#room-name")).to_have_text("#den")
        bob.say("/join #den")
        expect(ann.page.locator("#people-list .nick")).to_have_text(["anna", "bob"])
        ann.say("/kick bob enough")
        bob.until("enough")
        expect(ann.page.locator("#people-list .nick")).to_have_text(["anna"])
        expect(ann.page.locator("#log .event")).to_contain_text("anna put bob out: enough")
        ann.say("/part")
        expect(ann.room("#den")).to_have_count(0)
        ann.page.keyboard.press("Escape")
        ann.say("/help")
        expect(ann.page.locator("#help-dialog")).to_contain_text("/mute NAME [10m|2h|7d] [reason]")


def test_whoever_is_put_out_is_told(browser: Browser, server: Any) -> None:
    with Person(browser, server) as ann, Wire((server.host, server.port)) as bob:
        bob.enter("bob", "#den")
        ann.enter("ann")
        ann.say("/join #den")
        expect(ann.page.locator("#room-name")).to_have_text("#den")
        bob.ask("moderate", room="#den", action="ban", target="ann", reason="no shouting")
        expect(ann.page.locator("#log .top")).to_contain_text("no shouting")
        ann.say("but")
        expect(ann.page.locator("#log .failed")).to_contain_text("Not sent")
        ann.page.get_by_role("button", name="Discard").click()
        expect(ann.page.locator("#log .failed")).to_have_count(0)


def test_a_name_is_kept_with_a_password(browser: Browser, server: Any) -> None:
    """And then it takes the password, in any browser."""
    with Person(browser, server) as ann, Person(browser, server) as other:
        ann.enter("ann")
        ann.say("mine")
        ann.page.locator("#me").click()
        ann.page.locator("#me-dialog [name=password]").fill("correct horse battery")
        ann.page.locator("#me-dialog").get_by_role("button", name="Save").click()
        expect(ann.page.locator("#me-dialog")).to_be_hidden()
        ann.page.locator("#me").click()
        expect(ann.page.locator("#me-dialog")).to_contain_text("This is your account ann.")
        form = other.page.locator("#login")
        form.get_by_label("Name").fill("ann")
        form.get_by_role("button", name="Join").click()
        expect(form).to_contain_text("This name belongs to an account.")
        form.get_by_label("Password").fill("wrong horse battery")
        form.get_by_role("button", name="Join").click()
        expect(form.locator("#door-problem")).not_to_contain_text("belongs to an account")
        form.get_by_label("Password").fill("correct horse battery")
        form.get_by_role("button", name="Join").click()
        other.sees("mine")
        other.page.reload()
        other.sees("mine")
        other.say("from elsewhere")
        ann.page.keyboard.press("Escape")
        ann.sees("from elsewhere")
        expect(ann.message("from elsewhere")).to_have_class(re.compile("mine"))
        other.page.locator("#me").click()
        other.page.get_by_role("button", name="Log out").click()
        expect(form).to_be_visible()
        assert other.page.evaluate("localStorage.getItem('chatd.me')") is None


def test_a_name_that_is_taken_gets_another(browser: Browser, server: Any) -> None:
    with Person(browser, server) as ann, Person(browser, server) as other:
        ann.enter("ann")
        form = other.page.locator("#login")
        form.get_by_label("Name").fill("Ann")
        form.get_by_role("button", name="Join").click()
        expect(form.locator("#door-problem")).to_contain_text("in use")
        expect(form.get_by_label("Name")).to_have_value(re.compile("Ann."))
        form.get_by_role("button", name="Join").click()
        expect(other.page.locator("#connection")).to_have_text("connected")


def test_two_windows_of_one_person_agree(browser: Browser, server: Any) -> None:
    with Person(browser, server) as ann:
        ann.enter("ann")
        second = ann.window()
        expect(second.locator("#connection")).to_have_text("connected")
        ann.say("said in one")
        expect(second.locator("#log .body")).to_have_text(["said in one"])
        second.locator("#words").fill("and in the other")
        second.locator("#words").press("Enter")
        ann.sees("and in the other")
        expect(ann.page.locator("#people-list .nick")).to_have_text(["ann"])


def test_an_address_leads_into_its_room_with_its_key(browser: Browser, server: Any) -> None:
    with Person(browser, server, **PHONE) as ann, Wire((server.host, server.port)) as bob:
        bob.enter("bob", "#den")
        bob.ask("set", room="#den", changes={"key": "sesame"})
        ann.window("#den")
        ann.page.goto("about:blank")
        ann.page.goto(ann.url + "#den")
        ann.page.get_by_label("Name", exact=True).first.fill("ann")
        ann.page.get_by_role("button", name="Join").click()
        dialog = ann.page.locator("#browse-dialog")
        dialog.locator("[name=room]").fill("#den")
        dialog.get_by_role("button", name="Join").click()
        dialog.get_by_label("Key").fill("sesame")
        dialog.get_by_role("button", name="Join").click()
        expect(ann.page.locator("#room-name")).to_have_text("#den")


def test_who_looks_elsewhere_is_notified_of_what_is_meant_for_him(browser: Browser, server: Any) -> None:
    """And of nothing else; the browser's own notification is written down on its way to the screen."""
    with Person(browser, server) as ann, Wire((server.host, server.port)) as bob:
        bob.enter("bob", "#lobby")
        ann.context.grant_permissions(["notifications"])
        ann.page.evaluate(
            """() => {
                window.told = [];
                window.Notification = class extends Notification {
                    constructor(title, options) { super(title, options); window.told.push([title, options.body]); }
                };
                document.hasFocus = () => false;
            }"""
        )
        ann.enter("ann")
        bob.ask("send", room="#lobby", body="before: ann")
        ann.sees("before: ann")
        ann.page.locator("#me").click()
        ann.page.get_by_label("Notify me when somebody means me").check()
        ann.page.locator("#me-dialog").get_by_role("button", name="Save").click()
        expect(ann.page.locator("#me-dialog")).to_be_hidden()
        bob.ask("send", room="#lobby", body="nobody in particular")
        bob.ask("send", room="#lobby", body="are you there, Ann?")
        bob.ask("send", to="@ann", body="psst")
        expect(ann.room("@bob").locator(".badge")).to_have_text("1")
        expect(ann.room("#lobby").locator(".badge")).to_have_text("3")
        assert ann.page.evaluate("window.told") == [["bob in #lobby", "are you there, Ann?"], ["bob", "psst"]]


def test_the_people_of_a_room_are_known_however_one_comes_to_it(browser: Browser, server: Any) -> None:
    """Also if some of them came while one was in another."""
    with (
        Person(browser, server) as ann,
        Wire((server.host, server.port)) as bob,
        Wire((server.host, server.port)) as eve,
    ):
        for wire, nick in ((bob, "bob"), (eve, "eve")):
            wire.enter(nick)
        bob.ask("join", room="#den")
        ann.enter("ann")
        ann.say("/join #den")
        nicks = ann.page.locator("#people-list .nick")
        expect(nicks).to_have_text(["ann", "bob"])
        ann.room("#lobby").click()
        expect(nicks).to_have_text(["ann"])
        server.kill9()
        server.restart()
        expect(ann.page.locator("#connection")).to_have_text("connected")
        for nick in ("fay", "gus"):
            with Wire((server.host, server.port)) as wire:
                wire.enter(nick, "#den")
                wire.ask("send", room="#den", body="hello")
                expect(ann.room("#den").locator(".badge")).to_be_visible()
        ann.room("#den").click()
        expect(nicks).to_have_text(["ann"])
        ann.page.locator("#bar .leave").click()
        ann.page.locator("#bar .leave").click()
        expect(ann.page.locator("#log .top")).to_have_text("Find a room, or write to somebody.")
        expect(ann.page.locator("#composer")).to_be_hidden()


def test_what_is_too_long_is_told_and_kept(browser: Browser, server: Any) -> None:
    with Person(browser, server) as ann:
        ann.enter("ann")
        ann.say("é" * 4097)
        expect(ann.page.locator("#composer-problem")).to_have_text("This is 2 bytes too long. Send it in parts.")
        expect(ann.page.locator("#words")).to_have_value("é" * 4097)
        ann.say("é" * 4096)
        ann.sees("é" * 4096)
        ann.say("\n".join("line" for _ in range(201)))
        expect(ann.page.locator("#composer-problem")).to_contain_text("These are 201 lines")


def test_who_is_invited_makes_an_account_in_the_browser(browser: Browser, start_server: Any) -> None:
    """By the address that `chatd invite` prints, which is what its QR code says."""
    server = start_server("--registration=invite")

    def invitation() -> str:
        command = [sys.executable, "-m", "chatd", "invite", "--data-dir", str(server.data_dir)]
        printed = subprocess.run(command, env=server.environ, capture_output=True, text=True, check=True, timeout=30)
        [address] = re.findall(r"Browsers:  (\S+)", printed.stdout)
        return address

    address = invitation()
    with Person(browser, server) as ann, Person(browser, server) as ben:
        ann.page.goto("about:blank")
        ann.page.goto(address)
        form = ann.page.locator("#login")
        expect(form).to_contain_text("You are invited. Choose a name and a password.")
        assert "invite" not in ann.page.url
        form.get_by_label("Name").fill("ann")
        form.get_by_label("Password").fill("12345678")
        form.get_by_role("button", name="Join").click()
        expect(form.locator("#door-problem")).not_to_be_empty()
        form.get_by_label("Password").fill("correct horse battery")
        form.get_by_role("button", name="Join").click()
        expect(ann.page.locator("#connection")).to_have_text("connected")
        ann.page.locator("#me").click()
        expect(ann.page.locator("#me-dialog")).to_contain_text("This is your account ann.")
        ben.enter("ben")
        ben.say("as a guest")
        ben.page.goto("about:blank")
        ben.page.goto(invitation())
        ben.page.locator("#me-dialog [name=password]").fill("correct horse battery")
        ben.page.locator("#me-dialog").get_by_role("button", name="Save").click()
        expect(ben.page.locator("#me-dialog")).to_be_hidden()
        ben.page.locator("#me").click()
        expect(ben.page.locator("#me-dialog")).to_contain_text("This is your account ben.")


def test_newcomers_are_led_into_the_lobby_that_the_operator_chose(browser: Browser, start_server: Any) -> None:
    """And colours that somebody chose stay."""
    server = start_server(environ={"CHATD__LINE__LOBBY": "#plaza"})
    with Person(browser, server) as ann:
        ann.enter("ann")
        expect(ann.page.locator("#room-name")).to_have_text("#plaza")
        ann.page.locator("#me").click()
        ann.page.get_by_label("Colours").select_option("dark")
        ann.page.reload()
        expect(ann.page.locator("#connection")).to_have_text("connected")
        assert ann.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 25, 29)"
