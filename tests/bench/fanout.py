"""Measure the cost of a broadcast on several servers: python tests/bench/fanout.py

Rooms of the course, the room of FastAPI's documentation, python-socketio, and as the reference the broadcast of the
websockets library. All servers run at the same time, on one core, and the load on another. Every round measures each
of them once, in turn; the tables have medians of the rounds, and medians of the ratios in a round.

If the system can't pin a process to a core, the figures vary more.
"""

import argparse
import asyncio
import contextlib
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

BENCH = Path(__file__).resolve().parent
TESTS = BENCH.parent
sys.path[:0] = [str(BENCH), str(TESTS), str(TESTS.parent / "notebooks")]

import psutil  # noqa: E402
from harness.answers import answers  # noqa: E402
from load import Room, masked  # noqa: E402
from picture import draw_bars  # noqa: E402
from workshop.course import Step, steps  # noqa: E402
from workshop.redis_server import RedisServer  # noqa: E402
from workshop.server import Server  # noqa: E402

MEMBERS = (10, 100, 1000)
IN_FLIGHT = (1, 16)
DELIVERIES = 20_000
ROUNDS = 5
FILES = 10_240
"""Open files, enough for a room of 1000 members on each server."""
T = TypeVar("T")
FASTER = "07_backpressure/right_direct_send"
"""The right answer that the notebook shows as the faster delivery."""
SECOND = "10 over Redis, a second process"
LARGE = "x" * 65_536
LARGE_MESSAGES = 400
STALLED = 1.0
"""Seconds after which a healthy member is considered stalled."""
TEXT = "hello from the benchmark"
# Turn the heartbeat off: it would add frames.
SETTINGS = {"HEARTBEAT_INTERVAL": "3600"}


@dataclass
class Subject:
    """A server under measurement."""

    label: str
    server: Server
    path: str = "/ws/bench"
    """The path of a connection. All members have the same name, so no member is notified of a join."""
    json: bool = True
    """Whether messages are JSON objects with a type and a text."""
    events: bool = False
    """Whether the server uses Socket.IO."""

    def message(self, text: str) -> bytes:
        """Return the message with this text, as a client sends it."""
        if self.events:
            return f'42["message",{json.dumps(text)}]'.encode()
        return json.dumps({"type": "message", "text": text}).encode() if self.json else text.encode()

    def room(self, text: str = TEXT, deflate: bool = False) -> Room:
        """Return a new room on this server, without members.

        Args:
            text: the text of its messages.
            deflate: whether its members ask for compression.
        """
        hello = masked(b"40") if self.events else b""
        return Room(self.server.port, self.path, self.message(text), hello, deflate)

    def cpu(self) -> float:
        """Return the processor time of its process so far, in seconds."""
        if sys.platform == "linux":
            # Read the clock of the process, which has nanoseconds: clock_getcpuclockid(3).
            return time.clock_gettime((~self.server.pid << 3) | 2)
        times = psutil.Process(self.server.pid).cpu_times()
        return times.user + times.system

    def memory(self) -> int:
        """Return the memory of its process, in bytes."""
        return psutil.Process(self.server.pid).memory_info().rss


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the fastest event loop that's installed, as uvicorn does."""
    if importlib.util.find_spec("uvloop"):
        import uvloop

        return uvloop.run(work)
    return asyncio.run(work)


