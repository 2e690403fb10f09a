"""WebSocket (RFC 6455): the objects of the framed way in, one in each text message. Subprotocol `chatd.v1.json`.

The frames are taken apart by the `websockets` library, which bounds a message before it puts it together; ours are made
here, because one of them is shared by all who are shown the same. What is asked before the first frame is `web`'s.
"""

from __future__ import annotations

from collections import deque

from websockets.exceptions import PayloadTooBig
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from chatd.core.codes import Code
from chatd.core.commands import Quit
from chatd.core.views import Closing, Error, Ping, View
from chatd.hub import Hub
from chatd.protocols.connection import peer_name
from chatd.protocols.framed import FramedFactory, FramedProtocol, too_large
from chatd.protocols.wire import Format

SUBPROTOCOL = "chatd.v1.json"

PING = b"\x89\x00"
SHORT, MIDDLE = 126, 65_536  # lengths from here on are written in two bytes, and in eight

CLOSES = {
    Code.SHUTTING_DOWN: CloseCode.GOING_AWAY,
    Code.FRAME_TOO_LARGE: CloseCode.MESSAGE_TOO_BIG,
    Code.INTERNAL: CloseCode.INTERNAL_ERROR,
}
"""How a connection is closed for these of our codes; for others it is a violation of our rules (1008)."""


def text(payload: bytes) -> bytes:
    """The payload as one text message, in one frame that is not masked; nothing stays nothing."""
    size = len(payload)
    if size < SHORT:
        return bytes((0x81, size)) + payload if payload else b""
    if size < MIDDLE:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


class WebSocketProtocol(FramedProtocol):
    """A program, mostly a browser, that speaks in messages. It comes from `address`, perhaps through a proxy."""

    protocol = "websocket"
    pack = staticmethod(text)
    form = Format.JSON

    def __init__(self, factory: WebSocketFactory, address: str = "") -> None:
        super().__init__(factory)
        self._address = address
        self._machine = ServerProtocol(state=State.OPEN, max_size=factory.hub.limits.frame_bytes)
        self._frames: deque[Frame] = deque()  # not looked at yet
        self._message = bytearray()  # what has come of the next message
        self._code = CloseCode.NORMAL_CLOSURE
        self._farewell = b""

    def peer(self) -> str:
        return self._address or peer_name(self.transport)

    def rules_changed(self) -> None:
        super().rules_changed()
        self._machine.max_message_size = self.hub.limits.frame_bytes

    # -- in -----------------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        self.heard = self.hub.tick
        self._asked = 0
        if self.closing or self.deaf:
            return
        machine, frames = self._machine, self._frames
        if data:
            machine.receive_data(data)
            frames.extend(machine.events_received())  # type: ignore[arg-type]  # a server's are frames
            if machine.state is State.OPEN:
                self.write(b"".join(machine.data_to_send()))  # answers to pings
        while frames and not (self.paused or self.closing or self.deaf):
            self._take(frames.popleft())
        if machine.state is not State.OPEN and not (frames or self.closing or self.deaf):
            self._end()

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.BINARY:
            self._machine.fail(CloseCode.UNSUPPORTED_DATA, "objects come in text messages")
            self._end()
        elif frame.opcode is Opcode.TEXT or frame.opcode is Opcode.CONT:
            self._message += frame.data
            if frame.fin:
                payload = bytes(self._message)
                self._message.clear()
                self._read(payload)

    def _read(self, payload: bytes) -> None:
        try:
            payload.decode()
        except UnicodeDecodeError as error:
            self._machine.fail(CloseCode.INVALID_DATA, f"byte {error.start} of the message is not valid UTF-8")
            self._end()
        else:
            self.stringReceived(payload)

    def _end(self) -> None:
        """Nothing more is understood of the peer: it is answered what it asked before, and then we part."""
        machine, limit = self._machine, self.hub.limits.frame_bytes
        self.deaf = True
        self._frames.clear()
        self._farewell = b"".join(machine.data_to_send())
        fault = machine.parser_exc
        if isinstance(fault, PayloadTooBig):
            self.misread(None, too_large((fault.current_size or 0) + (fault.size or 0), limit))
        is_clean = fault is None and machine.close_rcvd is not None
        self.received(Quit(reason="connection closed" if is_clean else "sent what cannot be read"))

    # -- out ----------------------------------------------------------------------------------------------

    def show(self, view: View) -> None:
        super().show(view)
        if type(view) is Ping:  # many programs leave the answer to their library, which knows only its own
            self.write(PING)

    def finish(self, view: View) -> None:
        if isinstance(view, Error | Closing):
            self._code = CLOSES.get(Code(view.code), CloseCode.POLICY_VIOLATION)
        super().finish(view)

    def close(self) -> None:
        if not self.closing:
            if self._machine.state is State.OPEN:
                self._machine.send_close(self._code)
                self._farewell = b"".join(self._machine.data_to_send())
            self.write(self._farewell)
        super().close()


class WebSocketFactory(FramedFactory):
    """Makes WebSocket connections, out of HTTP connections that have asked for it."""

    pack = staticmethod(text)

    def make(self, address: str) -> WebSocketProtocol:
        """A connection with somebody at this address."""
        return WebSocketProtocol(self, address)


def factory(hub: Hub) -> WebSocketFactory:
    """The factory of the WebSocket way in."""
    return WebSocketFactory(hub)


__all__ = ["SUBPROTOCOL", "WebSocketFactory", "WebSocketProtocol", "factory", "text"]
