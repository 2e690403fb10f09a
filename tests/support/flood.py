"""A flood of connections, in a process of its own: `python -m support.flood HOST PORT SECONDS HEX` prints how many.

Each connects, sends these bytes, perhaps none, and resets (SO_LINGER 0), as fast as it goes.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LINGER_NONE = b"\x01\0\0\0\0\0\0\0"


def start(server: Any, seconds: float, blob: bytes) -> subprocess.Popen[str]:
    """Begin a flood; its standard output will be the number of connections."""
    words = [sys.executable, "-m", "support.flood", server.host, str(server.port), str(seconds), blob.hex()]
    folder = Path(__file__).parent.parent
    return subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": "."})


def flood(address: tuple[str, int], seconds: float, blob: bytes) -> int:
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as one:
            one.settimeout(20)
            one.connect(address)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
            if blob:
                one.sendall(blob)
        count += 1
    return count


if __name__ == "__main__":
    print(flood((sys.argv[1], int(sys.argv[2])), float(sys.argv[3]), bytes.fromhex(sys.argv[4])))
