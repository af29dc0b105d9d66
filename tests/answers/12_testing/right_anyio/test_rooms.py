"""Step 12: tests with anyio. Members that wait at the same time are the tasks of a group."""

from pathlib import Path
from urllib.parse import quote

import anyio
import httpx
import pytest
from anyio import to_thread
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from .conftest import Server, run_server

pytestmark = pytest.mark.anyio

DEADLINE = 2.0
"""Seconds for one answer. The server promises 1 s."""
TEXTS = ["hello", "", " ", "\n<a href='?x=1&y=2'>\n", "만나서 반갑습니다", "0123456789" * 10_000]
BURST = [str(number) for number in range(25)]


def join(server: Server, room: str) -> connect:
    url = f"ws://127.0.0.1:{server.port}/ws/{quote(room)}"
    return connect(url, open_timeout=DEADLINE, close_timeout=DEADLINE, max_queue=None, proxy=None)


async def receive(member: ClientConnection) -> str | bytes:
    with anyio.fail_after(DEADLINE):
        return await member.recv()


async def expect(messages: list[str], *members: ClientConnection) -> None:
    """Check that these are the next messages of each member."""

    async def receive_each(member: ClientConnection) -> None:
        assert [await receive(member) for _ in messages] == messages

    async with anyio.create_task_group() as group:
        for member in members:
            group.start_soon(receive_each, member)


async def expect_close(member: ClientConnection, code: int) -> None:
    """Check that the server closes a connection with a code, and sends nothing before that."""
    with pytest.raises(ConnectionClosed):
        await receive(member)
    assert member.close_code == code


async def count(server: Server, room: str) -> int:
    """Return the number of members in GET /rooms; 0 if the room isn't listed."""
    async with httpx.AsyncClient(timeout=DEADLINE, trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{server.port}/rooms")
    return int(answer.raise_for_status().json().get(room, 0))


async def expect_count(server: Server, room: str, number: int) -> None:
    """Ask until a room has this number of members."""
    with anyio.fail_after(DEADLINE):
        while await count(server, room) != number:
            await anyio.sleep(0.05)


async def test_texts_are_unchanged(server: Server, room: str) -> None:
    async def exchange(text: str, number: int) -> None:
        async with join(server, f"{room}-{number}") as ada:
            await ada.send(text)
            await expect([text], ada)

    async with anyio.create_task_group() as group:
        for number, text in enumerate(TEXTS):
            group.start_soon(exchange, text, number)


async def test_all_members_receive_a_text(server: Server, room: str) -> None:
    async with join(server, room) as ada, join(server, room) as grace, join(server, room) as linus:
        await ada.send("hello")
        await expect(["hello"], ada, grace, linus)


async def test_texts_of_a_sender_keep_their_order(server: Server, room: str) -> None:
    async with join(server, room) as ada, join(server, room) as grace:
        for text in BURST:
            await ada.send(text)
        await expect(BURST, ada, grace)


async def test_new_member_receives_immediately(server: Server, room: str) -> None:
    async with join(server, room) as ada, join(server, room) as linus:
        await ada.send("welcome")
        await expect(["welcome"], linus)


async def test_rooms_do_not_mix(server: Server, room: str) -> None:
    rooms = [f"{room}-{number}" for number in range(3)]
    async with join(server, rooms[0]) as ada, join(server, rooms[1]) as grace, join(server, rooms[2]) as linus:
        members = {"from Ada": ada, "from Grace": grace, "from Linus": linus}
        for text, member in members.items():
            await member.send(text)
            await expect([text], member)
        # Each room has had its text. Another room's text would be in front of this one.
        for text, member in members.items():
            await member.send(f"fence {text}")
            await expect([f"fence {text}"], member)


async def test_no_text_is_repeated(server: Server, room: str) -> None:
    async with join(server, room) as ada, join(server, room) as grace:
        for text in ("first", "second"):
            await ada.send(text)
            await expect([text], grace)


async def test_join_sends_nothing(server: Server, room: str) -> None:
    async with join(server, room) as ada, join(server, room) as grace:
        await grace.send("fence")
        await expect(["fence"], ada)


async def test_members_are_counted(server: Server, room: str) -> None:
    async with join(server, room), join(server, room):
        await expect_count(server, room, 2)
    await expect_count(server, room, 0)


async def test_lost_connection_is_not_counted(server: Server, room: str) -> None:
    async with join(server, room), join(server, room) as linus:
        await expect_count(server, room, 2)
        linus.transport.abort()
        await expect_count(server, room, 1)


async def test_lost_connection_affects_no_other(server: Server, room: str) -> None:
    async with join(server, room) as ada, join(server, room) as linus, join(server, room) as grace:
        linus.transport.abort()
        for text in BURST:
            await ada.send(text)
            await expect([text], ada, grace)


async def test_binary_message_ends_its_sender(server: Server, room: str) -> None:
    async with join(server, room) as ada, join(server, room) as linus:
        await linus.send(bytes(3))
        await expect_close(linus, 1003)
        await ada.send("undisturbed")
        await expect(["undisturbed"], ada)


async def test_long_name_is_closed_after_the_handshake(server: Server) -> None:
    room = "a room that is too long"
    async with join(server, room) as linus:
        await expect_close(linus, 4404)
    assert await count(server, room) == 0


async def test_sigterm_closes_and_ends(tmp_path: Path, room: str) -> None:
    with run_server(tmp_path / "log.txt") as server:
        async with join(server, room) as ada:
            server.process.terminate()
            await expect_close(ada, 1012)
        await to_thread.run_sync(server.process.wait, 5)
