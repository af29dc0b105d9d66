"""The answer under judgement: a running server, and the ways a check may talk to it."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
from workshop.server import Server, StartupError

from . import clients
from .model import Failure

_marks = itertools.count()


class Subject:
    """A running answer.

    Args:
        server: ready to take connections.
        patience: seconds to wait for an answer.
        folder: the folder that holds the answer.
    """

    def __init__(self, server: Server, patience: float, folder: Path) -> None:
        self.server = server
        self.patience = patience
        self.folder = folder
        self.blocked = False
        """Whether the server answered nothing any more when it was last asked to settle."""
        self._probe: asyncio.Task[Subject] | None = None
        # Connections are not kept, so that a check never waits behind another one's request.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.AsyncClient(base_url=server.url, timeout=patience, limits=limits, trust_env=False)

    def client(self, path: str = "/ws", *, narrow: bool = False) -> AbstractAsyncContextManager[clients.Client]:
        """A client on a socket of the answer; see `clients.client`."""
        return clients.client(self.server.ws(path), self.patience, narrow=narrow)

    async def handshake(self, path: str) -> clients.ClientConnection | int:
        """Try a handshake; see `clients.handshake`."""
        return await clients.handshake(self.server.ws(path), self.patience)

    async def get(self, path: str, *, likely: str) -> httpx.Response:
        """`GET path`.

        Raises:
            Failure: no answer came.
        """
        try:
            return await self._http.get(path)
        except httpx.HTTPError as error:
            raise Failure(
                sent=f"GET {path}",
                got=f"no answer ({type(error).__name__})",
                expect="an answer",
                likely=likely,
                broken=True,
            ) from None

    async def get_json(self, path: str, *, likely: str) -> Any:
        """The JSON that `GET path` answers with status 200.

        Raises:
            Failure: no answer came, or another status, or no JSON.
        """
        response = await self.get(path, likely=likely)
        try:
            if response.status_code == 200:
                return response.json()
        except ValueError:
            pass
        if response.status_code == 404:
            likely = f"no route answers GET {path}: look at its path, and at the prefix of its router"
        raise Failure(
            sent=f"GET {path}",
            got=f"status {response.status_code}, {clients.show(response.text)}",
            expect="status 200 and JSON",
            likely=likely,
            broken=response.status_code == 500,
        )

    async def becomes(self, path: str, holds: Any, *, after: str, expect: str, likely: str) -> None:
        """Ask `GET path` until its JSON satisfies `holds`, at most as long as the patience.

        Raises:
            Failure: it never did.
        """
        value = None
        try:
            async with asyncio.timeout(self.patience):
                while True:
                    value = await self.get_json(path, likely=likely)
                    if holds(value):
                        return
        except TimeoutError:
            got = f"GET {path} still answers {clients.show(value)} after {self.patience:g} s"
            raise Failure(after=after, got=got, expect=expect, likely=likely) from None

    async def stands_still(self, progress: Callable[[], int]) -> None:
        """Wait until `progress` has not changed while the server answered three requests.

        A server that was still at work on something else would have gone on with that meanwhile.

        Raises:
            Failure: the server answers no requests.
        """
        before = None
        while progress() != before:
            before = progress()
            for _ in range(3):
                await self.get("/still-there", likely="something blocks the event loop")

    async def probe(self, module: str) -> "Subject":
        """The same answer in a second server, run by a module of the judge that adds to it.

        Args:
            module: such as `router_probe`. Every check of one subject gets the same server.

        Raises:
            Failure: it does not start.
        """
        if self._probe is None:
            self._probe = asyncio.create_task(self._start_probe(module))
        return await asyncio.shield(self._probe)

    async def _start_probe(self, module: str) -> "Subject":
        server = Server(f"{module}:app", Path(__file__).parent, environment={"ANSWER": str(self.folder)})
        try:
            await asyncio.to_thread(server.wait_until_ready)
        except StartupError as error:
            raise Failure(
                got=str(error), expect="the modules of the answer can be imported", likely=str(error)
            ) from None
        return Subject(server, self.patience, self.folder)

    async def settle(self) -> str:
        """Let the server finish what it is at, and give its log, with that of the probe if there is one.

        Two requests go through the server's event loop, and the line about the second is waited
        for in the log, so that what came before it stands there too.
        """
        path = f"/mark-{next(_marks)}"
        try:
            async with asyncio.timeout(0.5):
                await self._http.get(path)
                await self._http.get(path)
        except (httpx.HTTPError, TimeoutError):
            self.blocked = True  # or it has ended; the log says what it says
        else:
            self.blocked = False
            seen = lambda log: sum(path in line for line in log) >= 2  # noqa: E731
            await asyncio.to_thread(self.server.wait_for, seen, min(self.patience, 0.5))
        log = "\n".join(self.server.log)
        if self._probe is not None and self._probe.done() and not self._probe.exception():
            log += "\n" + await self._probe.result().settle()
        return log

    async def close(self) -> None:
        """End the conversation and the server."""
        if self._probe is not None:
            with contextlib.suppress(Failure):
                await (await self._probe).close()
        await self._http.aclose()
        await asyncio.to_thread(self.server.kill)
