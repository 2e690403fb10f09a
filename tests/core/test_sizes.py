"""Sizes: whatever is accepted can be shown to everyone within a frame."""

from __future__ import annotations

import pytest

from chatd.core import commands, entrance, messages
from chatd.core.codes import Refusal
from chatd.core.context import Context
from chatd.core.limits import Limits, Rules
from chatd.core.sizes import check_size
from chatd.core.state import State

RULES = Rules(limits=Limits(), server="", server_version="", network="", motd="", durability="memory", secret=bytes(32))


def context() -> Context:
    return Context(state=State(), rules=RULES, session_id="s", now=0, ids=lambda: "x")


def test_data_that_is_larger_as_messagepack_still_fits_into_a_frame() -> None:
    check_size(context(), "", [0.5] * 7000)
    with pytest.raises(Refusal) as refused:
        check_size(context(), "", [0.5] * 8000)  # 32,001 bytes as JSON, 72,003 as MessagePack
    assert refused.value.details == {"limit": "frame_bytes", "value": 63488}


def test_the_schema_counts_as_well() -> None:
    body, schema = "\x01" * 5200, "\x01" * 512
    check_size(context(), body, "x" * 32000)
    with pytest.raises(Refusal, match="frame_bytes"):
        messages.send(context(), commands.Send(room="#a", body=body, data="x" * 32000, schema=schema))


@pytest.mark.parametrize("data", ["x" * 60000, [1e15] * 6000])
def test_a_ping_cannot_ask_for_more_than_a_frame_holds(data: object) -> None:
    """Numbers may be written longer than they came."""
    with pytest.raises(Refusal, match="data_bytes"):
        entrance.ping(context(), commands.Ping(id="1", data=data))
