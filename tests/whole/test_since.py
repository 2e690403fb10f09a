"""Joining with `since` of any age while four others talk on: replay and live meet without hole or overlap."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from support.crowd import Wire
from support.talkers import Talkers, told_by

AGES = ("all of it", "the middle", "the last", "one before the last")


def since_of(age: str, last: int) -> int:
    return {"all of it": 0, "the middle": last // 2, "the last": last, "one before the last": last - 1}[age]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_since_of_any_age_again_and_again(server: Any, extent: Callable[[int, int], int]) -> None:
    """A10: every number after `since` once and in order, whatever was said while the replay ran."""
    address = (server.host, server.port)
    chance = random.Random(3)
    heard: list[tuple[int, str]] = []
    with Talkers(address, "#lobby", 4, 0.01) as talkers, Wire(address) as witness:
        witness.enter("witness", "#lobby")
        for n in range(extent(40, 400)):
            last = witness.ask("history", room="#lobby", limit=1)["last_seq"]
            since = since_of(AGES[n % 4], last)
            with Wire(address) as wire:
                wire.enter(f"reader{n}")
                joined = wire.ask("join", room="#lobby", since=since)
                assert joined["ok"]
                assert joined["last_seq"] >= last
                until = joined["last_seq"] + chance.randint(1, 20)
                heard = []
                caught_up = 0
                while not caught_up or not heard or heard[-1][0] < until:
                    event = wire.read()
                    if event.get("type") == "message":
                        heard.append((event["seq"], event["body"]))
                    elif event.get("type") == "caught_up":
                        assert event["seq"] == (heard[-1][0] if heard else since)
                        caught_up += 1
                assert caught_up == 1
                assert [seq for seq, _ in heard] == list(range(since + 1, heard[-1][0] + 1))
        talkers.hush()
        said = told_by(witness, "#lobby")
    assert [body for _, body in heard] == said[since : since + len(heard)]


def test_since_ahead_of_the_room_is_refused_and_tells_how_far_it_is(server: Any) -> None:
    with Wire((server.host, server.port)) as wire:
        wire.enter("tom", "#lobby")
        wire.ask("send", room="#lobby", body="one")
        with Wire((server.host, server.port)) as other:
            other.enter("jerry")
            refused = other.ask("join", room="#lobby", since=2)
            assert refused["error"]["code"] == "INVALID_PARAMS"
            assert refused["error"]["details"]["last_seq"] == 1
            assert other.ask("join", room="#lobby", since=1)["ok"]
            wire.ask("send", room="#lobby", body="two")
            assert other.until("message")["seq"] == 2
