"""Step 12, exercise: tests of the rooms in main.py. The fixtures are in conftest.py."""

import httpx
import pytest
from websockets.asyncio.client import connect

from .conftest import Server

pytestmark = pytest.mark.anyio


async def list_rooms(server: Server) -> dict[str, int]:
    async with httpx.AsyncClient(trust_env=False) as client:
        return dict((await client.get(f"http://127.0.0.1:{server.port}/rooms")).json())


# TODO 4: a right server fails this test, because the test takes something for granted. Correct it.
async def test_member_is_counted_and_removed(server: Server) -> None:
    async with connect(f"ws://127.0.0.1:{server.port}/ws/lobby"):
        assert await list_rooms(server) == {"lobby": 1}
    assert await list_rooms(server) == {}


# TODO 5: find servers that deliver too little: to the sender, to others, of an empty text, of a burst, after a join.
# TODO 6: find servers that deliver too much: to another room, twice, or when a member joins. Don't wait for silence.
# TODO 7: find servers that don't answer: give every wait a deadline, the handshake and HTTP requests included.
# TODO 8: find wrong ends: close codes, members that vanish without a close frame, and SIGTERM.
# TODO 9: write at least six test functions, one for each promise, so that a failure names what is broken.
