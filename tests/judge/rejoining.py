"""Members that rejoin a room, in step 08: their tabs, the messages that they get and send, and a full disk."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import unicodedata
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from html import unescape
from typing import Any
from urllib.parse import unquote_plus

from . import pool
from .clients import Client
from .differences import difference
from .members import PING, Members, members_list, message
from .messages import cut, is_error, is_message, only_key, parsed, show
from .model import Failure, Likely
from .subject import Subject
from .troubles import LIMITED

REPLAY = (
    "Your server doesn't replay what the member missed, or it replays other messages. Queue the messages with a larger "
    "id than after, each once and in order, right after the list of members."
)
LINES = {
    "line ends of Unicode": "one\u2028two\u2029three\x85four",
    "control characters that split lines": "one\x0btwo\x0cthree\x1cfour\x1dfive\x1esix",
    "a carriage return": "one\rtwo\r",
    "a line of JSON": '"}\n{"room": "lab", "id": 1, "sender": "Eve", "text": "x"}\n',
}
"""Texts that end a line for some functions, but not in the journal."""
SEPARATORS = ("", ":", "|", "/", ",", " ", "-", "_", ".", "\x00")
"""Strings that may join a room, a name and a key to one string. Other names and keys can then give the same string."""


CHANGES: dict[str, Callable[[str], str]] = {
    "strip()": str.strip,
    "lower() or casefold()": str.casefold,
    "lower() and strip()": lambda text: text.strip().casefold(),
    "unicodedata.normalize()": lambda text: unicodedata.normalize("NFKC", text),
    "normalize() and casefold()": lambda text: unicodedata.normalize("NFKC", text).casefold().strip(),
    "unquote()": unquote_plus,
    "html.unescape()": unescape,
    "int() or float()": lambda text: str(float(text)),
    "a slice, which cuts off its end": lambda text: text[:12],
}
"""Functions that make two similar strings equal, by their names in a failure."""


def alike(kind: str, name: str) -> list[str]:
    """Return the neighbors of a string that differ from it by the property of its class; see `pool.neighbors`."""
    change = str.casefold if "case" in kind else str.strip if "blanks" in kind else None
    others = (
        [change] if change else [CHANGES[what] for what in ("unicodedata.normalize()", "unquote()", "html.unescape()")]
    )
    return [each for each in pool.neighbors(name) if any(other(each) == other(name) for other in others)]


def texts(*, long: bool = True) -> dict[str, str]:
    """Draw texts that a journal and a replay must not change; see `pool.texts`."""
    return pool.texts(long=long) | LINES


def keys() -> dict[str, str]:
    """Draw keys of 1 to 64 characters that differ from each other, by class. Each is next to similar ones."""
    found = {kind: text for kind, text in texts(long=False).items() if 0 < len(text) <= 64}
    found |= {"64 characters": "K" * 64, "64 characters of three bytes": "열" * 64, "64 of two units": "🙂" * 64}
    found |= {"64 characters with another end": "K" * 63 + "L", "a blank": " ", "a zero": "0"}
    found |= {
        f"like {number}": text for number, text in enumerate(("7", "07", "7.0", "+7", " 7", "7 ", "false", "0.0"))
    }
    for kind, text in list(found.items()):
        found |= {
            f"{kind}, neighbor {number}": each for number, each in enumerate(alike(kind, text)) if len(each) <= 64
        }
    by_key = {key: kind for kind, key in found.items()}
    return {kind: key for key, kind in by_key.items()}


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


UNSENT = Likely(
    "Your code doesn't broadcast this message, which has no key. If you look up or store an empty key, the second "
    "message without a key counts as a duplicate of the first: do both only if key isn't empty."
)


async def say(tab: Client, *texts: str, first: int = 1, who: str = "Ada", likely: str | Likely = UNSENT) -> None:
    """Send these texts, and wait until the sender receives its copy of each."""
    frames = [{"type": "message", "text": text} for text in texts]
    await (tab.send(frames[0]) if len(frames) == 1 else tab.send_burst(*frames))
    tab.did = f"{len(texts)} messages of {who}" if len(texts) > 1 else f"a message of {who}: {show(texts[0])}"
    for number, text in enumerate(texts, first):
        await tab.gets(message(number, who, text), likely=replayed(likely) if isinstance(likely, str) else likely)


TWICE = (
    "After the replay, your server sends one message more: a message a second time, or something that isn't a message "
    "to the room. Queue each stored message once, and store only what post_message broadcasts."
)


async def replays(tab: Client, wanted: Sequence[dict[str, Any]], *, likely: Likely) -> None:
    """Check that a new tab gets these messages after the list of members, and nothing more.

    Args:
        tab: a tab that has read its list of members.
        wanted: the messages of its replay.
        likely: the mistake, if others arrive.

    Raises:
        Failure: others arrive, or too few.
    """
    did = tab.earlier = tab.did
    # Its answer follows the replay, so the check needn't wait for a message that never arrives.
    await tab.send({"type": "direct", "to": "Nobody", "text": "end"})
    tab.did = did
    for place, value in enumerate(wanted):
        frame = await tab.peek()
        if frame is not None and is_error(frame):
            got = f"{place} of {len(wanted)} messages" if place else "no message"
            raise Failure(sent=did, got=f"{got}, and nothing more", expect=show(value), likely=likely.silence)
        await tab.gets(value, likely=likely)
    tab.did = f"{did}; then a direct message to Nobody, who isn't in the room"
    await tab.gets_error(likely=Likely(ABSENT, wrong=TWICE, surplus=TWICE, replayed=TWICE))
    tab.earlier, tab.did = None, did


ABSENT = "A direct message to an absent member isn't answered as in step 07. Send its sender an error."


async def ends(tab: Client, *, likely: str) -> None:
    """Check that a tab has received nothing else: send a direct message to an absent member, which gets an error.

    Args:
        tab: a member's tab.
        likely: the mistake, if a message arrives before the error.

    Raises:
        Failure: another message arrives before, or no error.
    """
    earlier = tab.earlier or tab.did
    await tab.send({"type": "direct", "to": "Nobody", "text": "end"})
    tab.earlier, tab.did = earlier, f"{earlier}; then a direct message to Nobody, who isn't in the room"
    await tab.gets_error(likely=Likely(ABSENT, wrong=likely, surplus=likely, replayed=likely))
    tab.earlier = None


NO_ACK = (
    "Your code broadcasts the message, and sends no ack. After the broadcast, send the ack to [tab] if the message "
    "has a key."
)
NO_COPY = (
    "Your code sends an ack, and its sender gets no copy of the message. Broadcast a message with a new key to all "
    "tabs of the room, also to the sender's."
)


async def both(
    tab: Client, *wanted: dict[str, Any], likely: str | Likely = "", senders: Sequence[tuple[str, str]] = ()
) -> None:
    """Check that the next messages are these, in any order.

    Args:
        tab: a member's tab.
        wanted: the message and its ack.
        likely: the mistake, if others arrive. By default, it's found from the received messages.
        senders: by id from 1 on, the name and the key of each message of the room, up to this one.

    Raises:
        Failure: others arrive, or too few.
    """
    causes = likely if isinstance(likely, Likely) else Likely(likely, wrong=likely)
    left = list(wanted)
    while left:
        expect = " and ".join(map(show, left)) + (", in any order" if len(left) > 1 else "")
        silent = causes.silence or (NO_COPY if len(left) == 1 and left[0]["type"] == "message" else NO_ACK)
        frame = await tab.next(expect=expect, likely=replace(causes, silence=silent))
        if found := next((each for each in left if is_message(frame, each)), None):
            left.remove(found)
            continue
        got = show(frame)
        if len(left) < len(wanted):
            got = f"{' and '.join(show(each) for each in wanted if each not in left)}, and then {got}"
        value = parsed(frame)
        kind = value.get("type") if isinstance(value, dict) else None
        alike = next((each for each in left if each["type"] == kind), left[0])
        cause = causes.keys.get(only_key(alike, frame)) or causes.wrong or difference(alike, frame)
        if (
            kind == "ack"
            and isinstance(number := value.get("id"), int)
            and 0 < number < len(senders)
            and senders[number - 1][1]
        ):
            cause = confused(senders[number - 1], senders[-1]) or cause
        if not cause and kind == "error":
            cause = "Your code refuses a valid message. Look at the key: every string of 1 to 64 characters is valid."
        raise Failure(sent=tab.did, after=tab.after, got=got, expect=expect, likely=cause or silent)


def confused(one: tuple[str, str], other: tuple[str, str]) -> str:
    """Explain why a server treats the second sender and key as the first; empty if no cause is known."""
    if one[0] != other[0] and one[1] != other[1]:
        pairs = " and ".join(f"the name {quoted(name)} with the key {quoted(key)}" for name, key in (one, other))
        return f"Your code joins name and key to one string, which is equal for {pairs}. Use the tuple (name, key)."
    kind, first, second = ("key", one[1], other[1]) if one[0] == other[0] else ("name", one[0], other[0])
    for change, function in CHANGES.items():
        with contextlib.suppress(ValueError):
            if first != second and function(first) == function(second):
                used = "Look up and store the key unchanged." if kind == "key" else "Use the sender's name unchanged."
                return f"Your code treats the {kind} {quoted(second)} as {quoted(first)}, as after {change}. {used}"
    return ""


async def send_keyed(tab: Client, keyed: Mapping[str, str], *, first: int, likely: Likely, who: str = "Ada") -> None:
    """Send messages with new keys in one packet, and check that each gets its copy and its ack.

    Args:
        tab: a tab of the sender.
        keyed: the text by the key.
        first: the id of the first message.
        likely: the mistake, if others arrive.
        who: the sender's name.

    Raises:
        Failure: others arrive.
    """
    await tab.send_burst(*({"type": "message", "text": text, "key": key} for key, text in keyed.items()))
    senders = [("", "")] * (first - 1)
    for number, (key, text) in enumerate(keyed.items(), first):
        tab.did = f"{len(keyed)} messages with different keys in one packet, one of them with the key {quoted(key)}"
        senders.append((who, key))
        await both(tab, message(number, who, text), ack(key, number), likely=likely, senders=senders)


OTHER_ID = "Your code stores or returns a wrong id for the key. Store the id of the message when you first accept it."


async def acknowledged(tab: Client, frames: list[dict[str, Any]], *, first: int = 2) -> None:
    """Send messages, and check that the sender gets a copy of each, and one ack for each key, in order.

    Args:
        tab: a tab that gets no other messages meanwhile.
        frames: messages, some of which have a key.
        first: the id of the first one.

    Raises:
        Failure: others arrive.
    """
    acks = [ack(each["key"], number) for number, each in enumerate(frames, first) if "key" in each]
    expect = f"{len(acks)} acks and {len(frames)} messages, both in the order of their ids"
    count = copies = 0
    await tab.send_burst(*frames)
    sent = f"{len(frames)} messages in one packet"
    while count < len(acks) or copies < len(frames):
        tab.did = f"{sent}; {count} acks and {copies} copies have arrived"
        frame = await tab.next(expect=expect, likely=NO_ACK if copies == len(frames) else NO_COPY)
        value = parsed(frame)
        if count < len(acks) and value == acks[count]:
            count += 1
        elif copies < len(frames) and isinstance(value, dict) and value.get("id") == first + copies:
            copies += 1
        else:
            raise Failure(sent=tab.did, got=show(frame), expect=expect, likely=OTHER_ID)


async def refuses(subject: Subject, room: str, after: int | str, why: str, likely: str, *, name: str = "Grace") -> None:
    """Check that a handshake is refused with HTTP 403.

    Args:
        subject: the server.
        room: the room.
        after: the resume offset.
        why: the reason that it's invalid, for the message of a failure.
        likely: the mistake, if the handshake is accepted.
        name: the name of the member.

    Raises:
        Failure: it's accepted, or has another status.
    """
    answer = await subject.handshake(Members.path(room, name, after=str(after)))
    if answer == 403:
        return
    got = f"HTTP {answer}"
    if not isinstance(answer, int):
        await answer.close()
        got = "the connection accepted"
        if answer.close_code not in (None, 1000):
            likely = (
                "Your code refuses after accept(). Raise HTTPException(403) before it: then the client gets HTTP 403."
            )
    else:
        likely = "Your code refuses with another status. Raise HTTPException(403), and declare after with Query(ge=0)."
    shown = cut(str(after))
    raise Failure(
        sent=f"a handshake with after={shown} for the room {quoted(room)}",
        after=why,
        got=got,
        expect="HTTP 403",
        likely=likely,
        broken=answer == 500,
    )


def quoted(text: str) -> str:
    """Return a string as a failure shows it: with quotes and escapes."""
    return cut(json.dumps(text, ensure_ascii=False))


@contextlib.asynccontextmanager
async def back(
    subject: Subject,
    room: str,
    name: str,
    *,
    small_buffers: bool = False,
    tiny: bool = False,
    headers: dict[str, str] | None = None,
    likely: str = "",
    after_this: str | None = None,
    **query: Any,
) -> AsyncIterator[Client]:
    """Open a tab, and read its list of members, unless its buffers are small or tiny.

    Args:
        subject: the server.
        room: the room.
        name: the name of the member.
        small_buffers: see `handshakes.handshake`.
        tiny: see `handshakes.handshake`.
        headers: additional HTTP headers.
        likely: the mistake, if the handshake is refused.
        after_this: the preceding events, if the handshake is refused.
        query: further parameters of the path.

    Raises:
        Failure: the handshake is refused, or the tab doesn't get the list.
    """
    path = Members.path(room, name, **{key: str(value) for key, value in query.items()})
    async with contextlib.AsyncExitStack() as stack:
        try:
            tab = await stack.enter_async_context(
                subject.client(path, small_buffers=small_buffers, tiny=tiny, headers=headers)
            )
        except Failure as failure:
            failure.likely = likely or failure.likely
            failure.after = after_this or failure.after
            raise
        # Ignore pings: on a slow machine, a check may last longer than ten seconds.
        tab.ignored = PING
        if not (small_buffers or tiny):
            await members_list(tab, path, likely=REPLAY)
        yield tab


@contextlib.asynccontextmanager
async def full_disk(own: Subject) -> AsyncIterator[None]:
    """Let JOURNAL grow by ten bytes and no more, until the end of this block; see `fill_up`.

    Args:
        own: a server that was started with `full`. Windows has no such limit.

    Raises:
        Failure: the event loop of the server is blocked.
    """
    assert sys.platform != "win32"
    await _limit(own, signal.SIGUSR1)
    yield
    await _limit(own, signal.SIGUSR2)


async def fill_up(own: Subject) -> None:
    """Let JOURNAL not grow at all, in a block of `full_disk`: the next write fails, and no longer is a short one."""
    assert sys.platform != "win32"
    await _limit(own, signal.SIGUSR1)


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
