"""A script without threads or event loops: say something, hear what others say for ten seconds, and go.

    python sync_script.py localhost:1234 tom

It is what `socket.connect`, `send` and `recv` look like when the messages have ends, an order and an author.
"""

import sys

from chatd.client import ChatError, Message
from chatd.client.blocking import connect


def main(address="localhost:1234", nick="script", seconds="10"):
    with connect(address, nick=nick) as chat:
        room = chat.join("#lobby")
        print(f"in {room.room} as {chat.nick}; {room.last_seq} messages so far")
        sent = chat.send("#lobby", "hello from a script", data={"numbers": [1, 2, 3], "raw": b"\x00\xff"})
        print(f"my message has number {sent.seq}")
        for event in chat.events(timeout=float(seconds)):
            if isinstance(event, Message):
                print(f"{event.author.nick} > {event.body}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ChatError as error:
        sys.exit(f"sync_script: {error}")
