"""`chatd admin` and `chatd user`: the operator's commands.

They ask the running server by its admin socket. If none runs, those about accounts open the journal
themselves, by the same rules, and leave it again. This module knows the words and what is printed.
"""

from __future__ import annotations

import argparse
import getpass
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from chatd.cli_journal import Parser, where
from chatd.datafolder import admin_socket
from chatd.errors import Exit, OperatorError
from chatd.settings import Settings

PATIENCE_SECONDS = 30.0

Json = dict[str, Any]


def run(name: str, words: list[str]) -> int:
    """Run one of them; raises `OperatorError` for what cannot be done."""
    parser = PARSERS[name](Parser(prog=f"chatd {name}", allow_abbrev=False))
    try:
        chosen = parser.parse_args(words)
    except SystemExit:  # after --help
        return Exit.OK
    request = chosen.request(chosen)
    settings, folder = where(chosen)
    answer = ask(settings, folder, request, needs_server=name == "admin")
    if not answer.pop("ok"):
        raise OperatorError(request["command"], answer["error"], "", Exit.NOT_ALLOWED)
    if chosen.json:
        print(msgspec.json.encode(answer).decode())
    else:
        print("\n".join(chosen.show(answer)))
    return Exit.OK


# -- asking ---------------------------------------------------------------------------------------------------


def ask(settings: Settings, folder: Path, request: Json, *, needs_server: bool) -> Json:
    """The answer of the running server; or, if that will do, of its journal."""
    in_memory = settings.journal.url.startswith("memory:")
    path = admin_socket(settings.server.admin_socket, folder, in_memory=in_memory)
    if path is not None:
        try:
            return ask_server(path, request)
        except (FileNotFoundError, ConnectionRefusedError):
            pass
        except OSError as error:
            reason = f"cannot be asked ({error.strerror or error})"
            raise OperatorError(
                f"admin socket {path}", reason, "see docs/how-to/operate.md", Exit.UNAVAILABLE
            ) from error
    if needs_server or in_memory:
        raise OperatorError(
            f"admin socket {path or 'none'}",
            "no server is running there",
            "start one, or name its data folder with --data-dir",
            Exit.UNAVAILABLE,
        )
    from chatd.offline import answer

    return answer(settings, folder, request)


def ask_server(path: Path, request: Json) -> Json:
    """Ask by the socket. Raises `OSError`."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(PATIENCE_SECONDS)
        asking.connect(os.fspath(path))
        asking.sendall(msgspec.json.encode(request) + b"\n")
        with asking.makefile("rb") as answers:
            line = answers.readline()
    if not line:
        raise OSError(0, "the server closed the socket")
    found: Json = msgspec.json.decode(line)
    return found


def password(chosen: argparse.Namespace) -> str:
    """The password, typed twice unseen, or the first line of the input."""
    if chosen.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise OperatorError("password", "there is no terminal to ask", "give it with --password-stdin", Exit.USAGE)
    first = getpass.getpass("Password: ")
    if getpass.getpass("The same again: ") != first:
        raise OperatorError("password", "these were two different ones", "try again", Exit.USAGE)
    return first


# -- what is printed ------------------------------------------------------------------------------------------


def columns(rows: list[list[str]]) -> Iterator[str]:
    """Rows under a head, each column as wide as it must be."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def table(answer: Json, key: str, names: list[str]) -> list[str]:
    """One of the lists in an answer."""
    found = answer[key]
    rows = [names, *([told(one.get(name)) for name in names] for one in found)]
    more = answer["count"] - len(found)
    return [*columns(rows), *([f"… and {more:,} more"] if more > 0 else [])]


def told(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, dict):
        return ", ".join(f"{name} {told(number)}" for name, number in value.items()) or "none"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def show_status(answer: Json) -> list[str]:
    answer["listeners"] = ", ".join(map(place, answer["listeners"]))
    width = max(map(len, answer))
    return [f"{name.replace('_', ' '):<{width}}  {told(value)}" for name, value in answer.items()]


def place(listener: Json) -> str:
    """A listener in words."""
    spot = listener["path"] or f"{listener['host']}:{listener['port']}"
    return f"{listener['protocol']} {spot}"


# -- the words ------------------------------------------------------------------------------------------------


def common(parser: argparse.ArgumentParser, show: Callable[[Json], list[str]], request: Callable[..., Json]) -> None:
    parser.add_argument("--data-dir", "-d", metavar="FOLDER", help="the server's data folder")
    parser.add_argument("--config", "-c", metavar="FILE", help="the server's settings file")
    parser.add_argument("--json", action="store_true", help="print the answer as an object of JSON")
    parser.set_defaults(show=show, request=request)


