"""What all tests share: a limit of time, a look at what each test leaves behind, and servers to talk to.

pytest-twisted has no limit of time, does not mind what is left in the reactor, and lets an error that nobody
looked at pass. All three are added here, for every test.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from support.disk import build
from support.ports import free_ports
from support.turns import turn
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

import chatd

TEST_SECONDS = 60.0
SOAK_PATIENCE = 60
START_SECONDS = 30.0
STOP_SECONDS = 15.0


# -- how much -------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--soak`: proofs run at their full extent. `--write-pictures`: the pictures of docs/ are made anew."""
    parser.addoption("--soak", action="store_true", help="run every proof at its full extent; takes hours")
    parser.addoption("--write-pictures", action="store_true", help="write the pictures of the page into docs/img")


@pytest.fixture(scope="session")
def extent(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """How often, or how many: `extent(3, 100)` is 3, and 100 with `--soak`."""

    def chosen(usual: int, full: int) -> int:
        return full if request.config.getoption("--soak") else usual

    return chosen


# -- a limit of time ------------------------------------------------------------------------------------------


def seconds_for(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    seconds = float(marker.args[0]) if marker else TEST_SECONDS
    return seconds * SOAK_PATIENCE if item.config.getoption("--soak") else seconds


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Any:
    """A test that waits too long is ended where it waits."""
    test, seconds = pyfuncitem.obj, seconds_for(pyfuncitem)
    mark = getattr(test, "_pytest_twisted_mark", None)

    def expire(failure: Any, _seconds: float) -> None:
        raise AssertionError(f"the test waited more than {seconds} s, here") from failure.value

    @functools.wraps(test)
    async def bounded(**fixtures: Any) -> Any:
        running = Deferred.fromCoroutine(test(**fixtures)) if mark == "async_test" else test(**fixtures)
        return await running.addTimeout(seconds, reactor, expire)

    if mark is not None and not hasattr(test, "hypothesis"):
        bounded._pytest_twisted_mark = "async_test"
        pyfuncitem.obj = bounded
    try:
        return (yield)
    finally:
        pyfuncitem.obj = test


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Any:
    """A test that neither ends nor waits is interrupted, and at the third time the run is given up."""
    alarms = []

    def ring(_number: int, frame: Any) -> None:
        alarms.append(frame)
        if len(alarms) == 3:
            os.write(2, f"{item.nodeid} cannot be interrupted\n".encode())
            os._exit(70)
        raise TimeoutError(f"{item.nodeid} takes too long")

    with turn(item):
        earlier = signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, seconds_for(item) + 10, 10)
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, earlier)


# -- what is left behind --------------------------------------------------------------------------------------


class LoggedErrors:
    """The errors that were logged during a test; a test that means to cause some takes them away."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def __call__(self, event: dict[str, Any]) -> None:
        # A forgotten Deferred is told in two events; the first has no failure in it.
        is_heading = event.get("log_namespace") == "twisted.internet.defer" and "log_failure" not in event
        if not is_heading and (event.get("log_level") is LogLevel.critical or event.get("isError")):
            self.events.append(event)

    def take(self, kind: type[BaseException] = BaseException) -> list[BaseException]:
        """The logged exceptions of this kind, which the test then does not fail for."""
        gc.collect()
        failures = [(event, event.get("log_failure")) for event in self.events]
        taken = [(event, failure) for event, failure in failures if failure and failure.check(kind)]
        for event, _ in taken:
            self.events.remove(event)
        return [failure.value for _, failure in taken]

    def told(self) -> str:
        lines = []
        for event in self.events:
            failure = event.get("log_failure")
            lines.append(f"{formatEvent(event)}\n{failure.getTraceback() if failure else ''}")
        return "\n".join(lines)


@pytest.fixture(autouse=True)
def logged_errors() -> Iterator[LoggedErrors]:
    """Every test ends without logged errors, the forgotten ones in Deferreds too, and leaves nothing running."""
    errors = LoggedErrors()
    globalLogPublisher.addObserver(errors)
    pytest_twisted.blockon(task.deferLater(reactor, 0))  # what the reactor itself sets up at its start
    before = left_behind()
    yield errors
    for _ in range(50):
        if not (left := left_behind() - before):
            break
        pytest_twisted.blockon(task.deferLater(reactor, 0.01))
    gc.collect()
    globalLogPublisher.removeObserver(errors)
    assert not left, f"left behind: {sorted(map(str, left))}"
    assert not errors.events, f"logged: {errors.told()}"


def left_behind() -> set[Any]:
    """Timers, sockets and threads that are there now."""
    threads = {thread for thread in threading.enumerate() if "Pool" not in thread.name}
    return {*reactor.getDelayedCalls(), *reactor.getReaders(), *reactor.getWriters(), *threads}


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is loaded by now stays; not looking at it again makes the collection after each test cheap."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def what_stays() -> Iterator[None]:
    """Nor at what a module of tests has left, such as caches and reports."""
    yield
    gc.collect()
    gc.freeze()


# -- programs and servers -------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Finds a program such as telnet; without it the test is skipped at home, and fails where CI=true."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            reason = f"there is no {name} on this machine"
            pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
        return path

    return find


@pytest.fixture(scope="session")
def faults(program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes a server's disk and clock fail; it is for `support.disk.Disk`."""
    return build(program("cc"), tmp_path_factory.mktemp("faults"))


