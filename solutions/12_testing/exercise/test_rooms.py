"""Step 12, solution: tests that hold on every right server, and fail on every broken one.

In the folder steps/12_testing:

Run it:    python -m pytest exercise

In the folder of the course:

Judge it:  pytest --exercise 12
"""

import asyncio
from collections.abc import Callable
from urllib.parse import quote

import httpx
import pytest
from websockets import ConnectionClosed
from websockets.asyncio.client import ClientConnection, connect

from .clients import small_buffers
from .conftest import Server, run_server

pytestmark = pytest.mark.anyio

DEADLINE = 2.0
"""The longest wait for one answer, in seconds. The server promises 1 s; the rest is for a busy machine."""
POLL_INTERVAL = 0.02
"""Seconds."""
TEXTS = ["hello", "hello", "", " two  spaces ", "<b>&amp;</b>", "안녕하세요", "x" * 100_000]
BURST = [f"text {number}" for number in range(20)]


def address(server: Server, room: str) -> str:
    return f"ws://127.0.0.1:{server.port}/ws/{quote(room)}"


def member(server: Server, room: str) -> connect:
    """Return a client that waits for the handshake and for the close no longer than DEADLINE."""
    return connect(address(server, room), open_timeout=DEADLINE, close_timeout=DEADLINE)


async def receive(client: ClientConnection) -> str | bytes:
    async with asyncio.timeout(DEADLINE):
        return await client.recv()


async def receive_close_code(client: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed):
        await receive(client)
    # Not inside the block above: the line that raises is the last one that runs there.
    return client.close_code


async def list_rooms(server: Server) -> dict[str, int]:
    async with httpx.AsyncClient(timeout=DEADLINE, trust_env=False) as client:
        return dict((await client.get(f"{server.url}/rooms")).raise_for_status().json())


async def rooms_become(server: Server, holds: Callable[[dict[str, int]], bool]) -> bool:
    """Ask for the rooms until `holds` is true for them, or DEADLINE is over, and return whether it is."""
    try:
        async with asyncio.timeout(DEADLINE):
            while not holds(await list_rooms(server)):
                await asyncio.sleep(POLL_INTERVAL)
    except TimeoutError:
        return False
    return True


async def test_text_reaches_the_room_unchanged(server: Server, room: str) -> None:
    async with member(server, room) as ada, member(server, room) as grace:
        for text in TEXTS:
            await ada.send(text)
            assert await receive(grace) == text
            assert await receive(ada) == text


async def test_burst_keeps_its_order(server: Server, room: str) -> None:
    async with member(server, room) as ada, member(server, room) as grace:
        for text in BURST:
            await ada.send(text)
        for client in (grace, ada):
            assert [await receive(client) for _ in BURST] == BURST


async def test_member_receives_from_its_handshake_on(server: Server, room: str) -> None:
    async with member(server, room) as ada:
        async with member(server, room) as grace:
            await ada.send("right after the handshake")
            assert await receive(grace) == "right after the handshake"


async def test_other_rooms_receive_nothing(server: Server, room: str) -> None:
    async with member(server, room) as ada, member(server, f"{room} 2") as linus:
        await ada.send("for Ada's room")
        assert await receive(ada) == "for Ada's room"
        # A fence: if Ada's text was sent to Linus too, it arrives before this one.
        await linus.send("fence")
        assert await receive(linus) == "fence"


async def test_text_arrives_once(server: Server, room: str) -> None:
    async with member(server, room) as ada, member(server, room) as grace:
        await ada.send("once")
        await ada.send("fence")
        for client in (ada, grace):
            assert [await receive(client), await receive(client)] == ["once", "fence"]


async def test_join_sends_nothing(server: Server, room: str) -> None:
    async with member(server, room) as ada, member(server, room) as grace:
        await ada.send("fence")
        assert await receive(ada) == "fence"
        assert await receive(grace) == "fence"


async def test_rooms_counts_the_members(server: Server, room: str) -> None:
    other = f"{room} 2"
    async with member(server, room), member(server, room), member(server, other):
        assert await rooms_become(server, lambda rooms: (rooms.get(room), rooms.get(other)) == (2, 1))
    assert await rooms_become(server, lambda rooms: room not in rooms and other not in rooms)


async def test_vanished_member_is_removed(server: Server, room: str) -> None:
    async with member(server, room), member(server, room) as linus:
        assert await rooms_become(server, lambda rooms: rooms.get(room) == 2)
        linus.transport.abort()
        assert await rooms_become(server, lambda rooms: rooms.get(room) == 1)


async def test_vanished_member_costs_no_other(server: Server, room: str) -> None:
    async with member(server, room) as ada, member(server, room) as linus, member(server, room) as grace:
        linus.transport.abort()
        for text in BURST:
            await ada.send(text)
            assert await receive(grace) == text
            assert await receive(ada) == text


async def test_binary_message_closes_its_sender(server: Server, room: str) -> None:
    async with member(server, room) as ada, member(server, room) as linus:
        await linus.send(b"\x00\x01")
        assert await receive_close_code(linus) == 1003
        await ada.send("still here")
        assert await receive(ada) == "still here"


async def test_long_name_is_refused(server: Server) -> None:
    name = "x" * 21
    async with member(server, name) as linus:
        assert await receive_close_code(linus) == 4404
    assert name not in await list_rooms(server)


async def test_sigterm_ends_the_server(room: str) -> None:
    with run_server() as server:
        async with member(server, room) as ada:
            server.process.terminate()
            assert await receive_close_code(ada) == 1012
        # The server has 5 s. Its process ends after its last connection.
        async with asyncio.timeout(5):
            while server.process.poll() is None:
                await asyncio.sleep(POLL_INTERVAL)
