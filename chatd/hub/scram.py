"""SCRAM-SHA-256 (RFC 5802, RFC 7677): proving a password without telling it.

What is kept for it stands behind what argon2 made of the same password, in the notation of PostgreSQL:
`SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`. The messages are read and made by `scramp`. As in
PostgreSQL the name in them is not looked at, for the request has it already: not every nick passes SASLprep.
"""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import b64decode, b64encode
from typing import Any

from chatd.core.codes import Code, Refusal

NAME = "SCRAM-SHA-256"
KEYS = re.compile(r"SCRAM-SHA-256\$(\d{1,9}):([\w+/=]{1,200})\$([\w+/=]{44}):([\w+/=]{44})", re.ASCII)

Keys = tuple[bytes, bytes, bytes, int]
"""Salt, StoredKey, ServerKey, and how many iterations made them."""


def make(password: str, iterations: int) -> str:
    """What is to be kept of a password; empty for one that SASLprep forbids, as an emoji newer than it is."""
    from scramp import ScramMechanism

    if not _is_allowed(password):
        return ""
    salt, stored, server, _ = ScramMechanism(NAME).make_auth_info(password, iterations, secrets.token_bytes(16))
    return f"{NAME}${iterations}:{_text(salt)}${_text(stored)}:{_text(server)}"


def is_made_so(kept: str, password: str, iterations: int) -> bool:
    """Whether `make` would have made what was kept; 0 iterations make nothing."""
    if not iterations or not _is_allowed(password):
        return not kept
    found = keys(kept)
    return found is not None and found[3] == iterations


def _is_allowed(password: str) -> bool:
    from scramp import ScramException
    from scramp.utils import saslprep

    try:
        saslprep(password)
    except ScramException:
        return False
    return True


def keys(kept: str) -> Keys | None:
    """What was kept, as bytes; None if nothing was, or nothing that can be read."""
    found = KEYS.fullmatch(kept)
    if found is None:
        return None
    try:
        salt, stored, server = (b64decode(part, validate=True) for part in found.groups()[1:])
    except ValueError:
        return None
    return salt, stored, server, int(found[1])


def nobodys(secret: bytes, account: str, iterations: int) -> Keys:
    """Keys that no password fits, for an account that is not there, whose salt is the same each time."""
    salt = hmac.digest(secret, b"scram: " + account.encode("utf-8", "replace"), "sha256")[:16]
    return salt, secrets.token_bytes(32), secrets.token_bytes(32), iterations


class Exchange:
    """One try, over its four messages. `kept` is what of the account it was begun with."""

    def __init__(self, account: str, kept: str, of: Keys, message: str) -> None:
        """`message` is the client-first-message. Raises `Refusal`."""
        from scramp import ScramException, ScramMechanism

        self.account = account
        self.kept = kept
        self._server: Any = ScramMechanism(NAME).make_server(lambda _: of)
        try:
            self._server.set_client_first(message)
        except ScramException as error:
            raise _malformed(error) from None
        self.challenge = str(self._server.get_server_first())

    def finish(self, message: str) -> str | None:
        """The server-final-message, if the client-final-message proves the password. Raises `Refusal`."""
        from scramp import ScramException
        from scramp.utils import ServerError

        try:
            self._server.set_client_final(message)
        except ScramException as error:
            if error.server_error is ServerError.INVALID_PROOF:
                return None
            raise _malformed(error) from None
        return str(self._server.get_server_final())


def _malformed(error: Exception) -> Refusal:
    return Refusal(Code.INVALID_PARAMS, f"data.message is not as in RFC 5802: {error.args[0]}")


def _text(blob: bytes) -> str:
    return b64encode(blob).decode("ascii")
