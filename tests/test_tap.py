"""Options: those of `twistd -n chatd` and `chatd serve` are the same, and what is wrong is one line."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import chatd
from chatd import cli
from chatd.cli import COMMANDS
from chatd.errors import Exit, OperatorError
from chatd.settings import declared
from chatd.tap import SETTINGS, Options, ServeOptions

NAMES = {
    "port",
    "line-port",
    "http-port",
    "metrics-port",
    "interface",
    "public",
    "data-dir",
    "config",
    "registration",
    "journal",
    "no-detect",
    "ready-file",
}


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("CHATD", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def parsed(*words: str) -> ServeOptions:
    options = ServeOptions()
    options.parseOptions(list(words))
    return options


def python(*words: str) -> subprocess.CompletedProcess[str]:
    parent = str(Path(chatd.__file__).parent.parent)
    environ = os.environ | ({} if "site-packages" in parent else {"PYTHONPATH": parent})
    return subprocess.run(words, capture_output=True, text=True, env=environ, timeout=30, check=False)


def test_the_options_are_those_of_the_contract() -> None:
    assert {option.rstrip("=") for option in ServeOptions().longOpt} == NAMES | {"help", "version"}
    assert set(SETTINGS) == NAMES - {"config"}
    assert set(SETTINGS.values()) <= set(declared())


def test_options_become_settings() -> None:
    """A21, A22: each option reaches its setting and says so."""
    loaded = parsed(
        "--port=0",
        "--line-port=none",
        "--http-port=0",
        "--metrics-port=0",
        "--interface=127.0.0.1",
        "--public",
        "--data-dir=/d",
        "--journal=memory:",
        "--no-detect",
        "--ready-file=/r",
        "--registration=invite",
    ).loaded
    server = loaded.settings.server
    assert loaded.settings.accounts.registration == "invite"
    assert (server.port, server.line_port, server.interface) == ("0", "none", "127.0.0.1")
    assert (server.public, server.detect) == (True, False)
    assert (server.data_dir, server.ready_file) == ("/d", "/r")
    assert loaded.settings.journal.url == "memory:"
    assert {loaded.origins[name] for name in SETTINGS.values()} == {f"--{name}" for name in SETTINGS}


def test_what_is_not_given_is_left_to_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A21: command line, then environment, then file."""
    path = tmp_path / "chatd.toml"
    path.write_text(
        "[server]\nport = 1\nline_port = 1\ninterface = '::1'\npublic = true\ndetect = false\n"
        "[accounts]\nregistration = 'closed'\n"
    )
    monkeypatch.setenv("CHATD__SERVER__LINE_PORT", "2")
    server = parsed("--config", str(path), "--interface=127.0.0.1").loaded.settings.server
    assert (server.port, server.line_port, server.interface) == (1, "2", "127.0.0.1")
    assert (server.public, server.detect) == (True, False)


@pytest.mark.parametrize(
    ("words", "told", "status"),
    [
        (["--prot", "1"], "options: option --prot not recognized; did you mean --port?", Exit.USAGE),
        (["--xyz"], "options: option --xyz not recognized; see them all with --help", Exit.USAGE),
        (["--port"], "options: option --port requires argument; see them all with --help", Exit.USAGE),
        (["1234"], "options: '1234' is one word too many", Exit.USAGE),
        (["--port", "70000"], "--port 70000: a port is a number from 0", Exit.USAGE),
        (["--interface", "me"], "--interface me: this is not an IP address", Exit.USAGE),
        (["--config", "/no/such"], "settings file /no/such: there is no such file", Exit.SETTINGS),
    ],
)
def test_a_wrong_option_is_one_line(
    words: list[str], told: str, status: Exit, capsys: pytest.CaptureFixture[str]
) -> None:
    """A22: one line that says what and what to do; a page of help from nobody."""
    with pytest.raises(OperatorError) as caught:
        parsed(*words)
    assert str(caught.value).startswith(told)
    assert caught.value.exit_code == status
    with pytest.raises(SystemExit) as ended:
        Options().parseOptions(words)
    assert ended.value.code == status
    assert cli.main(["serve", *words]) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == f"chatd: {caught.value}\n" * 2


def test_a_port_of_the_environment_is_wrong_in_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATD__SERVER__PORT", "70000")
    with pytest.raises(OperatorError) as caught:
        parsed()
    assert caught.value.exit_code == Exit.SETTINGS


@pytest.mark.parametrize("module", ["chatd.tap", "twisted.plugins.chatd_plugin", "chatd.cli", "chatd.service"])
def test_no_reactor_comes_with_the_import(module: str) -> None:
    code = f"import sys, {module}; print('twisted.internet.reactor' in sys.modules)"
    ran = python(sys.executable, "-c", code)
    assert (ran.stdout, ran.stderr) == ("False\n", "")


def test_twistd_lists_it() -> None:
    """A15: `twistd --help` knows chatd."""
    ran = python(str(Path(sysconfig.get_path("scripts"), "twistd")), "--help")
    assert "chatd" in ran.stdout
    assert "A chat server that everyone can join." in ran.stdout


# -- the command chatd ----------------------------------------------------------------------------------------


def test_help_names_every_command_and_imports_almost_nothing() -> None:
    code = "import sys; from chatd.cli import main; main(['--help']); print([*sys.modules])"
    ran = python(sys.executable, "-X", "frozen_modules=off", "-c", code)
    text, _, loaded = ran.stdout.rpartition("[")
    assert all(f"  {name} " in text for name in COMMANDS)
    assert not {"'twisted'", "'msgspec'", "'prompt_toolkit'", "'asyncio'"} & set(loaded.rstrip("]\n").split(", "))


def test_every_command_answers_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        try:
            status = cli.main([name, "--help"])
        except SystemExit as ended:
            status = int(ended.code or 0)
        assert status == Exit.OK, name
        assert capsys.readouterr().out, name


def test_commands_are_spelled_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["conect"]) == Exit.USAGE
    assert capsys.readouterr().err == "chatd: command: there is no 'conect'; did you mean connect?\n"
    assert cli.main([]) == Exit.USAGE
    assert cli.main(["protocol", "--scheme"]) == Exit.USAGE
    assert cli.main(["config", "chek"]) == Exit.USAGE


@pytest.mark.parametrize("word", ["version", "--version"])
def test_version_is_that_of_the_package(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([word]) == Exit.OK
    assert capsys.readouterr().out == f"chatd {chatd.__version__}\n"


def test_our_own_mistake_has_a_status_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(COMMANDS, "broken", ("chatd.core", "has no run"))
    assert cli.main(["broken"]) == Exit.SOFTWARE
    printed = capsys.readouterr().err
    assert "Traceback" in printed
    assert printed.endswith("chatd: AttributeError: a bug of ours, see above; please report it\n")


def test_python_m_chatd_is_chatd() -> None:
    ran = python(sys.executable, "-m", "chatd", "version")
    assert ran.stdout == f"chatd {chatd.__version__}\n"
