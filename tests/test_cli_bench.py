"""`chatd bench` against a real server, and against one that loses, repeats and swaps what it says."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from support.crowd import Json
from support.meddler import Change, Meddler

from chatd import cli, cli_bench
from chatd.client import load
from chatd.client.load import Outcome
from chatd.client.verdict import FAULTS, Account, Times
from chatd.errors import Exit


class Bench:
    """The command, as it is typed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def run(self, *words: object, status: Exit = Exit.OK) -> tuple[str, str]:
        """What it printed, and its one line of error."""
        assert cli.main(["bench", *map(str, words)]) == status
        told = self.capsys.readouterr()
        assert len(told.err.splitlines()) == (1 if status else 0), told.err
        return told.out, told.err.strip()

    def figures(self, *words: object, status: Exit = Exit.OK) -> Json:
        found: Json = json.loads(self.run(*words, "--json", status=status)[0])
        return found


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(capsys)


def address(server: Any) -> str:
    return f"{server.host}:{server.port}"


def test_it_counts_what_was_said_and_shown(bench: Bench, shared_server: Any) -> None:
    words = ("--members", 20, "--senders", 2, "--rate", 50, "--seconds", 1, "--pid", shared_server.pid)
    found = bench.figures(address(shared_server), *words)
    assert 45 <= found["messages"] <= 50
    assert found["stored"] == found["messages"]
    assert found["deliveries"] == 19 * found["messages"]
    assert found["faults"] == dict.fromkeys(FAULTS, 0)
    assert found["refused"] == {}
    assert 0 < found["shown_s"]["p50"] <= found["shown_s"]["p99"] <= found["shown_s"]["max"]
    assert 0 < found["answered_s"]["p50"] <= found["answered_s"]["max"]
    assert found["server_cpu_s"] > 0
    assert found["own_cpu_s"] > 0


def test_people_are_told_in_lines(bench: Bench, shared_server: Any) -> None:
    told, _ = bench.run(address(shared_server), "--members", 3, "--rate", 0, "--seconds", 1)
    lines = {line[:24].strip(): line[24:] for line in told.splitlines()}
    assert lines["promises"].startswith("lost 0, twice 0, disordered 0, holes 0")
    assert "3 members, 3 of them speak" in lines["room"]
    assert "the server's processor" not in lines
    assert "p99" in lines["until shown"]


def test_what_a_server_refuses_is_told_and_breaks_no_promise(bench: Bench, start_server: Any) -> None:
    server = start_server(environ={"CHATD__LIMITS__TRUSTED_NETWORKS": "", "CHATD__LIMITS__MESSAGES_BURST": "3"})
    found = bench.figures(address(server), "--members", 3, "--rate", 40, "--seconds", 1)
    assert found["refused"]["RATE_LIMITED"] >= 10
    assert found["stored"] + found["refused"]["RATE_LIMITED"] == found["messages"]


def test_it_says_when_it_was_the_bottleneck_itself() -> None:
    """Else a reader would take its own slowness for the server's."""
    chosen = cli_bench.parser().parse_args(["unix:/nowhere", "--rate", "100", "--seconds", "10"])
    plan = cli_bench.planned(chosen, chosen.address)
    account = Account(said=900, kept=900, shown=900, refused={}, faults={})
    calm = Outcome(
        room="#r", coming=1, speaking=10, busy=5, server=None, to_show=Times(), to_answer=Times(), account=account
    )
    assert "1,000 messages were wanted" in " ".join(cli_bench.remarks(plan, calm))
    assert "bottleneck" not in cli_bench.as_text(plan, calm)
    busy = replace(calm, busy=9.5, account=replace(account, said=1_000))
    [told] = cli_bench.remarks(plan, busy)
    assert told.startswith("This program was the bottleneck")
    assert json.loads(cli_bench.as_json(plan, busy))["is_own_bottleneck"] is True


# -- a server that does not keep its word ---------------------------------------------------------------------


def once(kind: str, do: Change) -> Change:
    """Do this to the tenth object of that kind: `message`, or `ok` to one."""
    seen = 0

    def change(plain: Json) -> list[Json]:
        nonlocal seen
        is_it = plain.get("type") == kind or (kind == "ok" and str(plain.get("re")).isdigit())
        seen += is_it
        return do(plain) if is_it and seen == 10 else [plain]

    return change


