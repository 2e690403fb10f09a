"""The storm: bots with the bundled library talk through a bad network to a server that crashes, and are killed.

`Storm(server, folder, seed=7).run(15)` gives an `Outcome`: what was done to them, and whether each bot has handled
each message once and in order, and the journal keeps each once. Used by tests/whole/test_faults.py and
bench/faults.py; `server` has `host`, `port`, `kill9()`, `stop()` and `restart()`.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from support.bot import FACES, ROOM
from support.crowd import Wire
from support.proxy import FAULTS, Proxy

TREE = Path(__file__).parent.parent.parent
SETTLE_SECONDS = 60.0
MORE_SECONDS = 60.0  # on a slow machine, until each kind of fault has happened
KINDS = (
    *(fault.__name__ for fault in FAULTS),
    *("bot_killed", "bot_killed_at_work", "server_killed", "server_stopped"),
)


@dataclass
class Outcome:
    """What came of it. Everything in `wrong` is a broken promise, in words."""

    faults: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    said: int = 0
    stored: int = 0
    handled: int = 0
    shown_again: int = 0  # by the library after a kill, and passed over by the bot
    given_up: int = 0  # by the library after many lost connections, and asked again by the bot
    lost: int = 0
    twice: int = 0
    disordered: int = 0
    longest_away: float = 0.0
    oldest: float = 0.0
    settled_in: float = 0.0
    wrong: list[str] = field(default_factory=list)


class Bot:
    """One bot's process and folder."""

    def __init__(self, face: str, number: int, folder: Path) -> None:
        self.face, self.name = face, f"{face}{number}"
        self.folder = folder / self.name
        self.folder.mkdir(parents=True)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, port: int) -> None:
        """Begin, or go on where it was killed."""
        words = [sys.executable, "-m", "support.bot", self.face, f"127.0.0.1:{port}", self.name, str(self.folder)]
        environ = os.environ | {"PYTHONPATH": f"{TREE}{os.pathsep}{TREE / 'tests'}"}
        with (self.folder / "errors").open("ab") as errors:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, env=environ)

    def kill9(self) -> None:
        """End it the hard way."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def lines(self, kind: str) -> list[list[str]]:
        """What it wrote down, word by word."""
        file = self.folder / kind
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def errors(self) -> str:
        return (self.folder / "errors").read_text()


class Storm:
    """`every`: seconds between two faults of the network, on average; a bot is killed every `kill` seconds, and the
    server, by turns with a signal to end and with none, every `crash` seconds.
    """

    def __init__(
        self,
        server: Any,
        folder: Path,
        *,
        seed: int,
        bots: int = 4,
        every: float = 0.4,
        kill: float = 3.0,
        crash: float,
    ) -> None:
        self.server, self.folder = server, folder
        self.seed, self.every, self.kill, self.crash = seed, every, kill, crash
        self.chance = random.Random(seed)
        self.bots = [Bot(FACES[number % len(FACES)], number, folder) for number in range(bots)]
        self.outcome = Outcome()

    def run(self, seconds: float) -> Outcome:
        """Let it storm for so long, and until every kind of fault has happened; let everybody catch up; then judge."""
        with Proxy((self.server.host, self.server.port), seed=self.seed, every=self.every) as proxy:
            try:
                for bot in self.bots:
                    bot.start(proxy.port)
                self._rage(proxy, time.monotonic() + seconds)
                (self.folder / "hush").touch()
                proxy.calm()
                self._settle(proxy)
            finally:
                for bot in self.bots:
                    bot.kill9()
            self.outcome.faults += proxy.done
            self.outcome.connections = proxy.connections
        self._judge(self._stored())
        return self.outcome

    def _rage(self, proxy: Proxy, until: float) -> None:
        now = time.monotonic()
        next_kill, next_crash = now + self.kill, now + self.crash
        is_hard = True
        while (now := time.monotonic()) < until or (now < until + MORE_SECONDS and not self._has_all_happened(proxy)):
            time.sleep(0.02)
            self._revive(proxy)
            if now >= next_kill:
                bot = self.chance.choice(self.bots)
                bot.kill9()
                time.sleep(self.chance.random() * 0.3)
                bot.start(proxy.port)
                self.outcome.faults["bot_killed"] += 1
                next_kill = now + self.kill * (0.5 + self.chance.random())
            if now >= next_crash:
                if is_hard:
                    self.server.kill9()
                elif self.server.stop() != 0:
                    self.outcome.wrong.append("the server did not end with status 0")
                self.outcome.faults["server_killed" if is_hard else "server_stopped"] += 1
                time.sleep(self.chance.random() * 0.5)
                self.server.restart()
                is_hard = not is_hard
                next_crash = now + self.crash * (0.5 + self.chance.random())

    def _has_all_happened(self, proxy: Proxy) -> bool:
        return all((self.outcome.faults + proxy.done)[kind] for kind in KINDS)

    def _revive(self, proxy: Proxy) -> None:
        """Start again who has killed itself."""
        for bot in self.bots:
            if not bot.is_running:
                if bot.process is None or bot.process.returncode != -signal.SIGKILL:
                    raise AssertionError(f"{bot.name} ended by itself: {bot.errors()[-2000:]}")
                self.outcome.faults["bot_killed_at_work"] += 1
                bot.start(proxy.port)

    def _settle(self, proxy: Proxy) -> None:
        """Wait until each bot has an answer to all it said, and has handled all that is stored."""
        began = time.monotonic()
        while time.monotonic() < began + SETTLE_SECONDS:
            open_ = [bot for bot in self.bots if {one for [one] in bot.lines("said")} - self._acked(bot)]
            if not open_:
                last = self._last()
                if all(self._last_of(bot) == last for bot in self.bots):
                    self.outcome.settled_in = time.monotonic() - began
                    return
            time.sleep(0.1)
            self._revive(proxy)
        self.outcome.wrong.append(f"not settled within {SETTLE_SECONDS} s")
        self.outcome.wrong += [f"{bot.name}: {bot.errors()[-500:]}" for bot in self.bots]

    def _acked(self, bot: Bot) -> set[str]:
        return {words[0] for words in bot.lines("acked")}

    def _last_of(self, bot: Bot) -> int:
        handled = bot.lines("handled")
        return int(handled[-1][0]) if handled else 0

    def _last(self) -> int:
        with Wire((self.server.host, self.server.port)) as wire:
            wire.enter("judge")
            return int(wire.ask("join", room=ROOM)["last_seq"])

    def _stored(self) -> list[tuple[int, str]]:
        """Number and text of everything the server keeps, page by page."""
        with Wire((self.server.host, self.server.port)) as wire:
            wire.enter("judge", ROOM)
            found: list[tuple[int, str]] = []
            after: int | None = 0
            while after is not None:
                page = wire.ask("history", room=ROOM, after=after, limit=200)
                found += [(one["seq"], one["body"]) for one in page["events"]]
                after = page["next"]
            return found

    # -- what became of it ----------------------------------------------------------------------------------------

    def _judge(self, stored: list[tuple[int, str]]) -> None:
        outcome = self.outcome
        outcome.stored = len(stored)
        if [seq for seq, _ in stored] != list(range(1, len(stored) + 1)):
            outcome.wrong.append("the numbers of what is stored have holes")
        for bot in self.bots:
            self._judge_sender(bot, stored)
            self._judge_reader(bot, stored)
            for kind, *more in bot.lines("times"):
                outcome.longest_away = max(outcome.longest_away, float(more[0]) if kind == "away" else 0)
                outcome.oldest = max(outcome.oldest, float(more[0]) if kind == "age" else 0)
                outcome.given_up += kind == "given-up"

    def _judge_sender(self, bot: Bot, stored: list[tuple[int, str]]) -> None:
        """Each message is stored once, under the number that was told, in the order in which it was said."""
        said = [f"{bot.name} {number}" for [number] in bot.lines("said")]
        kept = [body for _, body in stored if body.startswith(f"{bot.name} ")]
        self.outcome.said += len(said)
        self._compare(f"what {bot.name} said is stored", said, kept)
        places = dict(stored)
        for number, seq in bot.lines("acked"):
            if places.get(int(seq)) != f"{bot.name} {number}":
                self.outcome.wrong.append(f"{bot.name} was told that its {number} has number {seq}; it has not")

    def _judge_reader(self, bot: Bot, stored: list[tuple[int, str]]) -> None:
        """Each message is handled once, in order; and the library shows each once, and in order, in every run."""
        handled = [(int(seq), " ".join(words)) for seq, *words in bot.lines("handled")]
        self.outcome.handled += len(handled)
        self._compare(f"what {bot.name} handled", stored, handled)
        shown = [-1 if words[0] == "run" else int(words[0]) for words in bot.lines("shown") if words[0] != "gap"]
        self.outcome.shown_again += sum(seq > 0 for seq in shown) - len(handled)
        if any(words[0] == "gap" for words in bot.lines("shown")):
            self.outcome.wrong.append(f"{bot.name} was shown a gap")
        reached = 0
        for before, seq in pairwise(shown):
            fits = seq < 0 or (seq <= reached + 1 if before < 0 else seq == before + 1)
            reached = max(reached, seq)
            if not fits:
                self.outcome.wrong.append(f"{bot.name} was shown {seq} after {before}")
        if "Traceback" in bot.errors():
            self.outcome.wrong.append(f"{bot.name}: {bot.errors()[-1000:]}")

    def _compare(self, what: str, wanted: list[Any], found: list[Any]) -> None:
        outcome = self.outcome
        lost, twice = len(set(wanted) - set(found)), len(found) - len(set(found))
        order = {one: place for place, one in enumerate(wanted)}
        places = [order[one] for one in dict.fromkeys(found) if one in order]
        disordered = sum(before > after for before, after in pairwise(places))
        outcome.lost += lost
        outcome.twice += twice
        outcome.disordered += disordered
        if wanted != found:
            outcome.wrong.append(f"{what}: {lost} lost, {twice} twice, {disordered} out of order")
