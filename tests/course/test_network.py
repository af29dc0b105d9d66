"""The network of the notebooks: slow, cut and half-open, between real clients and servers."""

import asyncio
import contextlib
import hashlib
import json
import random
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx
import psutil
import pytest
import redis.asyncio
import websockets
from websockets.asyncio.client import connect
from workshop import Network, Server, find_step
from workshop.network import MAX_IN_FLIGHT
from workshop.redis_server import RedisServer

pytestmark = [pytest.mark.thorough("slow, cut and half-open networks"), pytest.mark.anyio]

SECONDS = 30.0
"""A deadline for actions that take much less, even on a busy machine."""
MIB = 1 << 20


@dataclass
class End:
    """One end of a TCP connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Send bytes, and wait until this process buffers only a few of them."""
        self.writer.write(data)
        await self.writer.drain()

    async def send_until_blocked(self) -> int:
        """Send until the buffers on the way are full, and return the number of bytes."""
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 100 * MIB:
                self.writer.write(bytes(MIB // 16))
                sent += MIB // 16
                async with asyncio.timeout(1):
                    await self.writer.drain()
        return sent

    def reset(self) -> None:
        """End the connection with a reset."""
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


@dataclass
class Pair:
    """A network, and the two ends of a connection through it."""

    network: Network
    client: End
    server: End
    _accepted: asyncio.Queue[End]

    async def connect(self) -> tuple[End, End]:
        """Open another connection through the network."""
        client = End(*await asyncio.open_connection("127.0.0.1", self.network.port))
        return client, await self._accepted.get()

    async def pass_time(self) -> None:
        """Send bytes in both directions on a new connection: by then, anything without a delay has happened."""
        client, server = await self.connect()
        for _ in range(5):
            await client.send(b"ping")
            assert await server.reader.readexactly(4) == b"ping"
            await server.send(b"pong")
            assert await client.reader.readexactly(4) == b"pong"
        client.writer.close()
        server.writer.close()


@contextlib.asynccontextmanager
async def pair(**settings: float) -> AsyncIterator[Pair]:
    """Open a TCP connection through a network with these settings."""
    accepted: asyncio.Queue[End] = asyncio.Queue()
    listener = await asyncio.start_server(lambda *streams: accepted.put_nowait(End(*streams)), "127.0.0.1", 0)
    async with listener, asyncio.timeout(SECONDS), Network(listener.sockets[0].getsockname()[1], **settings) as network:
        client = End(*await asyncio.open_connection("127.0.0.1", network.port))
        server = await accepted.get()
        try:
            yield Pair(network, client, server, accepted)
        finally:
            client.writer.transport.abort()
            server.writer.transport.abort()


@pytest.fixture(scope="module")
def echo() -> Iterator[Server]:
    """Start the lesson of step 02."""
    step = find_step(2)
    with Server(step.target("lesson"), step.folder) as server:
        yield server


def through(network: Network | Server, path: str = "/ws") -> connect:
    """Connect a client that sends no pings."""
    return connect(network.ws(path), proxy=None, ping_interval=None, close_timeout=1)


async def ask(client: websockets.ClientConnection, text: str = "hello") -> None:
    """Send a message to the echo server, and wait for its answer."""
    async with asyncio.timeout(SECONDS):
        await client.send(text)
        assert await client.recv() == f"Message text was: {text}"


async def ask_parrot(client: websockets.ClientConnection) -> None:
    """Send messages to the parrot, each after the answer to the one before."""
    async with asyncio.timeout(SECONDS):
        for number in range(10):
            await client.send(f"text {number}")
            assert await client.recv() == f"text {number}"


class TestForwards:
    """The behavior of a network without settings, and the guarantees of every network."""

    async def test_addresses(self, echo: Server) -> None:
        """WebSockets and HTTP reach the server, also by its port alone, and through two networks in a row."""
        for server in (echo, echo.port):
            async with Network(server) as near, Network(near) as network:
                assert network.port != echo.port
                async with through(network) as client:
                    await ask(client)
                async with httpx.AsyncClient(trust_env=False) as http:
                    assert (await http.get(f"{network.url}/")).status_code == 200
                assert network.accepted == near.accepted == 2

    async def test_starts_before_its_server(self) -> None:
        """Until the server listens, connections are reset. The network finds its port later."""
        step = find_step(2)
        server = Server(step.target("lesson"), step.folder)
        try:
            async with Network(server) as network:
                reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
                with pytest.raises(ConnectionResetError):
                    await reader.read()
                writer.close()
                await asyncio.to_thread(server.wait_until_ready)
                async with through(network) as client:
                    await ask(client)
        finally:
            server.kill()

    async def test_redis(self) -> None:
        """A Redis client reaches it at the network's address, and reconnects after a cut."""
        server = RedisServer()
        try:
            async with Network(server) as network, redis.asyncio.from_url(network.url) as client:
                await client.set("name", "Ada")
                accepted = network.accepted
                network.cut()
                with contextlib.suppress(redis.ConnectionError):
                    await client.get("name")
                assert await client.get("name") == b"Ada"
                assert network.accepted > accepted
        finally:
            server.close()

    async def test_waits_for_connections(self) -> None:
        """A task can wait for a number of accepted connections, including those that have ended."""
        async with pair() as both:
            await both.network.wait_until_accepted(1)
            waiting = asyncio.create_task(both.network.wait_until_accepted(3))
            await both.pass_time()
            assert both.network.accepted == 2 and not waiting.done()
            await both.pass_time()
            await waiting

    async def test_whole(self) -> None:
        """A large stream arrives complete and in order through delay and jitter, and so does each end of the stream."""
        data = random.Random(1).randbytes(8 * MIB)
        async with pair(delay=0.05, jitter=0.02) as both:

            async def answer() -> None:
                await both.server.send(hashlib.sha256(await both.server.reader.read()).digest())
                both.server.writer.close()

            answering = asyncio.create_task(answer())
            await both.client.send(data)
            both.client.writer.write_eof()
            # The client has ended its stream, and still receives.
            assert await both.client.reader.read() == hashlib.sha256(data).digest()
            await answering

    async def test_last_bytes(self) -> None:
        """The bytes that a server sends right before it closes the connection arrive before the end."""
        async with pair(delay=0.1, jitter=0.1) as both:
            both.server.writer.write(b"last")
            both.server.writer.close()
            assert await both.client.reader.read() == b"last"

    async def test_late_reader(self) -> None:
        """A client that reads after both ends have closed their streams gets everything."""
        async with pair() as both:
            both.client.writer.write_eof()
            await both.server.send(bytes(2 * MIB))
            both.server.writer.close()
            await both.server.writer.wait_closed()
            await both.pass_time()
            assert len(await both.client.reader.read()) == 2 * MIB

    async def test_close_frame(self) -> None:
        """A close frame arrives with its code."""

        async def close(connection: websockets.ServerConnection) -> None:
            await connection.close(4000, "lunch")

        async with websockets.serve(close, "127.0.0.1", 0) as server:
            async with Network(server.sockets[0].getsockname()[1], delay=0.05) as network, through(network) as client:
                async with asyncio.timeout(SECONDS):
                    await client.wait_closed()
                assert (client.close_code, client.close_reason) == (4000, "lunch")

    @pytest.mark.parametrize("name", ["client", "server"])
    async def test_reset(self, name: str) -> None:
        """If one end resets the connection, the other one sees a reset."""
        async with pair() as both:
            ends = {"client": both.client, "server": both.server}
            ends.pop(name).reset()
            (other,) = ends.values()
            with pytest.raises(ConnectionResetError):
                await other.reader.read()


class TestSlow:
    async def test_delay(self, echo: Server) -> None:
        """Each direction has the delay, and a change applies to the open connections."""
        async with Network(echo, delay=0.2) as network, through(network) as client:
            for delay in (0.2, 0.1):
                network.delay = delay
                start = time.monotonic()
                await ask(client)
                assert time.monotonic() - start > 2 * delay - 0.02

    async def test_later_than_direct(self, echo: Server) -> None:
        """If a message is in flight for an hour, it isn't answered before a later message on a direct connection."""
        async with Network(echo) as network, through(network) as slow, through(echo) as direct:
            await ask(slow)
            network.delay = 3600
            await slow.send("hello")
            answer = asyncio.create_task(slow.recv())
            for _ in range(5):
                await ask(direct)
            assert not answer.done()
            network.cut()
            with pytest.raises(websockets.ConnectionClosedError):
                await answer

    async def test_in_flight(self) -> None:
        """Bytes are in flight together: the next bytes are received before the delay of earlier ones is over."""
        async with pair(delay=0.3) as both:
            # It would take 48 s if each 64 KiB waited for the earlier ones.
            await asyncio.gather(both.client.send(bytes(10 * MIB)), both.server.reader.readexactly(10 * MIB))

    async def test_jitter(self, echo: Server) -> None:
        """Jitter adds a random delay, and no message overtakes another one."""
        async with Network(echo, jitter=0.05) as network, through(network) as client, asyncio.timeout(SECONDS):
            slowest = 0.0
            for _ in range(20):
                start = time.monotonic()
                await ask(client)
                slowest = max(slowest, time.monotonic() - start)
            # The probability that no sum of two delays is larger is 10^-22.
            assert slowest > 0.02

            async def send() -> None:
                for number in range(200):
                    await client.send(str(number))
                    await asyncio.sleep(0)

            sending = asyncio.create_task(send())
            assert [await client.recv() for _ in range(200)] == [f"Message text was: {n}" for n in range(200)]
            await sending

    async def test_bandwidth(self) -> None:
        """A limited bandwidth applies to each direction from the moment it's set until it changes."""
        async with pair() as both:
            both.network.bytes_per_second = 200_000
            start = time.monotonic()
            await asyncio.gather(both.client.send(bytes(100_000)), both.server.send(bytes(100_000)))
            await both.server.reader.readexactly(100_000)
            assert time.monotonic() - start > 0.45
            await both.client.reader.readexactly(100_000)
            both.network.bytes_per_second = None
            # At the earlier limit, it would take 40 s.
            await asyncio.gather(both.client.send(bytes(8 * MIB)), both.server.reader.readexactly(8 * MIB))

    @pytest.mark.parametrize("delay", [0.0, 3600.0])
    async def test_bound(self, delay: float) -> None:
        """If the receiver doesn't read, or bytes are in flight for long, the sender is blocked in the end."""
        async with pair(delay=delay) as both:
            assert MAX_IN_FLIGHT < await both.client.send_until_blocked() < 50 * MIB

    async def test_goes_on(self) -> None:
        """When a receiver reads again, it gets everything."""
        async with pair() as both:
            sent = await both.client.send_until_blocked()
            both.client.writer.write_eof()
            assert len(await both.server.reader.read()) == sent


class TestCut:
    async def test_members(self, parrot: Server) -> None:
        """Every client sees a reset, without a close frame, and the server sees the end. A new connection works."""
        async with Network(parrot) as network:
            async with through(network, "/ws/cut") as one, through(network, "/ws/cut") as two:
                network.cut()
                for client in (one, two):
                    with pytest.raises(websockets.ConnectionClosedError):
                        async with asyncio.timeout(SECONDS):
                            await client.recv()
                    assert client.close_code == 1006
            async with through(network, "/ws/cut") as three:
                await ask_parrot(three)
            assert await asyncio.to_thread(parrot.wait_for, lambda log: log.count("ENDED cut") == 3, SECONDS)

    async def test_drops_what_is_in_flight(self) -> None:
        """Both ends are reset, and the bytes in flight don't arrive."""
        async with pair(delay=0.2) as both:
            await both.client.send(b"hello")
            both.network.cut()
            for end in (both.client, both.server):
                with pytest.raises(ConnectionResetError):
                    await end.reader.read(1)


class TestHalfOpen:
    async def test_neither_notices(self, parrot: Server) -> None:
        """Neither client nor server detects it, not even when the other one ends. A new connection works."""
        async with Network(parrot) as network, through(network, "/ws/dead") as client:
            await ask_parrot(client)
            network.half_open()
            await client.send("hello")
            receiving = asyncio.create_task(client.recv())
            async with through(network, "/ws/alive") as other:
                await ask_parrot(other)
                assert not receiving.done()
                receiving.cancel()
                client.transport.abort()
                await client.wait_closed()
                await ask_parrot(other)
            assert await asyncio.to_thread(parrot.wait_for, lambda log: "ENDED alive" in log, SECONDS)
            assert "ENDED dead" not in parrot.log
        # The end of the network also ends the server's connection.
        assert await asyncio.to_thread(parrot.wait_for, lambda log: "ENDED dead" in log, SECONDS)

    async def test_swallows(self) -> None:
        """The bytes in flight are dropped, and senders continue, including those that were blocked."""
        async with pair(delay=0.1) as both:
            await both.client.send_until_blocked()
            await both.server.send(b"hello")
            both.network.half_open()
            await asyncio.gather(both.client.send(bytes(32 * MIB)), both.server.send(bytes(32 * MIB)))
            receiving = asyncio.create_task(both.client.reader.read(1))
            await both.pass_time()
            assert not receiving.done()

    @pytest.mark.parametrize("how", ["close", "reset"])
    async def test_server_ends(self, how: str) -> None:
        """If a server closes or resets the connection, the client doesn't detect it until a cut."""
        async with pair() as both:
            both.network.half_open()
            if how == "reset":
                both.server.reset()
            else:
                both.server.writer.close()
            await both.server.writer.wait_closed()
            receiving = asyncio.create_task(both.client.reader.read(1))
            await both.pass_time()
            await both.client.send(b"still there?")
            both.client.writer.write_eof()
            await both.pass_time()
            assert not receiving.done()
            both.network.cut()
            with pytest.raises(ConnectionResetError):
                await receiving

    async def test_new_connections(self, echo: Server) -> None:
        """New connections are accepted and not answered, until the network is restored. These stay half-open."""
        async with Network(echo) as network:
            network.half_open(new=True)
            start = len(echo.log)

            def handshakes(log: list[str]) -> int:
                return sum("WebSocket /ws" in line for line in log[start:])

            opening = [asyncio.create_task(through(network).__aenter__()) for _ in range(2)]
            await network.wait_until_accepted(2)
            async with through(echo) as direct:
                await ask(direct)
            await asyncio.to_thread(echo.wait_for, lambda log: handshakes(log) > 0, SECONDS)
            assert handshakes(echo.log) == 1
            network.restore()
            async with through(network) as client:
                await ask(client)
            assert not any(task.done() for task in opening)
            network.cut()
            for result in await asyncio.gather(*opening, return_exceptions=True):
                assert isinstance(result, (OSError, EOFError, websockets.InvalidHandshake))


class TestEnd:
    async def test_leaves_nothing(self, echo: Server) -> None:
        """No task, socket or listener is left, however the connections ended."""
        before = asyncio.all_tasks()
        async with pair(delay=0.1) as both, asyncio.timeout(SECONDS):
            port = both.network.port
            await both.client.send_until_blocked()
            others = [await both.connect() for _ in range(3)]
            both.network.half_open()
            others += [await both.connect() for _ in range(3)]
            others[-1][0].writer.close()
            both.network.half_open(new=True)
            await asyncio.open_connection("127.0.0.1", port)
        for client, server in others:
            client.writer.transport.abort()
            server.writer.transport.abort()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        assert asyncio.all_tasks() == before
        held = [found for found in psutil.Process().net_connections("tcp") if found.laddr and found.laddr.port == port]
        assert not held

    async def test_error_in_its_block(self, echo: Server) -> None:
        """An error of the block is raised unchanged."""
        with pytest.raises(json.JSONDecodeError):
            async with Network(echo) as network, through(network) as client:
                await ask(client)
                json.loads("no JSON")

    async def test_own_error(self, echo: Server) -> None:
        """An error of the network itself ends its connection, and is raised at the end."""
        with pytest.raises(ExceptionGroup, match="the network has failed") as raised:
            async with Network(echo) as network, through(network) as client, asyncio.timeout(SECONDS):
                network.bytes_per_second = 0
                await client.send("hello")
                await client.wait_closed()
        assert raised.group_contains(ZeroDivisionError)
