"""`chatd cert`: makes a certificate to begin with, and shows those that a server has.

They are where a server with the same settings looks for them. What a certificate is, is `chatd.certificates`' to know.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from chatd.cli_journal import Parser, where
from chatd.datafolder import certificate_folder, needs_openssl
from chatd.errors import Exit, OperatorError


def run(_name: str, words: list[str]) -> int:
    """Run `init` or `show`."""
    parser = Parser(prog="chatd cert", description="Make and show certificates.", allow_abbrev=False)
    subs = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    init: Parser = subs.add_parser("init", help="make one that signs itself", description=INIT, allow_abbrev=False)
    init.add_argument(
        "names", nargs="*", metavar="NAME", help="host names and addresses by which the server is reached"
    )
    show: Parser = subs.add_parser("show", help="show those there are", description="Show those there are.")
    actions: tuple[tuple[Parser, Callable[[Path, argparse.Namespace], int]], ...] = ((init, make), (show, tell))
    for sub, action in actions:
        sub.add_argument("--data-dir", "-d", metavar="FOLDER", help="the server's data folder")
        sub.add_argument("--config", "-c", metavar="FILE", help="the server's settings file")
        sub.set_defaults(action=action)
    try:
        chosen = parser.parse_args(words)
    except SystemExit:  # after --help
        return Exit.OK
    settings, _ = where(chosen)
    status: int = chosen.action(certificate_folder(settings, os.environ), chosen)
    return status


INIT = "Make a key and a certificate that it signs itself, and print its fingerprint. On SIGHUP a server takes it."


def make(folder: Path, chosen: argparse.Namespace) -> int:
    """A new certificate in the folder."""
    with needs_openssl():
        from chatd import certificates
    path = folder / "own.pem"
    certificates.make(path, chosen.names or certificates.usual_names())
    return tell(folder, chosen)


def tell(folder: Path, chosen: argparse.Namespace) -> int:
    """What is in the folder."""
    with needs_openssl():
        from chatd import certificates
    found = certificates.load(folder, "1.2")
    if not found:
        raise OperatorError(f"folder {folder}", "there is no certificate in it", certificates.REMEDY, Exit.UNAVAILABLE)
    for one in found:
        print(f"{one.path}: for {', '.join(one.names) or 'no name'}, until {one.until:%Y-%m-%d}")
        print(f"  {one.fingerprint}")
    print(f"Programs: chatd connect HOST:PORT --tls --fingerprint {found[0].fingerprint}")
    return Exit.OK
