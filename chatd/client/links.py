"""Links that hold all one needs to come in: `chatd://chat.example.org:1234/?invite=WORD&fingerprint=SHA256:…`.

`chatd invite` makes them, and `chatd connect` takes them wherever an address is taken. `tls=1` stands for an encrypted
connection to a server whose certificate is trusted anyway.
"""

from __future__ import annotations

from urllib.parse import parse_qs, quote, urlsplit

from msgspec import Struct

SCHEME = "chatd"
MOST_CHARACTERS = 1000


class Link(Struct, frozen=True):
    """What a link says; `address` is as `chatd.client.address` takes it."""

    address: str
    invite: str = ""
    fingerprint: str = ""
    tls: bool = False

    def __str__(self) -> str:
        told = {"invite": self.invite, "fingerprint": self.fingerprint, "tls": "1" if self.tls else ""}
        query = "&".join(f"{name}={quote(value, safe=':-')}" for name, value in told.items() if value)
        return f"{SCHEME}://{self.address}/" + (f"?{query}" if query else "")


def read(text: str) -> Link:
    """What a link says; of anything else, the address that it perhaps is."""
    if not text.strip().startswith(f"{SCHEME}://") or len(text) > MOST_CHARACTERS:
        return Link(text)
    try:
        parts = urlsplit(text.strip())
    except ValueError:  # half of an IPv6 address: whoever reads the address will say so
        return Link(text)
    if parts.path not in ("", "/") or "@" in parts.netloc:
        return Link(text)
    told = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    is_encrypted = told.get("tls", "") not in ("", "0")
    return Link(parts.netloc, told.get("invite", ""), told.get("fingerprint", ""), is_encrypted)
