"""What the client's commands are told: the command line, then the profile, then the environment, then what is
usual.

Everything that can be seen to be wrong is told here, before the network is touched.
"""

from __future__ import annotations

import argparse
import os
import ssl
import sys
from collections.abc import Callable
from datetime import datetime
from typing import NoReturn

from msgspec import Struct

from chatd.client import address, links
from chatd.client.encrypted import BadFingerprint, context_of
from chatd.client.errors import BadAddress
from chatd.client.links import Link
from chatd.client.nicks import default_nick
from chatd.client.profiles import Profile, profile
from chatd.core import names
from chatd.errors import Exit, OperatorError

PATIENCE = 30.0  # seconds that --retry waits by itself where no person waits and nothing is to be watched


class Choices(Struct, frozen=True, kw_only=True):
    """What was chosen. `named`: the nick was given and must be had; else one like it will do."""

    server: str
    nick: str
    named: bool
    account: str | None = None
    password: str | None = None
    register: bool = False
    invite: str | None = None
    tls: ssl.SSLContext | None = None
    rooms: list[str]
    retry: bool
    wait: float | None
    text: str = ""
    json: bool = False
    number: int | None = None
    since: int | str | None = None
    before: int | datetime | None = None
    after: int | datetime | None = None
    plain: bool = False

    @property
    def makes_account(self) -> bool:
        """Whether the account is to be made."""
        return self.register or self.invite is not None


class Parser(argparse.ArgumentParser):
    """argparse, with errors as one line that says what to do."""

    def error(self, message: str) -> NoReturn:
        raise OperatorError(self.prog.removeprefix("chatd "), message, f"see {self.prog} --help", Exit.USAGE)


def read(name: str, words: list[str]) -> Choices:
    """The choices for one of the commands; OperatorError says what is wrong with them."""
    found = _PARSERS[name]().parse_intermixed_args(words)
    chosen = profile(found.profile) if found.profile is not None else None
    server = getattr(found, "address", None) or found.server or (chosen and chosen.server)
    link = links.read(server or os.environ.get("CHATD_SERVER", ""))
    server = _address(link.address)
    invite = found.invite or link.invite or None
    nick = found.nick or (chosen and chosen.nick)
    account: str | None = found.account or (chosen.account if chosen is not None else None)
    if (found.register or invite) and not account:
        raise OperatorError("account", "which one is to be made?", "name it with --account", Exit.USAGE)
    retry = name in ("connect", "tail") if found.retry is None else found.retry
    waits_for_ever = name == "tail" or (name == "connect" and sys.stdin.isatty())
    rooms = getattr(found, "room", None) or (chosen and chosen.rooms) or ["#lobby"]
    return Choices(
        server=server,
        nick=_nick(wanted) if (wanted := nick or account) else default_nick(),
        named=bool(nick),
        account=_nick(account) if account else None,
        register=found.register,
        invite=invite,
        tls=_encryption(found, chosen, link),
        rooms=[_room(room) for room in ([rooms] if isinstance(rooms, str) else rooms)],
        retry=retry,
        wait=((None if waits_for_ever else PATIENCE) if found.wait is None else found.wait) if retry else 0.0,
        text=" ".join(getattr(found, "text", [])),
        json=getattr(found, "json", False),
        number=getattr(found, "number", None),
        since=getattr(found, "since", None),
        before=getattr(found, "before", None),
        after=getattr(found, "after", None),
        plain=getattr(found, "plain", False),
    )


# -- the commands' parsers ---------------------------------------------------------------------------------------


def _parser(name: str, about: str, more: str = "") -> Parser:
    parser = Parser(prog=f"chatd {name}", description=about, epilog=more, allow_abbrev=False)
    parser.add_argument("--server", metavar="HOST:PORT", help="where to ($CHATD_SERVER, else localhost:1234)")
    parser.add_argument("--nick", help="what to be called ($CHATD_NICK, else your name on this machine)")
    parser.add_argument("--tls", action="store_true", help="encrypt; the server's certificate must be trusted here")
    parser.add_argument("--fingerprint", metavar="SHA256:…", help="encrypt; this is the server's certificate")
    parser.add_argument("--ca", metavar="FILE", help="encrypt; who vouches for the server's certificate")
    parser.add_argument("--account", metavar="NAME", help="the account to log in to; its password is asked for")
    parser.add_argument("--register", action="store_true", help="make this account")
    parser.add_argument("--invite", metavar="WORD", help="make this account with an invite")
    parser.add_argument("--profile", metavar="NAME", help="a [profile.NAME] of ~/.config/chatd/client.toml")
    parser.add_argument(
        "--retry",
        action=argparse.BooleanOptionalAction,
        help="wait for a server that is not there, and come back when the connection is lost"
        " (the default of connect and tail)",
    )
    parser.add_argument("--wait", type=_seconds, metavar="SECONDS", help="how long --retry waits for the server")
    return parser


