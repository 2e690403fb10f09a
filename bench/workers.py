"""Would more processes pay? `python -m bench.workers [--loadgen PATH] [--quick]`.

Measures what could be moved out of the one process that decides, stores and shows, and what the moving costs:

- a room of 10, 100 and 1,000, with chatd alone;
- the same behind a front that passes bytes on (`bench/front.py`), which is the least that a worker does that takes
  connections off the server: what the server then costs, and what the front costs;
- the plain loop of `bench/reference.py`: what a worker would pay for a delivery if it got one copy for all of its
  members. This is the most that could be moved;
- encryption: what it adds to the writing of what a turn has brought, by the size of that.

Everything stays on loopback; processes are ended by their number. What was decided by it is in
docs/explanation/more-than-one-core.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import loadgen, machine
from bench.loadgen import CannotMeasure
from bench.results import figure, table
from bench.scenarios import Scenario, saturate, shorter
from bench.servers import TREE, Subject, chatd, environment, free_port, reference, serving
from bench.words import say

MEMBERS = (10, 100, 1000)
SIZES = (300, 4_800, 19_200)  # of one message, of sixteen, of sixty-four
WRITES, ROUNDS = 50, 100
TURNS = 5
TICKS = os.sysconf("SC_CLK_TCK")


def used(pid: int) -> float:
    """The processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


# -- processes ------------------------------------------------------------------------------------------------


def behind(folder: Path) -> Subject:
    """chatd on a Unix socket, to stand behind a front."""
    alone = chatd("framed", "sqlite")

    def command(place: Path, port: int) -> list[str]:
        words = [word for word in alone.command(place, port) if not word.startswith("--port")]
        # The bench waits until somebody answers at a port of TCP: that is what the metrics are opened for.
        return [*words, f"--port=unix:{folder}/chatd.sock", f"--metrics-port={port}"]

    return Subject("chatd behind a front", alone.words, command, alone.baseline)


@contextlib.contextmanager
def front(path: Path) -> Iterator[tuple[int, int]]:
    """The front of a Unix socket: its process and its port."""
    port = free_port()
    words = [sys.executable, str(TREE / "bench/front.py"), f"--port={port}", f"--to={path}"]
    process = subprocess.Popen(words, env=environment(path.parent))
    try:
        for _ in range(500):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.02)
        yield process.pid, port
    finally:
        process.kill()
        process.wait()


def alone(subject: Subject, scenario: Scenario, program: Path) -> float:
    """What a delivery costs a server, in microseconds."""
    with serving(subject) as server:
        words = [*scenario.command(), *subject.words]
        return float(loadgen.run(program, words, port=server.port, pid=server.pid)[scenario.key])


def apart(scenario: Scenario, program: Path) -> tuple[float, float]:
    """What a delivery costs chatd behind a front, and what it costs the front."""
    with tempfile.TemporaryDirectory(prefix="chatd-bench-") as name:
        subject = behind(Path(name))
        with serving(subject) as server, front(Path(name, "chatd.sock")) as (pid, port):
            before = used(pid)
            found = loadgen.run(program, [*scenario.command(), *subject.words], port=port, pid=server.pid)
            if not found["sent"]:
                raise CannotMeasure("nothing came through the front")
            delivered = found.get("delivered") or found["sent"]
            return float(found[scenario.key]), (used(pid) - before) / delivered * 1e6


def fronts(program: Path, quick: bool) -> str:
    """The table of rooms: the median of some turns, in which each is measured once."""
    rows = [["members of one room", "chatd alone", "chatd behind a front", "the front itself", "both", "plain loop"]]
    for members in MEMBERS[:1] if quick else MEMBERS:
        scenario = saturate(f"{members} members", "", members)
        scenario = shorter(scenario) if quick else scenario
        turns = []
        for _ in range(1 if quick else TURNS):
            server = alone(chatd("framed", "sqlite"), scenario, program)
            rest, relay = apart(scenario, program)
            turns.append((server, rest, relay, rest + relay, alone(reference("framed"), scenario, program)))
            say(f"{members} members: " + ", ".join(map(figure, turns[-1])))
        rows.append([f"{members:,}", *(figure(statistics.median(column)) for column in zip(*turns, strict=True))])
    return table(rows, texts=())


# -- encryption -----------------------------------------------------------------------------------------------


def sessions(folder: Path) -> tuple[ssl.SSLObject, ssl.MemoryBIO]:
    """The server's side of a TLS session without a socket, and where its bytes come out."""
    openssl = shutil.which("openssl")
    if openssl is None:
        raise CannotMeasure("there is no openssl to make a certificate with")
    made = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    made += ["-subj", "/CN=localhost", "-keyout", f"{folder}/key", "-out", f"{folder}/certificate"]
    subprocess.run(made, check=True, capture_output=True)
    ours, theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=f"{folder}/certificate")
    ours.load_cert_chain(f"{folder}/certificate", f"{folder}/key")
    to_us, from_us = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = ours.wrap_bio(to_us, from_us, server_side=True)
    client = theirs.wrap_bio(from_us, to_us, server_hostname="localhost")
    for _ in range(10):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    with contextlib.suppress(ssl.SSLWantReadError):
        client.read()  # the tickets
    from_us.read()
    return server, from_us


def costs_of(*writes: Callable[[], None]) -> list[float]:
    """Processor time of this thread for one call of each, in microseconds: that of the fastest of many short rounds,
    in which they take turns."""
    least = [float("inf")] * len(writes)
    for _ in range(ROUNDS):
        for n, write in enumerate(writes):
            began = time.thread_time()
            for _ in range(WRITES):
                write()
            least[n] = min(least[n], (time.thread_time() - began) / WRITES * 1e6)
    return least


def encryption() -> str:
    """The table of writes."""
    rows = [["bytes at once", "plain", "encrypted", "a message of 300 bytes, plain", "encrypted"]]
    with tempfile.TemporaryDirectory(prefix="chatd-bench-") as name, socket.create_server(("127.0.0.1", 0)) as listener:
        session, out = sessions(Path(name))
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
        with near, far:
            for size in SIZES:
                blob = bytes(size)

                def plain(blob: bytes = blob) -> None:
                    near.sendall(blob)
                    far.recv(1 << 17)

                def encrypted(blob: bytes = blob) -> None:
                    session.write(blob)
                    near.sendall(out.read())
                    far.recv(1 << 17)

                costs = costs_of(plain, encrypted)
                each = [one * SIZES[0] / size for one in costs]
                rows.append([f"{size:,}", *map(figure, (*costs, *each))])
    return table(rows, texts=())


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--loadgen", metavar="PATH")
    parser.add_argument("--quick", action="store_true", help="ten members only, and a second of load")
    chosen = parser.parse_args(words)
    try:
        program = loadgen.find(chosen.loadgen)
        for name, fact in machine.facts(None).items():
            print(f"- {name}: {fact}")
        print("\nµs of processor time a delivery:\n")
        print(fronts(program, chosen.quick))
        print("\nµs of processor time a write, its share of the kernel and of reading it again included:\n")
        print(encryption())
    except CannotMeasure as problem:
        say(f"bench: {problem}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
