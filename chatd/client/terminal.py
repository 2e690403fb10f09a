"""`chatd connect`: come in, and talk. Chooses the screen, and asks for another name if the first is taken."""

from __future__ import annotations

import os
import sys

from chatd.client.aio import Chat
from chatd.client.errors import Refused
from chatd.client.options import Choices
from chatd.client.outcome import say
from chatd.client.plain import PlainScreen
from chatd.client.talk import Talk
from chatd.client.visit import Visit
from chatd.core.text import clean_line

MOST_NAMES = 5


async def connect(choices: Choices) -> int:
    """Connect, talk until the person leaves, and give the exit code."""
    is_person = sys.stdin.isatty()
    visit, chat = await _come_in(choices, is_person)
    try:
        visit.silent = True
        while chat.has_more:  # what came before there was a screen has been told
            await chat.next_event()
        if is_person and sys.stdout.isatty() and not choices.plain and os.environ.get("TERM") != "dumb":
            from chatd.client.screen import PromptScreen

            fancy = PromptScreen()
            talk = fancy.talk = Talk(chat, fancy)
            return await fancy.run(talk, choices.rooms)
        plain = PlainScreen()
        talk = plain.talk = Talk(chat, plain)
        return await plain.run(talk, choices.rooms if is_person else choices.rooms[:1])
    finally:
        visit.keep_token(chat)
        await chat.quit()


async def _come_in(choices: Choices, is_person: bool) -> tuple[Visit, Chat]:
    """Connect; a person whose name is taken may try others, a program may not."""
    nick = choices.nick
    for tries_left in reversed(range(MOST_NAMES)):
        visit = Visit(choices, nick)
        try:
            chat = await visit.connect()
        except Refused as refusal:
            if not is_person or not tries_left or not refusal.code.startswith("NICK_"):
                raise
            nick = _another_name(refusal)
        else:
            visit.keep_token(chat)
            return visit, chat
    raise AssertionError("the last try returns or raises")


def _another_name(refusal: Refused) -> str:
    """Ask for another name; an empty line takes the suggestion, and the end of input is the refusal itself."""
    say(clean_line(refusal.message))
    suggestion = clean_line(refusal.suggestion or "")
    try:
        answer = input(f"another name{f' [{suggestion}]' if suggestion else ''}: ").strip()
    except EOFError:
        raise refusal from None
    if not answer and not suggestion:
        raise refusal
    return answer or suggestion
