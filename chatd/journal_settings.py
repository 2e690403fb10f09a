"""The journal's settings: where what was said is kept, and how surely, on one machine or on many.

`chatd.settings` has all the others, and the ways in which they are declared.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from chatd.core.retention import PATTERN as RETENTION
from chatd.limit_settings import Seconds


class JournalSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where what was said is kept, and how surely."""

    url: Annotated[
        str,
        Meta(
            description='"sqlite:" is a file in the data folder, "sqlite:/a/file.db" that file;'
            ' "nats://a:4222,b:4222" is a stream that several nodes share, on these NATS servers, "tls://a:4222" too,'
            ' encrypted; and "memory:" is nothing: everything is gone when the server stops.'
        ),
    ] = "sqlite:"
    durability: Annotated[
        Literal["fsync", "normal", "memory"],
        Meta(
            description='When a message counts as kept. "fsync": it is on the disk and outlives a power cut;'
            ' "normal": it outlives the server but perhaps not the machine; "memory": when the disk sees it'
            " is left to chance. Clients are told which."
        ),
    ] = "fsync"
    stream: Annotated[
        str,
        Meta(
            description="With nats://: what the stream is called, and what the subjects begin with.",
            pattern=r"^[A-Za-z0-9_-]{1,32}$",
        ),
    ] = "chatd"
    shards: Annotated[
        int,
        Meta(
            description="With nats://: in how many streams the rooms are. 1: all is in one. With more, there are so"
            " many beside it, which different NATS servers can lead. It is the same on all nodes, and stays as it is"
            " for as long as the stream is there.",
            ge=1,
            le=64,
        ),
    ] = 1
    replicas: Annotated[
        int,
        Meta(
            description="With nats://: how many servers keep the stream, for the node that makes it. 0: three in a"
            " cluster of servers, and one where there is one.",
            ge=0,
            le=5,
        ),
    ] = 0
    require: Annotated[
        str,
        Meta(
            description='With nats://: how surely messages have to be kept, at the least: "replicated:3", or'
            ' "replicated:3+fsync" if each server has sync_interval: always and journal.monitor names them all. A node'
            " that finds less does not start. If empty: whatever there is.",
            pattern=r"^(replicated:[1-5](\+fsync)?)?$",
        ),
    ] = ""
    monitor: Annotated[
        tuple[str, ...],
        Meta(
            description='With nats://: the monitoring addresses of the servers, such as ["http://10.0.0.1:8222"]. Only'
            " there do they tell whether each write is synced."
        ),
    ] = ()
    hold_seconds: Annotated[
        Seconds,
        Meta(
            description="With nats://: how long a message waits for a stream that does not take it, before its author"
            " is told so."
        ),
    ] = 10.0
    node_seconds: Annotated[
        Seconds,
        Meta(
            description="With nats://: a node that is not heard for this long, by nodes that hear each other, is taken"
            " for dead: whoever was there is gone for all."
        ),
    ] = 5.0
    credentials: Annotated[
        str,
        Meta(description="With nats://: a file of credentials (.creds). If empty: user and password of the URL."),
    ] = ""
    tls_ca: Annotated[
        str,
        Meta(description="With nats://: a file with the authority that signed the servers' certificates (PEM)."),
    ] = ""
    tls_certificate: Annotated[
        str,
        Meta(description="With nats://: a file with this node's certificate for the servers (PEM)."),
    ] = ""
    tls_key: Annotated[
        str,
        Meta(description="With nats://: a file with its key. If empty: it is in the certificate's file."),
    ] = ""
    retention: Annotated[
        str,
        Meta(
            description='How long what was said is kept: "12h", "30d" or "8w". What is older is removed for good, and'
            " who comes back to it is told that it is gone. If empty: for ever.",
            pattern=RETENTION,
        ),
    ] = ""
    retention_by_room: Annotated[
        dict[str, str],
        Meta(
            description='The same for single rooms, whatever retention says: {"#log" = "12h", "#archive" = ""} removes'
            " from #log what is older than twelve hours, and nothing from #archive."
        ),
    ] = {}
