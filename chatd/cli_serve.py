"""`chatd serve`: runs a server in this process, until it is told to stop.

The options and the service are those of `twistd -n chatd`. What is added is what a program of its own can do:
a concise log, one line and a status for what keeps it from starting, and status 0 after a goodbye.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from chatd.errors import Exit, OperatorError

# After this long the process ends whether or not everything has; what was acknowledged is on the disk.
PATIENCE_SECONDS = 9.5


def run(_name: str, words: list[str]) -> int:
    """Serve; raises `OperatorError` if the server cannot start."""
    from chatd.tap import ServeOptions

    options = ServeOptions()
    options.synopsis = "Usage: chatd serve [options]"
    options.parseOptions(words)

    from twisted.internet import reactor as installed

    from chatd import logs
    from chatd.reload import Hangup
    from chatd.service import ChatService
    from chatd.steady import keep_steady

    reactor: Any = installed
    keep_steady(reactor)
    observer = logs.begin(sys.stdout, options.loaded.settings.log)
    refusals: list[OperatorError] = []
    stop = Stop(reactor)

    def give_up(error: OperatorError) -> None:
        refusals.append(error)
        stop.now()

    service = ChatService(
        options.loaded, reactor=reactor, give_up=give_up, read_again=options.read_again, observer=observer
    )
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    service.startService()
    stop.on_signals(signal.SIGINT, signal.SIGTERM)
    Hangup(reactor, reload=service.reload, stop=stop.now)
    reactor.run(installSignalHandlers=False)
    stop.is_over()
    if refusals:
        raise refusals[0]
    return Exit.OK


class Stop:
    """Stops the reactor once, in order; a second signal, or too long a wait, ends the process at once."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._deadline: threading.Timer | None = None
        self._is_stopping = False

    def on_signals(self, *numbers: int) -> None:
        """Stop when one of these signals comes."""
        for number in numbers:
            signal.signal(number, self._signalled)

    def _signalled(self, number: int, frame: object) -> None:
        if self._is_stopping:
            os._exit(Exit.INTERRUPTED)
        # Signals interrupt whatever runs; the reactor takes this up between two of its turns.
        self.now()

    def now(self) -> None:
        if not self._is_stopping:
            self._is_stopping = True  # at once: another signal may come before the next line
            self._deadline = threading.Timer(PATIENCE_SECONDS, os._exit, [Exit.SOFTWARE])
            self._deadline.daemon = True
            self._deadline.start()
            self._reactor.callFromThread(self._reactor.stop)

    def is_over(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
