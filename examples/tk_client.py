"""A chat window with tkinter, and no threads: the library is polled beside the window's own loop.

    python tk_client.py localhost:1234 tom

One can send whenever one wants, messages appear while one types, and when the server goes away the window says so
and goes on when it is back.
"""

import sys
import tkinter

from chatd.client import ChatError, Message, Offline, Online
from chatd.client.blocking import connect
from chatd.client.verbs import send

ROOM = "#lobby"
POLL_MILLISECONDS = 50


class Window:
    """Messages above, the line that is typed below."""

    def __init__(self, root, chat):
        self.root, self.chat = root, chat
        root.title(f"{chat.nick} in {ROOM}")
        self.messages = tkinter.Text(root, state="disabled", wrap="word")
        self.entry = tkinter.Entry(root)
        self.entry.pack(side="bottom", fill="x")
        self.messages.pack(fill="both", expand=True)
        self.entry.bind("<Return>", self.say)
        self.entry.focus()
        self.unanswered = []
        self.poll()

    def say(self, _key):
        text = self.entry.get()
        self.entry.delete(0, "end")
        if text.strip():
            self.unanswered.append(self.chat.ask(send(ROOM, text)))

    def poll(self):
        try:
            for event in self.chat.poll():
                self.show(event)
            for answer in [answer for answer in self.unanswered if answer.ready]:
                self.unanswered.remove(answer)
                answer.result()
        except ChatError as error:
            self.write(f"*** {error}")
        self.root.after(POLL_MILLISECONDS, self.poll)

    def show(self, event):
        if isinstance(event, Message):
            self.write(f"{event.author.nick} > {event.body}")
        elif isinstance(event, Offline) and event.first:
            self.write(f"*** the server is away ({event.reason}); what you type is kept")
        elif isinstance(event, Online) and event.again:
            self.write("*** the server is back")

    def write(self, line):
        self.messages.configure(state="normal")
        self.messages.insert("end", line + "\n")
        self.messages.configure(state="disabled")
        self.messages.see("end")


def main(address="localhost:1234", nick=None):
    with connect(address, nick=nick, own=True) as chat:
        chat.join(ROOM)
        root = tkinter.Tk()
        Window(root, chat)
        root.mainloop()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ChatError as error:
        sys.exit(f"tk_client: {error}")
