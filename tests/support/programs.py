"""Programs at a terminal of their own."""

from __future__ import annotations

import signal

import pexpect


def end(child: pexpect.spawn) -> None:
    """End it, whatever it does; pexpect's own way gives up after tenths of a second."""
    if child.isalive():
        child.kill(signal.SIGKILL)
        child.wait()
    child.close()
