"""HTTP and WebSocket from outside, by real sockets: what is asked properly is answered, what is not is turned away."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.crowd import LineWire
from support.measure import wait_until
from support.web import Caller, ask, enter, request, upgrade, web
from websockets.exceptions import InvalidStatus


@pytest.mark.parametrize("command", ["serve", "twistd"])
def test_a_browser_and_a_person_with_telnet_talk(start_server: Any, command: str) -> None:
    """On one port, and on a port of its own."""
    server = start_server("--http-port=0", command=command)
    for port in (server.port, server.port_of("http")):
        with web(server, port) as ann, LineWire((server.host, server.line_port)) as bob:
            enter(ann, "ann", "#lobby")
            bob.enter("bob")
            sent = ask(ann, "send", room="#lobby", body="hello Bob 🎉")
            assert sent["durability"] == "fsync"
            bob.until("<ann> hello Bob 🎉")
            bob.say("hello Ann")
            while (heard := json.loads(ann.recv(timeout=20)))["type"] != "message":
                pass
            assert (heard["from"]["nick"], heard["body"], heard["seq"]) == ("bob", "hello Ann", sent["seq"] + 1)
    assert re.search(r"Browsers: http://localhost:\d+/", server.output())


# -- who may come in ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 101),
        ({"Origin": "http://localhost"}, 101),
        ({"Host": "localhost:1234", "Origin": "http://localhost:1234"}, 101),
        ({"Host": "LOCALHOST:443", "Origin": "https://localhost"}, 101),
        ({"Host": "127.0.0.1:7", "Origin": "http://127.0.0.1:7"}, 101),
        ({"Origin": "http://localhost:9999"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "http://evil-localhost"}, 403),
        ({"Origin": "http://localhost@evil.example"}, 403),
        ({"Origin": "http://localhost/evil"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "file://"}, 403),
        ({"Origin": "http://"}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 421),
        ({"Host": "localhost.evil.example"}, 421),
        ({"Host": "a b"}, 421),
        ({"Upgrade": ""}, 426),
        ({"Connection": "keep-alive"}, 426),
        ({"Connection": "keep-alive, Upgrade"}, 101),
        ({"Sec_WebSocket_Version": "8"}, 426),
        ({"Sec_WebSocket_Key": "short"}, 400),
        ({"Sec_WebSocket_Key": ""}, 400),
        ({"Sec_WebSocket_Protocol": "mqtt, chatd.v1.json"}, 101),
        ({"Sec_WebSocket_Protocol": "mqtt"}, 400),
        ({"Sec_WebSocket_Protocol": ""}, 101),
    ],
)
def test_who_may_open_a_websocket(shared_server: Any, headers: dict[str, str], status: int) -> None:
    with Caller(shared_server) as caller:
        caller.send(upgrade(**headers))
        found, told, body = caller.answer()
        assert found == status
        if status == 101:
            assert told["sec-websocket-accept"] == "BACScCJPNqyz+UBoqMH89VmURoA="
            assert told.get("sec-websocket-protocol") == (
                None if headers.get("Sec_WebSocket_Protocol") == "" else "chatd.v1.json"
            )
        else:
            assert body.endswith(b"\n")
            assert told["x-content-type-options"] == "nosniff"
        if status == 426:
            assert told["sec-websocket-version"] == "13"


def test_two_origins_are_none(shared_server: Any) -> None:
    with Caller(shared_server) as caller:
        caller.send(
            upgrade(Origin="http://localhost").replace(b"Upgrade: ", b"Origin: http://evil.example\r\nUpgrade: ")
        )
        assert caller.answer()[0] == 403


def test_a_page_from_elsewhere_comes_in_if_it_may_and_the_server_has_the_name_it_is_given(start_server: Any) -> None:
    server = start_server(
        environ={"CHATD__WEB__ORIGINS": '["https://friend.example"]', "CHATD__SERVER__HOST": "chat.example"}
    )
    for origin, host, status in (
        ("https://friend.example", "localhost", 101),
        ("https://friend.example:444", "localhost", 403),
        ("https://chat.example", "chat.example", 101),
        ("https://chat.example", "chat.example:8000", 403),
        ("https://other.example", "other.example", 421),
    ):
        with Caller(server) as caller:
            caller.send(upgrade(Host=host, Origin=origin))
            assert caller.answer()[0] == status, (origin, host)


def test_whom_a_proxy_passes_on_is_who_asks(start_server: Any) -> None:
    """And nobody else is believed who says that he passes somebody on."""
    server = start_server(environ={"CHATD__WEB__PROXIES": '["127.0.0.1"]'})
    for said, address in (
        ("203.0.113.7", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.8", "203.0.113.8"),
        ("2001:DB8::1", "2001:db8::1"),
        ("rubbish", "127.0.0.1"),
    ):
        with Caller(server) as caller:
            caller.opened(X_Forwarded_For=said, Host="chat.example")
            deadline = time.monotonic() + 10
            while f"protocol=websocket address={address}\n" not in server.output():
                assert time.monotonic() < deadline, (said, server.output())
                time.sleep(0.02)
    with Caller(server) as caller:
        caller.send(request("/metrics", X_Forwarded_For="203.0.113.7"))
        assert caller.answer()[0] == 403
    plain = start_server()
    with Caller(plain) as caller:
        caller.opened(X_Forwarded_For="203.0.113.7")
        caller.send(request())
        time.sleep(0.3)
    assert "203.0.113.7" not in plain.output()


# -- HTTP ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3\r\nContent-Length: 3",
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "Content-Length: +3",
        "Content-Length: -3",
        "Content-Length: 3, 3",
        "Content-Length: 0x3",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, chunked",
        "Content-Length : 3",
        "X: a\x00b",
    ],
)
def test_no_request_is_smuggled_in_another(shared_server: Any, head: str) -> None:
    with Caller(shared_server) as caller:
        caller.send(f"POST / HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\nabcGET /healthz HTTP/1.1\r\n\r\n".encode())
        assert caller.answer()[0] == 400
        assert caller.is_closed()
        assert b"ok\n" not in caller.buffer


def test_requests_one_behind_the_other_are_answered_in_their_order(shared_server: Any) -> None:
    paths = ["/healthz", "/", "/nothing", "/readyz", "/page/nothing", "/healthz"]
    with Caller(shared_server) as caller:
        caller.send(b"".join(request(path) for path in paths))
        assert [caller.answer()[0] for _ in paths] == [200, 200, 404, 200, 404, 200]


def test_a_request_says_once_whom_it_is_for(shared_server: Any) -> None:
    for data, status in (
        (request("/healthz", Host=""), 400),
        (request("/healthz").replace(b"\r\n\r\n", b"\r\nHost: localhost\r\n\r\n"), 421),
        (request("/healthz", Host="").replace(b"1.1", b"1.0"), 200),
    ):
        with Caller(shared_server) as caller:
            caller.send(data)
            assert caller.answer()[0] == status


@pytest.mark.parametrize("encoding", ["", "chunked"])
def test_a_request_that_is_too_large_is_refused(shared_server: Any, encoding: str) -> None:
    body = b"x" * 65_537
    data = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if encoding else body
    length = {"Transfer_Encoding": "chunked"} if encoding else {"Content_Length": str(len(body))}
    with Caller(shared_server) as caller:
        caller.send(request("/", "POST", data, **length))
        status, headers, text = caller.answer()
        assert status == 413
        assert b"frame_bytes" in text
        assert headers["connection"] == "close"
        assert caller.is_closed()


def test_a_head_that_never_ends_is_closed(start_server: Any) -> None:
    """However slowly it comes, and however long it is."""
    server = start_server(environ={"CHATD__LIMITS__LOGIN_SECONDS": "2"})
    with Caller(server) as slow, Caller(server) as endless:
        slow.send(b"GET / HTTP/1.1\r\n")
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for n in range(40):
                slow.send(b"X-%d: y\r\n" % n)
                if slow.is_closed(0.1):
                    break
        assert time.monotonic() - began < 6
        with contextlib.suppress(ConnectionError):
            endless.send(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100_000)
        assert endless.is_closed()


def test_what_watches_is_told_on_the_port_that_everyone_can_join(start_server: Any) -> None:
    """To callers on loopback."""
    server = start_server("--http-port=0")
    pages = {"/healthz": b"ok", "/readyz": b"ready", "/metrics": b'chatd_connections{protocol="websocket"} 1.0'}
    for port in (server.port, server.port_of("http")):
        with Caller(server, port) as caller, web(server):
            for path, found in pages.items():
                caller.send(request(path))
                status, _, body = caller.answer()
                assert (status, found in body) == (200, True), path


def test_connections_are_counted_by_their_address(start_server: Any) -> None:
    """Six that fetch something for each that talks, as browsers take so many for a page; each kind by itself."""
    limits = {"CHATD__LIMITS__TRUSTED_NETWORKS": "[]", "CHATD__LIMITS__CONNECTIONS_PER_ADDRESS": "2"}
    server = start_server(environ=limits)

    def statuses(count: int) -> list[int]:
        with contextlib.ExitStack() as stack:
            callers = [stack.enter_context(Caller(server)) for _ in range(count)]
            for caller in callers:
                caller.send(request("/healthz"))
            return [caller.answer()[0] for caller in callers]

    with Caller(server) as one, Caller(server) as two:
        one.opened()
        two.opened()
        assert statuses(13) == [200] * 12 + [429]
        with Caller(server) as three:
            three.send(upgrade())
            three.answer()
            assert three.close_code() == 1008
    # Those who are gone are not counted.
    wait_until(lambda: statuses(12) == [200] * 12, 10)


def test_a_server_without_detection_or_page_says_so(start_server: Any) -> None:
    server = start_server(environ={"CHATD__WEB__PAGE": "false"})
    with Caller(server) as caller:
        caller.send(request("/"))
        status, _, body = caller.answer()
        assert (status, b"telnet" in body) == (404, True)
    with Caller(server) as caller:
        caller.opened()


def test_whoever_closes_its_side_after_asking_is_answered(shared_server: Any, program: Callable[[str], str]) -> None:
    """As `printf … | nc -N` does."""
    command = [program("nc"), "-N", shared_server.host, str(shared_server.port)]
    for data in (b"GET /healthz HTTP/1.0\r\n\r\n", request("/healthz")):
        answer = subprocess.run(command, input=data, capture_output=True, timeout=20).stdout
        assert answer.endswith(b"ok\n")


def test_the_web_server_is_imported_with_the_first_who_comes_by_it(start_server: Any) -> None:
    code = "import sys, chatd.cli_serve, chatd.service; print([one for one in sys.modules if 'twisted.web' in one])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=60)
    assert found.stdout == "[]\n"


def test_the_handshake_is_the_one_of_the_standard(shared_server: Any) -> None:
    """The example of RFC 6455 section 1.3."""
    with Caller(shared_server) as caller:
        caller.send(upgrade(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ=="))
        assert caller.answer()[1]["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    with pytest.raises(InvalidStatus), web(shared_server, origin="https://evil.example"):  # type: ignore[arg-type]
        pass