def pin(pid: int, core: int) -> None:
    """Pin a process to one core, if the system supports that."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        for task in psutil.Process(pid).threads():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(task.id, {core})


@contextlib.contextmanager
def subjects(deflate: bool = False) -> Iterator[list[Subject]]:
    """Start and pin every server; the reference is the first one.

    Args:
        deflate: whether the servers accept compression.
    """
    named = {step.name[3:]: step for step in steps()}
    # Turn pings off, because the members don't answer them.
    extra = ("--ws-ping-interval", "3600", *(() if deflate else ("--ws-per-message-deflate", "false")))
    with contextlib.ExitStack() as stack:
        found: list[Subject] = []

        def add(
            label: str, target: str, folder: Path, *, settings: dict[str, str] | None = None, **more: object
        ) -> None:
            server = Server(target, folder, environment=SETTINGS | (settings or {}), extra=extra)
            stack.callback(server.kill)
            server.wait_until_ready(30)
            pin(server.pid, 0)
            found.append(Subject(label, server, **more))

        def course(step: Step, part: str, label: str, **settings: str) -> None:
            folder = step.folder if part == "lesson" else step.solution
            has_names = step.number >= 5
            path = "/ws/bench" + ("?name=Ada" if has_names else "")
            add(label, step.target(part), folder, settings=settings, path=path, json=has_names)

        raw = RawServer(deflate)
        stack.callback(raw.kill)
        raw.wait_until_ready(30)
        pin(raw.pid, 0)
        found.append(Subject("websockets.broadcast", raw, json=False))
        add("FastAPI's documentation", "documented:app", BENCH / "servers", json=False)
        course(named["rooms"], "lesson", "03 rooms, lesson")
        course(named["rooms"], "exercise", "03 rooms, solution")
        course(named["backpressure"], "exercise", "07 backpressure")
        faster = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        next(answer for answer in answers() if answer.name == FASTER).put_into(faster)
        add("07 faster", "exercise.main:app", faster, path="/ws/bench?name=Ada")
        course(named["reconnect"], "exercise", "08 reconnect")
        course(named["scale_out"], "exercise", "10 in memory")
        redis = RedisServer()
        stack.callback(redis.close)
        course(named["scale_out"], "exercise", "10 over Redis", BROKER=redis.url)
        if importlib.util.find_spec("socketio"):
            path = "/socket.io/?EIO=4&transport=websocket"
            add("python-socketio", "events:app", BENCH / "servers", path=path, events=True)
        # Add this one last, because it's only measured together with another one.
        course(named["scale_out"], "exercise", SECOND, BROKER=redis.url)
        yield found


class RawServer(Server):
    """The reference server, without uvicorn."""

    def __init__(self, deflate: bool) -> None:
        environment = {"PYTHONPATH": str(BENCH / "servers")} | ({"DEFLATE": "1"} if deflate else {})
        super().__init__("raw", BENCH / "servers", module="raw", environment=environment)

    def _arguments(self) -> list[str]:
        return []

    def wait_until_ready(self, seconds: float = 10.0) -> None:
        """Wait until the server accepts connections, and set `port`."""
        sign = "Uvicorn running on"
        assert self.wait_for(lambda log: any(sign in line for line in log), seconds), self.log
        self.port = int(next(line for line in self.log if sign in line).rpartition(":")[2])


@dataclass
class Figures:
    """The figures of one subject in one setting, with a value for each round."""

    cpu: list[float]
    """Microseconds of the server's processor time for each delivery."""
    rate: list[float]
    """Deliveries for each second."""
    latencies: list[float]
    """Seconds until the last member has a message, of all rounds."""


