"""Step 12: tests that are plain functions. Where members wait at the same time, each has a thread."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from socket import SHUT_RDWR
from urllib.parse import quote

import httpx
import pytest
from websockets import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from .conftest import Server, run_server

DEADLINE = 2.0
"""Seconds for one answer. The server promises 1 s."""
BURST = [f"{number}" for number in range(30)]


def join(server: Server, room: str) -> ClientConnection:
    """Connect to a room. Use the connection in a with statement, which closes it."""
    url = f"{server.ws}/ws/{quote(room)}"
    return connect(url, open_timeout=DEADLINE, close_timeout=DEADLINE, max_queue=None, proxy=None)


def receive(member: ClientConnection, count: int = 1) -> list[str | bytes]:
    """Return the next messages."""
    return [member.recv(timeout=DEADLINE) for _ in range(count)]


def receive_all(*members: ClientConnection, count: int = 1) -> list[list[str | bytes]]:
    """Return the next messages of each member. All of them wait at the same time."""
    with ThreadPoolExecutor(len(members)) as pool:
        return list(pool.map(lambda member: receive(member, count), members))


def close_code(member: ClientConnection) -> int | None:
    """Return the code with which the server closes a connection."""
    with pytest.raises(ConnectionClosed):
        member.recv(timeout=DEADLINE)
    return member.close_code


@contextmanager
def members(server: Server, room: str, number: int) -> Iterator[list[ClientConnection]]:
    """Connect several members, one after the other."""
    with ExitStack() as stack:
        yield [stack.enter_context(join(server, room)) for _ in range(number)]


def counted(server: Server, room: str) -> int:
    """Return the number of members in GET /rooms; 0 if the room isn't listed."""
    answer = httpx.get(f"{server.http}/rooms", timeout=DEADLINE, trust_env=False)
    return int(answer.raise_for_status().json().get(room, 0))


def count_becomes(server: Server, room: str, number: int) -> bool:
    """Ask for the number of members until it's the expected one, or DEADLINE is over."""
    deadline = time.monotonic() + DEADLINE
    while counted(server, room) != number:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("\t spaces \n", id="spaces"),
        pytest.param('<b>"R&D"</b>', id="markup"),
        pytest.param("모두 안녕", id="korean"),
        pytest.param("long" * 25_000, id="100 kB"),
    ],
)
def test_sender_receives_its_text_unchanged(server: Server, room: str, text: str) -> None:
    with join(server, room) as ada:
        ada.send(text)
        assert receive(ada) == [text]


def test_all_members_receive_a_text(server: Server, room: str) -> None:
    with members(server, room, 4) as everyone:
        everyone[0].send("hello")
        assert receive_all(*everyone) == [["hello"]] * 4


def test_burst_arrives_in_order(server: Server, room: str) -> None:
    with members(server, room, 2) as (ada, grace):
        for text in BURST:
            ada.send(text)
        assert receive_all(ada, grace, count=len(BURST)) == [BURST, BURST]


def test_last_member_receives_immediately(server: Server, room: str) -> None:
    with members(server, room, 2) as (ada, linus):
        ada.send("welcome")
        assert receive(linus) == ["welcome"]


def test_rooms_are_separate(server: Server, room: str) -> None:
    with join(server, room) as ada, join(server, f"{room}2") as linus:
        ada.send("for this room only")
        assert receive(ada) == ["for this room only"]
        linus.send("fence")
        assert receive(linus) == ["fence"]


def test_each_text_arrives_once(server: Server, room: str) -> None:
    with members(server, room, 2) as (ada, grace):
        ada.send("one")
        assert receive(grace) == ["one"]
        ada.send("two")
        assert receive(grace) == ["two"]


def test_joining_is_silent(server: Server, room: str) -> None:
    with join(server, room) as ada, join(server, room), join(server, room):
        ada.send("fence")
        assert receive(ada) == ["fence"]


def test_rooms_are_counted(server: Server, room: str) -> None:
    with members(server, room, 3):
        assert count_becomes(server, room, 3)
    assert count_becomes(server, room, 0)


def test_vanished_member_leaves(server: Server, room: str) -> None:
    with members(server, room, 2) as (_, linus):
        assert count_becomes(server, room, 2)
        linus.socket.shutdown(SHUT_RDWR)
        assert count_becomes(server, room, 1)


def test_vanished_member_disturbs_no_other(server: Server, room: str) -> None:
    with members(server, room, 3) as (ada, linus, grace):
        linus.socket.shutdown(SHUT_RDWR)
        for text in BURST:
            ada.send(text)
            assert receive_all(ada, grace) == [[text], [text]]


def test_binary_message_is_refused(server: Server, room: str) -> None:
    with join(server, room) as linus:
        linus.send(b"binary")
        assert close_code(linus) == 1003


def test_long_name_is_refused(server: Server) -> None:
    with join(server, "n" * 21) as linus:
        assert close_code(linus) == 4404
    assert counted(server, "n" * 21) == 0


def test_sigterm_ends_the_server(room: str) -> None:
    with run_server() as server, join(server, room) as ada:
        server.process.terminate()
        assert close_code(ada) == 1012
        server.process.wait(5)
