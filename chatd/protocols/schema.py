"""The JSON Schema of the framed protocol, made from the very types that read and write it."""

from __future__ import annotations

from typing import Any

import msgspec

from chatd.core import commands, replies, views

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def document() -> dict[str, Any]:
    """One schema with `request`, `reply` and `event` under `$defs`; the whole accepts any of the three."""
    groups: dict[str, tuple[type, ...]] = {"request": commands.ALL, "reply": replies.ALL, "event": views.ALL}
    chosen = {f"{group}.{_name(kind)}": kind for group, kinds in groups.items() for kind in kinds}
    schemas, parts = msgspec.json.schema_components(tuple(chosen.values()), ref_template="#/$defs/{name}")
    defs: dict[str, Any] = dict(sorted(parts.items()))
    for kind in replies.ALL:  # always written, though they have a default
        reply = defs[kind.__name__]
        reply["required"] = ["re", "ok", *(name for name in reply.get("required", ()) if name not in ("re", "ok"))]
        reply["properties"]["re"] = {"type": "string"}
        reply["properties"]["ok"] = {"const": kind is not replies.Failure}
    for group in groups:
        refs = [schema for name, schema in zip(chosen, schemas, strict=True) if name.startswith(group + ".")]
        defs[group] = {"anyOf": refs}
    return {
        "$schema": DIALECT,
        "title": "chatd protocol, version 1",
        "description": "Objects of the framed protocol. Unknown fields are ignored by both sides.",
        "anyOf": [{"$ref": f"#/$defs/{group}"} for group in groups],
        "$defs": defs,
    }


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
