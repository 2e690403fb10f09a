"""Running effects: what the rules want done, done. One method for each kind of effect, and a table of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from chatd.core import commands, effects
from chatd.core.apply import apply
from chatd.core.codes import Refusal
from chatd.core.commands import Command
from chatd.core.effects import Deliver, Effect
from chatd.core.entrance import nick_refused
from chatd.core.events import Entry, LoggedIn, LoggedOut, Numbered
from chatd.core.nodes import present
from chatd.core.places import first_cursor
from chatd.core.replay import Plan, plan
from chatd.core.replies import Done, failure
from chatd.core.shown import view_of
from chatd.core.text import clean_line
from chatd.core.views import Read, Renamed, Typing
from chatd.hub.fanout import Piece
from chatd.hub.link import Link, Ticket

if TYPE_CHECKING:
    from chatd.core.state import Room
    from chatd.hub.hub import Hub

END_SECONDS = 0.05  # between two looks whether somebody who has said everything has been shown everything


class Running:
    """Does what `decide` and `apply` return. It is a part of the hub, in a file of its own."""

    log = Logger()

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.fanout = hub.fanout
        self.state = hub.state
        self.caps: dict[frozenset[str], frozenset[str]] = {}  # each set of them once, however many wish for it
        self.decided: dict[type[Effect], Callable[[Link, Command, Any], None]] = {
            effects.Answer: self.answer,
            effects.Greet: self.greet,
            effects.Subscribe: self.subscribe,
            effects.Show: self.show,
            effects.Leave: self.leave,
        }
        self.applied: dict[type[Effect], Callable[[Any, Link | None], None]] = {
            effects.Entered: self.entered,
            effects.Gone: self.gone,
            effects.Renamed: self.renamed,
            effects.AwayChanged: self.away_changed,
            effects.CursorMoved: self.cursor_moved,
            effects.BookmarksKept: self.bookmarks_kept,
            effects.NodeCame: self.node_came,
            effects.Show: self.typed,
        }

    def refuse(self, link: Link, command: Command, refusal: Refusal) -> None:
        """Tell a peer that what it asked was not done."""
        self.hub.counts.refused(refusal.code)
        link.connection.reply(command, failure(command.id, refusal))

    # -- of decide ----------------------------------------------------------------------------------------

    def run(self, link: Link, command: Command, effect: Effect) -> None:
        """Do something for the one who asked."""
        self.decided[type(effect)](link, command, effect)

    def answer(self, link: Link, command: Command, effect: effects.Answer) -> None:
        link.connection.reply(command, effect.reply)

    def greet(self, link: Link, command: Command, effect: effects.Greet) -> None:
        link.greeted = True
        self.wishes(link, effect.caps)

    def subscribe(self, link: Link, command: Command, effect: effects.Subscribe) -> None:
        self.wishes(link, link.caps | {"presence"} if effect.wanted else link.caps - {"presence"})
        self.hub.regroup(link)

    def wishes(self, link: Link, caps: frozenset[str]) -> None:
        """A link has these capabilities from now on."""
        link.caps = self.caps.setdefault(caps, caps)

    def show(self, link: Link, command: Command, effect: effects.Show) -> None:
        self.hub.journal.tell(effect.event)
        self.typed(effect, link)

    def leave(self, link: Link, command: Command, effect: effects.Leave) -> None:
        if link.gone:
            return
        if link.feeds and link.connection.ended:  # it has said everything, and reads what it asked for
            self.hub.reactor.callLater(END_SECONDS, self.leave, link, command, effect)
            return
        link.connection.reply(command, Done(re=command.id))
        self.hub.log_out(link, clean_line(effect.reason) or "quit")
        link.waiting.clear()
        link.connection.close()

    # -- of apply -----------------------------------------------------------------------------------------

    def apply(self, entry: Entry, ticket: Ticket | None) -> bool:
        """Apply an entry and run its effects; true if its ticket's answer has been seen to."""
        answered = False
        for effect in apply(self.state, entry):
            if type(effect) is Deliver:
                answered = self.deliver(effect, ticket)
            elif type(effect) is effects.Rejected:
                if ticket is not None:
                    refusal = Refusal(effect.code, effect.message)
                    if wish := getattr(entry.event, "nick", ""):
                        refusal = nick_refused(self.hub.context(ticket.link), effect.code, effect.message, wish)
                    self.hub.settle(ticket, entry, refusal)
                    answered = True
            else:
                self.applied[type(effect)](effect, None if ticket is None else ticket.link)
        if type(entry.event) is LoggedIn and entry.event.node:
            self.look_after(entry.event)
        return answered

    def look_after(self, login: LoggedIn) -> None:
        """End a session of this node that nobody has: its login was given up, and came true after all."""
        link = self.hub.links.get(login.session_id)
        is_mine = login.node == self.hub.journal.node and login.session_id in self.state.sessions
        if is_mine and (link is None or link.gone or not (link.blocked or link.session)):
            self.hub.propose((LoggedOut(login.session_id, "nobody waited for it"),), None)

    def deliver(self, effect: Deliver, ticket: Ticket | None) -> bool:
        """Show a numbered entry to its room; its owner's answer comes in its place among the others."""
        self.hub.counts.messages_total += 1
        room_id, entry = effect.room_id, effect.entry
        room = self.state.rooms[room_id]
        event: Any = entry.event  # a numbered one
        if room.parties is not None:
            return self.deliver_direct(room, entry, event, ticket)
        self.fanout.show(room_id, Piece(view_of(entry, room.name), event.author, ticket, entry))
        return ticket is not None

    def deliver_direct(self, room: Room, entry: Entry, event: Numbered, ticket: Ticket | None) -> bool:
        """Show a direct message to each session of both, each under the other's name."""
        if ticket is not None:
            self.hub.settle(ticket, entry)
        for party in room.parties or ():
            for link in self.links_of(party):
                mine = ticket is not None and ticket.link is link
                is_known = mine and "echo" not in link.caps
                if room.id in link.feeds:
                    continue
                if link.full and not is_known:
                    self.hub.replay.start(link, room.id, entry.seq, announced=False)
                    continue
                if not is_known:
                    name = room.shown_to(party)
                    view = view_of(entry, name, own=event.author == party)
                    link.connection.write(link.connection.encoder(name).encode(view))
                if link.visit is not None:
                    link.visit.shows(room.id, entry.seq)
        return ticket is not None

    def entered(self, effect: effects.Entered, cause: Link | None) -> None:
        link = self.hub.links.get(effect.session_id)
        newcomer = link if link is not None and not link.gone else None
        if effect.first:
            comings = self.fanout.comings(effect.room_id)
            if comings is not None:
                comings.join(effect.nick)
                if newcomer is not None:
                    comings.newcomers[newcomer] = effect.nick
        if newcomer is not None:
            newcomer.rooms[effect.room_id] = None  # shown live when its command has been answered

    def gone(self, effect: effects.Gone, cause: Link | None) -> None:
        link = self.hub.links.get(effect.session_id)
        if link is not None:
            self.fanout.leave(effect.room_id, link)
            link.rooms.pop(effect.room_id, None)
            self.hub.replay.end(link, effect.room_id)
            room = self.state.rooms.get(effect.room_id)
            if effect.forced and room is not None:
                link.connection.removed(room.name, effect.reason)
        if effect.last:
            comings = self.fanout.comings(effect.room_id)
            if comings is not None:
                comings.leave(effect.nick, effect.reason)

    def renamed(self, effect: effects.Renamed, cause: Link | None) -> None:
        self.log.info("renamed from={old} to={new}", old=effect.old, new=effect.new)
        for room_id in effect.rooms:
            comings = self.fanout.comings(room_id)
            if comings is not None:
                comings.renamed.append((cause, Renamed(old=effect.old, new=effect.new)))

    def away_changed(self, effect: effects.AwayChanged, cause: Link | None) -> None:
        for room_id in effect.rooms:
            comings = self.fanout.comings(room_id)
            if comings is not None:
                comings.away[effect.nick] = (cause, effect.message)

    def cursor_moved(self, effect: effects.CursorMoved, cause: Link | None) -> None:
        """Tell the user's other sessions."""
        user = self.state.users.get(effect.user_id)
        room = self.state.rooms.get(effect.room_id)
        if user is None or room is None or len(user.sessions) < 2:
            return
        name = room.shown_to(user.id)
        for link in self.links_of(user.id):
            if link.full:
                self.fanout.drop(link)
            elif link is not cause:
                link.connection.write(link.connection.encoder(name).encode(Read(room=name, seq=effect.seq)))

    def bookmarks_kept(self, effect: effects.BookmarksKept, cause: Link | None) -> None:
        self.hub.comebacks.kept(effect.bookmarks)

    def typed(self, effect: effects.Show, cause: Link | None) -> None:
        """Somebody, here or on another node, is typing."""
        event = effect.event
        room = self.state.rooms[event.room_id]
        if room.parties is None:
            view = Typing(room=room.name, who=event.nick, state=event.state)
            self.fanout.show(room.id, Piece(view, event.user_id))
            return
        for party in room.parties:
            for other in self.links_of(party) if party != event.user_id else ():
                if other.full and "typing" in other.caps:
                    self.fanout.drop(other)
                elif "typing" in other.caps:
                    name = room.shown_to(party)
                    other.connection.show(Typing(room=name, who=event.nick, state=event.state))

    def node_came(self, effect: effects.NodeCame, cause: Link | None) -> None:
        """Tell a new node who is here: one of us does at first, and all if it has to ask again."""
        mine = self.hub.journal.node
        if mine != effect.node and mine in (effect.others if effect.attempt else effect.others[:1]):
            self.hub.journal.welcome(effect.node, effect.attempt, present(self.state))

    def links_of(self, user_id: str) -> list[Link]:
        """The links of a user's sessions that are here and have not said goodbye."""
        user = self.state.users.get(user_id)
        found = [self.hub.links.get(session) for session in sorted(user.sessions)] if user is not None else []
        return [link for link in found if link is not None and not link.gone]

    # -- after the answer ---------------------------------------------------------------------------------

    def answered(self, link: Link, command: Command, known: Any) -> None:
        """What follows the answer to entering rooms: their replay, and then live."""
        if type(command) is commands.Join:
            if known:
                context = self.hub.context(link)
                self.hub.propose(first_cursor(context, context.find_room(command.room)), None)
            room = self.hub.context(link).find_room(command.room)
            self.hub.comebacks.enters(link, room)
            self.begin(link, room, plan(room, self.named(link, room), command.since, command.replay_limit))
        elif type(command) is commands.Resume:
            for name, since in command.rooms.items():
                wanted = self.hub.context(link).room_or_none(name)
                if wanted is not None:
                    self.begin(link, wanted, plan(wanted, self.named(link, wanted), since))
        elif type(command) is commands.ComeIn or type(command) is commands.ComeBack:
            self.hub.comebacks.begin(link, *known)
        elif type(command) is commands.LogIn:
            self.hub.comebacks.logged_in(link, known[1])

    def named(self, link: Link, room: Room) -> str:
        """What the person calls the room."""
        return room.shown_to(link.session.user.id) if link.session is not None else room.name

    def begin(self, link: Link, room: Room, wanted: Plan) -> None:
        """Show a room to a link: what it missed, then live. Nothing, if it is banned there since it wished to enter."""
        if room.parties is None and room.id not in link.rooms:
            return
        name = self.named(link, room)
        for gap in wanted.gaps:
            link.connection.write(link.connection.encoder(name).encode(gap))
        if link.visit is not None:
            link.visit.enters(room.id, wanted.start - 1)
        if wanted.announced:
            self.hub.replay.start(link, room.id, wanted.start, announced=True)
        elif link.rooms.get(room.id, 0) is None:
            self.fanout.enter(room.id, room.name, link)
