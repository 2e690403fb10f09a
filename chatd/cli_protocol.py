"""`chatd protocol --schema`: prints what goes over the wire, made from the very types that check it."""

from __future__ import annotations

import msgspec

from chatd.errors import Exit, OperatorError

USAGE = "Usage: chatd protocol --schema\n\nPrint the JSON Schema of requests, replies and events."


def run(_name: str, words: list[str]) -> int:
    if any(word in ("--help", "-h") for word in words):
        print(USAGE)
        return Exit.OK
    if words != ["--schema"]:
        raise OperatorError("protocol", "it takes one option", "type: chatd protocol --schema", Exit.USAGE)
    from chatd.protocols import schema

    print(msgspec.json.format(msgspec.json.encode(schema.document()), indent=2).decode())
    return Exit.OK
