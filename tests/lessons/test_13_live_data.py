"""Step 13: what its notebook states about live data, verified with the functions and variants of its cells."""

import ast
import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from harness.guesses import assert_right
from harness.kernels import code_of
from judge.subject import Subject
from workshop import ROOT, Network, Server, variant

SOLUTION = ROOT / "solutions" / "13_live_data"


def definitions(notebook: Path) -> dict[str, Any]:
    """Return what a notebook imports and defines: functions, and constants with names in capitals.

    Args:
        notebook: the notebook's file. Its other statements, such as those that start a server, don't run.
    """
    found: dict[str, Any] = {}
    for cell in code_of(notebook):
        tree = ast.parse(cell)
        kept = [node for node in tree.body if is_definition(node)]
        exec(compile(ast.Module(kept, []), str(notebook), "exec"), found)
    return found


def is_definition(node: ast.stmt) -> bool:
    """Return whether a statement is an import, a function, or the assignment of a constant."""
    if isinstance(node, (ast.Assign, ast.AugAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return all(isinstance(target, ast.Name) and target.id.isupper() for target in targets)
    return isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef))


cells = definitions(ROOT / "notebooks" / "13_live_data.ipynb")


def own(folder: Path, part: str = "exercise", **settings: str) -> Server:
    """Return a server for a variant."""
    return Server(f"{part}.main:app", folder, environment=settings)


