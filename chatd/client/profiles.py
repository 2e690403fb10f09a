"""Who one is on which server: profiles that one writes, and tokens that the program keeps.

Profiles are in `$XDG_CONFIG_HOME/chatd/client.toml`:

    [profile.tom]
    server = "chat.example.org:1234"
    nick = "tom"
    rooms = ["#lobby", "#ops"]

With `account = "tom"` it is an account that one logs in to, with `tls = true` or a `fingerprint` it is encrypted. A
token is kept in `$XDG_STATE_HOME/chatd-client/tokens.json`, readable by its owner only, so that who comes again under a
nick, or to an account, is the same person to the server, whichever of the programs it is.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import msgspec
from msgspec import Struct

from chatd.client.cursor import CursorFileError, write_private
from chatd.core.names import fold
from chatd.errors import Exit, OperatorError

MOST_BYTES = 1 << 20
MOST_TOKENS = 200


class Profile(Struct, frozen=True, forbid_unknown_fields=True):
    """What a profile may say."""

    server: str | None = None
    nick: str | None = None
    account: str | None = None
    tls: bool = False
    fingerprint: str | None = None
    rooms: list[str] = []


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    profile: dict[str, Profile] = {}


def folder(variable: str, otherwise: str) -> Path:
    """One of the folders of the XDG Base Directory Specification."""
    given = os.environ.get(variable, "")
    return Path(given) if os.path.isabs(given) else Path.home() / otherwise


def profile(name: str) -> Profile:
    """The profile called so; OperatorError says what is wrong with the file, or which profiles there are."""
    path = folder("XDG_CONFIG_HOME", ".config") / "chatd" / "client.toml"
    try:
        with open(path, "rb") as file:
            found = msgspec.convert(tomllib.loads(file.read(MOST_BYTES).decode()), _File)
    except OSError as error:
        remedy = f'write it, for example: [profile.{name}] and nick = "{name}"'
        raise OperatorError(str(path), error.strerror or "cannot be read", remedy, Exit.SETTINGS) from None
    except ValueError as error:  # TOML's, Unicode's and msgspec's errors
        raise OperatorError(str(path), str(error), "mend it", Exit.SETTINGS) from None
    if name not in found.profile:
        known = ", ".join(sorted(found.profile)) or "none"
        raise OperatorError(str(path), f"has no profile {name!r}", f"there are: {known}", Exit.SETTINGS)
    return found.profile[name]


class Tokens:
    """The tokens of guests, by server and nick. What cannot be read or written is not remembered, and no error."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or folder("XDG_STATE_HOME", ".local/state") / "chatd-client" / "tokens.json"

    def get(self, server: str, nick: str) -> str | None:
        """The token for this nick on this server."""
        return self._read().get(_key(server, nick))

    def put(self, server: str, nick: str, token: str | None, instead_of: str | None = None) -> None:
        """Remember a token; the one for another nick is forgotten when we are called so no more."""
        tokens = self._read()
        before = dict(tokens)
        if instead_of is not None and instead_of != nick:
            tokens.pop(_key(server, instead_of), None)
        if token is not None:
            tokens.pop(_key(server, nick), None)
            tokens[_key(server, nick)] = token
        while len(tokens) > MOST_TOKENS:
            del tokens[next(iter(tokens))]
        self._write(before, tokens)

    def drop(self, server: str, nick: str) -> None:
        """Forget a token that is not good any more."""
        tokens = self._read()
        before = dict(tokens)
        tokens.pop(_key(server, nick), None)
        self._write(before, tokens)

    def _write(self, before: dict[str, str], tokens: dict[str, str]) -> None:
        if tokens != before:
            try:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_private(self.path, msgspec.json.encode(tokens))
            except (OSError, CursorFileError):
                return

    def _read(self) -> dict[str, str]:
        try:
            with open(self.path, "rb") as file:
                return msgspec.json.decode(file.read(MOST_BYTES), type=dict[str, str])
        except (OSError, ValueError):
            return {}


def _key(server: str, nick: str) -> str:
    return f"{server} {fold(nick)}"
