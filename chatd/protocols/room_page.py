"""A room as a page to read, without scripts: for everybody with a browser, where those in charge have published it.

Whatever somebody wrote is cleaned as for a terminal, and escaped. What was taken back is not shown, and an edit stands
where it was made. Times are UTC.
"""

from __future__ import annotations

import html
from collections.abc import Iterator

from chatd.core.replies import HistoryPage
from chatd.core.state import Room
from chatd.core.text import clean_line
from chatd.core.views import Durable, Message
from chatd.protocols.text import LINES, clean_lines

POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'none'; frame-ancestors 'none'"


def page(reply: HistoryPage, room: Room, network: str, top: str) -> bytes:
    """One page of history; `top` leads from it to the page in which one joins, as in `../`."""
    return "".join(parts(reply, room, network, top)).encode("utf-8", "replace")


def parts(reply: HistoryPage, room: Room, network: str, top: str) -> Iterator[str]:
    name, topic = safe(room.name), safe(room.topic)
    yield f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name} – {safe(network)}</title>
<link rel="stylesheet" href="{top}page/read.css">
<link rel="icon" href="{top}page/icon.svg">
</head>
<body>
<header><h1>{name}</h1><p>{topic}</p><p><a href="{top}#{safe(room.name[1:])}">Join the conversation</a></p></header>
<main>
"""
    if reply.prev is not None:
        yield f'<nav><a rel="prev" href="?before={reply.prev}">What was said before</a></nav>\n'
    for view in reply.events:
        yield from entry(view)
    if not reply.events:
        yield "<p>Nothing was said here yet.</p>\n"
    if reply.next is not None:
        yield f'<nav><a rel="next" href="?since={reply.next}">What was said after that</a></nav>\n'
    yield "</main>\n</body>\n</html>\n"


def entry(view: Durable) -> Iterator[str]:
    """One event, under its number."""
    when = f"{view.time:%Y-%m-%d %H:%M}"
    time = f'<time datetime="{view.time:%Y-%m-%dT%H:%M:%SZ}">{when}</time>'
    head = f'<article id="{view.seq}"><a href="#{view.seq}">{time}</a>'
    if isinstance(view, Message) and view.kind == "text" and view.redacted is not True:
        body = "\n".join(map(html.escape, clean_lines(view.body)))
        yield f"{head} <b>{safe(view.author.nick)}</b><p>{body}</p></article>\n"
        return
    for line in LINES[type(view)](view):
        yield f"{head} <i>{html.escape(line)}</i></article>\n"


def safe(text: str) -> str:
    """A text of one line, for a page."""
    return html.escape(clean_line(text))
