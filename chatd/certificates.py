"""Certificates: what is in their folder, which of them a peer is shown, and how one is made to begin with.

A certificate is chosen by the name that the peer asks for (SNI, RFC 6066 section 3); who asks for none, or for one that
is not there, gets the first. They are read again on SIGHUP: whoever is connected stays, and newcomers are shown what is
there then. A mistake in the folder changes nothing, and is told.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer

from chatd.datafolder import owner_only
from chatd.errors import Exit, OperatorError

DAYS = 3650
VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}


class Certificate:
    """One certificate with its key: for which names it is, and how to speak with it."""

    def __init__(self, key: Path, chain: Path, minimum: str) -> None:
        self.path = chain
        text = read(chain)
        try:
            self.first = x509.load_pem_x509_certificates(text)[0]
            context = SSL.Context(SSL.TLS_METHOD)
            context.set_min_proto_version(VERSIONS[minimum])
            context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
            context.use_certificate_chain_file(os.fspath(chain))
            context.use_privatekey_file(os.fspath(key))
            context.check_privatekey()
        except (ValueError, IndexError, SSL.Error) as error:
            raise OperatorError(
                f"certificate {chain}", f"cannot be used ({reason_of(error)})", REMEDY, Exit.SETTINGS
            ) from error
        self.context = context

    @property
    def names(self) -> list[str]:
        """The host names that it is for, in small letters."""
        try:
            found = self.first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return []
        return [name.lower() for name in found.get_values_for_type(x509.DNSName)]

    @property
    def fingerprint(self) -> str:
        """`SHA256:` and 64 hexadecimal digits, as `chatd connect --fingerprint` takes it."""
        return f"SHA256:{self.first.fingerprint(hashes.SHA256()).hex()}"

    @property
    def is_own(self) -> bool:
        """Whether nobody else vouches for it: clients have to know its fingerprint."""
        return self.first.issuer == self.first.subject

    @property
    def until(self) -> datetime:
        """Until when it is good."""
        return self.first.not_valid_after_utc


REMEDY = "chatd cert init makes one"


def reason_of(error: Exception) -> str:
    """Why, in words; OpenSSL's own errors are lists."""
    if isinstance(error, SSL.Error) and error.args and error.args[0]:
        return str(error.args[0][0][-1])
    return str(error) or type(error).__name__


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OperatorError(
            f"certificate {path}", f"cannot be read ({error.strerror})", REMEDY, Exit.SETTINGS
        ) from error


def load(folder: Path, minimum: str) -> list[Certificate]:
    """The certificates of a folder, by name. Raises `OperatorError` for one that cannot be used."""
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_dir() and (path / "fullchain.pem").exists():
            found.append(Certificate(path / "privkey.pem", path / "fullchain.pem", minimum))
        elif path.suffix == ".pem" and path.is_file():
            found.append(Certificate(path, path, minimum))
    return found


@implementer(IOpenSSLServerConnectionCreator)
class Certificates:
    """The certificates of a folder; false if there are none. Raises `OperatorError` if one cannot be used."""

    def __init__(self, folder: Path, minimum: str) -> None:
        self.all = load(folder, minimum)
        self._by_name: dict[str, Certificate] = {}
        self.take(self)

    def take(self, others: Certificates) -> None:
        """Show these from now on."""
        self.all = others.all
        self._by_name = {name: one for one in reversed(self.all) for name in one.names}
        for one in self.all:
            one.context.set_tlsext_servername_callback(self._choose)

    def __bool__(self) -> bool:
        return bool(self.all)

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        return SSL.Connection(self.all[0].context, None)

    def _choose(self, connection: SSL.Connection) -> None:
        """The peer has said whom it wants to talk to."""
        wanted = (connection.get_servername() or b"").decode("ascii", "replace").lower()
        found = self._by_name.get(wanted) or self._by_name.get(f"*.{wanted.partition('.')[2]}")
        if found is not None:
            connection.set_context(found.context)


# -- making one -----------------------------------------------------------------------------------------------


def make(path: Path, names: Sequence[str]) -> None:
    """A key and a certificate that it signs itself, in one file for this user only. Raises `OperatorError`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0][:64])])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName(list(map(general_name, names))), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    blob = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + made.public_bytes(serialization.Encoding.PEM)
    try:
        with owner_only():
            path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(blob)
    except FileExistsError:
        raise OperatorError(
            f"certificate {path}", "is there already", "remove it first, or name another", Exit.DISK
        ) from None
    except OSError as error:
        raise OperatorError(f"certificate {path}", f"cannot be written ({error.strerror})", "", Exit.DISK) from error


def general_name(name: str) -> x509.GeneralName:
    """A host name, or an address."""
    import ipaddress

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode("ascii"))


def usual_names() -> list[str]:
    """What this machine is called by those who are on it, and perhaps by others."""
    return list(dict.fromkeys(["localhost", socket.gethostname().lower() or "localhost", "127.0.0.1", "::1"]))
