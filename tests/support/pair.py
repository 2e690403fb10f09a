"""The pair: two well-behaved programs that exchange ten messages a second, whatever happens around them.

    with Pair(server) as pair:
        ...                     # abuse the server
        told = pair.told()      # how they fared

They run in a process of their own, so what the test does costs them nothing. Each message is timed from the moment it
was due, so a server that stands still for a second is seen in all messages of that second. A number that is missing,
comes twice or out of order ends the pair with an error.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from support.crowd import Wire

ROOM = "#pair"
GAP_SECONDS = 0.1


class Told(NamedTuple):
    """How many messages went to and fro, and how long they took, in seconds."""

    count: int
    median: float
    p99: float
    worst: float


class Pair:
    """Tom and Jerry. Leaving the `with` ends them."""

    def __init__(self, server: Any) -> None:
        words = [sys.executable, "-m", "support.pair", server.host, str(server.port)]
        folder = Path(__file__).parent.parent
        self._process = subprocess.Popen(
            words, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": "."}
        )

    def __enter__(self) -> Pair:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "talking\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def told(self) -> Told:
        """End their talk; how it went. Fails if anything was lost, came twice or out of order."""
        output, _ = self._process.communicate("enough\n", timeout=60)
        assert self._process.returncode == 0, f"the pair failed: {output}"
        return Told(*json.loads(output))


def talk(host: str, port: int) -> Told:
    """Speak in turns until something comes on standard input."""
    waits = []
    with Wire((host, port), 60) as tom, Wire((host, port), 60) as jerry:
        tom.enter("tom", ROOM)
        jerry.enter("jerry")
        first = jerry.ask("join", room=ROOM)["last_seq"]
        print("talking", flush=True)
        due, seq = time.monotonic(), first
        while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
            seq += 1
            speaker, other = (tom, jerry) if seq % 2 else (jerry, tom)
            speaker.send({"type": "send", "id": str(seq), "room": ROOM, "body": f"message {seq}"})
            heard = other.until("message")
            assert (heard["seq"], heard["body"]) == (seq, f"message {seq}"), heard
            reply = speaker.read()
            assert (reply["re"], reply["seq"]) == (str(seq), seq), reply
            waits.append(time.monotonic() - due)
            due += GAP_SECONDS
    waits.sort()
    return Told(len(waits), waits[len(waits) // 2], waits[int(len(waits) * 0.99)], waits[-1])


if __name__ == "__main__":
    print(json.dumps(talk(sys.argv[1], int(sys.argv[2]))))
