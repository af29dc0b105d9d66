"""A proxy between one server and its Redis, which waits between two commands, and delivers published messages later."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

from workshop.redis_server import RedisServer

from .tasks import spawn, stop

WRITES = {"EVAL", "EVALSHA", "EXEC", "FCALL"}
"""Commands after which a message is published."""
PUBLISHED = {b"message", b"pmessage", b"smessage"}
"""The first items of what Redis sends to a subscriber for a published message."""
CHUNK = 1 << 16
"""The limit for the bytes that the proxy reads at a time."""


@dataclass
class Stop:
    """An action that runs before a command of the server is forwarded, which waits for it."""

    room: bytes
    """The room that the command contains."""
    place: int
    """The number of the command among those with this room, from 1. A transaction is one command."""
    action: Callable[[], Coroutine[Any, Any, object]]
    after: bool = False
    """Whether the action runs after Redis has run the command, and before the server gets its reply."""
    commands: list[str] = field(default_factory=list)
    """The commands with this room so far."""
    ran: bool = False
    failed: BaseException | None = None
    acting: asyncio.Task[object] | None = None

    async def end(self) -> None:
        """Let the action end, or never begin: later commands may come from members that leave after their check."""
        self.place = 0
        if self.acting:
            await stop(self.acting)


class RedisProxy:
    """A proxy on its own port; its server uses `url` as the setting BROKER. Several checks can share it.

    Args:
        redis: the Redis behind it.
    """

    def __init__(self, redis: RedisServer) -> None:
        self.redis = redis
        self.port = 0
        self._serving: set[asyncio.Task[None]] = set()
        self.stops: dict[str, Stop] = {}
        """By room."""
        self.loses_reply = False
        """Whether the next script or transaction runs, and its connection is lost before its reply."""
        self._late: dict[bytes, list[tuple[asyncio.StreamWriter, bytes]]] = {}
        """By room: published messages that are delivered later."""
        self._kept = asyncio.Event()
        """Set when a message is kept for later."""

    async def start(self) -> None:
        """Listen on a free port, in the event loop of the check."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """End all connections."""
        self._server.close()
        for task in self._serving:
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = spawn(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    @property
    def url(self) -> str:
        """The URL of the Redis through this proxy."""
        return f"redis://127.0.0.1:{self.port}"

    def stop_before(
        self, room: str, place: int, action: Callable[[], Coroutine[Any, Any, object]], *, after: bool = False
    ) -> Stop:
        """Run an action before a command with this room is forwarded, or before its reply is. Later ones don't wait."""
        self.stops[room] = Stop(room.encode(), place, action, after)
        return self.stops[room]

    @contextlib.contextmanager
    def late(self, room: str) -> Iterator[None]:
        """Deliver published messages of this room to the server only at the end of the block."""
        self._late[room.encode()] = []
        try:
            yield
        finally:
            # Everything for a connection in one packet, so it arrives at the same time.
            kept = self._late.pop(room.encode())
            for writer in dict.fromkeys(writer for writer, _ in kept):
                writer.write(b"".join(data for other, data in kept if other is writer))

    async def keeps(self, room: str, text: str) -> None:
        """Wait until a published message with this text is kept for later in a room whose messages are late."""
        while not any(text.encode() in data for _, data in self._late[room.encode()]):
            self._kept.clear()
            await self._kept.wait()

    async def before(self, name: str, data: bytes) -> Stop | None:
        """Run the action that must run before this command, and count the command.

        Returns:
            The action that must run before its reply, if there's one.
        """
        waiting = None
        for each in list(self.stops.values()):
            if each.room in data:
                each.commands.append(name)
                if len(each.commands) == each.place:
                    if each.after:
                        waiting = each
                    else:
                        await self.run(each)
        return waiting

    async def run(self, each: Stop) -> None:
        """Run an action, and wait until it has ended."""
        each.ran = True
        each.acting = spawn(each.action())
        await asyncio.wait([each.acting])
        if not each.acting.cancelled():
            each.failed = each.acting.exception()  # The check raises it again, in its own task.

    def is_late(self, writer: asyncio.StreamWriter, data: bytes) -> bool:
        """Keep a published message for later, and return whether it's for a room whose messages are late."""
        for room, kept in self._late.items():
            if room in data:
                kept.append((writer, data))
                self._kept.set()
                return True
        return False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        replies, to_redis = await asyncio.open_connection("127.0.0.1", self.redis.port)
        connection = _Connection(self, writer, to_redis)
        tasks = [spawn(connection.forward_commands(reader)), spawn(connection.forward_replies(replies))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await stop(*tasks)
            for each in (writer, to_redis):
                each.transport.abort()


class _Connection:
    def __init__(self, proxy: RedisProxy, to_server: asyncio.StreamWriter, to_redis: asyncio.StreamWriter) -> None:
        self.proxy = proxy
        self.to_server = to_server
        self.to_redis = to_redis
        self._waits_for_entries = False
        self._loses_reply = False
        self._before_reply: Stop | None = None

    async def forward_commands(self, reader: asyncio.StreamReader) -> None:
        in_transaction, unread = False, b""
        while chunk := await reader.read(CHUNK):
            units, unread = _split(unread + chunk)
            for data, items in units:
                name = items[0].decode().upper() if items else ""
                if name == "MULTI":
                    # Count a transaction once, with the room that one of its commands has.
                    self._before_reply = await self.proxy.before(name, b"".join(each for each, _ in units))
                elif not in_transaction:
                    self._before_reply = await self.proxy.before(name, data) or self._before_reply
                in_transaction = name == "MULTI" or (in_transaction and name not in ("EXEC", "DISCARD"))
                self._waits_for_entries = name.startswith("XREAD") and b"BLOCK" in data.upper()
                if name in WRITES and self.proxy.loses_reply:
                    self._loses_reply, self.proxy.loses_reply = True, False
                if self.to_redis.is_closing():
                    return
                self.to_redis.write(data)

    async def forward_replies(self, reader: asyncio.StreamReader) -> None:
        unread = b""
        while chunk := await reader.read(CHUNK):
            units, unread = _split(unread + chunk)
            if units and self._before_reply:
                waiting, self._before_reply = self._before_reply, None
                await self.proxy.run(waiting)
            for data, items in units:
                if self._loses_reply or self.to_server.is_closing():
                    return
                published = bool(items) and (items[0] in PUBLISHED or self._waits_for_entries)
                if not (published and self.proxy.is_late(self.to_server, data)):
                    self.to_server.write(data)


def _split(data: bytes) -> tuple[list[tuple[bytes, list[bytes]]], bytes]:
    """Split bytes of the Redis protocol into commands or replies, each with its strings, and an incomplete rest."""
    units: list[tuple[bytes, list[bytes]]] = []
    begin = 0
    with contextlib.suppress(ValueError):  # It's raised at the rest.
        while begin < len(data):
            items: list[bytes] = []
            end = _parse(data, begin, items)
            units.append((data[begin:end], items))
            begin = end
    return units, data[begin:]


def _parse(data: bytes, begin: int, items: list[bytes]) -> int:
    """Return the end of the value at this place, and append its strings to a list.

    Raises:
        ValueError: it isn't complete yet.
    """
    end = data.index(b"\r\n", begin)
    kind, place = data[begin : begin + 1], end + 2
    if kind in b"*>%~":
        for _ in range(max(int(data[begin + 1 : end]), 0) * (1 + (kind == b"%"))):
            place = _parse(data, place, items)
    elif kind in b"$=" and (length := int(data[begin + 1 : end])) >= 0:
        if len(data) < place + length + 2:
            raise ValueError
        items.append(data[place : place + length])
        place += length + 2
    return place


@contextlib.asynccontextmanager
async def redis_proxy(redis: RedisServer) -> AsyncIterator[RedisProxy]:
    """Start a proxy to this Redis in the event loop of the check."""
    proxy = RedisProxy(redis)
    await proxy.start()
    try:
        yield proxy
    finally:
        proxy.close()
