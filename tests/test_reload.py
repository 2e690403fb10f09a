"""What becomes of settings that are read again: compared, told, put together; and that nobody forgot to decide."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support.pages import coded, page, section

from chatd.config import BUILT_IN, Loaded, Source, combine
from chatd.errors import OperatorError
from chatd.reload import (
    AFTER_RESTART,
    AT_ONCE,
    MOST_SHOWN,
    Change,
    changes,
    could_start,
    in_effect,
    reloading,
)
from chatd.settings import Settings, declared
from chatd.tap import ServeOptions


def loaded(**values: Any) -> Loaded:
    """Settings out of a file; `server_port=1` is `server.port`."""
    return combine([Source(label="FILE", values={name.replace("_", ".", 1): value for name, value in values.items()})])


def test_for_every_setting_it_is_decided_whether_it_changes_at_once() -> None:
    """A new setting goes into one of the two tables in chatd/reload.py, and what is done with it into the code."""
    assert set(declared()) == AT_ONCE | AFTER_RESTART
    assert not AT_ONCE & AFTER_RESTART


def test_the_reference_names_what_needs_a_restart() -> None:
    told = section(page("docs/reference/settings.md"), "While the server runs")
    named = {coded(line) for line in told.splitlines() if line.startswith("- ")}
    assert named == AFTER_RESTART


def test_what_is_another_value_is_told_in_the_order_of_the_settings() -> None:
    old = loaded(server_motd="hi", limits_body_bytes=100).settings
    new = loaded(limits_body_bytes=200, server_port=0, limits_trusted_networks=["10.0.0.0/8"])
    found = changes(old, new)
    assert [str(one) for one in found] == [
        "server.port 1234 -> 0",
        'server.motd "hi" -> ""',
        "limits.body_bytes 100 -> 200",
        'limits.trusted_networks ["127.0.0.0/8", "::1/128"] -> ["10.0.0.0/8"]',
    ]
    assert [one.origin for one in found] == ["FILE", BUILT_IN, "FILE", "FILE"]
    assert changes(new.settings, new) == []


def test_what_needs_a_restart_says_what_is_and_what_would_be() -> None:
    assert Change("server.port", 1234, 1235, "FILE").waits() == (
        "server.port needs a restart: still 1234, FILE says 1235"
    )
    assert Change("server.port", 1235, 1234, BUILT_IN).waits() == (
        "server.port needs a restart: still 1235, the default is 1234"
    )


def test_long_values_are_shown_by_their_beginning_and_on_one_line() -> None:
    told = str(Change("server.motd", "", "line\n" * 800, "FILE"))
    assert len(told) < MOST_SHOWN + 30
    assert "\n" not in told


def test_what_is_in_effect_is_new_but_for_what_needs_a_restart() -> None:
    old, new = Settings(), loaded(server_port=5, server_motd="hi", journal_url="memory:", log_level="warn").settings
    found = in_effect(old, new)
    assert (found.server.port, found.server.motd, found.journal.url, found.log.level) == (1234, "hi", "sqlite:", "warn")
    for name in AT_ONCE:
        section_, key = name.split(".")
        assert getattr(getattr(found, section_), key) == getattr(getattr(new, section_), key)
    assert in_effect(old, old) == old


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"server_port": "none", "server_line_port": "none"}, "nobody could come in"),
        ({"server_port": "what:is=this"}, "neither a port number nor an endpoint"),
        ({"server_interface": "example.org"}, "not an IP address"),
        ({"journal_url": "mysql:"}, "no such kind of journal"),
    ],
)
def test_what_could_not_start_is_found_without_touching_anything(values: dict[str, Any], told: str) -> None:
    from twisted.internet import reactor

    with pytest.raises(OperatorError, match=told):
        could_start(loaded(**values), reactor)
    could_start(loaded(), reactor)


def test_systemd_is_told_when_it_began() -> None:
    first, second = reloading().split("\n")
    assert first == "RELOADING=1"
    assert second.removeprefix("MONOTONIC_USEC=").isdecimal()


# -- where they are read from ---------------------------------------------------------------------------------


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(("CHATD", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parsed(*words: str) -> ServeOptions:
    options = ServeOptions()
    options.parseOptions(list(words))
    return options


def test_they_are_read_from_the_same_places(at_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options and environment as at the start, and the same file, in whatever folder we are by then."""
    file = at_home / "my.toml"
    file.write_text('[server]\nport = 1\nmotd = "a"\nname = "a"\n')
    monkeypatch.setenv("CHATD__SERVER__NAME", "environment")
    options = parsed("--config", "my.toml", "--port", "7")
    file.write_text('[server]\nport = 2\nmotd = "b"\nname = "b"\n')
    monkeypatch.chdir("/")
    server = options.read_again().settings.server
    assert (server.port, server.name, server.motd) == ("7", "environment", "b")
    assert options.loaded.settings.server.motd == "a"


def test_a_file_that_was_read_has_to_be_there_again(at_home: Path) -> None:
    """Its absence is no wish for the defaults."""
    file = at_home / ".config/chatd/chatd.toml"
    file.parent.mkdir(parents=True)
    file.write_text("[limits]\nbody_bytes = 100\n")
    options = parsed()
    file.unlink()
    with pytest.raises(OperatorError, match=r"chatd.toml: cannot be read \(No such file or directory\)"):
        options.read_again()


def test_a_file_that_was_not_there_is_found_later(at_home: Path) -> None:
    options = parsed()
    assert options.read_again().settings == Settings()
    file = at_home / ".config/chatd/chatd.toml"
    file.parent.mkdir(parents=True)
    file.write_text("[limits]\nbody_bytes = 100\n")
    assert options.read_again().settings.limits.body_bytes == 100
    file.write_text("[limits]\nbody_bytes = 101\n")
    assert options.read_again().settings.limits.body_bytes == 101
