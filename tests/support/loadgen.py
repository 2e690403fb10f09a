"""A stand-in for the load generator, which is a compiled program and not everywhere: it measures nothing.

It takes the same words and prints the same figures, made up, after a look at the server that it was sent to: that
the process is there and that somebody answers at the port. `LOADGEN_BUSY` and `LOADGEN_LOST` are what it claims.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from itertools import pairwise


def main(words: list[str]) -> int:
    scenario, told = words[0], dict(pairwise(words))
    os.kill(int(told["--pid"]), 0)
    socket.create_connection(("127.0.0.1", int(told["--port"])), timeout=10).close()
    members = int(told["--n"])
    sent = 0 if scenario in ("storm", "idle") else 100
    cost = {"framed": 0.1, "line": 0.2}.get(told["--dialect"], 0.4)
    figures = {
        "scenario": scenario,
        "n": members,
        "ready": members,
        "sent": sent,
        "lost": int(os.environ.get("LOADGEN_LOST", "0")),
        "lg_busy": float(os.environ.get("LOADGEN_BUSY", "0.2")),
        "srv_cpu_us_per_delivery": cost,
        "join_cpu_us": 100 * cost,
        "rss_per_conn_b": 10_000 * cost,
        "rss_start_kb": 40_960,
        "deliveries_per_s": 123_456.0,
        "srv_cores": 0.5,
        "lat_us_p50": 1_000.0,
        "lat_us_p99": 9_000.0,
        **dict.fromkeys(("dup", "closed", "misrouted", "bogus", "given_up", "stalled"), 0),
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
