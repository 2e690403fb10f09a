"""What tests of nodes on one stream share."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import nats
from support.crowd import Wire
from support.nats import NatsServer


def place(server: Any) -> tuple[str, int]:
    return server.host, server.port


def said_something(server: Any) -> None:
    with Wire(place(server)) as tom:
        tom.enter("tom", "#lobby")
        assert tom.ask("send", room="#lobby", body="hello")["ok"]


def refused(server: Any) -> str:
    """What a node says that does not start."""
    process = server.spawn()
    assert process.wait(20) != 0
    return str(server.output())


def remove_stream(server: NatsServer, stream: str) -> None:
    async def remove() -> None:
        client = await nats.connect(server.url)
        await client.jetstream().delete_stream(stream)
        await client.close()

    asyncio.run(remove())


def chatd(*words: str, server: Any, url: str = "", **settings: str) -> str:
    environ = server.environ | settings | ({"CHATD__JOURNAL__URL": url} if url else {})
    command = [sys.executable, "-m", "chatd", *words, f"--data-dir={server.data_dir}"]
    ran = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60, cwd=server.folder)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def rows(path: Path) -> dict[str, list[Any]]:
    """What matters in a journal's file, but for the numbers that it gives to rooms."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        tables = {
            "rooms": "SELECT room_id, name, parties, first_seq, link_before, topic, made FROM rooms",
            "events": "SELECT id & 68719476735, time, msg_key, link, event, digest FROM events ORDER BY link",
            "accounts": "SELECT user_id, name, made, generation, disabled, ignored FROM accounts",
            "verifiers": "SELECT user_id, verifier FROM verifiers",
            "cursors": "SELECT user_id, seq FROM cursors ORDER BY user_id",
            "rulings": "SELECT * FROM rulings",
        }
        return {name: sorted(connection.execute(query).fetchall()) for name, query in tables.items()}