def admin_parser(parser: Parser) -> Parser:
    parser.description = "See and steer the running server."
    subs = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)

    def add(name: str, about: str, show: Callable[[Json], list[str]], *arguments: tuple[str, str]) -> Parser:
        sub: Parser = subs.add_parser(
            name, help=about, description=f"{about[0].upper()}{about[1:]}.", allow_abbrev=False
        )
        for argument, meaning in arguments:
            sub.add_argument(argument, help=meaning)
        fields = [argument for argument, _ in arguments]
        common(sub, show, lambda chosen: {"command": name, **{field: getattr(chosen, field) for field in fields}})
        return sub

    add("status", "how the server is", show_status)
    names = ["session", "nick", "account", "protocol", "address", "seconds", "rooms", "waiting", "slow"]
    add("sessions", "who is connected", lambda answer: table(answer, "sessions", names))
    add("rooms", "the rooms, fullest first", lambda answer: table(answer, "rooms", ["room", "members", "last_seq"]))
    kick = add(
        "kick", "end somebody's sessions", lambda answer: [f"ended: {answer['ended']}"], ("who", "a nick, or a session")
    )
    kick.add_argument("--reason", default="", help="what they are told")
    kick.set_defaults(request=lambda chosen: {"command": "kick", "who": chosen.who, "reason": chosen.reason})
    keep_order(subs)
    add("announce", "say something to everyone", lambda answer: [f"told: {answer['told']}"], ("text", "one line"))
    add("drain", "let nobody in any more", lambda answer: [f"still inside: {answer['inside']}"])
    add(
        "log",
        "write less or more into the log",
        lambda answer: [f"level: {answer['level']}"],
        ("level", "debug … critical"),
    )
    return parser


def keep_order(subs: Any) -> None:
    """The words that keep order, in a room or on the server."""

    def add(name: str, about: str, target: str, done: str) -> Parser:
        sub: Parser = subs.add_parser(
            name, help=about, description=f"{about[0].upper()}{about[1:]}.", allow_abbrev=False
        )
        sub.add_argument("target", help=target)
        if name != "lockdown":
            sub.add_argument("--room", metavar="ROOM", help="only in this room")
        if name in ("ban", "mute"):
            sub.add_argument("--for", dest="duration", metavar="TIME", help="how long: 10m, 2h, 7d, 4w (for good)")
        if name == "role":
            sub.add_argument("role", help="member, operator or owner; in a room also speaker")
        if name != "lockdown":
            sub.add_argument("--reason", default="", help="what they are told")
        fields = ("target", "room", "duration", "role", "reason")
        common(
            sub,
            lambda answer: [f"{done}: {answer['target']} ({answer['room']})"],
            lambda chosen: {"command": name, **{one: getattr(chosen, one, None) for one in fields}},
        )
        return sub

    whom = "a nick, account:NAME, or an address or network"
    add("ban", "keep somebody out", whom, "banned")
    add("unban", "end a ban", whom, "no longer banned")
    add("mute", "let somebody only listen", "a nick, or account:NAME", "muted")
    add("unmute", "let somebody speak again", "a nick, or account:NAME", "may speak again")
    add("role", "put somebody in charge of the server, or of a room", "a nick, or account:NAME", "role given")
    add("lockdown", "let fewer people in", "off, registration, guests or everyone", "lockdown")
    listed: Parser = subs.add_parser(
        "bans", help="who is banned or muted", description="Who is banned or muted.", allow_abbrev=False
    )
    listed.add_argument("--room", metavar="ROOM", help="only in this room")
    names = ["kind", "target", "network", "by", "time", "until", "reason"]
    common(
        listed,
        lambda answer: table(answer, "bans", names) if answer["bans"] else ["nobody is banned or muted"],
        lambda chosen: {"command": "bans", "room": chosen.room},
    )


def user_parser(parser: Parser) -> Parser:
    parser.description = "Look after accounts, whether the server runs or not."
    subs = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)

    def add(name: str, about: str, *, asks: bool = False) -> None:
        sub: Parser = subs.add_parser(
            name, help=about, description=f"{about[0].upper()}{about[1:]}.", allow_abbrev=False
        )
        sub.add_argument("account", help="its name")
        if asks:
            sub.add_argument("--password-stdin", action="store_true", help="read the password from the input")

        def request(chosen: argparse.Namespace) -> Json:
            found = {"command": f"user {name}", "account": chosen.account}
            return found | ({"password": password(chosen)} if asks else {})

        common(sub, lambda answer: [f"{DONE[name]}: {answer['account']}"], request)

    add("add", "make an account", asks=True)
    add("passwd", "give an account another password; its sessions end", asks=True)
    add("disable", "let an account be used no more; its name stays its own")
    add("enable", "let an account be used again")
    about = "print a token with which a program is an account, over HTTP and elsewhere"
    token: Parser = subs.add_parser("token", help=about, description=f"{about.capitalize()}.", allow_abbrev=False)
    token.add_argument("account", help="its name")
    token.add_argument("--room", help="print a hook instead: a path that is good for writing into this room only")
    common(
        token,
        lambda answer: [show_token(answer)],
        lambda chosen: {"command": "user token", "account": chosen.account, "room": chosen.room or ""},
    )
    listed: Parser = subs.add_parser("list", help="all accounts", description="All accounts.", allow_abbrev=False)
    names = ["account", "made", "sessions", "role", "disabled"]
    common(listed, lambda answer: table(answer, "accounts", names), lambda _: {"command": "user list"})
    return parser


def show_token(answer: Json) -> str:
    """The token alone, or the path that has it in it."""
    token: str = answer["token"]
    return f"/hook/{quote(answer['room'][1:])}/{token}" if answer["room"] else token


DONE = {"add": "made", "passwd": "password changed", "disable": "disabled", "enable": "enabled"}


PARSERS: dict[str, Callable[[Parser], Parser]] = {
    "admin": admin_parser,
    "user": user_parser,
}
