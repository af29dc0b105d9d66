"""Clients for the checks: every wait has a deadline, and every failure shows the sent and the received message."""

import asyncio
import contextlib
import json
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from websockets import frames
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConcurrencyError, ConnectionClosed

from .conversation import current
from .differences import difference
from .messages import NOTHING, carries, cut, differing_key, is_error, is_message, not_an_error, only_key, parsed, show
from .model import Failure, Likely

LONGEST_IGNORED = 500
"""The maximum number of characters of a message that `Client.ignored` matches."""
RETURNED = (
    "Your endpoint has returned, and that ends the connection. Send the answer instead of returning it, and stay in "
    "the loop until the client disconnects."
)
"""The likely cause of a 1006, if there's no error in the log."""
LOOK = 0.02
"""Seconds to look for a message that another connection should have received long ago."""
LOOK_ON = 0.3
"""Seconds to look for the message after an unexpected one."""


def anything(frame: str | bytes) -> bool:
    """Accept any message before a close; see `Client.is_closed`."""
    return True


class Client:
    """One connection to the answer.

    Args:
        connection: an open connection.
        patience: seconds to wait for an answer.
        who: the client's name in failures; by default "the first client", and so on.
    """

    def __init__(
        self, connection: ClientConnection, patience: float, who: str | None = None, path: str | None = None
    ) -> None:
        self.connection = connection
        self.patience = patience
        self.path = path
        """The path of its handshake, with the query."""
        self.conversation = current()
        self.who = who or self.conversation.next_name()
        self.conversation.clients.append(self)
        self.did = "a handshake"
        """The last sent message or other action, for the message of a failure."""
        self.after: str | None = None
        """Another event before, for the message of a failure."""
        self.earlier: str | None = None
        """The action before the last one, for a failure about a surplus message; by default the last answered one."""
        self._since = self.conversation.sent_count
        self.ignored: dict[str, Any] | None = None
        """A message that may arrive at any time and isn't an answer, such as a ping."""
        self.translate: Callable[[str | bytes], str | bytes] | None = None
        """A function that every received message passes through, for a step whose messages have further keys."""
        self.ended = False
        """Whether this side has ended the connection, with or without a close frame."""
        self._answered: tuple[str, str] | None = None
        """The last answered action, and its answer."""
        self._unread: deque[str | bytes] = deque()
        """Received messages that no check has read yet."""
        self._reading = asyncio.Lock()
        """Held by a reader: websockets allows one at a time. A check waits while another client looks ahead."""

    async def send(self, message: str | bytes | dict[str, Any]) -> None:
        """Send a string, bytes, or an object as JSON. A closed connection isn't an error here."""
        if isinstance(message, dict):
            message = json.dumps(message, ensure_ascii=False)
            self.did = cut(message)
        else:
            self.did = show(message)
        self._note(message)
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(self.patience):
                await self.connection.send(message)

    async def send_burst(self, *messages: str | bytes | dict[str, Any], close: bool = False) -> None:
        """Send messages in one packet, so that the server receives them at the same time.

        Args:
            messages: strings, bytes, or objects as JSON.
            close: whether a close frame follows them in the same packet. After it, the client sends nothing.
        """
        data = b""
        for message in messages:
            if isinstance(message, dict):
                message = json.dumps(message, ensure_ascii=False)
            self._note(message)
            opcode = frames.Opcode.BINARY if isinstance(message, bytes) else frames.Opcode.TEXT
            payload = message if isinstance(message, bytes) else message.encode()
            data += frames.Frame(opcode, payload).serialize(mask=True)
        if close:
            data += frames.Frame(frames.Opcode.CLOSE, frames.Close(1000, "").serialize()).serialize(mask=True)
        first = messages[0] if isinstance(messages[0], (str, bytes)) else json.dumps(messages[0], ensure_ascii=False)
        self.did = f"{len(messages)} messages in one packet, the first one {cut(show(first))}"
        if close:
            self.did += ", and a close frame behind them"
        self.connection.transport.write(data)

    def _note(self, message: str | bytes) -> None:
        self.conversation.last_sent = self.did
        if isinstance(message, str) and len(message) <= LONGEST_IGNORED:
            self.conversation.note(self.who, message)

    async def _receive(self) -> str | bytes:
        async with self._reading:
            if self._unread:
                return self._unread.popleft()
            while True:
                frame = await self.connection.recv()
                # Don't parse large messages twice: no ignored message is that long.
                if self.ignored is None or len(frame) > LONGEST_IGNORED or parsed(frame) != self.ignored:
                    return frame if self.translate is None else self.translate(frame)

    async def _look_ahead(self, seconds: float) -> str | bytes | None:
        """Return the next message but leave it unread, or None if none arrives in time."""
        try:
            async with asyncio.timeout(seconds):
                frame = await self._receive()
        except (TimeoutError, ConnectionClosed, ConcurrencyError):
            return None  # No message, or a task of the check is reading.
        self._unread.appendleft(frame)
        return frame

    async def peek(self) -> str | bytes | None:
        """Return the next message but leave it unread, or None if none arrives within the patience."""
        return await self._look_ahead(self.patience)

    async def next(self, *, expect: str, likely: str | Likely) -> str | bytes:
        """Return the next message.

        Raises:
            Failure: none arrives within the patience, or the connection ends.
        """
        causes = _causes(likely)
        cause = causes.silence
        try:
            async with asyncio.timeout(self.patience):
                return await self._receive()
        except TimeoutError:
            got = f"no answer within {self.patience:g} s"
            elsewhere, others = await self._received_by_others(expect)
            got += others
            if elsewhere:
                cause = causes.elsewhere or cause
        except ConnectionClosed:
            got = f"the connection closed, {closing(self.connection)}"
            cause = causes.closed or (RETURNED if self.connection.close_code == 1006 else cause)
        closed = self.connection.close_code not in (None, 1006)
        raise Failure(
            sent=self.did,
            after=self.after,
            got=got,
            expect=expect,
            likely=cause,
            passed=self._passed(),
            broken=True,
            closed=closed,
            certain=causes.certain,
        )

    async def _received_by_others(self, expect: str) -> tuple[bool, str]:
        """Return whether another open connection received the expected message, and describe what each received."""
        found = []
        matches = False
        for other in self.conversation.clients:
            reads = other.connection.close_code is None and other.connection.transport.is_reading()
            if other is not self and reads and (frame := await other._look_ahead(LOOK)) is not None:
                found.append(f"{other.who} received {show(frame)}")
                matches = matches or _plain(show(frame)) == _plain(expect)
        return matches, "".join(f"; {each}" for each in found[:3])

    def _passed(self) -> str | None:
        if self._answered is None or self._answered[0] in (self.did, "a handshake"):
            return None
        return f"{self._answered[0]} was answered with {self._answered[1]}"

    async def receives(self, message: str | dict[str, Any]) -> bool:
        """Read up to this message, and return whether it arrived, to explain a failure."""
        with contextlib.suppress(TimeoutError, ConnectionClosed):
            async with asyncio.timeout(self.patience / 4):
                while not is_message(await self._receive(), message):
                    pass
                return True
        return False

    async def receives_any(self) -> str | bytes | None:
        """Return the next message, or None if none arrives soon, to explain a failure."""
        with contextlib.suppress(TimeoutError, ConnectionClosed):
            async with asyncio.timeout(self.patience / 4):
                return await self._receive()
        return None

    async def next_object(self, *, expect: str, likely: str | Likely) -> Any:
        """Return the next message as parsed JSON, or unchanged if it isn't JSON.

        Raises:
            Failure: none arrives within the patience, or the connection ends.
        """
        frame = await self.next(expect=expect, likely=likely)
        return parsed(frame) if isinstance(frame, str) else frame

    async def gets(self, expected: str | dict[str, Any], *, likely: str | Likely) -> None:
        """Check that the next message is this string, or JSON equal to this object.

        Raises:
            Failure: it isn't. The failure compares it with the expected message, and with those before and after.
        """
        wanted = show(expected)
        frame = await self.next(expect=wanted, likely=likely)
        if is_message(frame, expected):
            self._answered = (self.did, show(frame))
            return
        raise await self._not_expected(frame, wanted, expected, _causes(likely))

    async def gets_all(self, expected: Sequence[str | dict[str, Any]], *, likely: str | Likely) -> None:
        """Check that the next messages are these, in this order.

        Args:
            expected: the messages, which differ from each other.
            likely: the mistake, if others arrive.

        Raises:
            Failure: one is missing, is duplicated, arrives too early, or is another one.
        """
        causes = _causes(likely)
        for place, message in enumerate(expected):
            self.after = f"{place} of {len(expected)} answers were received" if place else None
            wanted = show(message)
            frame = await self.next(expect=wanted, likely=likely)
            if is_message(frame, message):
                self._answered = (self.did, show(frame))
                continue
            if any(is_message(frame, earlier) for earlier in expected[:place]):
                got, cause = f"{show(frame)} a second time", causes.surplus or "Your code sends this message twice."
            elif any(is_message(frame, later) for later in expected[place + 1 :]):
                got, cause = f"{show(frame)} first", causes.order or causes.wrong or causes.silence
            else:
                raise await self._not_expected(frame, wanted, message, causes)
            raise Failure(sent=self.did, after=self.after, got=got, expect=wanted, likely=cause)
        self.after = None

    async def _not_expected(
        self,
        frame: str | bytes,
        wanted: str,
        expected: str | dict[str, Any] | None,
        causes: Likely,
        more: Mapping[str, Any] = NOTHING,
    ) -> Failure:
        """Explain an unexpected message: a surplus one, another client's, or a changed form of the expected one."""
        # If the expected message follows, this one is surplus: it belongs to the action before.
        following = await self._look_ahead(min(self.patience, LOOK_ON))
        follows = following is not None and (
            is_error(following, more) if expected is None else is_message(following, expected)
        )
        if follows:
            return self._surplus(frame, causes.surplus)
        got = show(frame)
        # Another client's message isn't a changed form of the expected one.
        own = isinstance(expected, dict) and "text" in expected and carries(frame, str(expected["text"]))
        sent = self.conversation.sent if not own else ()
        if others := [(number, who) for number, who, text in sent if who != self.who and carries(frame, text)]:
            number, who = others[-1]
            is_old = number < self._since
            got += f", which {who} sent" + (f" before {self.who} connected" if is_old else "")
            likely = causes.replayed if is_old else causes.wrong or causes.silence
        elif expected is None:
            malformed = causes.keys.get(differing_key(frame, more)) or not_an_error(frame, more)
            likely = malformed or causes.wrong or causes.silence
        else:
            likely = causes.keys.get(only_key(expected, frame), "")
            likely = likely or difference(expected, frame) or causes.wrong or causes.silence
        return Failure(sent=self.did, after=self.after, got=got, expect=wanted, likely=likely, passed=self._passed())

    def _surplus(self, frame: str | bytes, likely: str, misdelivered: str = "") -> Failure:
        if misdelivered and any(who != self.who and carries(frame, text) for _, who, text in self.conversation.sent):
            likely = misdelivered
        sent, answer = self._answered or ("the handshake", "")
        if self.earlier:
            sent, answer = self.earlier, ""
        got = f"{answer}, and then one message more: {show(frame)}" if answer else f"one message more: {show(frame)}"
        return Failure(
            sent=sent,
            after=self.after,
            got=got,
            expect=answer or "nothing more",
            likely=likely
            or "After this, your code sends one message too many. Look for the second send, and remove it.",
        )

    async def gets_error(self, more: Mapping[str, Any] = NOTHING, *, likely: str | Likely) -> None:
        """Check that the next message is `{"type": "error", "detail": a string that isn't empty}`.

        Args:
            more: further keys of the error, and their values.
            likely: the mistake, if it isn't.

        Raises:
            Failure: it isn't.
        """
        wanted = f"{json.dumps({'type': 'error', 'detail': '...', **more})} and the connection still open"
        frame = await self.next(expect=wanted, likely=likely)
        if not is_error(frame, more):
            raise await self._not_expected(frame, wanted, None, _causes(likely), more)
        self._answered = (self.did, show(frame))

    async def has_nothing_more(self, *, likely: str = "", misdelivered: str = "") -> None:
        """Close the connection, and check that no unread message arrived before.

        Args:
            likely: the mistake, if there was a message.
            misdelivered: the mistake, if it's a text that another client sent.

        Raises:
            Failure: there was a message.
        """
        async with asyncio.timeout(2 * self.patience):
            with contextlib.suppress(ConnectionClosed):
                self._unread.append(await self._receive_until_closed())
        if self._unread:
            raise self._surplus(self._unread[0], likely, misdelivered)

    async def _receive_until_closed(self) -> str | bytes:
        if self._unread:
            return self._unread.popleft()
        self.ended = True
        await self.connection.close()
        return await self._receive()

    async def is_closed(
        self,
        code: int,
        reason: str | None = None,
        *,
        likely: str | Likely,
        besides: Callable[[str | bytes], bool] | None = None,
    ) -> list[str | bytes]:
        """Check that the server closes the connection with this code, and sends nothing before.

        Args:
            code: the close code.
            reason: the reason; by default any.
            likely: the mistake, if it doesn't.
            besides: a function that returns whether a message may arrive before the close; by default none may.

        Returns:
            The messages before the close.

        Raises:
            Failure: it doesn't, the code or reason differs, or a message arrives before.
        """
        causes = _causes(likely)
        cause = causes.silence
        wanted = f"the connection closed, code {code}" + (f', reason "{reason}"' if reason else "")
        came: list[str | bytes] = []
        try:
            # One deadline for all messages: an endless stream of messages isn't an answer either.
            async with asyncio.timeout(2 * self.patience):
                while True:
                    came.append(await self._receive())
        except TimeoutError:
            got = f"{show(came[-1])}, and then " if came else ""
            got += f"the connection still open after {2 * self.patience:g} s"
            cause = causes.wrong if came and causes.wrong else cause
        except ConnectionClosed:
            right = self.connection.close_code == code and reason in (None, self.connection.close_reason)
            more = [frame for frame in came if besides is None or not besides(frame)]
            if right and not more:
                return came
            got = f"the connection closed, {closing(self.connection)}"
            if right:
                got = f"{show(more[0])}, and then {got}"
                wanted += ", and nothing before"
                cause = causes.surplus or "A message is sent before the close. The close code is the answer: remove it."
            elif self.connection.close_code == 1006:
                cause = causes.closed or f"Your endpoint ends without a close. Call close({_arguments(code, reason)})."
            else:
                cause = f"The connection is closed with another code or reason. Call close({_arguments(code, reason)})."
        closed = self.connection.close_code not in (None, 1006)
        raise Failure(
            sent=self.did,
            after=self.after,
            got=got,
            expect=wanted,
            likely=cause,
            broken=not came or not closed,
            closed=closed,
        )

    async def leave(self) -> None:
        """Disconnect with a close frame, code 1000."""
        self.did = "a close frame"
        self.ended = True
        await self.connection.close()

    async def _gone(self) -> None:
        # Set a deadline: if the server doesn't read, the end of the connection may take indefinitely.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.patience):
                await self.connection.wait_closed()

    async def finish(self) -> None:
        """Disconnect without a close frame: FIN, as when a program is killed."""
        self.did = "nothing more: the connection was cut, without a close frame (FIN)"
        self.ended = True
        self.connection.transport.close()
        await self._gone()

    async def reset(self) -> None:
        """Disconnect without a close frame: RST, as when a machine crashes or a network breaks."""
        self.did = "nothing more: the connection broke, without a close frame (RST)"
        self.ended = True
        if self.connection.transport.is_closing():
            return  # The server has closed it already.
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        # macOS refuses the option if the server has reset the connection in the meantime.
        with contextlib.suppress(OSError):
            self.connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.transport.abort()
        await self._gone()

    async def is_gone(self) -> None:
        """Wait until either side has ended the connection.

        Raises:
            TimeoutError: it's still open after the patience.
        """
        async with asyncio.timeout(self.patience):
            await self.connection.wait_closed()

    async def end(self) -> None:
        """Close the connection, and wait at most 0.3 s for the server's close frame."""
        # After a failure, this only cleans up.
        self.ended = self.ended or sys.exception() is None
        # A client that reads nothing never receives the answer to its close frame.
        if self.connection.transport.is_reading():
            # Set a deadline: if the server doesn't read, close() waits indefinitely until its frame is written.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(self.patience, 0.3)):
                    await self.connection.close()
        self.connection.transport.abort()

    def stop_reading(self) -> None:
        """Stop reading from the connection, so the buffers on the way to this client fill up."""
        self.connection.transport.pause_reading()

    def read_again(self) -> None:
        """Resume reading after `stop_reading`."""
        self.connection.transport.resume_reading()


def _causes(likely: str | Likely) -> Likely:
    return Likely(likely) if isinstance(likely, str) else likely


def _plain(text: str) -> str:
    """Return a shown message without differences of spelling: white space, outer quotes, and a prefix."""
    return "".join(text.removeprefix("the text ").split()).strip('"')


def _arguments(code: int, reason: str | None) -> str:
    return f'{code}, "{reason}"' if reason else f"{code}"


def closing(connection: ClientConnection) -> str:
    """Return how a connection ended: its close code, and the reason if there is one."""
    reason = f", reason {connection.close_reason}" if connection.close_reason else ""
    return f"code {connection.close_code}{reason}"
