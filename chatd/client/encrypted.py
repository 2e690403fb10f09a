"""Encryption as a client wants it: a certificate that some authority vouches for, or one known by its fingerprint.

Uses the standard library alone. A fingerprint is compared within the handshake, before anything is said.
"""

from __future__ import annotations

import hmac
import re
import ssl
from hashlib import sha256

CHUNK = 1 << 16
FINGERPRINT = re.compile(r"(?:SHA256:)?([0-9a-f]{64})", re.IGNORECASE)


class BadFingerprint(ValueError):
    """What was given is no fingerprint."""


def context_of(fingerprint: str | None = None, ca: str | None = None) -> ssl.SSLContext:
    """How to speak: TLS 1.2 or later. With a `fingerprint` exactly that certificate is wanted, whoever made it; else
    one for the host's name, from an authority of `ca` (a file) or of this machine. Raises `OSError`, `BadFingerprint`.
    """
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if fingerprint is not None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.sslobject_class = pinned(fingerprint)
    return context


def pinned(fingerprint: str) -> type[ssl.SSLObject]:
    """What speaks only to who has this certificate."""
    found = FINGERPRINT.fullmatch(fingerprint.strip().replace(":", "").replace("SHA256", "SHA256:", 1))
    if found is None:
        raise BadFingerprint(f"{fingerprint[:80]!r} is no fingerprint: SHA256: and 64 hexadecimal digits")
    wanted = found[1].lower()

    class Pinned(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            shown = sha256(self.getpeercert(binary_form=True) or b"").hexdigest()
            if not hmac.compare_digest(shown, wanted):
                raise ssl.SSLCertVerificationError(1, f"it has another certificate: SHA256:{shown}")

    return Pinned


class Tunnel:
    """An encrypted connection without its socket: what comes from there goes in here, and what is to go out comes out.

    All of it raises `ssl.SSLError`: this connection is of no use any more.
    """

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self.is_open = False  # whether both have agreed, and one can speak
        self._agree()

    def receive(self, blob: bytes) -> bytes:
        """What the other side said, of which this was the next part."""
        self._incoming.write(blob)
        if not self.is_open:
            self._agree()
        parts = []
        try:
            while self.is_open and (part := self._tls.read(CHUNK)):
                parts.append(part)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):  # nothing more now, or ever
            pass
        return b"".join(parts)

    def send(self, plain: bytes) -> None:
        """Say something."""
        self._tls.write(plain)

    def to_send(self) -> bytes:
        """What is to be written to the socket now."""
        return self._outgoing.read()

    def _agree(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        self.is_open = True


def reason_of(error: ssl.SSLError) -> str:
    """Why there is no encrypted connection, in words."""
    told = getattr(error, "verify_message", "") or (error.args[-1] if error.args else "") or error.reason
    return str(told).strip()
