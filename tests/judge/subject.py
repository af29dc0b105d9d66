"""The answer under judgment: a running server, and the requests and connections that a check may use."""

import asyncio
import contextlib
import itertools
import math
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import httpx
import psutil
from websockets.exceptions import InvalidHandshake
from workshop.server import Server, StartupError

from . import clients, handshakes
from .messages import show
from .model import Failure
from .refusals import why_refused
from .tasks import running, spawn, stop
from .troubles import COUNTED

T = TypeVar("T")

if find_spec("sniffio") is None:
    # Don't search the whole path each time: httpcore tries to import it several times for each request.
    sys.modules["sniffio"] = None  # type: ignore[assignment]

_marks = itertools.count()
PROMPT = 0.1
"""Seconds for each request. If one takes longer, the machine is too busy to check `promised`."""
AT_ONCE = 0.5
"""Seconds after which a server that hasn't answered two requests is considered blocked."""
SETTLED = 3.0
"""Seconds to wait for these answers nevertheless, so the log is complete on a busy machine too."""
SPINNING = 0.05
"""Share of a processor that a server without an answer uses at least if a loop spins in it, on a busy machine too."""


def name_in(path: str) -> str | None:
    """Return the name in the query of a path such as `/ws/lobby?name=Ada`, or None."""
    return next(iter(parse_qs(urlsplit(path).query).get("name", [])), None)


async def again() -> AsyncIterator[None]:
    """Yield after pauses that double, up to 0.05 s. Requests without pauses would use processor time of the answer."""
    pause = 0.002
    while True:
        yield
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.05)


