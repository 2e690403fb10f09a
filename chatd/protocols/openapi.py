"""The description of HTTP for programs (OpenAPI 3.1), made from the very types that read and write it.

`/openapi.json` tells it. Whoever has it can make a client, or test the server: tests/whole/test_openapi.py does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

import chatd
from chatd.core.commands import Send
from chatd.core.replies import HistoryPage, Problem, Sent
from chatd.protocols.http_asked import FIELDS, IDEMPOTENCY_KEY, LARGEST, SHOWN

TEXT = "text/plain"
JSON = "application/json"
HTML = "text/html"
STREAM = "text/event-stream"

WHY = {
    303: "read it in the page",
    400: "something about the request is wrong",
    401: "say who you are",
    403: "you may not",
    404: "there is no such room, or no such message",
    409: "somebody is called so",
    413: "too long",
    422: "this Idempotency-Key was used for something else",
    429: "too much in too short a time: come again after `Retry-After` seconds",
    503: "it could not be stored: come again after `Retry-After` seconds",
}


def document(page: int) -> dict[str, Any]:
    """The whole, where a page of history has at most so many events."""
    kinds = (HistoryPage, Sent, Problem)
    refs, parts = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    for kind in (HistoryPage, Sent):  # without what only a connection needs
        for name in ("re", "ok"):
            parts[kind.__name__]["properties"].pop(name, None)
        parts[kind.__name__]["required"].remove("re")
    history, sent, problem = refs
    parts["Refused"] = {"type": "object", "properties": {"error": problem}, "required": ["error"]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "chatd: rooms by HTTP",
            "version": chatd.__version__,
            "description": "Read rooms, write into them, follow them. docs/how-to/curl.md shows how.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "components": {
            "schemas": dict(sorted(parts.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "paths": {
            "/r/{room}": {
                "parameters": [ROOM],
                "get": reading(history, page),
                "post": writing(sent, "send", [KEY], {"security": [{"token": []}]}),
            },
            "/r/{room}/events": {"parameters": [ROOM], "get": following()},
            "/hook/{room}/{token}": {
                "parameters": [ROOM, in_path("token", "what `chatd user token NAME --room ROOM` printed")],
                "post": writing(sent, "hook", [KEY], {}),
            },
            "/healthz": {"get": watching("alive", "the server turns")},
            "/readyz": {"get": watching("ready", "people can come in, and what they say is kept")},
        },
    }


MESSAGE = msgspec.json.schema(Send)["$defs"]["Send"]["properties"]
OTHER_NAME = {"type": "string", "description": "another name for `body`"}

# -- parts ------------------------------------------------------------------------------------------------------------


def in_path(name: str, words: str) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1}
    return {"name": name, "in": "path", "required": True, "description": words, "schema": schema}


def in_query(name: str, words: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": words, "schema": schema}


ROOM = in_path("room", "the room's name, without its #")
SEQ = {"type": "integer", "minimum": 0, "maximum": LARGEST}
SINCE = in_query("since", "what came after this number, the oldest first", SEQ)
KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "a key of your own: what is sent again with it is said once",
    "schema": {"type": "string", "pattern": IDEMPOTENCY_KEY.pattern},
}


def refusals(*statuses: int) -> dict[str, Any]:
    """Why not, in words or for programs."""
    content = {TEXT: {"schema": {"type": "string"}}, JSON: {"schema": {"$ref": "#/components/schemas/Refused"}}}
    found = {str(status): {"description": WHY[status], "content": content} for status in statuses}
    for status in {"429", "503"} & set(found):
        found[status] = found[status] | {"headers": {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}}}
    return found


def texts(*kinds: str) -> dict[str, Any]:
    return {kind: {"schema": {"type": "string"}} for kind in kinds}


def reading(history: Any, page: int) -> dict[str, Any]:
    ends = {
        "Chatd-Last-Seq": {"description": "the last number in the room", "schema": SEQ},
        "Link": {"description": "the page before (`prev`) and after (`next`)", "schema": {"type": "string"}},
    }
    limit = {"type": "integer", "minimum": 1, "default": SHOWN}
    formats = {"type": "string", "enum": ["text", "json", "html"]}
    return {
        "operationId": "read",
        "summary": "What was said last, or a page of what was said before",
        "security": [{}, {"token": []}],
        "parameters": [
            SINCE,
            in_query("before", "what came before this number", SEQ),
            in_query("around", "what came before and after this number", SEQ),
            in_query("limit", f"at most so many, and never more than {page}", limit),
            in_query("query", "only what has these words", {"type": "string", "minLength": 1}),
            in_query("from", "only what somebody said who was called so", {"type": "string", "minLength": 1}),
            in_query("format", "how it is written; otherwise `Accept` says it", formats),
        ],
        "responses": {
            "200": {
                "description": "a page",
                "headers": ends,
                "content": {JSON: {"schema": history}, **texts(TEXT, HTML)},
            },
            "303": {"description": WHY[303], "content": texts(TEXT)},
            **refusals(400, 401, 403, 404, 429, 503),
        },
    }


def writing(sent: Any, name: str, parameters: Iterable[Any], more: dict[str, Any]) -> dict[str, Any]:
    message = {
        "type": "object",
        "properties": {name: MESSAGE[name] for name in FIELDS} | {"text": OTHER_NAME},
        "anyOf": [{"required": ["body"]}, {"required": ["text"]}],
    }
    content = {TEXT: {"schema": {"type": "string", "minLength": 1}}, JSON: {"schema": message}}
    return {
        "operationId": name,
        "summary": "Say something",
        "parameters": list(parameters),
        "requestBody": {"required": True, "content": content},
        "responses": {
            "201": {"description": "said, and kept", "content": {JSON: {"schema": sent}}},
            "200": {"description": "it had been said before", "content": {JSON: {"schema": sent}}},
            **refusals(400, 401, 403, 404, 413, 422, 429, 503),
        },
        **more,
    }


def following() -> dict[str, Any]:
    last = {"name": "Last-Event-ID", "in": "header", "description": "as `since`, after a cut", "schema": SEQ}
    return {
        "operationId": "follow",
        "summary": "The room as server-sent events; the id of each is its number",
        "security": [{}, {"token": []}],
        "parameters": [SINCE, last],
        "responses": {
            "200": {"description": "it does not end by itself", "content": texts(STREAM)},
            **refusals(400, 401, 403, 404, 429, 503),
        },
    }


def watching(name: str, words: str) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": f"Whether {words}; on the server's own machine",
        "responses": {
            "200": {"description": "yes", "content": texts(TEXT)},
            "403": {"description": "not from elsewhere", "content": texts(TEXT)},
            "503": {"description": "no", "content": texts(TEXT)},
        },
    }
