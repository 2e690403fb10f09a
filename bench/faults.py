"""The fault test for as long as one wants: does every bot handle every message once, whatever happens?

    python bench/faults.py --seconds 60 --seed 7

It starts a server of its own, on a data folder that is removed afterwards, and bots with all three faces of the
library; a proxy between them cuts, delays and repeats connections, bots and server are killed and started again. Then
everybody catches up, and what each bot handled is compared with what the server keeps. It prints how often each
fault happened and what came of it, and ends with status 1 if a promise was broken. The same seed gives the same
faults, though not at the same bytes. The parts are those of tests/whole/test_faults.py.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TREE = Path(__file__).parent.parent
sys.path[:0] = [str(TREE), str(TREE / "tests")]

from support.storm import Outcome, Storm  # noqa: E402  # it is found by the line above

START_SECONDS = 30.0


class Server:
    """A server on a data folder of its own, started again on the same port."""

    host = "127.0.0.1"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.restart()

    def restart(self) -> None:
        """Start, and wait until it listens."""
        ready = self.folder / "ready.json"
        words = [f"--port={self.port}", "--line-port=none", f"--data-dir={self.folder}", f"--ready-file={ready}"]
        with (self.folder / "server.log").open("ab") as log:
            command = [sys.executable, "-m", "chatd", "serve", *words]
            environ = os.environ | {"PYTHONPATH": str(TREE)}
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(FileNotFoundError):
                told = json.loads(ready.read_bytes())
                if told["pid"] == self.process.pid:
                    self.port = next(one["port"] for one in told["listeners"] if one["protocol"] == "detect")
                    return
            time.sleep(0.02)
        self.kill9()
        raise SystemExit(f"the server did not start: {(self.folder / 'server.log').read_text()[-2000:]}")

    def kill9(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(15)


def table(outcome: Outcome) -> str:
    """The outcome for people."""
    rows: list[tuple[str, object]] = [("fault", "times")]
    rows += sorted(outcome.faults.items())
    rows += [("", ""), ("connections", outcome.connections), ("messages said", outcome.said)]
    rows += [("stored", outcome.stored), ("handled, by all bots", outcome.handled), ("lost", outcome.lost)]
    rows += [("twice", outcome.twice), ("out of order", outcome.disordered)]
    rows += [("shown again after a kill, and passed over", outcome.shown_again)]
    rows += [("given up by the library, and asked again", outcome.given_up)]
    rows += [("longest time away, s", f"{outcome.longest_away:.1f}")]
    rows += [("longest from stored to handled, s", f"{outcome.oldest:.1f}")]
    rows += [("all caught up after the end, s", f"{outcome.settled_in:.1f}")]
    return "\n".join(f"{what:44}{number:>8}" for what, number in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description="A storm of faults between the client library and a server.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bots", type=int, default=4, help="by turns asyncio, blocking, Twisted, polled (4)")
    parser.add_argument("--every", type=float, default=0.4, help="seconds between two faults of the network (0.4)")
    parser.add_argument("--kill", type=float, default=3, help="seconds between two kills of a bot (3)")
    parser.add_argument("--crash", type=float, default=15, help="seconds between two ends of the server (15)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chatd-faults-") as folder:
        server = Server(Path(folder))
        try:
            storm = Storm(
                server,
                Path(folder, "bots"),
                seed=chosen.seed,
                bots=chosen.bots,
                every=chosen.every,
                kill=chosen.kill,
                crash=chosen.crash,
            )
            outcome = storm.run(chosen.seconds)
        finally:
            server.kill9()
    print(table(outcome))
    for fault in outcome.wrong:
        print(f"BROKEN: {fault}")
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