async def fan_out(
    found: list[Subject], members: int, rounds: int, deliveries: int, deflate: bool = False
) -> tuple[dict[tuple[str, int], Figures], dict[str, float], float]:
    """Measure the same room on all servers, in turn.

    Args:
        found: the servers.
        members: the number of members in each room.
        rounds: the number of measurements of each server.
        deliveries: the number of frames in each measurement, summed over the members.
        deflate: whether the members ask for compression.

    Returns:
        The figures by label and messages in flight; KiB for each connection; the load's CPU utilization, from 0 to 1.
    """
    rooms = {subject.label: subject.room(deflate=deflate) for subject in found}
    memory = {}
    for subject in found:
        before = subject.memory()
        await rooms[subject.label].join(members)
        memory[subject.label] = (subject.memory() - before) / members / 1024
    figures = {(subject.label, flying): Figures([], [], []) for subject in found for flying in IN_FLIGHT}
    messages = max(20, deliveries // members)
    busy, start = time.process_time(), time.perf_counter()
    for _ in range(rounds):
        for flying in IN_FLIGHT:
            for subject in found:
                before = subject.cpu()
                try:
                    took = await rooms[subject.label].talk(messages, flying)
                except TimeoutError:
                    raise SystemExit(f"{subject.label}: not every message arrived at every member.") from None
                one = figures[subject.label, flying]
                one.cpu.append((subject.cpu() - before) / took.deliveries * 1e6)
                one.rate.append(took.deliveries / took.seconds)
                one.latencies += took.latencies
    busy = (time.process_time() - busy) / (time.perf_counter() - start)
    for room in rooms.values():
        room.leave()
    return figures, memory, busy


async def over_two(one: Subject, two: Subject, members: int, rounds: int, deliveries: int) -> None:
    """Print the cost of a room that two processes share, next to the same room in one process."""
    rooms = {"in one process": (one.room(), members), "in two processes": (one.room(), members // 2)}
    shared = one.path.replace("bench", "shared")
    rooms["in two processes"][0].path = shared
    for room, here in rooms.values():
        await room.join(here)
        if here < members:
            await room.join(members - here, two.server.port)
    rows = {title: ([], [], []) for title in rooms}
    for _ in range(rounds):
        for title, (room, _) in rooms.items():
            before = one.cpu() + two.cpu()
            took = await room.talk(max(20, deliveries // members), 1)
            cpu, rate, latencies = rows[title]
            cpu.append((one.cpu() + two.cpu() - before) / took.deliveries * 1e6)
            rate.append(took.deliveries / took.seconds / 1000)
            latencies += took.latencies
    for room, _ in rooms.values():
        room.leave()
    cells = [
        [
            title,
            f"{statistics.median(cpu):.2f}",
            f"{statistics.median(rate):.0f}",
            f"{percentile(latencies, 0.5) * 1000:.2f}",
            f"{percentile(latencies, 0.99) * 1000:.2f}",
        ]
        for title, (cpu, rate, latencies) in rows.items()
    ]
    head = ["one in flight", "µs CPU of both", "1000/s", "p50 ms", "p99 ms"]
    table(f"{members} members over Redis, which has the rest of the machine", head, cells)


async def beside_a_stuck_member(subject: Subject, messages: int) -> tuple[float, float]:
    """Measure the effect of a member that never reads on a healthy member, and on the server's memory.

    Returns:
        The longest wait of the healthy member in seconds, infinite if it was stalled; the growth of the memory in MiB.
    """
    room = subject.room(LARGE)
    await room.join(1)
    stuck = subject.room()
    await stuck.join(1)
    stuck.members[0].transport.pause_reading()
    await room.join(1)
    before, most, longest = subject.memory(), 0, 0.0
    try:
        for _ in range(messages):
            longest = max(longest, *(await room.talk(1, 1, STALLED)).latencies)
            most = max(most, subject.memory())
    except TimeoutError:
        longest = float("inf")
    most = max(most, subject.memory())
    for each in (room, stuck):
        each.leave()
    return longest, (most - before) / 2**20


def percentile(values: list[float], part: float) -> float:
    """Return a percentile of these values.

    Args:
        values: the values.
        part: the percentile, from 0 to 1.
    """
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def table(title: str, head: list[str], rows: list[list[str]]) -> None:
    """Print a table."""
    print(f"\n{title}")
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        print(
            "  ".join(
                cell.ljust(width) if not place else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ),
            flush=True,
        )


async def measure_all(
    found: list[Subject], members: list[int], rounds: int, deliveries: int, deflate: bool
) -> dict[str, float]:
    """Measure rooms of these sizes, and print a table for each.

    Returns:
        Microseconds of the server's processor time for each delivery, by label: in the largest room up to 100, with one
        message in flight.
    """
    drawn: dict[str, float] = {}
    for size in members:
        figures, memory, busy = await fan_out(found, size, rounds, deliveries, deflate)
        rows = []
        for subject in found:
            row = [subject.label]
            for flying in IN_FLIGHT:
                one, base = figures[subject.label, flying], figures[found[0].label, flying]
                ratio = statistics.median(mine / its for mine, its in zip(one.cpu, base.cpu, strict=True))
                row += [
                    f"{statistics.median(one.cpu):.2f}",
                    f"{ratio:.2f}",
                    f"{statistics.median(one.rate) / 1000:.0f}",
                    f"{percentile(one.latencies, 0.5) * 1000:.2f}",
                    f"{percentile(one.latencies, 0.99) * 1000:.2f}",
                ]
            rows.append([*row, f"{memory[subject.label]:.0f}"])
            if size <= 100:
                drawn[subject.label] = statistics.median(figures[subject.label, IN_FLIGHT[0]].cpu)
        columns = ["µs CPU", "ratio", "1000/s", "p50 ms", "p99 ms"]
        head = ["one in flight, then sixteen", *columns, *columns, "KiB each"]
        how = ", with permessage-deflate" if deflate else ""
        table(f"{size} members{how}; the load was busy {busy:.0%} of the time", head, rows)
    return drawn


async def measure_stuck(found: list[Subject], messages: int) -> None:
    """Print the effect of one stuck member on the others."""
    rows = []
    for subject in found:
        longest, growth = await beside_a_stuck_member(subject, messages)
        rows.append(
            [
                subject.label,
                "stalled" if longest == float("inf") else f"{longest * 1000:.0f} ms",
                f"{growth:.0f} MiB",
            ]
        )
    table(f"{messages} messages of 64 KiB next to a member that never reads", ["", "longest wait", "growth"], rows)


def main() -> None:
    """Measure everything, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--members", type=int, nargs="+", default=list(MEMBERS), help="sizes of the rooms")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each server is measured")
    parser.add_argument("--deliveries", type=int, default=DELIVERIES, help="frames of the members, each time")
    parser.add_argument("--picture", default="fanout.svg", help="where to write the picture")
    arguments = parser.parse_args()
    if sys.platform != "win32":
        import resource

        # Raise the limit of open files: a room of 1000 on each server exceeds the usual one.
        # macOS may have no upper limit, and refuses more than 10,240 (OPEN_MAX) files.
        now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        enough = FILES if most == resource.RLIM_INFINITY else min(FILES, most)
        if now != resource.RLIM_INFINITY:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(now, enough), most))
    pin(os.getpid(), 1)
    size = min(100, max(arguments.members))
    start = time.perf_counter()
    print(f"Python {sys.version.split()[0]}, medians of {arguments.rounds} rounds; the ratio is to the first line")
    with subjects() as found:
        *found, second = found
        drawn = run(measure_all(found, arguments.members, arguments.rounds, arguments.deliveries, False))
        run(measure_stuck(found, min(LARGE_MESSAGES, arguments.deliveries)))
        over_redis = next(subject for subject in found if subject.label == "10 over Redis")
        run(over_two(over_redis, second, size, arguments.rounds, arguments.deliveries))
    with subjects(deflate=True) as found:
        found.pop()
        run(measure_all(found, [size], arguments.rounds, arguments.deliveries, True))
    file = Path(arguments.picture)
    title = "Microseconds of the server's processor for each delivery, one message in flight"
    draw_bars(file, title, drawn)
    print(f"\nThe picture is in {file}. It took {time.perf_counter() - start:.0f} s.")


if __name__ == "__main__":
    main()
