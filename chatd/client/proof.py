"""Logging in without telling the password: the client's part of SCRAM-SHA-256 (RFC 5802, RFC 7677).

The server proves that it knows the password, too. To come by it, a password is hashed as often as the server wishes,
some hundred thousand times; that takes some tenths of a second, and nothing else is done meanwhile.
"""

from __future__ import annotations

from chatd.client.errors import Refused, WrongProtocol
from chatd.core.codes import Code
from chatd.core.replies import Challenged, LoggedIn

MECHANISM = "scram-sha-256"


class Proof:
    """One login. `Refused` if this password cannot be proved so, which few cannot: those with newer emoji."""

    def __init__(self, password: str) -> None:
        from scramp import ScramClient, ScramException

        try:
            self._client = ScramClient([MECHANISM.upper()], "*", password)  # the request has the account's name
        except ScramException as error:
            words = f"this password can only be sent over an encrypted connection ({error.args[0]})"
            raise Refused(Code.AUTH_FAILED, words) from None
        self.first = str(self._client.get_client_first())

    def answer(self, challenge: Challenged) -> str:
        """The client-final-message."""
        from scramp import ScramException

        try:
            self._client.set_server_first(challenge.data.get("message"))
            return str(self._client.get_client_final())
        except ScramException as error:
            raise WrongProtocol(f"the server's challenge makes no sense: {error.args[0]}") from None

    def check(self, reply: LoggedIn) -> None:
        """Make sure that the server knows the password as well."""
        from scramp import ScramException

        message = reply.data.get("message") if isinstance(reply.data, dict) else None
        try:
            self._client.set_server_final(message)
        except ScramException:
            raise WrongProtocol("the server let us in, but could not prove that it knows the password") from None
