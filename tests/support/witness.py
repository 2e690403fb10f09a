"""A witness: from the trace of a server's disk and sockets, whether each ok was given by right."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import NamedTuple

from support.disk import Kind, Record

BODY = re.compile(rb"<talker\d+ \d+>")
REPLY = re.compile(rb'"re":"(\w+)","ok":true')


class Finding(NamedTuple):
    """How many oks of talkers' messages were sent, and the messages whose ok no sync had preceded."""

    oks: int
    too_early: list[str]


def oks_and_syncs(records: Iterable[Record]) -> Finding:
    """For each ok: its message was received, then written, then a sync of that file began, and ended well; then the ok.

    What a sync that failed was to bring to the disk has to be written again.
    """
    streams: dict[int, bytes] = {}
    asked: dict[tuple[int, str], str] = {}
    written: dict[str, tuple[int, int]] = {}  # where each message was written last: file, and place in the trace
    begun: dict[int, int] = {}
    synced: set[str] = set()
    oks, too_early = 0, []
    for place, record in enumerate(records):
        match record.kind:
            case Kind.RECEIVED:
                streams[record.fd] = _take(streams.get(record.fd, b"") + record.bytes, record.fd, asked)
            case Kind.CLOSING:
                streams.pop(record.fd, None)
                asked = {key: body for key, body in asked.items() if key[0] != record.fd}
            case Kind.WRITTEN:
                received = set(asked.values())
                for found in BODY.findall(record.bytes):
                    if (body := found.decode()) in received and body not in synced:
                        written[body] = (record.inode, place)
            case Kind.SYNC_BEGINS:
                begun[record.fd] = place
            case Kind.SYNC_ENDS:
                began = begun.pop(record.fd)
                for body, (inode, when) in list(written.items()):
                    if inode == record.inode and when < began:
                        del written[body]
                        if not record.error:
                            synced.add(body)
            case Kind.SENDING:
                for found in REPLY.findall(record.bytes):
                    if (body := asked.pop((record.fd, found.decode()), "")) != "":
                        oks += 1
                        if body not in synced:
                            too_early.append(body)
    return Finding(oks, too_early)


def _take(stream: bytes, fd: int, asked: dict[tuple[int, str], str]) -> bytes:
    """Note the messages in what came over a framed connection; what is left is the beginning of a frame."""
    while len(stream) >= 4 and len(stream) >= (end := 4 + int.from_bytes(stream[:4])):
        request = json.loads(stream[4:end])
        if request["type"] == "send" and BODY.fullmatch(request["body"].encode()):
            asked[fd, request.get("id", "")] = request["body"]
        stream = stream[end:]
    return stream
