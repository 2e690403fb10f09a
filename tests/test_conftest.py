"""The tests' own guards: what would pass unseen elsewhere fails here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).parent.parent

CARELESS = """
import threading
import time

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail
from twisted.internet.protocol import Factory
from twisted.logger import Logger


@pytest.mark.timeout(0.2)
@pytest_twisted.ensureDeferred
async def test_waits_for_what_never_comes():
    await Deferred()


@pytest.mark.timeout(0.2)
@pytest_twisted.inlineCallbacks
def test_waits_in_the_old_way():
    yield Deferred()


@pytest.mark.timeout(-9)
def test_never_ends():
    while True:
        time.sleep(0.01)


def test_forgets_a_timer():
    reactor.callLater(60, print)


def test_forgets_a_port():
    reactor.listenTCP(0, Factory(), interface="127.0.0.1")


def test_forgets_a_thread():
    threading.Thread(target=time.sleep, args=(1.5,)).start()


def test_forgets_an_error():
    fail(LookupError("nobody looked"))


def test_logs_a_mistake():
    try:
        raise LookupError("lost")
    except LookupError:
        Logger().failure("oh")


def test_logs_a_mistake_on_purpose(logged_errors):
    fail(LookupError("expected"))
    (error,) = logged_errors.take(LookupError)
    assert str(error) == "expected"


def test_a_program_is_missing(program):
    program("no-such-program")


@pytest_twisted.ensureDeferred
async def test_all_is_well():
    called = Deferred()
    reactor.callLater(0.01, called.callback, 7)
    assert await called == 7
"""

OUTCOMES = {
    "test_waits_for_what_never_comes": "FAILED",
    "test_waits_in_the_old_way": "FAILED",
    "test_never_ends": "FAILED",
    "test_forgets_a_timer": "PASSED ERROR",
    "test_forgets_a_port": "PASSED ERROR",
    "test_forgets_a_thread": "PASSED ERROR",
    "test_forgets_an_error": "PASSED ERROR",
    "test_logs_a_mistake": "PASSED ERROR",
    "test_logs_a_mistake_on_purpose": "PASSED",
    "test_a_program_is_missing": "FAILED",
    "test_all_is_well": "PASSED",
}


def outcomes(folder: Path, test: str = "", *, ci: str) -> tuple[dict[str, str], str]:
    """How the careless tests end: the word after each, and everything that was printed."""
    shutil.copy(TREE / "tests" / "conftest.py", folder)
    (folder / "test_careless.py").write_text(CARELESS)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-c", os.devnull, "--rootdir", folder, f"test_careless.py{test}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"CI": ci, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=folder,
    )
    found: dict[str, str] = {}
    for line in ran.stdout.partition("= ERRORS =")[0].splitlines():
        if "::" in line:
            name, outcome = line.partition("::")[2].split()[:2]
            found[name] = f"{found[name]} {outcome}" if name in found else outcome
    return found, ran.stdout


def test_careless_tests_do_not_pass(tmp_path: Path) -> None:
    found, printed = outcomes(tmp_path, ci="true")
    assert found == OUTCOMES, printed
    assert "the test waited more than 0.2 s, here" in printed
    assert "nobody looked" in printed


def test_at_home_a_missing_program_is_no_mistake(tmp_path: Path) -> None:
    found, printed = outcomes(tmp_path, "::test_a_program_is_missing", ci="")
    assert found == {"test_a_program_is_missing": "SKIPPED"}, printed