def late() -> Change:
    """Swap a message with the next to the same member, which is the first that comes again to who heard it."""
    held: list[Json] = []

    def change(plain: Json) -> list[Json]:
        if plain.get("type") != "message":
            return [plain]
        if not held and plain["seq"] == 5:
            held.append(plain)
            return []
        if held and len(held) == 1 and plain["seq"] == 6:
            held.append(plain)
            return [plain, held[0]]
        return [plain]

    return change


CASES = [
    ("a message is lost", once("message", lambda plain: []), {"lost": 1, "holes": 1}),
    ("a message comes twice", once("message", lambda plain: [plain, plain]), {"twice": 1}),
    ("two messages change places", late(), {"disordered": 1}),
    ("an ok has no number", once("ok", lambda plain: [{**plain, "seq": None}]), {"unnumbered": 1}),
    ("an ok has another number", once("ok", lambda plain: [{**plain, "seq": plain["seq"] + 1}]), None),
    ("an ok comes twice", once("ok", lambda plain: [plain, plain]), {"answered_twice": 1}),
]


@pytest.mark.parametrize(("change", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_broken_promise_is_noticed(
    bench: Bench,
    shared_server: Any,
    change: Change,
    wanted: dict[str, int] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One frame of some hundred is not as it was; the status says so, and the line what."""
    monkeypatch.setattr(load, "PATIENCE", 1.5)  # what was lost does not come, however long one waits
    words = ("--members", 2, "--senders", 1, "--rate", 50, "--seconds", 1, "--json")
    with Meddler((shared_server.host, shared_server.port), change) as meddler:
        told, error = bench.run(address(meddler), *words, status=Exit.PROTOCOL)
    faults = {name: count for name, count in json.loads(told)["faults"].items() if count}
    if wanted is None:
        assert faults["renumbered"] == 1
    else:
        assert faults == wanted
    assert error.startswith("chatd: bench: promises were broken: ")


def test_an_answer_that_never_comes_is_noticed(
    bench: Bench, shared_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "PATIENCE", 1.5)
    with Meddler((shared_server.host, shared_server.port), once("ok", lambda plain: [])) as meddler:
        words = ("--members", 2, "--senders", 1, "--rate", 50, "--seconds", 1)
        told, error = bench.run(address(meddler), *words, status=Exit.PROTOCOL)
    assert "unanswered 1" in error
    assert "broken, unanswered      a message got neither an ok nor a refusal" in told


# -- whom it leaves alone -------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["192.0.2.1", "192.0.2.1:1234", "[2001:db8::1]:99"])
def test_only_ones_own_server_is_put_under_load(bench: Bench, where: str) -> None:
    _, error = bench.run(where, status=Exit.NOT_ALLOWED)
    assert error.startswith("chatd: bench: ")
    assert "is not on this machine" in error
    assert error.endswith("say --this-server-is-mine")


def test_a_unix_socket_is_on_this_machine(bench: Bench, start_server: Any, tmp_path: Path) -> None:
    start_server(f"--port=unix:{tmp_path}/s")
    found = bench.figures(f"unix:{tmp_path}/s", "--members", 3, "--seconds", 1)
    assert found["faults"] == dict.fromkeys(FAULTS, 0)


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["127.0.0.1:1"], Exit.UNAVAILABLE, "nothing is listening at 127.0.0.1:1"),
        (["a b"], Exit.USAGE, "is not a valid address"),
        (["--members", "0"], Exit.USAGE, "is no number from 1 to 10,000"),
        (["--rate", "fast"], Exit.USAGE, "is no number from 0 to 100,000"),
        (["--rate", "100000", "--seconds", "600"], Exit.USAGE, "more than 2,000,000 messages"),
        (["--pid", str(2**22)], Exit.USAGE, "there is no process"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(bench: Bench, words: list[str], status: Exit, told: str) -> None:
    assert told in bench.run(*words, status=status)[1]


def test_a_server_that_says_nothing_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0), backlog=100) as mute:
        _, error = bench.run(f"127.0.0.1:{mute.getsockname()[1]}", "--members", 3, status=Exit.TRY_AGAIN)
    assert "only 0 of 3 came in" in error


def test_another_protocol_is_told(bench: Bench, shared_server: Any) -> None:
    """The line port greets people."""
    _, error = bench.run(f"127.0.0.1:{shared_server.line_port}", "--members", 1, status=Exit.PROTOCOL)
    assert "it greets people instead of programs" in error