class ServerProcess:
    """A real server in a process of its own, started from a folder that has nothing to do with it.

    `host`, `port` and `line_port` are where it listens, `pid` is its process, `log` the file of all it printed,
    `data_dir` its data folder. `command` is "serve" or "twistd".
    """

    host = "127.0.0.1"

    def __init__(self, folder: Path, options: tuple[str, ...], command: str, environ: dict[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.options, self.command = folder, options, command
        self.data_dir = folder / "data"
        self.ready_file = folder / "ready.json"
        self.log = folder / "server.log"
        self.environ = clean_environment(folder) | environ
        self.process: subprocess.Popen[bytes] | None = None
        self.ports = dict(zip(("--port", "--line-port"), map(str, free_ports(2)), strict=True))

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the process without waiting for anything."""
        chosen = {option.partition("=")[0] for option in self.options}
        defaults = {
            **self.ports,
            "--data-dir": str(self.data_dir),
            "--ready-file": str(self.ready_file),
        }
        words = [f"{option}={value}" for option, value in defaults.items() if option not in chosen]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*server_command(self.command), *words, *self.options],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self.process

    def start(self) -> ServerProcess:
        """Start, and wait until everything listens."""
        process = self.spawn()
        deadline = time.monotonic() + START_SECONDS
        while not self.is_ready():
            if process.poll() is not None:
                pytest.fail(f"the server ended with {process.returncode}: {self.output()}")
            if time.monotonic() > deadline:
                pytest.fail(f"the server is not ready: {self.output()}")
            time.sleep(0.02)
        return self

    def is_ready(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return bool(json.loads(self.ready_file.read_bytes())["pid"] == self.pid)
        return False

    def restart(self) -> ServerProcess:
        """Start again on the same data, and on the same ports."""
        assert self.process is not None, "it never ran"
        assert self.process.poll() is not None, "it is still running"
        return self.start()

    def stop(self) -> int:
        """Ask it to end (SIGTERM); its status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(STOP_SECONDS)

    def kill9(self) -> None:
        """End it the hard way."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def end(self) -> None:
        """Whatever happened, no process is left."""
        if self.process is not None and self.process.poll() is None:
            self.kill9()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def listeners(self) -> list[dict[str, Any]]:
        """Where it listens, as its ready file tells."""
        told: list[dict[str, Any]] = json.loads(self.ready_file.read_bytes())["listeners"]
        return told

    def port_of(self, *protocols: str) -> int:
        places = (place for place in self.listeners if place["protocol"] in protocols and place["port"])
        return int(next(places)["port"])

    @property
    def port(self) -> int:
        return self.port_of("detect", "framed")

    @property
    def line_port(self) -> int:
        return self.port_of("line")

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def server_command(name: str) -> list[str]:
    """`serve`, `twistd`, or `twistd` and the reactor that it is to run on."""
    if name == "serve":
        return [sys.executable, "-m", "chatd", "serve"]
    twistd, *reactors = name.split()
    chosen = [f"--reactor={reactor}" for reactor in reactors]
    return [str(Path(sysconfig.get_path("scripts"), twistd)), "-n", "--pidfile=", *chosen, "chatd"]


def clean_environment(folder: Path) -> dict[str, str]:
    """The environment of a process that knows nothing of who runs the tests, but finds the chatd under test."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CHATD", "XDG_", "LISTEN_"))
        and name not in ("STATE_DIRECTORY", "NOTIFY_SOCKET", "COLUMNS", "LINES")
    }
    parent = Path(chatd.__file__).parent.parent
    if parent.name != "site-packages":
        kept["PYTHONPATH"] = str(parent)
    return kept | {"HOME": str(folder), "PYTHONUNBUFFERED": "1"}


StartServer = Callable[..., ServerProcess]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Starts servers: `start_server("--no-detect", command="twistd")`; all are ended with the test.

    It waits until the server is ready; `until="spawned"` does not, `until="made"` does not even start it.
    """
    with servers(tmp_path) as start:
        yield start


@pytest.fixture
def server(start_server: StartServer) -> ServerProcess:
    """A server of this test's own, on a data folder of its own."""
    return start_server()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for all tests that need no more than rooms and names of their own."""
    with servers(tmp_path_factory.mktemp("shared")) as start:
        yield start()


@contextlib.contextmanager
def servers(folder: Path) -> Iterator[StartServer]:
    started: list[ServerProcess] = []

    def start(
        *options: str,
        command: str = "serve",
        environ: dict[str, str] | None = None,
        until: str = "ready",
    ) -> ServerProcess:
        server = ServerProcess(folder / f"server{len(started)}", options, command, environ or {})
        started.append(server)
        if until == "ready":
            server.start()
        elif until == "spawned":
            server.spawn()
        return server

    try:
        yield start
    finally:
        for server in started:
            server.end()
    for server in started:
        assert "Traceback" not in server.output(), server.output()
