"""Step 12: tests of unittest. One server runs for all of them, and each class has the promises of one kind."""

import asyncio
import unittest
from contextlib import closing
from unittest import IsolatedAsyncioTestCase
from urllib.parse import quote
from uuid import uuid4

import httpx
from websockets import ConnectionClosed
from websockets.asyncio.client import ClientConnection, connect

from .server import Server

DEADLINE = 2.0
"""Seconds for one answer. The server promises 1 s."""
NUMBERS = [str(number) for number in range(20)]

server: Server


def setUpModule() -> None:
    global server
    server = unittest.enterModuleContext(closing(Server()))


def tearDownModule() -> None:
    # unittest does this by itself, and pytest doesn't.
    unittest.doModuleCleanups()


class RoomTestCase(IsolatedAsyncioTestCase):
    """A test with a room of its own."""

    def setUp(self) -> None:
        self.room = uuid4().hex[:16]

    async def join(self, room: str = "", port: int = 0) -> ClientConnection:
        """Connect until the end of the test, by default to the test's room."""
        url = f"ws://127.0.0.1:{port or server.port}/ws/{quote(room or self.room)}"
        connecting = connect(url, open_timeout=DEADLINE, close_timeout=DEADLINE, max_queue=None, proxy=None)
        return await self.enterAsyncContext(connecting)

    async def assert_receives(self, member: ClientConnection, *texts: str) -> None:
        """Check that these are the next messages of a member."""
        for text in texts:
            async with asyncio.timeout(DEADLINE):
                self.assertEqual(await member.recv(), text)

    async def assert_closed(self, member: ClientConnection, code: int) -> None:
        """Check that the server closes a connection, with this code, before it sends anything else."""
        with self.assertRaises(ConnectionClosed):
            async with asyncio.timeout(DEADLINE):
                await member.recv()
        self.assertEqual(member.close_code, code)

    async def count(self, room: str) -> int:
        """Return the number of members in GET /rooms; 0 if the room isn't listed."""
        async with httpx.AsyncClient(timeout=DEADLINE, trust_env=False) as client:
            answer = await client.get(f"http://127.0.0.1:{server.port}/rooms")
        answer.raise_for_status()
        return int(answer.json().get(room, 0))

    async def assert_count(self, number: int) -> None:
        """Check that the test's room has this number of members before DEADLINE is over."""
        async with asyncio.timeout(DEADLINE):
            while await self.count(self.room) != number:
                await asyncio.sleep(0.05)


class TextTest(RoomTestCase):
    async def test_reaches_every_member(self) -> None:
        members = [await self.join() for _ in range(3)]
        await members[1].send("hello")
        await asyncio.gather(*(self.assert_receives(member, "hello") for member in members))

    async def test_is_unchanged(self) -> None:
        ada = await self.join()
        for text in ("", "\r\n\t ", "&lt;b>'\"", "좋은 아침이에요", "16 characters..." * 6_250):
            with self.subTest(length=len(text)):
                await ada.send(text)
                await self.assert_receives(ada, text)

    async def test_keeps_its_place_in_a_burst(self) -> None:
        ada, grace = await self.join(), await self.join()
        for text in NUMBERS:
            await ada.send(text)
        await self.assert_receives(grace, *NUMBERS)

    async def test_reaches_a_member_from_its_handshake_on(self) -> None:
        ada = await self.join()
        linus = await self.join()
        await ada.send("hello")
        await self.assert_receives(linus, "hello")

    async def test_stays_in_its_room(self) -> None:
        ada, linus = await self.join(), await self.join(f"{self.room} 2")
        await ada.send("hello")
        await self.assert_receives(ada, "hello")
        await linus.send("fence")
        await self.assert_receives(linus, "fence")

    async def test_arrives_once(self) -> None:
        ada = await self.join()
        await ada.send("hello")
        await self.assert_receives(ada, "hello")
        await ada.send("fence")
        await self.assert_receives(ada, "fence")

    async def test_is_the_first_message(self) -> None:
        ada = await self.join()
        grace = await self.join()
        await grace.send("hello")
        await self.assert_receives(ada, "hello")


class MemberTest(RoomTestCase):
    async def test_is_counted(self) -> None:
        ada, linus = await self.join(), await self.join()
        await self.assert_count(2)
        await ada.close()
        await linus.close()
        await self.assert_count(0)

    async def test_is_removed_after_it_vanished(self) -> None:
        _, linus = await self.join(), await self.join()
        await self.assert_count(2)
        linus.transport.abort()
        await self.assert_count(1)

    async def test_vanishes_without_a_loss_for_others(self) -> None:
        ada, linus, grace = await self.join(), await self.join(), await self.join()
        linus.transport.abort()
        for text in NUMBERS:
            await ada.send(text)
            await self.assert_receives(ada, text)
            await self.assert_receives(grace, text)


class EndTest(RoomTestCase):
    async def test_binary_message(self) -> None:
        ada, linus = await self.join(), await self.join()
        await linus.send(b"")
        await self.assert_closed(linus, 1003)
        await ada.send("hello")
        await self.assert_receives(ada, "hello")

    async def test_long_name(self) -> None:
        linus = await self.join("x" * 21)
        await self.assert_closed(linus, 4404)
        self.assertEqual(await self.count("x" * 21), 0)

    async def test_sigterm(self) -> None:
        other = self.enterContext(closing(Server()))
        ada = await self.join(port=other.port)
        other.process.terminate()
        await self.assert_closed(ada, 1012)
        async with asyncio.timeout(5):
            while other.process.poll() is None:
                await asyncio.sleep(0.02)
