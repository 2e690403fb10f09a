"""A talk that goes on whatever happens to the server, and what was told in it, to hold the server against.

A talker keeps so many messages in flight, comes back after every cut with its token, and repeats in order whatever
was not answered, under the same `msg_id`. A listener comes back with the last number it saw. They are threads with
plain sockets; `Talk` has some of both, and checks what the server keeps against what all of them heard.
"""

from __future__ import annotations

import threading
import time
from random import Random
from typing import Any, NamedTuple

from support.crowd import Wire

ROOM = "#lobby"
AGAIN_SECONDS = 0.05
MAY_BE_REPEATED = ("STORE_UNAVAILABLE", "OUTCOME_UNKNOWN", "SHUTTING_DOWN")


class Answer(NamedTuple):
    """What a talker heard of one attempt; `seq` is 0 and `code` says why if it was refused."""

    body: str
    seq: int
    code: str
    duplicate: bool
    asked: float
    heard: float


def number_of(body: str) -> int:
    """Which of its talker's messages this is."""
    return int(body.rstrip(">").split()[1])


class Comer(threading.Thread):
    """Somebody who logs in, and comes back after every cut, as the same person. Errors are kept in `failed`.

    With more than one address, each cut is an occasion to go to the next.
    """

    def __init__(self, addresses: list[tuple[str, int]], nick: str, at: int = 0) -> None:
        super().__init__(name=nick)
        self.addresses, self.nick, self.at = addresses, nick, at
        self.failed: BaseException | None = None
        self.cuts = 0
        self.ending = threading.Event()
        self._token: str | None = None

    def run(self) -> None:
        try:
            while not self.ending.is_set():
                try:
                    with Wire(self.addresses[self.at % len(self.addresses)], 15) as wire:
                        self.come(wire)
                except (OSError, EOFError):
                    self.cuts += 1
                    self.at += 1
                    time.sleep(0.02)
        except BaseException as error:
            self.failed = error

    def come(self, wire: Wire) -> None:
        """What to do with one connection, until it is cut or nothing is left to do."""
        raise NotImplementedError

    def enter(self, wire: Wire) -> None:
        auth = {} if self._token is None else {"mechanism": "token", "token": self._token}
        self._token = wire.enter(self.nick, **auth)["token"]


class Talker(Comer):
    """Says `<NICK 1>`, `<NICK 2>` …, so many in flight. `answers` is all it heard, in order; `oks` counts the oks."""

    def __init__(self, addresses: list[tuple[str, int]], nick: str, in_flight: int = 16, at: int = 0) -> None:
        super().__init__(addresses, nick, at)
        self.answers: list[Answer] = []
        self.oks = 0
        self.unanswered: dict[str, str] = {}
        self._in_flight = in_flight
        self._said = 0

    def come(self, wire: Wire) -> None:
        self.enter(wire)
        assert wire.ask("join", room=ROOM)["ok"]
        asked: dict[str, float] = {}
        self._say(wire, asked, self.unanswered)
        while True:
            if len(asked) < len(self.unanswered):  # some were refused: when all are answered, they are asked again
                if not asked:
                    time.sleep(AGAIN_SECONDS)
                    self._say(wire, asked, self.unanswered)
            elif not self.ending.is_set():
                first, count = self._said + 1, self._in_flight - len(asked)
                new = {f"{n}": f"<{self.nick} {n}>" for n in range(first, first + count)}
                self._said += count
                self.unanswered |= new
                self._say(wire, asked, new)
            if not self.unanswered:
                return
            self._hear(wire, asked)

    def _say(self, wire: Wire, asked: dict[str, float], messages: dict[str, str]) -> None:
        asked |= dict.fromkeys(messages, time.monotonic())
        wire.send(*({"type": "send", "id": n, "room": ROOM, "body": body, "msg_id": n} for n, body in messages.items()))

    def _hear(self, wire: Wire, asked: dict[str, float]) -> None:
        heard = wire.read()
        wire.heard.clear()
        msg_id = heard.get("re")
        if msg_id not in asked:
            return
        body, since = self.unanswered[msg_id], asked.pop(msg_id)
        if heard["ok"]:
            del self.unanswered[msg_id]
            self.oks += 1
            answer = Answer(body, heard["seq"], "", heard["duplicate"], since, time.monotonic())
        else:
            code = heard["error"]["code"]
            assert code in MAY_BE_REPEATED, heard
            answer = Answer(body, 0, code, False, since, time.monotonic())
        self.answers.append(answer)


class Listener(Comer):
    """Hears the room from its beginning; `heard` is number and body of all of it, in order, once."""

    def __init__(self, addresses: list[tuple[str, int]], nick: str, at: int = 0) -> None:
        super().__init__(addresses, nick, at)
        self.heard: list[tuple[int, str]] = []

    def come(self, wire: Wire) -> None:
        self.enter(wire)
        assert wire.ask("join", room=ROOM, since=len(self.heard))["ok"]
        while not self.ending.is_set():
            event = wire.read()
            wire.heard.clear()
            if event.get("type") == "message":
                assert event["seq"] == len(self.heard) + 1, f"{self.nick} was shown {event['seq']}"
                self.heard.append((event["seq"], event["body"]))


