"""Members that rejoin a room, in step 08: their tabs, the messages that they get and send, and a full disk."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

from .clients import Client
from .members import PING, Members, members_list, message
from .messages import show
from .model import Failure, Likely
from .subject import Subject
from .troubles import LIMITED

REPLAY = (
    "Your server doesn't replay what the member missed, or it replays other messages. Queue the messages with a larger "
    "id than after, each once and in order, right after the list of members."
)


def replayed(likely: str, **by_what_came: Any) -> Likely:
    """Return a likely cause for a tab that rejoins, which gets messages from before its handshake.

    Args:
        likely: the mistake, also for a surplus message, or one from before the handshake.
        by_what_came: other causes; see `Likely`.
    """
    return Likely(likely, **{"surplus": likely, "replayed": likely, **by_what_came})


def numbers(start: int, stop: int) -> list[str]:
    """Return the texts of messages with these ids."""
    return [f"text {number}" for number in range(start, stop + 1)]


def ack(key: str, number: int) -> dict[str, Any]:
    """Return the acknowledgement of a message."""
    return {"type": "ack", "key": key, "id": number}


def error(key: str, *, retry: bool) -> dict[str, Any]:
    """Return the answer to a message that's rejected, for now or for good."""
    return {"type": "error", "detail": "not accepted", "key": key, "retry": retry}


async def send_all(tab: Client, frames: list[dict[str, Any]]) -> None:
    """Send these messages, one after another."""
    for frame in frames:
        await tab.send(frame)


async def say(tab: Client, *texts: str, first: int = 1, who: str = "Ada", likely: str | Likely = REPLAY) -> None:
    """Send these texts, and wait until the sender receives its copy of each."""
    for text in texts:
        await tab.send({"type": "message", "text": text})
    tab.did = f"{len(texts)} messages of {who}" if len(texts) > 1 else f"a message of {who}"
    for number, text in enumerate(texts, first):
        await tab.gets(message(number, who, text), likely=replayed(likely) if isinstance(likely, str) else likely)


async def both(tab: Client, *wanted: dict[str, Any], likely: str = "") -> None:
    """Check that the next messages are these, in any order.

    Args:
        tab: a member's tab.
        wanted: the messages.
        likely: the mistake, if others arrive.

    Raises:
        Failure: others arrive, or too few.
    """
    expect = " and ".join(map(show, wanted))
    likely = likely or "the sender gets its message like everybody, and besides that one ack with key and id"
    got: list[Any] = []
    for _ in wanted:
        try:
            got.append(await tab.next_object(expect=expect, likely=likely))
        except Failure as failure:
            if got:
                failure.got = f"{' and '.join(map(show, got))}, and then {failure.got}"
            raise
    if sorted(map(show, got)) != sorted(map(show, wanted)):
        raise Failure(sent=tab.did, got=" and ".join(map(show, got)), expect=expect, likely=likely)


@contextlib.asynccontextmanager
async def back(
    subject: Subject,
    room: str,
    name: str,
    *,
    small_buffers: bool = False,
    likely: str = "",
    after_this: str | None = None,
    **query: Any,
) -> AsyncIterator[Client]:
    """Open a tab, and read its list of members, unless its buffers are small.

    Args:
        subject: the server.
        room: the room.
        name: the name of the member.
        small_buffers: see `handshakes.handshake`.
        likely: the mistake, if the handshake is refused.
        after_this: the preceding events, if the handshake is refused.
        query: further parameters of the path.

    Raises:
        Failure: the handshake is refused, or the tab doesn't get the list.
    """
    path = Members.path(room, name, **{key: str(value) for key, value in query.items()})
    async with contextlib.AsyncExitStack() as stack:
        try:
            tab = await stack.enter_async_context(subject.client(path, small_buffers=small_buffers))
        except Failure as failure:
            failure.likely = likely or failure.likely
            failure.after = after_this or failure.after
            raise
        # Ignore pings: on a slow machine, a check may last longer than ten seconds.
        tab.ignored = PING
        if not small_buffers:
            await members_list(tab, path, likely=REPLAY)
        yield tab


@contextlib.asynccontextmanager
async def full_disk(own: Subject) -> AsyncIterator[None]:
    """Let JOURNAL grow by ten bytes and no more, until the end of this block.

    Args:
        own: a server that was started with `full`. Windows has no such limit.

    Raises:
        Failure: the event loop of the server is blocked.
    """
    assert sys.platform != "win32"
    await _limit(own, signal.SIGUSR1)
    yield
    await _limit(own, signal.SIGUSR2)


async def _limit(own: Subject, number: int) -> None:
    """Send a signal, and wait until loop/full.py has acted on it."""
    log = own.server.log
    before = _limits(log)
    with contextlib.suppress(ProcessLookupError):
        os.kill(own.server.pid, number)
    await asyncio.to_thread(own.server.wait_for, lambda log: _limits(log) > before, own.patience)
    if _limits(log) == before and own.server.exit_code is None:
        got = f"the event loop does nothing for {own.patience:g} s"
        raise Failure(got=got, expect="a server that reacts to a signal", likely="", broken=True)


def _limits(log: list[str]) -> int:
    return sum(line.startswith(LIMITED) for line in log)
