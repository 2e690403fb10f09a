"""`chatd invite`: a word with which one account can be made, and lines that can be passed on as they are.

For each way in there is one, with the host, port and fingerprint that it really has, and for telephones there is a QR
code of the address for a browser, or without one, of the link that `chatd connect` takes.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import sys
from collections.abc import Iterator

import msgspec

from chatd.cli_admin import Json, ask
from chatd.cli_journal import Parser, where
from chatd.client.links import Link
from chatd.errors import Exit, OperatorError
from chatd.settings import Settings

EVERYWHERE = ("0.0.0.0", "::")
THIS_MACHINE = ("127.0.0.1", "::1")
PICTURES = (".svg", ".png", ".pdf")


def run(name: str, words: list[str]) -> int:
    """Run it; raises `OperatorError` for what cannot be done."""
    parser = invite_parser(Parser(prog=f"chatd {name}", allow_abbrev=False))
    try:
        chosen = parser.parse_args(words)
    except SystemExit:  # after --help
        return Exit.OK
    if chosen.qr and not chosen.qr.lower().endswith(PICTURES):
        raise OperatorError(
            f"picture {chosen.qr}", "is of no known kind", f"end it with {' or '.join(PICTURES)}", Exit.USAGE
        )
    settings, folder = where(chosen)
    answer = ask(settings, folder, {"command": "invite", "days": chosen.days}, needs_server=False)
    if not answer.pop("ok"):
        raise OperatorError("invite", answer["error"], "", Exit.NOT_ALLOWED)
    link = answer["link"] = link_of(answer)
    answer["page"] = page_of(answer, settings) if settings.web.page else ""
    drawn = answer["page"] or link
    if chosen.json:
        print(msgspec.json.encode(answer).decode())
    else:
        print("\n".join(show(answer, link)))
        if drawn and sys.stdout.isatty():
            print(code_of(drawn, shutil.get_terminal_size().columns))
    if chosen.qr:
        draw(drawn, chosen.qr)
    return Exit.OK


def invite_parser(parser: Parser) -> Parser:
    parser.description = "Make an invite: a word with which one account can be made."
    parser.add_argument("--days", type=float, help="for how long it is good (accounts.invite_days)")
    parser.add_argument("--qr", metavar="FILE", help=f"draw the link as a QR code: {' or '.join(PICTURES)}")
    parser.add_argument("--data-dir", "-d", metavar="FOLDER", help="the server's data folder")
    parser.add_argument("--config", "-c", metavar="FILE", help="the server's settings file")
    parser.add_argument("--json", action="store_true", help="print the answer as an object of JSON")
    return parser


# -- where one can come in --------------------------------------------------------------------------------------------


def host_of(answer: Json, listener: Json) -> str:
    """The name or address of a listener that others can use."""
    host: str = listener["host"]
    if host in THIS_MACHINE:
        return "localhost"
    told: str = answer["host"] or next(iter(names_of(answer)), "")
    return told or (own_address(host) if host in EVERYWHERE else host)


def names_of(answer: Json) -> list[str]:
    """The names of the certificate by which others know this machine."""
    names = [] if answer["certificate"] is None else answer["certificate"]["names"]
    return [name for name in names if "." in name and not name.startswith("*")]


def own_address(everywhere: str) -> str:
    """What this machine is called by others, as far as it knows itself; nothing is sent for that."""
    name = socket.gethostname()
    if "." in name:
        return name
    family, far = (socket.AF_INET6, "2001:db8::1") if ":" in everywhere else (socket.AF_INET, "192.0.2.1")
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return name


def spot_of(answer: Json, listener: Json) -> str:
    """Host and port as they are written."""
    host = host_of(answer, listener)
    return f"[{host}]:{listener['port']}" if ":" in host else f"{host}:{listener['port']}"


def ways(answer: Json, *protocols: str) -> list[Json]:
    """The listeners of these kinds, each once, though it be there for IPv4 and IPv6."""
    found: dict[tuple[object, ...], Json] = {}
    for one in answer["listeners"]:
        if one["protocol"] in protocols:
            found.setdefault((one["protocol"], one["path"], one["port"]), one)
    return list(found.values())


def link_of(answer: Json) -> str:
    """The link to the port for programs; empty if there is none that others can reach by a name and a number."""
    shown = answer["certificate"]
    for listener in ways(answer, "detect", "framed"):
        if listener["path"]:
            continue
        if shown is None:
            return str(Link(spot_of(answer, listener), answer["invite"]))
        if shown["is_own"]:
            return str(Link(spot_of(answer, listener), answer["invite"], shown["fingerprint"]))
        return str(Link(spot_of(answer, listener), answer["invite"], tls=True))
    return ""


def page_of(answer: Json, settings: Settings) -> str:
    """The address of the page that takes the invite; empty if there is none that others can reach.

    The invite is behind `#`, which browsers tell nobody. Behind a web server it is that one's address.
    """
    tail = f"/#invite={answer['invite']}"
    if settings.web.proxies and answer["host"]:
        return f"https://{answer['host']}{tail}"
    for listener in ways(answer, "http", "detect"):
        if not listener["path"]:
            scheme = "https" if listener["is_tls"] or answer["certificate"] else "http"
            return f"{scheme}://{spot_of(answer, listener)}{tail}"
    return ""


# -- what is printed --------------------------------------------------------------------------------------------------


def show(answer: Json, link: str) -> Iterator[str]:
    """Lines that can be passed on as they are, for each way in."""
    word = answer["invite"]
    yield f"An invite for one account, good until {answer['expires']}:  {word}"
    yield ""
    for listener in ways(answer, "detect", "line"):
        yield f"People:    {typed(answer, listener)}   then choose a name, and type  /register {word}"
    if answer.get("page"):
        yield f"Browsers:  {answer['page']}"
    if link:
        yield f"Client:    chatd connect '{link}' --account NAME"
    for listener in ways(answer, "detect", "framed"):
        spot = f"unix:{listener['path']}" if listener["path"] else spot_of(answer, listener)
        how = f" (TLS, {answer['certificate']['fingerprint']})" if answer["certificate"] else ""
        yield f'Programs:  {spot}{how}   {{"type":"auth","mechanism":"invite","token":"{word}","account":"NAME",...}}'
    if not answer["listeners"]:
        yield f"In the chat, choose a name, and type  /register {word}"
    if answer["registration"] == "closed":
        yield ""
        yield "This server's registration is closed: set accounts.registration to invite, or it is refused."


def typed(answer: Json, listener: Json) -> str:
    """What a person types to reach a listener; encrypted, if that can be."""
    if listener["path"]:
        return f"nc -U {listener['path']}"
    if listener["is_tls"] or (listener["protocol"] == "detect" and answer["certificate"]):
        return f"openssl s_client -quiet -connect {spot_of(answer, listener)}"
    return f"telnet {host_of(answer, listener)} {listener['port']}"


def code_of(link: str, columns: int) -> str:
    """An address as a QR code made of half blocks; nothing if the terminal is too narrow for it."""
    import segno

    code = segno.make_qr(link, error="l")
    width = code.symbol_size(border=2)[0]
    if width > columns or "utf" not in (sys.stdout.encoding or "").lower():
        return f"(A QR code needs {width} columns and UTF-8; --qr FILE draws it into a file.)"
    drawn = io.StringIO()
    code.terminal(drawn, border=2, compact=True)
    return "\n" + drawn.getvalue()


def draw(link: str, path: str) -> None:
    """An address as a picture. Raises `OperatorError`."""
    import segno

    if not link:
        raise OperatorError("picture", "there is no link to draw", "start the server first", Exit.UNAVAILABLE)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            segno.make_qr(link, error="m").save(file, kind=path.lower().rpartition(".")[2], scale=8)
    except OSError as error:
        raise OperatorError(f"picture {path}", f"cannot be written ({error.strerror})", "", Exit.DISK) from error
