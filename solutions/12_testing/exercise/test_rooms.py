"""Step 12, solution: tests that hold on every right server, and fail on every broken one.

In the folder steps/12_testing:

Run it:    python -m pytest exercise

In the folder of the course:

Judge it:  pytest --exercise 12
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from urllib.parse import quote

import httpx
import pytest
from websockets import ConnectionClosed
from websockets.asyncio.client import ClientConnection, connect

from .clients import small_buffers
from .conftest import Server, run_server

pytestmark = pytest.mark.anyio

DEADLINE = 1.5
"""The longest wait for one answer, in seconds. The server promises 1 s; the rest is for a busy machine."""
QUIET = 0.25
"""Seconds without a message after which a broadcast is probably stuck."""
POLL_INTERVAL = 0.02
"""Seconds."""
TEXTS = ["hello", "hello", "", " two  spaces ", "<b>&amp;</b>", "안녕하세요", "x" * 100_000]
BURST = [f"text {number}" for number in range(20)]
FLOOD = [f"{number} {'x' * 262_144}" for number in range(16)]
"""4 MiB, which is more than the buffers on the way to a member that reads nothing."""


def address(server: Server, room: str) -> str:
    return f"ws://127.0.0.1:{server.port}/ws/{quote(room)}"


def member(server: Server, room: str) -> connect:
    """Return a client with a deadline for the handshake and for the close."""
    # No limit for received messages: at the default of 16, the client stops reading, and its close waits.
    # No proxy: the client would use one from the environment for this machine too.
    url = address(server, room)
    return connect(url, open_timeout=DEADLINE, close_timeout=DEADLINE, max_queue=None, proxy=None)


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


async def test_text_reaches_all_members(server: Server, room: str) -> None:
    async with member(server, room) as ada, member(server, room) as grace, member(server, room) as linus:
        # Right after the last handshake: from then on, each member receives what is sent. The text is a fence too:
        # if the server has sent anything when a member joined, that arrives before it.
        await ada.send("hello")
        for client in (linus, grace, ada):
            assert await receive(client) == "hello"


async def test_text_is_unchanged(server: Server, room: str) -> None:
    async with member(server, room) as ada:
        for text in TEXTS:
            await ada.send(text)
            assert await receive(ada) == text


async def test_burst_arrives_once_and_in_order(server: Server, room: str) -> None:
    async with member(server, room) as ada, member(server, room) as grace:
        for text in [*BURST, "fence"]:
            await ada.send(text)
        # The fence shows that nothing else arrives after the burst either.
        for client in (grace, ada):
            assert [await receive(client) for _ in [*BURST, "fence"]] == [*BURST, "fence"]


async def test_other_rooms_receive_nothing(server: Server, room: str) -> None:
    async with member(server, room) as ada, member(server, f"{room} 2") as linus:
        await ada.send("for one room")
        assert await receive(ada) == "for one room"
        # A fence: if Linus was sent Ada's text too, it arrives before this one.
        await linus.send("fence")
        assert await receive(linus) == "fence"


async def test_rooms_counts_the_members(server: Server, room: str) -> None:
    other = f"{room} 2"
    async with member(server, room), member(server, room) as linus, member(server, other):
        assert await rooms_become(server, lambda rooms: (rooms.get(room), rooms.get(other)) == (2, 1))
        # Without a close frame, as when a laptop loses its network.
        linus.transport.abort()
        assert await rooms_become(server, lambda rooms: (rooms.get(room), rooms.get(other)) == (1, 1))
    assert await rooms_become(server, lambda rooms: room not in rooms and other not in rooms)


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


async def send_all(client: ClientConnection, texts: list[str]) -> None:
    with suppress(ConnectionClosed):
        for text in texts:
            await client.send(text)


async def receive_flood(client: ClientConnection, pause: float) -> list[str | bytes]:
    """Receive until the last text of FLOOD, or until nothing arrives for `pause` seconds."""
    texts: list[str | bytes] = []
    try:
        while texts[-1:] != FLOOD[-1:]:
            async with asyncio.timeout(pause):
                texts.append(await client.recv())
    except (TimeoutError, ConnectionClosed):
        pass
    return texts


async def broadcast_flood(
    sender: ClientConnection, *others: ClientConnection, when_stuck: Callable[[], Awaitable[None]]
) -> list[str | bytes]:
    """Broadcast FLOOD, and return what the sender receives.

    Args:
        sender: the client that sends and receives.
        others: the clients that receive until the broadcast is stuck.
        when_stuck: called when the server waits for a member that reads nothing.
    """
    sending = asyncio.create_task(send_all(sender, FLOOD))
    try:
        received, *_ = await asyncio.gather(*(receive_flood(client, QUIET) for client in (sender, *others)))
        await when_stuck()
        if received[-1:] != FLOOD[-1:]:
            received += await receive_flood(sender, DEADLINE)
    finally:
        sending.cancel()
        await asyncio.wait([sending])
    return received


async def test_broadcast_survives_its_members(server: Server, room: str) -> None:
    async with (
        member(server, room) as grace,
        small_buffers(address(server, room), DEADLINE) as linus,
        member(server, room) as ada,
    ):
        linus.transport.pause_reading()

        async def lose_both() -> None:
            await grace.close()
            assert await rooms_become(server, lambda rooms: rooms.get(room, 0) <= 2)
            linus.transport.abort()

        assert await broadcast_flood(ada, grace, when_stuck=lose_both) == FLOOD