def _connect() -> Parser:
    parser = _parser(
        "connect",
        "Come in and talk.",
        "Ctrl-D on an empty line leaves. With input that is not a terminal, each line is sent. /help tells more.",
    )
    places = "host, host:port, [v6]:port, unix:/path, several with commas, or a link that chatd invite made"
    parser.add_argument("address", nargs="?", metavar="ADDRESS", help=places)
    parser.add_argument("--room", action="append", help="a room to enter (#lobby); may be given more than once")
    parser.add_argument("--plain", action="store_true", help="no redrawing, no colours: for screen readers, logs")
    return parser


def _send() -> Parser:
    parser = _parser(
        "send",
        "Send a message, or each line of the input, and leave when the server has them all.",
        "Quote the room: a bare # begins a comment in the shell. '@jerry' is a direct message to jerry.",
    )
    parser.add_argument("room", metavar="ROOM", help="'#lobby' (or lobby), or '@jerry'")
    parser.add_argument("text", nargs="*", metavar="TEXT", help="the message; else standard input, a line a message")
    return parser


def _tail() -> Parser:
    parser = _parser("tail", "Print what is said in a room, as it is said.")
    parser.add_argument("room", nargs="+", metavar="ROOM", help="'#lobby' (or lobby)")
    parser.add_argument("--json", action="store_true", help="one event a line, as PROTOCOL section 5 describes them")
    parser.add_argument("-n", type=_count, dest="number", metavar="N", help="begin with the last N events")
    parser.add_argument("--since", type=_since, metavar="N", help="begin after number N, or `last`: where you were")
    return parser


def _history() -> Parser:
    parser = _parser("history", "Print what was said in a room.")
    parser.add_argument("room", metavar="ROOM", help="'#lobby' (or lobby), or '@jerry'")
    parser.add_argument("--json", action="store_true", help="one event a line, as PROTOCOL section 5 describes them")
    parser.add_argument("-n", type=_count, dest="number", metavar="N", help="how many events (50)")
    parser.add_argument("--before", type=_place, metavar="N|TIME", help="the last ones before this number or time")
    parser.add_argument("--after", type=_place, metavar="N|TIME", help="the first ones after this number or time")
    return parser


_PARSERS: dict[str, Callable[[], Parser]] = {
    "connect": _connect,
    "send": _send,
    "tail": _tail,
    "history": _history,
}


def _encryption(found: argparse.Namespace, chosen: Profile | None, link: Link) -> ssl.SSLContext | None:
    fingerprint = found.fingerprint or link.fingerprint or (chosen.fingerprint if chosen is not None else None)
    if not (found.tls or link.tls or fingerprint or found.ca or (chosen is not None and chosen.tls)):
        return None
    try:
        return context_of(fingerprint, found.ca)
    except BadFingerprint as error:
        raise OperatorError("fingerprint", str(error), "chatd cert show prints it", Exit.USAGE) from None
    except OSError as error:  # OpenSSL's are, too
        reason = error.strerror or str(error)
        raise OperatorError(
            f"certificate {found.ca}", f"cannot be used ({reason})", "give a file of PEM", Exit.USAGE
        ) from None


# -- single values -----------------------------------------------------------------------------------------------


def _address(text: str) -> str:
    try:
        return str(address.Places(text))
    except BadAddress as error:
        raise OperatorError("address", str(error), "write it like localhost:1234", Exit.USAGE) from None


def _nick(text: str) -> str:
    try:
        return names.check_nick(text)
    except names.NameRefused as error:
        remedy = f"try --nick {names.suggest(text, lambda nick: True)}"
        raise OperatorError("nick", error.reason.rstrip("."), remedy, Exit.USAGE) from None


def _room(text: str) -> str:
    if text.startswith("@") and len(text) > 1:
        return text
    try:
        return names.check_room(text if text.startswith("#") else "#" + text)
    except names.NameRefused as error:
        raise OperatorError("room", error.reason.rstrip("."), "write it like '#lobby'", Exit.USAGE) from None


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 1e7:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return seconds


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 10**9):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of events")
    return int(text)


def _since(text: str) -> int | str:
    return text if text == "last" else _seq(text)


def _seq(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 2**53):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of an event")
    return int(text)


def _place(text: str) -> int | datetime:
    if text.isascii() and text.isdigit():
        return _seq(text)
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor a time like 2026-01-31T14:00") from None
