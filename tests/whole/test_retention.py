"""How long rooms keep what was said, each its own way: a real server on a journal that is older than it."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from support.crowd import Wire

from chatd.core.events import MessageSent, Proposal, RoomMade
from chatd.journal.store import Store

HOUR = 3600 * 1_000_000
ROOMS = {"r1": "#Ops", "r2": "#log", "r3": "#archive"}
SETTINGS = """
[journal]
retention = "2h"
[journal.retention_by_room]
"#ops" = "1h"
"#archive" = "{archive}"
"""


def prepared(folder: Path) -> None:
    """A journal in which each room has one message that is three hours old, one of ninety minutes, and a new one."""
    folder.mkdir(parents=True)
    now = int(time.time() * 1_000_000)
    with closing(Store(folder / "chatd.db", "fsync")) as store:
        store.open()
        for room_id, name in ROOMS.items():
            store.write([Proposal(RoomMade(room_id, name), now - 4 * HOUR)])
            for text, age in (("old", 3 * HOUR), ("older than an hour", 3 * HOUR // 2), ("new", 0)):
                store.write([Proposal(MessageSent(room_id, "ann", "ann", "text", text), now - age)])


def first_kept(tom: Wire, room: str, wanted: int) -> bool:
    """Wait until the room begins with this number."""
    deadline = time.monotonic() + 20
    while tom.ask("history", room=room)["first_seq"] != wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(tom.ask("history", room=room)["first_seq"] == wanted)


def replayed(tom: Wire, room: str) -> list[tuple[str, Any]]:
    """What somebody is shown who comes back to a room from its very beginning."""
    assert tom.ask("join", room=room, since=0)["ok"]
    tom.until("caught_up", room=room)
    tom.ask("part", room=room)
    shown = [one for one in tom.heard if one.get("room") == room and one.get("type") in ("gap", "message")]
    return [(one["type"], (one["from"], one["to"], one["reason"]) if "to" in one else one["seq"]) for one in shown]


def test_each_room_keeps_what_it_is_told_to_keep(start_server: Any, tmp_path: Path) -> None:
    """Names are compared folded; what is gone is announced by `gap`, and the ages change with SIGHUP."""
    path = tmp_path / "chatd.toml"
    path.write_text(SETTINGS.format(archive=""))
    server = start_server(f"--config={path}", until="made")
    prepared(server.data_dir)
    server.start()
    with Wire((server.host, server.port)) as tom, Wire((server.host, server.port)) as jerry:
        tom.enter("tom", "#Ops", "#log", "#archive")
        jerry.enter("jerry")
        assert first_kept(tom, "#ops", 3)
        assert first_kept(tom, "#log", 2)
        assert replayed(jerry, "#Ops") == [("gap", (1, 2, "retention")), ("message", 3)]
        assert replayed(jerry, "#log") == [("gap", (1, 1, "retention")), ("message", 2), ("message", 3)]
        assert replayed(jerry, "#archive") == [("message", n) for n in (1, 2, 3)]
        path.write_text(SETTINGS.format(archive="1h"))
        os.kill(server.pid, signal.SIGHUP)
        assert first_kept(tom, "#archive", 3)
        assert [tom.ask("send", room=room, body="x")["seq"] for room in ROOMS.values()] == [4, 4, 4]
    told = 'journal.retention_by_room {"#ops" = "1h", "#archive" = ""} -> {"#ops" = "1h", "#archive" = "1h"}'
    assert told in server.output()
