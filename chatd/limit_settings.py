"""The limits as settings: each field of the rules' own `Limits`, with its bounds and its meaning.

`chatd.settings` has all the others, and the ways in which they are declared.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from chatd.core.limits import Limits

# Putting a frame together costs its length squared, so this is as long as one may be.
MAX_FRAME_BYTES = 65_536

Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class LimitSettings(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much, how many, how long. Clients are told. Beyond a limit is an error; nothing is cut short."""

    # The rules' own struct, field for field, with bounds and meaning added.
    frame_bytes: Annotated[
        int,
        Meta(description="The longest frame either way, in bytes.", ge=4096, le=MAX_FRAME_BYTES),
    ] = 65_536
    body_bytes: Annotated[
        int,
        Meta(description="The longest text of a message, in bytes of UTF-8.", ge=64, le=32_768),
    ] = 8192
    body_lines: Annotated[Count, Meta(description="The most lines in the text of a message.")] = 200
    data_bytes: Annotated[
        int,
        Meta(description="The largest `data` of a message, in bytes.", ge=0, le=MAX_FRAME_BYTES),
    ] = 32_768
    data_depth: Annotated[
        int,
        Meta(description="How deep the `data` of a message may be nested.", ge=1, le=64),
    ] = 16
    topic_chars: Annotated[Count, Meta(description="The longest topic of a room, in characters.")] = 390
    rooms_per_session: Annotated[Count, Meta(description="How many rooms one session can be in.")] = 100
    history_page: Annotated[
        int,
        Meta(description="The most events in one page of history.", ge=1, le=10_000),
    ] = 200
    login_seconds: Annotated[
        Seconds,
        Meta(description="How long a newcomer may take to say hello and a name."),
    ] = 30.0
    idle_seconds: Annotated[
        Seconds,
        Meta(description="After this long without a byte a program is asked whether it is there."),
    ] = 45.0
    dead_seconds: Annotated[
        Seconds,
        Meta(description="After this long without a byte a program is taken for gone."),
    ] = 90.0
    messages_per_second: Annotated[
        float,
        Meta(description="How many messages a second one user may send for long; 0 is no limit.", ge=0, le=1_000_000),
    ] = 2.0
    messages_burst: Annotated[Count, Meta(description="How many messages one user may send at once.")] = 10
    logins_per_minute: Annotated[
        int,
        Meta(description="How many logins a minute one address may make; 0 is no limit.", ge=0, le=1_000_000),
    ] = 60
    keys_per_minute: Annotated[
        int,
        Meta(
            description="How many keys of rooms a minute one address may try, right ones too; 0 is no limit.",
            ge=0,
            le=1_000_000,
        ),
    ] = 30
    connections_per_address: Annotated[
        int,
        Meta(
            description="How many connections one public address may have, where an IPv6 network of 64 bits counts as"
            " one, and six times as many that only fetch something by HTTP; 0 is no limit.",
            ge=0,
            le=1_000_000,
        ),
    ] = 16
    connections_per_private_address: Annotated[
        int,
        Meta(
            description="The same for an address of a private network, behind which there may be a whole classroom.",
            ge=0,
            le=1_000_000,
        ),
    ] = 256
    connections: Annotated[
        int,
        Meta(
            description="How many connections there may be in all; newcomers wait until somebody leaves. 0: as many as"
            " the limit of open files lets in, with some kept back for the journal.",
            ge=0,
            le=1_000_000,
        ),
    ] = 0
    trusted_networks: Annotated[
        tuple[str, ...],
        Meta(
            description="Networks in which no rate of messages, requests, logins and keys holds, and no cap of"
            " connections by address. Empty: they hold for everyone."
        ),
    ] = ("127.0.0.0/8", "::1/128")
    requests_in_flight: Annotated[
        Count,
        Meta(description="How many requests of one connection may be under way before no more of it is read."),
    ] = 256
    send_queue_bytes: Annotated[
        int,
        Meta(
            description="How much may wait in our memory for one slow reader, in bytes; no frame is longer. What it"
            " cannot take is shown to it later, out of the journal.",
            ge=MAX_FRAME_BYTES,
            le=1 << 30,
        ),
    ] = 65_536
    kernel_queue_bytes: Annotated[
        int,
        Meta(
            description="How much the kernel may hold for one reader on top of it, in bytes; Linux takes about twice"
            " that. 0 leaves it to the kernel, which may hold several megabytes.",
            ge=0,
            le=1 << 30,
        ),
    ] = 131_072
    requests_per_second: Annotated[
        float,
        Meta(
            description="How many requests a second other than messages one user may make for long; 0 is no limit.",
            ge=0,
            le=1_000_000,
        ),
    ] = 20.0
    requests_burst: Annotated[Count, Meta(description="How many of them one user may make at once.")] = 200
    presence_batch_members: Annotated[
        Count,
        Meta(description="In rooms of so many members and more, comings and goings are told many at a time."),
    ] = 50
    presence_count_members: Annotated[
        Count,
        Meta(description="In rooms of so many members and more, comings and goings are told as numbers only."),
    ] = 1000
    bans_per_room: Annotated[
        Count,
        Meta(description="How many bans one room can have, and as many people who are muted."),
    ] = 1000
