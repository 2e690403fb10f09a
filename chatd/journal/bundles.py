"""Bundles: the messages of the stream. Each holds what one node proposed in a row, under a number of its own.

A node counts its bundles from 1 in each of its runs, and every node takes only the one that follows the last: so what
is published twice counts once, what was lost is published again before anything else counts, and what a run that is
over still sends counts not at all. All of that follows from the stream alone, and is therefore the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from chatd.core.cluster_events import PROPOSED, NodeCame, NodeGone, Typed
from chatd.core.events import Event, Proposal

LIFE = (NodeCame, NodeGone)
"""What begins and ends runs: such an event is the first of its bundle."""


class Bundle(Struct, frozen=True, array_like=True, tag="bundle/1"):
    """Events in their order, each with its time in microseconds since 1970; how far the node had come in each stream,
    if there are several."""

    node: str
    number: int
    events: list[tuple[int, PROPOSED]]
    after: list[int] = []


class _Packed(Struct, frozen=True, array_like=True, tag="bundle/1"):
    node: str
    number: int
    events: list[msgspec.Raw]
    after: Sequence[int]


class TooLarge(Struct, frozen=True):
    """Stands for an event that no message of the stream could hold."""


_encode = msgspec.msgpack.Encoder().encode
_DECODER = msgspec.msgpack.Decoder(Bundle)
_WHISPER = msgspec.msgpack.Decoder(tuple[str, Typed])


def seal(node: str, number: int, pieces: Sequence[bytes], after: Sequence[int] = ()) -> bytes:
    """The bytes of a bundle."""
    return _encode(_Packed(node, number, [msgspec.Raw(piece) for piece in pieces], after))


def unseal(payload: bytes) -> Bundle:
    """The bundle with these bytes; raises `msgspec.MsgspecError` if they are none."""
    return _DECODER.decode(payload)


def proposals_of(bundle: Bundle) -> list[Proposal]:
    """What was proposed on another node."""
    return [Proposal(event, time) for time, event in bundle.events]


def pack(waiting: Sequence[Proposal], most_bytes: int) -> tuple[list[Proposal], list[bytes]]:
    """As many of these as fit into one bundle, from the first on, and their bytes.

    What cannot be encoded stays among the proposals, where it is refused in its place, and has no bytes; so has what is
    too large for any bundle, and `TooLarge` takes its place.
    """
    taken: list[Proposal] = []
    pieces: list[bytes] = []
    size = 0
    for proposal in waiting:
        if taken and isinstance(proposal.event, LIFE):
            break
        piece = piece_of(proposal)
        if len(piece) > most_bytes:
            proposal, piece = msgspec.structs.replace(proposal, event=TooLarge()), b""
        if size + len(piece) > most_bytes:
            break
        taken.append(proposal)
        if piece:
            pieces.append(piece)
            size += len(piece)
    return taken, pieces


def whisper(run: str, event: Event) -> bytes:
    """What the other nodes are told beside the stream."""
    return _encode((run, event))


def heard_whisper(payload: bytes) -> tuple[str, Typed]:
    """From which run it is, and what; raises `msgspec.MsgspecError` if it is none."""
    return _WHISPER.decode(payload)


def piece_of(proposal: Proposal) -> bytes:
    """The bytes of an event and its time; none, if it has no bytes that could be read again."""
    event: Any = proposal.event
    try:
        return _encode((proposal.time, event))
    except (TypeError, ValueError, OverflowError):
        return b""
