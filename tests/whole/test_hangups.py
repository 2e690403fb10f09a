"""A hundred SIGHUPs while many talk, each with other settings: nobody is cut off, nothing is lost or said twice."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from support.crowd import Wire
from support.talk import Talk

SIGNALS = 100
QUIET = 40  # people who only listen


@pytest.mark.parametrize("command", ["serve", "twistd"])
def test_a_hundred_signals_under_load_cut_nobody_off(start_server: Any, tmp_path: Path, command: str) -> None:
    path = tmp_path / "chatd.toml"
    path.write_text("")
    server = start_server(f"--config={path}", command=command)
    address = (server.host, server.port)
    with contextlib.ExitStack() as stack:
        quiet = [stack.enter_context(Wire(address)) for _ in range(QUIET)]
        for n, wire in enumerate(quiet):
            wire.enter(f"quiet{n}", "#aside")
        talk = stack.enter_context(Talk(server, talkers=3))
        talk.wait_for_oks(20)
        for n in range(SIGNALS):
            path.write_text(f'[server]\nmotd = "number {n}"\n[limits]\nbody_lines = {100 + n}\n')
            os.kill(server.pid, signal.SIGHUP)
            time.sleep(0.03)
        talk.wait_for_oks(20)
        talk.finish()
        assert [one.cuts for one in (*talk.talkers, *talk.listeners)] == [0] * 4
        talk.check()
        for wire in quiet:
            assert wire.ask("send", room="#aside", body="still here")["ok"]
    read = len(re.findall("settings read again: server.motd", server.output()))
    assert read > SIGNALS / 2, f"the settings were read {read} times"  # signals that come together are one