class Subject:
    """A running answer.

    Args:
        server: a running server that accepts connections.
        patience: seconds to wait for an answer.
        folder: the folder that holds the answer.
    """

    def __init__(self, server: Server, patience: float, folder: Path) -> None:
        self.server = server
        self.patience = patience
        self.folder = folder
        self.blocked = False
        """Whether the server answered late or not at all in the last call of `settle`."""
        self.hung = False
        """Whether it didn't answer at all in that call, although it was running."""
        self.spinning = False
        """Whether it used the processor meanwhile, so a loop spins in it. A blocking call such as time.sleep waits."""
        self._shared: dict[object, asyncio.Task[Any]] = {}
        """By key: the tasks whose results the checks share, such as the start of a further server; see `share`."""
        self._others: list[Subject] = []
        """Further servers that the checks share."""
        self._started: list[Subject] = []
        """Servers that single checks have started for themselves."""
        self._logs: list[list[str]] = []
        """The logs of other processes that run the answer."""
        self.at_end: list[Callable[[], object]] = []
        """Functions that `close` calls after it has stopped the servers. They close resources such as Redis."""
        # By default, each request has a new connection: the server has accepted all earlier ones when it answers.
        new, kept = httpx.Limits(max_keepalive_connections=0), httpx.Limits(keepalive_expiry=1)
        # Load no certificates: that takes hundredths of a second, and no server here has one.
        self._http, self._kept = (
            httpx.AsyncClient(base_url=server.url, timeout=patience, limits=each, trust_env=False, verify=False)
            for each in (new, kept)
        )

    def client(
        self,
        path: str = "/ws",
        *,
        who: str | None = None,
        small_buffers: bool = False,
        tiny: bool = False,
        headers: dict[str, str] | None = None,
    ) -> AbstractAsyncContextManager[clients.Client]:
        """Connect a client to the answer; see `handshakes.client`.

        Args:
            path: the path, with its query.
            who: the client's name in failures; by default the name in the query, or "the first client", and so on.
            small_buffers: see `handshakes.handshake`.
            tiny: see `handshakes.handshake`.
            headers: see `handshakes.handshake`.
        """
        return handshakes.client(
            self.server.ws(path),
            self.patience,
            who=who or name_in(path),
            why=self.why_refused,
            small_buffers=small_buffers,
            tiny=tiny,
            headers=headers,
        )

    async def why_refused(self, path: str, status: int) -> str | None:
        """Explain a refused handshake; see `refusals.why_refused`."""
        target = "exercise.main:app" if (self.folder / "exercise").is_dir() else "exercise:app"
        return await why_refused(target, self.folder, path, status)

    async def handshake(self, path: str, *, headers: dict[str, str] | None = None) -> clients.ClientConnection | int:
        """Try a handshake; see `handshakes.handshake`.

        Raises:
            Failure: there's no answer.
        """
        try:
            return await handshakes.handshake(self.server.ws(path), self.patience, headers=headers)
        except TimeoutError:
            got = f"no answer within {self.patience:g} s"
            likely = "Your endpoint waits for something before it accepts or refuses the handshake."
        except (OSError, InvalidHandshake, EOFError) as error:
            got, likely = f"no connection: {error}", "The server has ended."
        raise Failure(
            sent=f"a handshake for {path}", got=got, expect="an answer within 1 s", likely=likely, broken=True
        )

    async def simultaneous_clients(
        self,
        *paths: str,
        first: Callable[[], Coroutine[Any, Any, object]] | None = None,
        meanwhile: Callable[[], Awaitable[object]] | None = None,
    ) -> list[clients.Client]:
        """Connect clients whose handshakes reach the server at the same time. The caller ends the clients.

        Args:
            paths: the paths of the connections.
            first: another action that reaches the server at the same time, before the handshakes. It may wait.
            meanwhile: another action that sends something, which reaches the server at the same time.

        Raises:
            Failure: a handshake is refused.
        """
        asked = [asyncio.Event() for _ in paths]
        sockets = [await handshakes.connected(self.server.url) for _ in paths]
        # The server accepts TCP connections in order, so it has accepted these when it answers this request.
        await self.get("/still-there", likely="something blocks the event loop")
        coming = (
            handshakes.open_client(
                self.server.ws(path),
                self.patience,
                who=name_in(path),
                why=self.why_refused,
                sock=sock,
                asked=event,
            )
            for path, sock, event in zip(paths, sockets, asked, strict=True)
        )
        before = [first()] if first else []
        async with running(*before, *coming) as opening:
            with self.suspended(), contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.patience):
                    await asyncio.gather(*(event.wait() for event in asked))
                    if meanwhile is not None:
                        await meanwhile()
            return list(await asyncio.gather(*opening))[len(before) :]

    async def simultaneously(self, *actions: Coroutine[Any, Any, object]) -> None:
        """Run actions so that their data reaches the server at the same time.

        Args:
            actions: each sends immediately, and may then wait for an answer.
        """
        async with running(*actions) as doing:
            with self.suspended():
                # Yield control, so each action starts and sends.
                for _ in range(3):
                    await asyncio.sleep(0)
            await asyncio.gather(*doing)

    async def get(self, path: str, *, likely: str) -> httpx.Response:
        """Send `GET path`, and return the response.

        Raises:
            Failure: there's no answer.
        """
        return await self.request("GET", path, likely=likely)

    async def request(
        self, method: str, path: str, *, likely: str, kept: bool = False, **options: Any
    ) -> httpx.Response:
        """Send an HTTP request, and return the response.

        Args:
            method: such as `DELETE`.
            path: the path.
            likely: the mistake, if there's no answer.
            kept: whether it may use the connection of an earlier request, which takes less time.
            options: arguments of `httpx.AsyncClient.request`, such as `headers`.

        Raises:
            Failure: there's no answer.
        """
        try:
            return await (self._kept if kept else self._http).request(method, path, **options)
        except httpx.HTTPError as error:
            raise Failure(
                sent=f"{method} {path}",
                got=f"no answer ({type(error).__name__})",
                expect="an answer",
                likely=likely,
                broken=True,
            ) from None

    async def get_json(self, path: str, *, likely: str) -> Any:
        """Return the JSON of `GET path`, which must have status 200.

        Raises:
            Failure: there's no answer, its status isn't 200, or its body isn't JSON.
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
            got=f"status {response.status_code}, {show(response.text)}",
            expect="status 200 and JSON",
            likely=likely,
            broken=response.status_code == 500,
        )

    async def eventually(
        self,
        path: str,
        holds: Callable[[Any], bool],
        *,
        after: str,
        expect: str,
        likely: str | Callable[[Any], str],
        shown: Callable[[Any], object] = lambda value: value,
        promised: float = math.inf,
    ) -> None:
        """Send `GET path` until its JSON satisfies `holds`, at most for the patience.

        Args:
            path: the path.
            holds: a function that returns whether a value is the expected one.
            after: the event before, for the message of a failure.
            expect: the expected value, for the message of a failure.
            likely: the mistake, if no value is right in time; or a function that finds it from the last value.
            shown: a function that returns the part of the last value that a failure shows.
            promised: seconds after which the value is late, if the server has answered all requests promptly.

        Raises:
            Failure: no value is right in time.
        """
        values: list[Any] = []
        start, slowest = time.monotonic(), 0.0
        try:
            async with asyncio.timeout(self.patience):
                async for _ in again():
                    asked = time.monotonic()
                    values[:] = [await self.get_json(path, likely="" if callable(likely) else likely)]
                    slowest = max(slowest, time.monotonic() - asked)
                    if holds(values[0]):
                        return
                    if time.monotonic() - start > promised and slowest < PROMPT:
                        raise TimeoutError
        except TimeoutError:
            if not values:
                raise self._no_answer("GET", path, after) from None
            raise Failure(
                after=after,
                got=f"GET {path} still answers {show(shown(values[0]))} after {time.monotonic() - start:.1f} s",
                expect=expect,
                likely=likely(values[0]) if callable(likely) else likely,
            ) from None

    def _no_answer(self, method: str, path: str, after: str) -> Failure:
        return Failure(
            sent=f"{method} {path}",
            after=after,
            got=f"no answer within {self.patience:g} s",
            expect="an answer within 1 s",
            likely="The route waits for something, such as a send to a slow member, or a lock.",
            broken=True,
        )

    async def eventually_answers(self, status: int, path: str, *, after: str, likely: str) -> None:
        """Send `GET path` until its response has this status, at most for the patience.

        Raises:
            Failure: no response has this status in time.
        """
        response = None
        try:
            async with asyncio.timeout(self.patience):
                async for _ in again():
                    response = await self.get(path, likely=likely)
                    if response.status_code == status:
                        return
        except TimeoutError:
            if response is None:
                raise self._no_answer("GET", path, after) from None
            answer = f"status {response.status_code}, {show(response.text)}"
            got = f"GET {path} still answers {answer} after {self.patience:g} s"
            raise Failure(after=after, got=got, expect=f"status {status}", likely=likely) from None

    @contextlib.contextmanager
    def suspended(self) -> "Iterator[None]":
        """Suspend the server, so it receives all data sent meanwhile at the same time, as under load."""
        import psutil

        process = psutil.Process(self.server.pid)
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()
        try:
            yield
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    async def stands_still(self, progress: Callable[[], int]) -> None:
        """Wait until `progress` doesn't change while the server answers three requests.

        If the server had other work left, it would continue with that work meanwhile.

        Raises:
            Failure: the server doesn't answer a request.
        """
        before = None
        while progress() != before:
            before = progress()
            for _ in range(3):
                await self.get("/still-there", likely="something blocks the event loop")

    async def probe(self, module: str, **settings: str) -> "Subject":
        """Return the answer in a second server, which a module of the judge runs and extends.

        Args:
            module: the module's name, such as `router_probe`. All checks of one subject get the same server.
            settings: environment variables. Other settings start another server.

        Raises:
            Failure: the server doesn't start.
        """
        return await self._another_shared(
            f"{module}:app", Path(__file__).parent, {"ANSWER": str(self.folder)} | settings
        )

    async def under(self, *, cold: bool = False, **settings: str) -> "Subject":
        """Return the answer in a further server with its own settings.

        Args:
            cold: whether to start a new Python, with its own `hash()` of strings. Forks of one process share it.
            settings: environment variables. All checks of one subject get the same server for the same settings.

        Raises:
            Failure: the server doesn't start.
        """
        return await self._another_shared(self.server.target, self.folder, settings, cold)

    async def share(self, key: object, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of `make`, which all checks of this subject share.

        Args:
            key: the key of the result.
            make: called for the first check that requests the key. It runs until it ends or the subject is closed.
        """
        if key not in self._shared:
            self._shared[key] = spawn(make())
        task = self._shared[key]
        # Don't await the task itself: a canceled check must not cancel it for the others.
        await asyncio.wait([task])
        return task.result()

    def shares(self, key: object) -> bool:
        """Return whether a check has called `share` with this key."""
        return key in self._shared

    async def _another_shared(
        self, target: str, folder: Path, settings: dict[str, str], cold: bool = False
    ) -> "Subject":
        async def another() -> Subject:
            self._others.append(other := await self._start(target, folder, settings, cold=cold))
            return other

        return await self.share(("server", target, cold, *sorted(settings.items())), another)

    async def _start(
        self,
        target: str,
        folder: Path,
        settings: dict[str, str],
        *,
        port: int = 0,
        extra: Sequence[str] = (),
        cold: bool = False,
    ) -> "Subject":
        server = Server(target, folder, port=port, environment=settings, extra=extra, cold=cold)
        try:
            await asyncio.to_thread(server.wait_until_ready)
        except StartupError as error:
            raise Failure(
                got=str(error), expect="the modules of the answer can be imported", likely=str(error)
            ) from None
        except asyncio.CancelledError:
            server.kill()
            raise
        return Subject(server, self.patience, self.folder)

    @contextlib.asynccontextmanager
    async def another(
        self,
        *,
        module: str = "",
        port: int = 0,
        counting: bool = False,
        fast: bool = False,
        full: bool = False,
        cold: bool = False,
        noisy: bool = False,
        **settings: str,
    ) -> "AsyncIterator[Subject]":
        """Start the answer in a server that only this check uses, and that it may end.

        Args:
            module: a module of the judge that runs and extends the answer; see `probe`. By default, the answer itself.
            port: of the server; 0 lets the system choose.
            counting: whether its log lists the unfinished tasks; see loop/counting.py.
            fast: whether its clock runs fast; see loop/fast.py.
            full: whether its disk can be full for a time; see loop/full.py.
            cold: whether to start a new Python, with its own `hash()` of strings; see `under`.
            noisy: whether its log may contain tracebacks, and isn't in the result of `settle`.
            settings: environment variables.

        Raises:
            Failure: the server doesn't start.
        """
        loop = "counting" if counting else "fast" if fast else "full" if full else ""
        extra = ("--loop", f"{loop}:new_loop") if loop else ()
        if loop:
            settings["PYTHONPATH"] = str(Path(__file__).with_name("loop"))
        target, folder = self.server.target, self.folder
        if module:
            target, folder, settings = f"{module}:app", Path(__file__).parent, settings | {"ANSWER": str(self.folder)}
        other = await self._start(target, folder, settings, port=port, extra=extra, cold=cold)
        if not noisy:
            self._started.append(other)
        try:
            yield other
        finally:
            await other.settle()
            await other.close()

    def new_log(self) -> list[str]:
        """Return a new log for another process that runs the answer. `settle` includes it."""
        self._logs.append([])
        return self._logs[-1]

    async def unfinished(self) -> str:
        """Return the unfinished tasks of a server that was started with `counting`."""
        start = len(self.server.log)
        await asyncio.to_thread(self.server.wait_for, lambda log: bool(_counts(log[start:])), self.patience)
        return (_counts(self.server.log[start:]) or ["unknown"])[-1]

    async def eventually_idle(self, before: str, *, after: str) -> None:
        """Wait until no tasks except those in `before` are unfinished, at most for the patience.

        Args:
            before: an earlier result of `unfinished`.
            after: the events since then, for the message of a failure.

        Raises:
            Failure: other tasks are still unfinished.
        """
        start = len(self.server.log)
        # Fewer are fine: a task may have ended right after `before` was counted.
        idle = lambda log: any(_tasks(count) <= _tasks(before) for count in _counts(log[start:]))  # noqa: E731
        if not await asyncio.to_thread(self.server.wait_for, idle, self.patience):
            # Later ones may have ended meanwhile.
            seen = _counts(self.server.log[start:])
            now = next((count for count in reversed(seen) if _tasks(count) - _tasks(before)), "unknown")
            name = next((f", {task}," for task, _ in (_tasks(now) - _tasks(before)).most_common(1) if task), "")
            raise Failure(
                after=after,
                got=f"unfinished tasks: {now}",
                expect=f"those of before: {before}",
                likely=f"Each connection starts a task{name} and nothing ends it. Cancel it in finally, and await it.",
            )

    async def settle(self) -> str:
        """Let the server finish its current work, and return its log, with those of the further servers.

        Send two requests through the server's event loop, and wait until the second is in the log, so all earlier
        lines are there too.
        """
        path = f"/mark-{next(_marks)}"
        start = time.monotonic()
        used = _processor_time(self.server.pid)
        try:
            async with asyncio.timeout(SETTLED):
                await self._http.get(path, timeout=SETTLED)
                await self._http.get(path, timeout=SETTLED)
        except (httpx.HTTPError, TimeoutError):
            self.blocked = True  # Or it has ended: the log has the reason.
            self.hung = self.server.exit_code is None
            used = _processor_time(self.server.pid) - used
            self.spinning = self.hung and used > SPINNING * (time.monotonic() - start)
        else:
            self.blocked = time.monotonic() > start + AT_ONCE
            seen = lambda log: sum(path in line for line in log) >= 2  # noqa: E731
            await asyncio.to_thread(self.server.wait_for, seen, SETTLED)
        log = "\n".join(self.server.log)
        for other in self._others:
            log += "\n" + await other.settle()
            self.blocked = self.blocked or other.blocked
            self.hung = self.hung or other.hung
            self.spinning = self.spinning or other.spinning
        more = [*(other.server.log for other in self._started), *self._logs]
        return "\n".join([log, *map("\n".join, more)])

    async def close(self) -> None:
        """Stop the shared tasks and the servers."""
        await stop(*self._shared.values())
        await asyncio.gather(*(other.close() for other in self._others))
        await asyncio.gather(self._http.aclose(), self._kept.aclose())
        await asyncio.to_thread(self.server.kill)
        for call in self.at_end:
            await asyncio.to_thread(call)


def _processor_time(pid: int) -> float:
    """Return the seconds of processor time that a process has used; 0 if it has ended."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return times.user + times.system


def _counts(log: list[str]) -> list[str]:
    """Return the tasks that the lines of loop/counting.py list."""
    return [line.partition(": ")[2] for line in log if line.startswith(COUNTED)]


def _tasks(count: str) -> Counter[str]:
    """Return the tasks of one such line, `2 (chat, write)`."""
    return Counter(count.partition("(")[2].rstrip(")").split(", "))
