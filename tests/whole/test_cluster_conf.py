"""What is given to operators of a cluster: the settings of the NATS servers, and the example with one command."""

from __future__ import annotations

import datetime
import ipaddress
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.crowd import Wire
from support.nats import NatsServer, program
from support.pages import TREE
from support.ports import is_free

Key = ec.EllipticCurvePrivateKey


def certificate(folder: Path, name: str, issuer: tuple[x509.Certificate, Key] | None) -> tuple[x509.Certificate, Key]:
    """A certificate for 127.0.0.1, signed by the issuer or by itself, as NAME.pem and NAME.key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key if issuer is None else issuer[1], hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / f"{name}.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    return made, key


class Configured(NatsServer):
    """A server with the settings in conf/, at the places of a test."""

    def configuration(self) -> str:
        text = (TREE / "conf/nats.conf").read_text()
        routes = "".join(f'"tls://127.0.0.1:{peer.cluster_port}"\n' for peer in self.peers)
        text = re.sub(r"routes: \[.*?\]", lambda _: f"routes: [{routes}]", text, flags=re.DOTALL)
        for ours, theirs in (
            ("server_name: nats-1", f"server_name: {self.name}"),
            ("0.0.0.0:4222", f"127.0.0.1:{self.port}"),
            ("127.0.0.1:8222", f"127.0.0.1:{self.monitor_port}"),
            ("0.0.0.0:6222", f"127.0.0.1:{self.cluster_port}"),
            ("/var/lib/nats", str(self.folder / "store")),
            ("max_file: 50GB", "max_file: 1GB"),
            ("/etc/nats/", f"{self.folder.parent}/"),
        ):
            assert ours in text
            text = text.replace(ours, theirs)
        return text


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Configured]]:
    """Three of them, with certificates of one authority."""
    monkeypatch.setenv("CHATD_PASSWORD", "a-secret-of-theirs")
    authority = certificate(tmp_path, "ca", None)
    certificate(tmp_path, "server", authority)
    certificate(tmp_path, "node", authority)
    three = [Configured(tmp_path / name, name=name) for name in ("nats-1", "nats-2", "nats-3")]
    for server in three:
        server.peers = three
        server.start(wait=False)
    for server in three:
        server.wait()
    yield three
    for server in three:
        server.stop()


@pytest.mark.timeout(90)
@pytest.mark.parametrize("shards", ["1", "2"], ids=["one stream", "shards"])
def test_a_node_does_all_it_does_with_the_rights_in_conf(
    configured: list[Configured], tmp_path: Path, start_server: Any, shards: str
) -> None:
    """Over TLS, with certificates on both sides, and a user who may do nothing else."""
    places = ",".join(f"127.0.0.1:{server.port}" for server in configured)
    environ = {
        "CHATD__JOURNAL__TLS_CA": str(tmp_path / "ca.pem"),
        "CHATD__JOURNAL__TLS_CERTIFICATE": str(tmp_path / "node.pem"),
        "CHATD__JOURNAL__TLS_KEY": str(tmp_path / "node.key"),
        "CHATD__JOURNAL__MONITOR": ",".join(server.monitor for server in configured),
        "CHATD__JOURNAL__REQUIRE": "replicated:3+fsync",
        "CHATD__JOURNAL__SHARDS": shards,
    }
    url = f"tls://chatd:a-secret-of-theirs@{places}"
    one, other = (start_server(f"--journal={url}", environ=environ) for _ in range(2))
    with Wire((one.host, one.port)) as tom, Wire((other.host, other.port)) as kim:
        tom.enter("tom", "#lobby", caps=("typing",))
        kim.enter("kim", "#lobby")
        assert kim.ask("send", room="#lobby", body="hello")["ok"]
        assert tom.until("message")["body"] == "hello"
        assert kim.ask("presence", typing={"room": "#lobby", "state": "active"})["ok"]
        assert tom.until("typing")["who"] == "kim"
    for server in (one, other):
        assert server.stop() == 0
        assert "a-secret-of-theirs" not in server.output()
    log = "".join((server.folder / "log").read_text() for server in configured)
    assert "Permissions Violation" not in log
    stranger = start_server(f"--journal=tls://chatd:wrong@{places}", environ=environ, until="spawned")
    assert stranger.process.wait(20) != 0


def twelve_ports() -> tuple[int, int]:
    """The ports `--port` and `--nats-port` of the example such that all of its twelve are free.

    They are below those that the kernel gives out for calls, so that nobody takes them by chance.
    """
    for _ in range(100):
        first, nats = random.randrange(20_000, 30_000), random.randrange(10_000, 19_000)
        wanted = [first, first + 1, first + 2, *(nats + n + kind for n in (1, 2, 3) for kind in (0, 100, 200))]
        if all(map(is_free, wanted)):
            return first, nats
    raise AssertionError("no ports are free")


def test_the_example_starts_a_cluster_and_ends_it(tmp_path: Path) -> None:
    """One command: three servers, three nodes, and how to join them; Ctrl-C, and no process is left."""
    program()
    first, nats = twelve_ports()
    command = [sys.executable, str(TREE / "examples/cluster/run.py"), f"--port={first}", f"--nats-port={nats}"]
    environ = os.environ | {"HOME": str(tmp_path), "PYTHONPATH": str(TREE)}
    example = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=environ)
    assert example.stdout is not None
    alarm = threading.Timer(50, example.kill)
    alarm.start()
    try:
        told = [example.stdout.readline() for _ in range(10)]
        assert told[0].startswith(f"telnet localhost {first} "), told
        pids = [int(found[1]) for line in told if (found := re.search(r"process (\d+)", line))]
        assert len(pids) == 6
        with Wire(("127.0.0.1", first)) as tom, Wire(("127.0.0.1", first + 2)) as kim:
            tom.enter("tom", "#lobby")
            kim.enter("kim", "#lobby")
            assert kim.ask("send", room="#lobby", body="hello")["ok"]
            assert tom.until("message")["body"] == "hello"
    finally:
        example.send_signal(signal.SIGINT)
        status = example.wait(40)
        alarm.cancel()
        example.stdout.close()
    assert status == 0
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
