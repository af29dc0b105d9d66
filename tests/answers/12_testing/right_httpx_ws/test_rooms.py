"""Step 12: tests with httpx and httpx-ws. One client with one timeout asks for GET /rooms and opens the WebSockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.parse import quote

import httpx
import pytest
from httpx_ws import AsyncWebSocketSession, WebSocketDisconnect, aconnect_ws

from .conftest import Server, run_server

pytestmark = pytest.mark.anyio

DEADLINE = 2.0
"""Seconds for one answer. The server promises 1 s."""
LARGE = 200_000
"""Bytes. The default for the largest message is 64 KiB."""
NUMBERS = [str(number) for number in range(20)]


class Chat:
    """The server's endpoints, with DEADLINE for each answer."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    def join(self, room: str) -> AbstractAsyncContextManager[AsyncWebSocketSession]:
        """Connect to a room."""
        return aconnect_ws(f"/ws/{quote(room)}", self._client, max_message_size_bytes=LARGE)

    async def count(self, room: str) -> int:
        """Return the number of members in GET /rooms; 0 if the room isn't listed."""
        answer = await self._client.get("/rooms")
        return int(answer.raise_for_status().json().get(room, 0))

    async def count_becomes(self, room: str, number: int) -> bool:
        """Ask until a room has this number of members, or DEADLINE is over."""
        try:
            async with asyncio.timeout(DEADLINE):
                while await self.count(room) != number:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def open_chat(server: Server) -> AsyncIterator[Chat]:
    """Return a client of the server, without a connection yet."""
    # Not a fixture: after Ctrl+C in a test, the teardown of an async fixture can raise KeyboardInterrupt once more.
    async with httpx.AsyncClient(base_url=server.url, timeout=DEADLINE, trust_env=False) as client:
        yield Chat(client)


async def receive(member: AsyncWebSocketSession) -> str:
    return await member.receive_text(timeout=DEADLINE)


async def close_code(member: AsyncWebSocketSession) -> int:
    """Return the code with which the server closes a connection."""
    with pytest.raises(WebSocketDisconnect) as closed:
        await receive(member)
    return closed.value.code


@pytest.mark.parametrize(
    "text",
    ["", " in spaces ", "<&>", "오늘 날씨가 좋네요", "y" * 100_000],
    ids=["empty", "spaces", "html", "korean", "large"],
)
async def test_text_is_unchanged(server: Server, room: str, text: str) -> None:
    async with open_chat(server) as chat, chat.join(room) as ada:
        await ada.send_text(text)
        assert await receive(ada) == text


async def test_text_reaches_the_others(server: Server, room: str) -> None:
    async with open_chat(server) as chat, chat.join(room) as ada, chat.join(room) as grace, chat.join(room) as linus:
        await grace.send_text("hello")
        assert [await receive(member) for member in (ada, linus)] == ["hello", "hello"]


async def test_burst_keeps_its_order(server: Server, room: str) -> None:
    async with open_chat(server) as chat, chat.join(room) as ada, chat.join(room) as grace:
        for text in NUMBERS:
            await ada.send_text(text)
        assert [await receive(grace) for _ in NUMBERS] == NUMBERS


async def test_member_receives_from_its_handshake_on(server: Server, room: str) -> None:
    async with open_chat(server) as chat, chat.join(room) as ada:
        async with chat.join(room) as linus:
            await ada.send_text("hello")
            assert await receive(linus) == "hello"


async def test_other_room_receives_nothing(server: Server, room: str) -> None:
    async with open_chat(server) as chat, chat.join(room) as ada, chat.join(f"{room}-2") as linus:
        await ada.send_text("not for Linus")
        assert await receive(ada) == "not for Linus"
        await linus.send_text("fence")
        assert await receive(linus) == "fence"


async def test_text_arrives_once(server: Server, room: str) -> None:
    async with open_chat(server) as chat, chat.join(room) as ada:
        for text in ("hello", "fence"):
            await ada.send_text(text)
            assert await receive(ada) == text


async def test_join_sends_nothing(server: Server, room: str) -> None:
    async with open_chat(server) as chat, chat.join(room) as ada, chat.join(room):
        await ada.send_text("fence")
        assert await receive(ada) == "fence"


async def test_rooms_counts_the_members(server: Server, room: str) -> None:
    async with open_chat(server) as chat:
        async with chat.join(room), chat.join(room):
            assert await chat.count_becomes(room, 2)
        assert await chat.count_becomes(room, 0)


async def test_vanished_member_is_removed(server: Server, room: str) -> None:
    async with open_chat(server) as chat, chat.join(room), chat.join(room) as linus:
        assert await chat.count_becomes(room, 2)
        # Only the TCP connection is closed, without a close frame.
        await linus.stream.aclose()
        assert await chat.count_becomes(room, 1)


async def test_vanished_member_disturbs_no_other(server: Server, room: str) -> None:
    async with open_chat(server) as chat, chat.join(room) as ada, chat.join(room) as linus, chat.join(room) as grace:
        await linus.stream.aclose()
        for text in NUMBERS:
            await ada.send_text(text)
            assert await receive(grace) == text
        assert [await receive(ada) for _ in NUMBERS] == NUMBERS


async def test_binary_message_closes_its_sender(server: Server, room: str) -> None:
    async with open_chat(server) as chat, chat.join(room) as linus:
        await linus.send_bytes(b"binary")
        assert await close_code(linus) == 1003


async def test_long_name_is_refused(server: Server) -> None:
    name = "z" * 21
    async with open_chat(server) as chat:
        async with chat.join(name) as linus:
            assert await close_code(linus) == 4404
        assert await chat.count(name) == 0


async def test_sigterm_ends_the_server(room: str) -> None:
    with run_server() as server:
        async with open_chat(server) as chat, chat.join(room) as ada:
            server.process.terminate()
            assert await close_code(ada) == 1012
        async with asyncio.timeout(5):
            while server.process.poll() is None:
                await asyncio.sleep(0.02)