class Talk:
    """Talkers and listeners around one server, or around several that share a journal.

    `stored` is what the server has, as far as it was checked.
    """

    def __init__(self, server: Any, *, talkers: int = 4, listeners: int = 1, in_flight: int = 16) -> None:
        self.servers = server if isinstance(server, list) else [server]
        self.addresses = [(one.host, one.port) for one in self.servers]
        self.talkers = [Talker(self.addresses, f"talker{n}", in_flight, n) for n in range(talkers)]
        self.listeners = [Listener(self.addresses, f"listener{n}", n) for n in range(listeners)]
        self.stored: list[str] = []
        self._all = [*self.talkers, *self.listeners]
        self._checked = {one.nick: 0 for one in self._all}
        self._visits = 0
        self._is_over = False

    def __enter__(self) -> Talk:
        for one in self._all:
            one.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.finish()
            return
        for one in self._all:
            one.ending.set()
        for server in self.servers:
            server.end()
        for one in self._all:
            one.join(20)

    def finish(self, seconds: float = 30) -> None:
        """Nothing new is said; wait until everything said has been answered."""
        if self._is_over:
            return
        self._is_over = True
        for talker in self.talkers:
            talker.ending.set()
        for talker in self.talkers:
            talker.join(seconds)
        for listener in self.listeners:
            listener.ending.set()
        with self.visit() as wire:  # wakes the listeners up
            wire.enter("herald", ROOM)
            assert wire.ask("send", room=ROOM, body="the end")["ok"]
        for one in self._all:
            one.join(seconds)
            assert not one.is_alive(), f"{one.nick} waits"
            assert one.failed is None, f"{one.nick}: {one.failed!r}"

    def visit(self) -> Wire:
        """A connection to one of the servers that run, in turn."""
        self._visits += 1
        running = [one for one in self.servers if one.process is not None and one.process.poll() is None]
        server = running[self._visits % len(running)]
        return Wire((server.host, server.port))

    def acknowledged(self) -> list[Answer]:
        """The oks that the talkers have read."""
        return [answer for talker in self.talkers for answer in list(talker.answers) if answer.seq]

    def wait_for_oks(self, count: int, seconds: float = 15) -> float:
        """Until every talker has heard so many more oks; how long that took."""
        began = time.monotonic()
        wanted = {talker: talker.oks + count for talker in self.talkers}
        while any(talker.oks < wanted[talker] for talker in self.talkers):
            for one in self._all:
                assert one.failed is None, f"{one.nick}: {one.failed!r}"
            assert time.monotonic() < began + seconds, f"fewer than {count} oks in {seconds} s"
            time.sleep(0.005)
        return time.monotonic() - began

    def check(self, *, anew: bool = False, in_order: bool = True) -> None:
        """All that anybody was told is there, once, under its number, and each talker's messages in their order.

        What an earlier check has seen is looked at again only in part, or, `anew`, as a whole.
        """
        if anew:
            self._checked = dict.fromkeys(self._checked, 0)
        answers = [(talker.nick, list(talker.answers)) for talker in self.talkers]
        heard = [(listener.nick, list(listener.heard)) for listener in self.listeners]
        self._read_on(0 if anew else max(0, len(self.stored) - 300))
        assert len(set(self.stored)) == len(self.stored), "something is there twice"
        for nick, given in answers:
            for answer in given[self._checked[nick] :]:
                assert not answer.seq or self.stored[answer.seq - 1 : answer.seq] == [answer.body], f"lost: {answer}"
            self._checked[nick] = len(given)
        for nick, shown in heard:
            first = self._checked[nick]
            assert shown[first:] == list(enumerate(self.stored[first : len(shown)], first + 1)), f"{nick} heard else"
            self._checked[nick] = len(shown)
        for talker in self.talkers if in_order else ():
            said = [number_of(body) for body in self.stored if body.startswith(f"<{talker.nick} ")]
            assert said == list(range(1, len(said) + 1)), f"{talker.nick}'s messages are not in order"

    def _read_on(self, begin: int) -> None:
        """Take in what is stored after this number; what was known of it is as it was."""
        with self.visit() as wire:
            wire.enter(f"visitor{self._visits}", ROOM)
            found = history(wire, begin)
        assert [seq for seq, _ in found] == list(range(begin + 1, begin + 1 + len(found))), "numbers are not dense"
        bodies = [body for _, body in found]
        known = self.stored[begin:]
        assert bodies[: len(known)] == known, "what was stored has changed"
        self.stored += bodies[len(known) :]

    def check_repetitions(self, chance: Random, count: int = 5) -> None:
        """Some old messages of every talker, said again by the same person: the first answer, again."""
        for talker in self.talkers:
            first = {answer.body: answer.seq for answer in list(talker.answers) if answer.seq}
            with self.visit() as wire:
                talker.enter(wire)
                assert wire.ask("join", room=ROOM)["ok"]
                for body in chance.sample(sorted(first), min(count, len(first))):
                    again = wire.ask("send", room=ROOM, body=body, msg_id=f"{number_of(body)}")
                    assert (again["seq"], again["duplicate"]) == (first[body], True)


def history(wire: Wire, after: int = 0) -> list[tuple[int, str]]:
    """Number and body of all that the room has after this number."""
    found: list[tuple[int, str]] = []
    at: int | None = after
    while at is not None:
        page = wire.ask("history", room=ROOM, after=at, limit=200)
        assert page["ok"], page
        found += [(event["seq"], event["body"]) for event in page["events"]]
        wire.heard.clear()
        at = page["next"]
    return found
