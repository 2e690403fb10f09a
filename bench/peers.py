"""Other servers to be measured beside chatd, those that are on this machine's PATH; none is installed by this.

Each is told to keep nothing, to resolve no names and to slow nobody down, as far as it lets itself be told.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from bench.loadgen import CannotMeasure
from bench.servers import Subject, environment, reference_name

IRC = ("--dialect", "irc")
# A subscriber may publish only in the third version of its protocol.
PUBSUB = (
    *("--dialect", "line", "--login", r"HELLO 3\r\n", "--login-wait", "proto"),
    *("--join", r"SUBSCRIBE %r\r\n", "--join-wait", "subscribe", "--send", r"PUBLISH %r %m\r\n"),
)


def redis(folder: Path, port: int) -> list[str]:
    lines = (
        f"port {port}",
        "bind 127.0.0.1",
        f"dir {folder}",
        'save ""',
        "appendonly no",
        "maxclients 15000",
        "tcp-backlog 4096",
        "client-output-buffer-limit pubsub 0 0 0",
    )
    return [_found("redis-server"), _written(folder / "redis.conf", *lines)]


def inspircd(folder: Path, port: int) -> list[str]:
    lines = (
        '<config format="xml">',
        '<server name="irc.bench.local" description="bench" network="bench" id="1BE">',
        '<admin name="bench" nick="bench" email="bench@bench.local">',
        f'<bind address="127.0.0.1" port="{port}" type="clients">',
        '<connect name="all" allow="*" timeout="120" pingfreq="3600" hardsendq="64M" softsendq="64M" recvq="1M"'
        ' localmax="100000" globalmax="100000" limit="100000" maxchans="100" resolvehostnames="no" useident="no"'
        ' fakelag="no" commandrate="100000000" threshold="100000000" maxconnwarn="no">',
        '<performance netbuffersize="65534" somaxconn="4096" softlimit="100000">',
        f'<pid file="{folder}/inspircd.pid">',
        f'<log method="file" type="*" level="default" target="{folder}/inspircd.log">',
    )
    config = _written(folder / "inspircd.conf", *lines)
    return [_found("inspircd"), "--nofork", "--runasroot", f"--config={config}"]


def ngircd(folder: Path, port: int) -> list[str]:
    lines = (
        "[Global]",
        *("Name = irc.bench.local", "Info = bench", "Listen = 127.0.0.1", f"Ports = {port}", "MotdPhrase = bench"),
        "[Limits]",
        *("MaxConnections = 0", "MaxConnectionsIP = 0", "MaxJoins = 0", "MaxPenaltyTime = 0", "PingTimeout = 3600"),
        "[Options]",
        *("DNS = no", "Ident = no", "PAM = no"),
    )
    return [_found("ngircd"), "--nodaemon", "--config", _written(folder / "ngircd.conf", *lines)]


def ergo(folder: Path, port: int) -> list[str]:
    program = _found("ergo")

    def ask(*words: str) -> str:
        ran = subprocess.run(
            [program, *words], cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=30
        )
        if ran.returncode:
            raise CannotMeasure(f"ergo {words[0]} failed: {(ran.stderr or ran.stdout).strip()[-200:]}")
        return ran.stdout

    text = ask("defaultconfig")
    text = re.sub(
        r"^( +)listeners:\n(?:\1 .*\n|\s*\n|\1#.*\n)+",
        rf'\1listeners:\n\1    "127.0.0.1:{port}": {{}}\n',
        text,
        flags=re.M,
    )
    for key, value in (("count", "false"), ("throttle", "false"), ("max-sendq", "64M"), ("lookup-hostnames", "false")):
        text = re.sub(rf"^( +{key}:).*", rf"\1 {value}", text, flags=re.M)
    text = re.sub(r"^( +fakelag:\n(?: +#.*\n|\s*\n)* +enabled:).*", r"\1 false", text, flags=re.M)
    text = re.sub(r"^ +motd:.*\n", "", text, flags=re.M)
    config = _written(folder / "ergo.yaml", text)
    ask("initdb", "--conf", config)
    return [program, "run", "--conf", config]


PEERS = {
    "redis-server": ("Redis, pub/sub", PUBSUB, redis),
    "inspircd": ("InspIRCd", IRC, inspircd),
    "ngircd": ("ngIRCd", IRC, ngircd),
    "ergo": ("Ergo", IRC, ergo),
}


def here() -> list[Subject]:
    """Those that are found, compared with the framed reference."""
    return [
        Subject(name, words, command, reference_name("framed"))
        for program, (name, words, command) in PEERS.items()
        if shutil.which(program)
    ]


def _found(program: str) -> str:
    return shutil.which(program) or program


def _written(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines) + "\n")
    return str(path)
