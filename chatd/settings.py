"""Every setting there is: its name, type, bounds, default and meaning, in one place.

The parts of the house get these structs ready made, so this file knows nothing of files, environment or
command line: `chatd.config` reads those. What is declared here is what is checked, what `chatd config init`
writes and what `chatd config show` prints; a setting that is not here is refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from chatd.core.defaults import DEFAULT_LINE_PORT, DEFAULT_PORT
from chatd.journal_settings import JournalSettings
from chatd.limit_settings import Count, LimitSettings, Seconds


class ServerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the server listens, and what it says about itself."""

    port: Annotated[
        int | str,
        Meta(
            description="The port that everyone can join: telnet, nc and programs alike. A number, 0 for any"
            ' free port, "none", or an endpoint of Twisted such as "unix:/run/chatd/chatd.sock" or'
            ' "systemd:domain=INET:index=0".'
        ),
    ] = DEFAULT_PORT
    line_port: Annotated[
        int | str,
        Meta(
            description="A second port, only for people with telnet or nc: it greets at once. Written like"
            " port. While it is left at its default, a server that finds it taken goes on without it."
        ),
    ] = DEFAULT_LINE_PORT
    http_port: Annotated[
        int | str,
        Meta(
            description="A port for the web alone: the page, WebSocket and rooms by curl, which port takes as well."
            " Written like port."
        ),
    ] = "none"
    metrics_port: Annotated[
        int | str,
        Meta(
            description="A port for programs that watch the server: /metrics for Prometheus, /healthz and /readyz, over"
            " HTTP. Written like port; as a number it is on this machine only, whatever interface says."
        ),
    ] = "none"
    admin_socket: Annotated[
        str,
        Meta(
            description="The Unix socket by which chatd admin, chatd user and chatd invite reach the server: for this"
            ' user only. If empty: admin.sock in the data folder, and none with a journal in memory; "none": none.'
        ),
    ] = ""
    interface: Annotated[
        str,
        Meta(
            description='The address that ports given as a number listen on. "localhost" is this machine'
            ' only, by IPv4 and IPv6; "0.0.0.0" is all its IPv4 addresses, "::" all its IPv6 addresses.'
            " Names are not looked up."
        ),
    ] = "localhost"
    public: Annotated[
        bool,
        Meta(description="Listen on all addresses, IPv4 and IPv6, whatever interface says."),
    ] = False
    host: Annotated[
        str,
        Meta(
            description="The name or address by which others reach this server; chatd invite tells it. If empty: the"
            " first name of the certificate, else what this machine is called.",
            max_length=253,
            pattern=r"^[\w.:-]*$",
        ),
    ] = ""
    alternate: Annotated[
        str,
        Meta(
            description="Another server of the same cluster, as host:port: who is here when this one stops is told to"
            " go there.",
            max_length=300,
        ),
    ] = ""
    detect: Annotated[
        bool,
        Meta(
            description="Look at the first bytes on port to tell people from programs. If false, port is for"
            " programs only."
        ),
    ] = True
    data_dir: Annotated[
        str,
        Meta(
            description="The folder of the journal. If empty: $STATE_DIRECTORY, else $XDG_STATE_HOME/chatd,"
            " else ~/.local/state/chatd."
        ),
    ] = ""
    ready_file: Annotated[
        str,
        Meta(description="A file to write, as JSON, once everything listens; it is removed at stop. If empty: none."),
    ] = ""
    name: Annotated[
        str,
        Meta(description="What the server calls itself.", min_length=1, max_length=63, pattern=r"^[!-~]+$"),
    ] = "chatd"
    network: Annotated[
        str,
        Meta(description="What the community calls itself.", min_length=1, max_length=63),
    ] = "chatd"
    motd: Annotated[
        str,
        Meta(description="A few words of welcome for everyone who comes in.", max_length=4096),
    ] = ""


class LineSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How people with telnet or nc are received."""

    lobby: Annotated[
        str,
        Meta(description="The room that people are in once they have a name.", pattern=r"^#\S{1,63}$"),
    ] = "#lobby"
    history_lines: Annotated[
        int,
        Meta(description="How many of its last messages they see first.", ge=0, le=200),
    ] = 20
    silence_seconds: Annotated[
        Seconds,
        Meta(description="Who says nothing for this long on the port that everyone can join is greeted as a person."),
    ] = 0.8
    resume_days: Annotated[
        int,
        Meta(description="For how many days they can come back with /resume after they left; 0: not.", ge=0, le=3650),
    ] = 7
    resume_most: Annotated[Count, Meta(description="How many can; beyond it, who left first cannot.")] = 100_000
    resume_guesses_per_minute: Annotated[
        Count,
        Meta(description="How many wrong words one address may try; in trusted networks ten times as many."),
    ] = 6


class AccountSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names that belong to people, and the passwords that prove it."""

    registration: Annotated[
        Literal["open", "invite", "closed"],
        Meta(
            description='Who can make an account: "open", everybody; "invite", who has an invite that chatd invite'
            ' made; "closed", only the operator, with chatd user add. A server that other machines can reach does not'
            " start before it is chosen."
        ),
    ] = "open"
    password_chars: Annotated[
        int,
        Meta(description="The fewest characters of a password.", ge=1, le=128),
    ] = 8
    guesses_per_minute: Annotated[
        int,
        Meta(
            description="How many wrong passwords a minute are looked at from one address, and for one account from"
            " all addresses together, also in trusted networks. An address from which its owner came lately has a count"
            " of its own.",
            ge=1,
            le=1000,
        ),
    ] = 3
    invite_days: Annotated[
        float,
        Meta(description="For how many days an invite is good.", gt=0, le=3650),
    ] = 7.0
    quarantine_hours: Annotated[
        float,
        Meta(
            description="How long a new account cannot make rooms, nor write to people who did not write first, if it"
            " comes from a public address; guests from there cannot at all. 0: everybody can.",
            ge=0,
            le=8760,
        ),
    ] = 1.0
    hash_memory_kib: Annotated[
        int,
        Meta(
            description="The memory that hashing a password takes (argon2id), in KiB. More makes a stolen journal"
            " harder to guess from, and each login slower.",
            ge=8,
            le=4_194_304,
        ),
    ] = 19_456
    hash_passes: Annotated[
        int,
        Meta(description="How many times it goes over that memory.", ge=1, le=1000),
    ] = 2
    hash_threads: Annotated[
        int,
        Meta(description="How many passwords are hashed at once; others wait for their turn.", ge=1, le=64),
    ] = 1
    scram: Annotated[
        bool,
        Meta(
            description="Whether one can log in by scram-sha-256, which does not send the password. For that a second"
            " hash of it is kept (PBKDF2), which takes no memory and so is easier to guess from than argon2id, should"
            " the journal be stolen. What was kept, or was not, is put right when its owner next logs in by password."
        ),
    ] = True
    scram_iterations: Annotated[
        int,
        Meta(
            description="How many times that second hash is made. The client does the same at each such login.",
            ge=4096,
            le=10_000_000,
        ),
    ] = 600_000


class TlsSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Certificates, and how wires are encrypted."""

    certificates: Annotated[
        str,
        Meta(
            description="The folder of the certificates: NAME.pem with key and certificate, as chatd cert init makes,"
            " or NAME/privkey.pem and NAME/fullchain.pem, as certbot does. If empty: tls in the data folder. With a"
            " certificate, the port that everyone can join takes TLS too, and tls:NUMBER can be given as any port."
        ),
    ] = ""
    minimum: Annotated[
        Literal["1.2", "1.3"],
        Meta(description="The oldest version of TLS that is spoken."),
    ] = "1.2"
    handshake_seconds: Annotated[
        Seconds,
        Meta(description="How long a peer may take to agree on how to encrypt."),
    ] = 10.0


class WebSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The page and what else comes over HTTP, on the port that everyone can join and on http_port."""

    page: Annotated[
        bool,
        Meta(description="Whether there is a page for people with a browser."),
    ] = True
    origins: Annotated[
        tuple[str, ...],
        Meta(
            description='Pages from elsewhere that may open a WebSocket here: ["https://example.org"]. The page of this'
            " server may anyway, under whatever name it was reached; on loopback that is localhost or server.host."
        ),
    ] = ()
    proxies: Annotated[
        tuple[str, ...],
        Meta(
            description='The addresses of web servers in front of this one, such as ["127.0.0.1"]: who they say that'
            " they pass on (X-Forwarded-For) is believed, and counted and limited as such."
        ),
    ] = ()


class LogSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `chatd serve` writes to its standard output (twistd has options of its own)."""

    level: Annotated[
        Literal["debug", "info", "warn", "error", "critical"],
        Meta(description='The least important lines to write: "debug", "info", "warn", "error" or "critical".'),
    ] = "info"
    format: Annotated[
        Literal["text", "json"],
        Meta(description='"text" for people, "json" for programs: one object a line, fields by name.'),
    ] = "text"
    addresses: Annotated[
        bool,
        Meta(description="Whether the addresses of people are written."),
    ] = True


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of a server, checked."""

    server: ServerSettings = ServerSettings()
    journal: JournalSettings = JournalSettings()
    limits: LimitSettings = LimitSettings()
    line: LineSettings = LineSettings()
    accounts: AccountSettings = AccountSettings()
    tls: TlsSettings = TlsSettings()
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()


class Setting(Struct, frozen=True, kw_only=True):
    """One setting as it is declared."""

    section: str
    key: str
    type: Any
    default: object

    @property
    def name(self) -> str:
        """`section.key`."""
        return f"{self.section}.{self.key}"

    @property
    def description(self) -> str:
        """What it is for, in sentences."""
        metas = (meta for meta in self.type.__metadata__ if isinstance(meta, Meta))
        return " ".join(meta.description for meta in metas if meta.description)

    @property
    def choices(self) -> tuple[str, ...]:
        """The values it can have, where they are a few words."""
        bare = get_args(self.type)[0]
        return get_args(bare) if get_origin(bare) is Literal else ()


def sections() -> dict[str, type[Struct]]:
    """The struct of each section, in the order a reader expects."""
    return {field.name: field.type for field in msgspec.structs.fields(Settings)}


def declared() -> dict[str, Setting]:
    """Every setting by its full name `section.key`."""
    settings = (
        Setting(section=section, key=field.name, type=field.type, default=getattr(struct(), field.name))
        for section, struct in sections().items()
        for field in msgspec.structs.fields(struct)
    )
    return {setting.name: setting for setting in settings}
