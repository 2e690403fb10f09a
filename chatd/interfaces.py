"""The words that the floors share: what a hub expects of a journal, a connection and an encoder.

Nothing here does any work. Both kinds of journal pass the same contract tests (tests/journal/test_contract.py,
test_order.py, test_pages.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from chatd.core.commands import Command
from chatd.core.events import Entry, Passing, Proposal
from chatd.core.questions import Present, Question, Snapshot
from chatd.core.replies import Reply
from chatd.core.views import View

Follower = Callable[[Sequence[Entry]], None]


class IJournal(Interface):
    """Puts events in one order and keeps them.

    Everything proposed comes back to the follower as exactly one entry, in the order of `append`, later than the
    call of `append` (never from inside it), on the reactor's thread. A numbered or kept event comes back only when
    it is committed at the stated durability; a passing event comes back when everything before it has. A numbered
    event whose author has used the `msg_id` before comes back REPEATED with the earlier seq and time if room and
    content are the same, else REFUSED with MSG_ID_REUSED. An edit or redaction, reaction … (`Related`) whose
    target does not exist or is redacted comes back REFUSED with NO_SUCH_MESSAGE. What could not be stored comes
    back REFUSED with STORE_UNAVAILABLE, and takes no number; if even that cannot be known, with OUTCOME_UNKNOWN.

    A journal of several `orders` keeps that of each room, and that of people and of the names of rooms. What is
    proposed for different ones may come back in any order, though never before what its proposer had been told; and a
    `msg_id` is then unique for its author in each room.
    """

    durability: str = Attribute("`memory`, `normal`, `fsync`, `replicated:N` or `replicated:N+fsync`.")
    is_failing: bool = Attribute("Whether what was proposed last could not be stored.")
    commits: Any = Attribute("How large its batches are and how long they take: `chatd.journal.commits.Commits`.")

    under_way: int = Attribute("How many of the proposals have not come back yet.")
    orders: int = Attribute("In how many orders its events are: 1 if each is before or after every other.")
    node: str = Attribute("Which run of which node of a cluster this is; empty where there is one node only.")

    failed: Deferred[None] = Attribute("Fails with an `OperatorError` if the journal, once open, cannot go on.")

    def open(follower: Follower) -> Deferred[Snapshot]:
        """Begin: take what is stored, and call `follower` with batches of entries from now on."""

    def append(proposals: Sequence[Proposal]) -> None:
        """Propose events, in this order. Never blocks."""

    def ask(question: Question) -> Deferred[Any]:
        """Answer a question out of what is committed. Never blocks; several may be under way at once."""

    def tell(event: Passing) -> None:
        """Let the followers on other nodes have this event, as far as they can be reached now. It may be lost."""

    def welcome(node: str, attempt: int, present: Present) -> None:
        """Tell a new node who is here, as of the entry with which it asked."""

    def close() -> Deferred[None]:
        """Commit what was appended, tell the follower, and end."""


class IEncoder(Interface):
    """A dialect: turns views into bytes. One encoder serves every connection that speaks alike."""

    def encode(view: View) -> bytes:
        """The bytes that show a view in this dialect, perhaps none. Never raises."""


class IConnection(Interface):
    """One way for one peer: commands come out of it, replies and views go into it.

    The hub calls `reply`, `write`, `show` and `finish` any number of times in a turn; they only collect. `flush` sends
    what was collected, at the end of the turn. None of them raises or calls the hub back.
    """

    protocol: str = Attribute("The way in: `framed`, `line` …")
    address: str = Attribute("Where the peer is, for logs and operators only.")
    can_be_asked: bool = Attribute("Whether a silent peer can be asked for a sign of life.")
    heard: float = Attribute("The hub's tick at which the peer was last heard; the hub may move it forward.")

    ended: bool = Attribute("Whether the peer has said everything.")
    closing: bool = Attribute("Whether what is passed on now is not written any more.")

    def encoder(room: str) -> Any:
        """The `IEncoder` for what is shown of this room here and now. Equal audiences give the same object."""

    def reply(command: Command, reply: Reply) -> None:
        """Answer a command of this connection's own."""

    def write(blob: bytes) -> None:
        """Pass on bytes that an encoder of this connection made."""

    def flush() -> None:
        """Send what was collected since the last flush."""

    def pause() -> None:
        """Read no more from the peer until `resume`: too much of what it asked is still under way."""

    def resume() -> None:
        """Read again."""

    def show(view: View) -> None:
        """Show a view to this peer alone."""

    def removed(room: str, reason: str) -> None:
        """The peer is no longer in this room, because of somebody else."""

    def hear_out() -> None:
        """Take in at once what has arrived from the peer by now, without waiting for the loop to come to it."""

    def finish(view: View) -> None:
        """Show a last view (`error` or `closing`), send everything, and close; abort if the peer does not read."""

    def close() -> None:
        """Send everything and close; abort if the peer does not read."""

    def abort() -> None:
        """Close at once."""

    def rules_changed() -> None:
        """The hub's rules are others now: take over what is kept of them here."""


class IComesBack(IConnection):
    """A way in whose peers are told a word to come back with: it knows what of its bytes has reached them."""

    written: int = Attribute("How many bytes were passed on or written so far.")
    looked_at: str = Attribute("The name of the room that the person looks at; empty for none.")

    def acknowledged() -> int:
        """How many of them the peer has acknowledged, at the least."""
