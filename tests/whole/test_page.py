"""The page, as people talk with it: a real Chromium, a real server, and others who come in by other ways."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from playwright.sync_api import Browser, expect
from support.browser import Person, wait_for
from support.crowd import LineWire, Wire


def test_somebody_with_a_browser_and_somebody_with_telnet_talk(browser: Browser, server: Any) -> None:
    with Person(browser, server) as ann, LineWire((server.host, server.line_port)) as bob:
        ann.enter("ann")
        bob.enter("bob")
        ann.say("hello Bob 🎉")
        bob.until("<ann> hello Bob 🎉")
        bob.say("hello Ann, look at https://example.org/a_(b).")
        ann.sees("hello Ann, look at")
        link = ann.message("hello Ann").locator(".body a")
        expect(link).to_have_text("https://example.org/a_(b)")
        assert link.get_attribute("href") == "https://example.org/a_(b)"
        assert link.get_attribute("rel") == "noopener noreferrer nofollow"
        expect(ann.message("hello Ann").locator("mark")).to_have_text("Ann")
        expect(ann.page.locator("#people-list .nick")).to_have_text(["ann", "bob"])
        bob.say("/quit")
        expect(ann.page.locator("#people-list .nick")).to_have_text(["ann"])


def test_both_go_on_when_the_server_is_killed_while_they_type(browser: Browser, server: Any) -> None:
    """Nothing is lost and nothing comes twice, without loading the page again.

    On the line port, which cannot tell what was read, the last two seconds before a crash may come twice.
    """
    texts = [f"ann says {n}" for n in range(80)]
    lines: list[str] = []
    word, said = "", 0
    with Person(browser, server) as ann:
        ann.enter("ann")
        ann.page.evaluate("window.isTheSame = true")
        for stretch in range(4):
            with LineWire((server.host, server.line_port)) as bob:
                bob.enter(f"/resume {word}" if word else "bob")
                word = word or bob.until("come back with: /resume").split()[-1]
                for n in range(20):
                    ann.say(texts[said])
                    said += 1
                    with contextlib.suppress(OSError):
                        bob.say(f"bob says {said}")
                    if n == 10 and stretch < 3:
                        server.kill9()
                if stretch < 3:
                    with contextlib.suppress(OSError, EOFError):
                        bob.until("the end")
                    server.restart()
                else:
                    bob.until(texts[-1])
                lines += bob.lines
        expect(ann.page.locator("#connection")).to_have_text("connected")
        ann.sees(texts[-1])
        wait_for(lambda: ann.page.locator("#log .sending").count() == 0)
        assert ann.page.locator("#log .failed").all_inner_texts() == []
        with Wire((server.host, server.port)) as wire:
            wire.enter("carl", "#lobby")
            events = wire.ask("history", room="#lobby", limit=200)["events"]
        kept = [(event["seq"], event["body"]) for event in events if event["type"] == "message"]
        assert [body for _, body in kept if body.startswith("ann")] == texts
        assert list(zip(ann.numbers(), ann.bodies(), strict=True)) == kept
        assert ann.page.evaluate("window.isTheSame")
    assert list(dict.fromkeys(line.partition("<ann> ")[2] for line in lines if "<ann> " in line)) == texts


def test_what_is_written_without_a_connection_is_sent_when_it_is_back(browser: Browser, server: Any) -> None:
    """Even if the page is loaded again in the meantime; and a draft is kept in each room."""
    with Person(browser, server) as ann:
        ann.forgiven = ("WebSocket connection to", "Failed to load resource")
        ann.enter("ann")
        ann.say("with a connection")
        ann.sees("with a connection")
        expect(ann.page.locator("#log .sending")).to_have_count(0)
        server.kill9()
        expect(ann.page.locator("#banner")).to_contain_text("No connection")
        ann.say("first", "second")
        expect(ann.page.locator("#log .sending")).to_have_count(2)
        expect(ann.page.locator("#log .sending").first).to_contain_text("Will be sent when the connection is back")
        ann.page.locator("#words").fill("half a sen")
        server.restart()
        ann.page.reload()
        expect(ann.page.locator("#connection")).to_have_text("connected")
        expect(ann.page.locator("#banner")).to_be_hidden()
        expect(ann.page.locator("#log .sending")).to_have_count(0)
        expect(ann.page.locator("#log article")).to_have_count(3)
        assert ann.bodies() == ["with a connection", "first", "second"]
        expect(ann.page.locator("#words")).to_have_value("half a sen")


def test_what_is_written_while_one_comes_in_waits_until_one_is_in(browser: Browser, server: Any) -> None:
    """There is a connection already then, on which nobody may say anything yet."""
    with Person(browser, server) as ann:
        held: list[Any] = []
        is_holding = False

        def route(page_side: Any) -> None:
            server_side = page_side.connect_to_server()
            page_side.on_message(server_side.send)
            server_side.on_message(lambda text: held.append((page_side, text)) if is_holding else page_side.send(text))

        ann.context.route_web_socket("**/ws", route)
        ann.page.reload()
        ann.enter("ann")
        is_holding = True
        server.kill9()
        server.restart()
        wait_for(lambda: ann.page.evaluate("1") and held)
        ann.say("while coming in")
        ann.page.wait_for_timeout(500)
        expect(ann.page.locator("#log .sending")).to_have_count(1)
        is_holding = False
        for page_side, text in held:
            page_side.send(text)
        expect(ann.page.locator("#log article[data-seq] .body")).to_have_text(["while coming in"])
        expect(ann.page.locator("#log .failed")).to_have_count(0)


def test_who_was_away_for_long_is_shown_the_end_and_can_scroll_back(browser: Browser, server: Any) -> None:
    """More was said than is replayed: nothing of it is missing, and what one wrote comes after it."""
    with Person(browser, server) as ann, Wire((server.host, server.port)) as bob:
        bob.enter("bob", "#lobby")
        open_sockets: list[Any] = []
        is_cut = False

        def route(page_side: Any) -> None:
            if is_cut:
                page_side.close()
            else:
                open_sockets.append((page_side, page_side.connect_to_server()))

        ann.context.route_web_socket("**/ws", route)
        ann.page.reload()
        ann.enter("ann")
        ann.say("before")
        ann.sees("before")
        is_cut = True
        for page_side, server_side in open_sockets:
            page_side.close()
            server_side.close()
        expect(ann.page.locator("#banner")).to_be_visible()
        ann.say("written meanwhile")
        for n in range(2, 702):
            bob.ask("send", room="#lobby", body=f"{n}")
        is_cut = False
        expect(ann.page.locator("#connection")).to_have_text("connected")
        expect(ann.page.locator("#log article").last).to_contain_text("written meanwhile")
        expect(ann.page.locator("#log article[data-seq]").last).to_have_id("m702")
        while (top := ann.numbers()[0]) > 1:
            ann.page.locator("#log").evaluate("log => log.scrollTop = 0")
            wait_for(lambda top=top: ann.numbers()[0] < top)
        assert ann.numbers() == list(range(1, 703))


def test_rooms_have_what_is_unread_and_the_title_tells(browser: Browser, server: Any) -> None:
    with Person(browser, server) as ann, Wire((server.host, server.port)) as bob:
        bob.enter("bob", "#lobby")
        bob.ask("join", room="#garden")
        ann.enter("ann")
        bob.ask("set", room="#garden", changes={"topic": "roses"})
        ann.page.get_by_role("button", name="Find or make a room").click()
        ann.page.locator("#browse-dialog [name=room]").fill("gar")
        ann.page.locator("#browse-dialog .choice", has_text="#garden").click()
        expect(ann.page.locator("#room-name")).to_have_text("#garden")
        expect(ann.page.locator("#topic")).to_have_text("roses")
        bob.ask("send", room="#lobby", body="one")
        bob.ask("send", room="#lobby", body="two, Ann")
        expect(ann.room("#lobby").locator(".badge")).to_have_text("2")
        expect(ann.room("#lobby")).to_have_accessible_name("#lobby 2 unread, for you")
        expect(ann.page).to_have_title("(1!) #garden – chatd")
        ann.page.reload()
        expect(ann.room("#lobby").locator(".badge")).to_have_text("2")
        ann.room("#lobby").click()
        expect(ann.page.locator("#log .new")).to_have_count(1)
        expect(ann.room("#lobby").locator(".badge")).to_be_hidden()
        expect(ann.page).to_have_title("#lobby – chatd")
        bob.ask("send", to="@ann", body="between us")
        expect(ann.room("@bob").locator(".badge")).to_have_text("1")
        expect(ann.page).to_have_title("(1!) #lobby – chatd")
        ann.room("@bob").click()
        ann.sees("between us")
        ann.say("certainly")
        assert bob.until("message", body="certainly")["room"] == "@ann"
        ann.page.locator("#bar .leave").click()
        expect(ann.room("@bob")).to_have_count(0)


def test_history_comes_by_scrolling_back_and_by_searching(browser: Browser, server: Any) -> None:
    with Wire((server.host, server.port)) as bob:
        bob.enter("bob", "#lobby")
        for n in range(1, 501):
            bob.ask("send", room="#lobby", body=f"the needle {n}" if n in (120, 400) else f"straw {n}")
        with Person(browser, server) as ann:
            ann.enter("ann")
            ann.sees("straw 500")
            assert len(ann.bodies()) <= 100
            log = ann.page.locator("#log")
            for _ in range(12):
                top = ann.numbers()[0]
                if top == 1:
                    break
                log.evaluate("log => log.scrollTop = 0")
                wait_for(lambda top=top: ann.numbers()[0] < top)
            assert ann.numbers() == list(range(1, 501))
            expect(ann.page.locator("#log .top")).to_contain_text("This is the beginning of #lobby")
            ann.page.locator("#newest").click()
            expect(ann.message("straw 500")).to_be_in_viewport()

            ann.page.reload()
            ann.sees("straw 500")
            ann.page.locator("#bar .search").click()
            ann.page.locator("#search-dialog [name=query]").fill("needle")
            ann.page.locator("#search-dialog [name=query]").press("Enter")
            hits = ann.page.locator("#search-dialog .found-text")
            expect(hits).to_have_text(["the needle 400", "the needle 120"])
            hits.last.click()
            expect(ann.message("the needle 120")).to_be_in_viewport()
            expect(ann.message("the needle 120")).to_be_focused()
            bob.ask("send", room="#lobby", body="straw 501")
            log.evaluate("log => log.scrollTop = log.scrollHeight")
            wait_for(lambda: ann.numbers()[-1] > 150)
            expect(ann.page.locator("#log article", has_text="straw 501")).to_have_count(0)
            ann.page.locator("#newest").click()
            expect(ann.message("straw 501")).to_be_in_viewport()
            numbers = ann.numbers()
            assert numbers == list(range(numbers[0], 502))


def test_who_scrolls_up_is_not_pulled_down_by_what_others_say(browser: Browser, server: Any) -> None:
    """Not even before the browser has told the page of it, which it does with the next frame."""
    with Person(browser, server) as ann, Wire((server.host, server.port)) as bob:
        ann.enter("ann")
        bob.enter("bob", "#lobby")
        for n in range(1, 41):
            bob.ask("send", room="#lobby", body=f"{n}")
        ann.sees("40")
        log = ann.page.locator("#log")
        wait_for(lambda: log.evaluate("log => log.scrollTop && log.scrollTop + log.clientHeight >= log.scrollHeight"))
        log.evaluate(
            """log => {
                addEventListener("scroll", (event) => event.stopImmediatePropagation(), { capture: true });
                log.scrollTop = 0;
            }"""
        )
        bob.ask("send", room="#lobby", body="look down here")
        ann.sees("look down here")
        assert log.evaluate("log => log.scrollTop") == 0


def test_messages_are_answered_changed_taken_back_and_reacted_to(browser: Browser, server: Any) -> None:
    with Person(browser, server) as ann, Person(browser, server) as bob:
        ann.enter("ann")
        bob.enter("bob")
        ann.say("shall we meet at tne?")
        bob.deed("shall we meet", "Reply")
        expect(bob.page.locator("#about")).to_contain_text("In answer to ann: shall we meet")
        bob.say("at ten?")
        expect(ann.message("at ten?").locator(".quote")).to_contain_text("ann: shall we meet at tne?")
        expect(bob.page.locator("#about")).to_be_hidden()

        ann.page.locator("#words").press("ArrowUp")
        expect(ann.page.locator("#words")).to_have_value("shall we meet at tne?")
        ann.say("shall we meet at ten?")
        expect(bob.message("shall we meet").locator(".body")).to_have_text("shall we meet at ten? (edited)")
        expect(ann.page.locator("#words")).to_have_value("")

        bob.deed("shall we meet", "React")
        bob.page.locator(".quick button").first.click()
        reaction = ann.message("shall we meet").locator(".reactions button")
        expect(reaction).to_have_text("👍 1")
        expect(reaction).to_have_attribute("title", "bob")
        reaction.click()
        expect(bob.message("shall we meet").locator(".reactions button")).to_have_text("👍 2")
        reaction.click()
        expect(bob.message("shall we meet").locator(".reactions button")).to_have_text("👍 1")
        bob.message("shall we meet").locator(".reactions button").click()
        expect(ann.message("shall we meet").locator(".reactions button")).to_have_count(0)

        bob.message("shall we meet").hover()
        expect(bob.message("shall we meet").get_by_role("button", name="Delete")).to_have_count(0)
        bob.deed("at ten?", "Delete")
        expect(bob.page.locator("#sure-dialog")).to_contain_text("at ten?")
        bob.page.locator("#sure-dialog").get_by_role("button", name="Delete").click()
        expect(ann.page.locator("#log article").last).to_contain_text("This message was taken back.")
        for person in (ann, bob):
            person.page.reload()
            expect(person.page.locator("#log article")).to_have_count(2)
            assert person.bodies() == ["shall we meet at ten? (edited)", "This message was taken back."]


def test_others_see_who_is_typing(browser: Browser, server: Any) -> None:
    with Person(browser, server) as ann, Person(browser, server) as bob:
        ann.enter("ann")
        bob.enter("bob")
        ann.page.locator("#words").press_sequentially("hel")
        expect(bob.page.locator("#typing")).to_have_text("ann is typing …")
        ann.page.locator("#words").press("Enter")
        expect(bob.page.locator("#typing")).to_have_text("")
        ann.page.locator("#words").press_sequentially("/m")
        time.sleep(0.5)
        expect(bob.page.locator("#typing")).to_have_text("")
