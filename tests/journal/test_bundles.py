"""The messages of the stream: what an earlier chatd wrote is read for ever, and all that is proposed has a form."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.core.cluster_events import PROPOSED, Typed
from chatd.core.events import Event, MessageSent, Passing, Proposal
from chatd.journal.bundles import heard_whisper, pack, piece_of, proposals_of, seal, unseal, whisper
from chatd.journal.order import PLACE
from chatd.journal.stored import encode

SAMPLES = Path(__file__).parent / "samples"


def test_what_an_earlier_chatd_wrote_is_read() -> None:
    """bundle-1: one of each event of the first version. It is never made anew; fields that came later have defaults."""
    bundle = unseal((SAMPLES / "bundle-1.msgpack").read_bytes())
    written = (SAMPLES / "bundle-1.txt").read_text().splitlines()
    assert [repr(event) for _, event in bundle.events] == written
    assert [time for time, _ in bundle.events] == [1_700_000_000_000_000 + n for n in range(len(written))]
    assert {type(event) for _, event in bundle.events} == set(get_args(PROPOSED)), "a new event wants a new sample"


def test_everything_that_is_stored_or_has_a_place_in_the_order_can_be_proposed() -> None:
    passing = set(Passing.__subclasses__()) - {Typed}
    assert set(get_args(PROPOSED)) == set(PLACE) | passing


data = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.tuples(st.text(max_size=20), data), max_size=10))
def test_every_node_stores_the_same_bytes(said: list[tuple[str, object]]) -> None:
    """Who proposed it stores what it has in hand, and the others what they read."""
    mine = [Proposal(MessageSent("r", "u", "tom", "text", body, data=more), n) for n, (body, more) in enumerate(said)]
    _, pieces = pack(mine, 1 << 20)
    theirs = proposals_of(unseal(seal("n", 1, pieces)))
    assert [encode(one.event) for one in theirs] == [encode(one.event) for one in mine]
    assert [one.time for one in theirs] == [one.time for one in mine]


@given(st.binary(max_size=60))
def test_bytes_that_are_no_bundle_are_an_error_and_nothing_else(payload: bytes) -> None:
    for read in (unseal, heard_whisper):
        try:
            read(payload)
        except msgspec.MsgspecError:
            continue


def test_an_event_of_a_newer_chatd_is_an_error() -> None:
    """It must not be left out, or this node would have another history than the others."""
    newer = msgspec.msgpack.encode((1, ("message/9", "r", "u")))
    with pytest.raises(msgspec.ValidationError):
        unseal(seal("n", 1, [newer]))


def test_what_is_told_beside_the_stream_comes_as_it_was() -> None:
    typing = Typed("r", "u", "tom", "active")
    assert heard_whisper(whisper("n1", typing)) == ("n1", typing)


def test_what_has_no_bytes_stays_in_its_place() -> None:
    bad: Event = MessageSent("r", "u", "tom", "text", "x", data=object())
    good = Proposal(MessageSent("r", "u", "tom", "text", "y"), 1)
    assert pack([Proposal(bad, 1), good], 1000) == ([Proposal(bad, 1), good], [piece_of(good)])
