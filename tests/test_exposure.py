"""A server that others can reach says who may register, or does not start."""

from __future__ import annotations

from typing import Any

import pytest

from chatd.config import Source, combine
from chatd.errors import Exit, OperatorError
from chatd.exposure import check_exposed, check_listeners
from chatd.listeners import Listener

LOCAL: list[dict[str, Any]] = [
    {},
    {"interface": "127.0.0.1"},
    {"interface": "::1"},
    {"port": "unix:/tmp/x", "line_port": "none", "public": True},
    {"port": "systemd:domain=INET:index=0", "line_port": "none"},
    {"port": r"tcp6:0:interface=\:\:1", "line_port": "tcp:0:interface=127.0.0.1"},
]
OPEN: list[dict[str, Any]] = [
    {"public": True},
    {"interface": "0.0.0.0"},
    {"interface": "192.0.2.7"},
    {"port": "tcp:1234"},
    {"line_port": "tcp:1234:interface=192.0.2.7"},
    {"port": r"tcp6:0:interface=\:\:"},
]


def loaded(server: dict[str, Any], **accounts: str) -> Any:
    values = {f"server.{key}": value for key, value in server.items()}
    values |= {f"accounts.{key}": value for key, value in accounts.items()}
    return combine([Source(label="test", values=values)], file=None)


@pytest.mark.parametrize("server", LOCAL)
def test_on_ones_own_machine_everybody_may_register(server: dict[str, Any]) -> None:
    check_exposed(loaded(server))
    assert loaded(server).settings.accounts.registration == "open"


@pytest.mark.parametrize("server", OPEN)
def test_elsewhere_it_has_to_be_chosen(server: dict[str, Any]) -> None:
    with pytest.raises(OperatorError, match=r"accounts\.registration.*--registration open, invite or closed") as caught:
        check_exposed(loaded(server))
    assert caught.value.exit_code == Exit.SETTINGS
    for chosen in ("open", "invite", "closed"):
        check_exposed(loaded(server, registration=chosen))


def test_what_systemd_has_bound_is_looked_at_once_it_is_known() -> None:
    server = {"port": "systemd:domain=INET:index=0", "line_port": "none"}
    check_listeners(loaded(server), [Listener(protocol="detect", host="127.0.0.1", port=1)])
    check_listeners(loaded(server), [Listener(protocol="detect", path="/run/x")])
    with pytest.raises(OperatorError, match=r"other machines can come in by 0\.0\.0\.0"):
        check_listeners(loaded(server), [Listener(protocol="detect", host="0.0.0.0", port=1)])


def test_a_server_that_was_not_told_ends_in_one_line(start_server: Any) -> None:
    server = start_server("--interface=0.0.0.0", until="spawned")
    assert server.process.wait(20) == Exit.SETTINGS
    [line] = server.output().splitlines()
    assert line.startswith("chatd: setting accounts.registration: other machines can come in")
    server = start_server("--interface=0.0.0.0", "--registration=invite")
    assert server.stop() == Exit.OK