@pytest.mark.anyio
class TestLesson:
    async def test_streams(self, lesson: Subject) -> None:
        """A viewer of the lesson gets each sample, with the topics that it has subscribed to."""
        async with cells["connect"](lesson.server.ws("/ws")) as ada:
            await ada.send(cells["subscribe"]("cpu", "memory", "connections"))
            messages = [await cells["receive"](ada) for _ in range(3)]
        for before, after in zip(messages, messages[1:], strict=False):
            assert after["first"] == after["last"] == before["last"] + 1
            assert after["values"].keys() == {"cpu", "memory", "connections"}

    async def test_pages(self, lesson: Subject) -> None:
        """The chart and the usual page are served."""
        for path in ("/", "/chart.html"):
            assert (await lesson.get(path, likely="")).headers["content-type"].startswith("text/html")

    async def test_zeros(self) -> None:
        """Of ten viewers that sample one right after the other, nine get 0.0."""
        psutil, subprocess = cells["psutil"], cells["subprocess"]
        busy = subprocess.Popen([cells["sys"].executable, "-c", cells["BUSY"]])
        try:
            psutil.cpu_percent()
            loads: list[float] = []
            for _ in range(5):
                await asyncio.sleep(0.05)
                loads += [psutil.cpu_percent() for _ in range(10)]
        finally:
            busy.kill()
            busy.wait()
        assert_right("13.1", loads.count(0.0))

    async def test_queue(self) -> None:
        """With the queue of step 07, a viewer that pauses is disconnected; without a limit, memory grows."""
        settings = {"SAMPLES_PER_SECOND": "500", "CLOSE_TIMEOUT": "30"}
        results = []
        for change in ("", cells["UNBOUNDED"]):
            with (
                variant(13, "tab.py", change, part="app", source=cells["WIDE"]) as folder,
                own(folder, "app", **settings) as server,
            ):
                results.append(await cells["pause_and_read"](server))
        (grown, late, code), (grown_more, later, other_code) = results
        assert code == 1013 != other_code
        assert grown_more > grown and later > late > 64

    async def test_late(self, lesson: Subject) -> None:
        """A viewer that joins late gets no value of a topic that changes rarely; the solution sends a snapshot."""
        received = await cells["join_late"](lesson.server)
        assert_right("13.2", len([message for message in received if "disk" in message["values"]]))
        with own(SOLUTION) as server:
            snapshot, *values = await cells["join_late"](server)
        assert snapshot["type"] == "snapshot" and snapshot["values"].keys() == {"disk", "cpu"}
        assert len(values) == 2 and values[0]["first"] == snapshot["seq"] + 1

    async def test_lost(self) -> None:
        """If 50 ms pass between the snapshot and the subscription, some viewers lose a value, and otherwise none."""
        lost = []
        for change in ("", cells["LATE"]):
            with variant(13, "feed.py", change, source=cells["COUNTER"]) as folder, own(folder) as server:
                async with cells["connect"](server.ws("/ws")) as ada:
                    await ada.send(cells["subscribe"]("disk"))
                    await cells["receive"](ada)
                    lost.append(sum(await asyncio.gather(*(cells["is_lost"](server, n / 40) for n in range(40)))))
        assert lost[0] == 0 < lost[1] < 40

    async def test_gap(self) -> None:
        """If every fifth sample is lost on its way, the ranges show each gap."""
        with variant(13, "viewer.py", cells["LOSSY"]) as folder, own(folder) as server:
            async with cells["connect"](server.ws("/ws")) as viewer:
                await viewer.send(cells["subscribe"]("cpu"))
                last = (await cells["receive"](viewer, "snapshot"))["seq"]
                gaps = []
                for _ in range(9):
                    values = await cells["receive"](viewer)
                    if values["first"] != last + 1:
                        gaps.append((last + 1, values["first"]))
                    last = values["last"]
        assert gaps == [(5, 6), (10, 11)]

    async def test_burst(self) -> None:
        """If early samples are ignored, the last value of a burst never comes."""
        last = []
        for change in (cells["IGNORE"], ""):
            with variant(13, "viewer.py", change, source=cells["BURST"]) as folder, own(folder) as server:
                async with cells["connect"](server.ws("/ws")) as viewer:
                    await viewer.send('{"type": "rate", "per_second": 4}')
                    await viewer.send(cells["subscribe"]("memory"))
                    values = [await cells["receive"](viewer)]
                    try:
                        async with asyncio.timeout(2):
                            values.append(await cells["receive"](viewer))
                    except TimeoutError:
                        pass
                    last.append([message["values"]["memory"] for message in values])
        assert last == [[1.0], [1.0, 5.0]]

    async def test_ages(self) -> None:
        """On a slow network, merged values get older and older without seen, and stay young with it."""
        rate = {"SAMPLES_PER_SECOND": "50"}
        measured = []
        for change in (cells["MERGE_ONLY"], ""):
            with variant(13, "viewer.py", change, source=cells["WIDE"]) as folder, own(folder, **rate) as server:
                async with Network(server, bytes_per_second=100_000) as network:
                    measured.append(await cells["watch_clock"](network.ws("/ws"), 6))
        merged, windowed = measured
        assert_right("13.3", merged[-1][1])
        assert merged[len(merged) // 2][1] < merged[-1][1]
        assert max(age for _, age in windowed) < merged[-1][1] / 2
        # Neither gets many more messages than the other.
        assert 0.5 < len(merged) / len(windowed) < 2

    async def test_events(self) -> None:
        """The lesson with a route for Server-Sent Events sends one event for each sample."""
        with variant(13, "live.py", cells["EVENTS"], part="app") as folder, own(folder, "app") as server:
            lines: list[str] = []
            async with (
                cells["httpx"].AsyncClient(base_url=server.url, timeout=5) as client,
                client.stream("GET", "/events") as response,
            ):
                async for line in response.aiter_lines():
                    lines.append(line)
                    if len(lines) == 6:
                        break
        assert [line for line in lines if line.startswith("id:")] == ["id: 1", "id: 2"]
        assert json.loads(lines[0].removeprefix("data: ")).keys() == {"cpu"}

    async def test_sizes(self) -> None:
        """MessagePack is larger than JSON here, and the bare numbers are the smallest."""
        message = {"type": "values", "first": 1, "last": 1, "values": dict.fromkeys(cells["SENSORS"], 45.67)}
        to_json, to_struct, pack = cells["to_json"], cells["to_struct"], cells["msgpack"].packb
        assert len(to_struct(message)) < len(to_json(message)) < len(pack(message))
