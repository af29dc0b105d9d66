"""The feed of step 13 under other servers, with a producer that fails, on other machines, and with short timeouts."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from judge.judge import Judge
from judge.watch import PATIENT, SHORT
from websockets.asyncio.client import connect
from workshop.course import find_step
from workshop.server import Server
from workshop.variants import variant

from .test_solutions import HOSTS, OUTER, run_in, start

pytestmark = [pytest.mark.thorough("solutions"), pytest.mark.anyio]

STEP = find_step(13)
SUBSCRIBE = '{"type": "subscribe", "topics": ["cpu", "memory", "clock"]}'
FAILING_PRODUCER = """

def publish(self, values, texts):
    raise LookupError("the producer fails")


Feed.publish = publish
"""


async def receive(viewer: Any) -> Any:
    """Return the next message, parsed."""
    async with asyncio.timeout(10):
        return json.loads(await viewer.recv())


@pytest.mark.parametrize("host", HOSTS)
async def test_hosts(host: str, tmp_path: Path) -> None:
    """The solution works under every server that can run it, with or without access to the transport."""
    (tmp_path / "outer.py").write_text(OUTER, "utf-8")
    options = {"target": "exercise.main:app"} | HOSTS[host]
    target = str(options.pop("target"))
    server = await start(target, tmp_path if target == "outer:app" else STEP.solution, STEP.solution, **options)
    try:
        async with connect(server.ws(), proxy=None) as ada:
            await ada.send(SUBSCRIBE)
            last = (await receive(ada))["seq"]
            for _ in range(5):
                message = await receive(ada)
                assert message["first"] == last + 1
                last = message["last"]
                await ada.send(json.dumps({"type": "seen", "last": last}))
        assert not [line for line in server.log if "Traceback" in line]
    finally:
        server.kill()


async def test_producer_that_fails() -> None:
    """If the producer's task ends, the process ends too, with a reason in its log and 1012 for its viewers."""
    with variant(13, "feed.py", FAILING_PRODUCER) as folder:
        server = Server("exercise.main:app", folder)
        await asyncio.to_thread(server.wait_until_ready)
        try:
            async with connect(server.ws(), proxy=None) as ada, asyncio.timeout(10):
                await ada.send(SUBSCRIBE)
                await ada.wait_closed()
            assert ada.close_code == 1012
            # It returns when the process has closed its output.
            await asyncio.to_thread(server.wait_for, lambda log: False, 10)
            log = "\n".join(server.log)
            assert "LookupError: the producer fails" in log and "background task has ended" in log
        finally:
            server.kill()


async def test_subscribes_again() -> None:
    """A viewer with a rate that unsubscribes from all its topics, and subscribes again, gets values."""
    with Server("exercise.main:app", STEP.solution) as server:
        async with connect(server.ws(), proxy=None) as ada:
            await ada.send('{"type": "rate", "per_second": 1}')
            for _ in range(2):
                await ada.send(SUBSCRIBE)
                kinds = [(await receive(ada))["type"] for _ in range(2)]
                assert kinds == ["snapshot", "values"]
                await ada.send('{"type": "unsubscribe", "topics": ["cpu", "memory", "clock"]}')
                assert (await receive(ada))["type"] == "unsubscribed"


UNREADABLE = """
    import psutil


    def refuse(*arguments):
        raise psutil.AccessDenied()


    psutil.Process.net_connections = refuse
    from exercise import source

    assert source.read is source.read_recording
    samples = [source.sample() for _ in range(len(source.RECORDING) + 1)]
    assert samples[0].keys() == {"cpu", "memory", "received", "sent", "connections", "disk", "clock"}
    first, *others, again = [sample["cpu"] for sample in samples]
    assert again == first and len(set(others)) > 5
    assert source.alerts()[0] == "cpu is above 90 %" and source.alerts() == []
"""
NO_NETWORK = """
    import psutil

    psutil.net_io_counters = lambda: None
    from exercise import source

    assert source.read is not source.read_recording
    sample = source.sample()
    assert sample["received"] == sample["sent"] == 0 and 0 <= sample["memory"] <= 100 and "disk" in sample
    assert "disk" not in source.sample()
"""


def test_unreadable_machine() -> None:
    """If the machine may not be read, the source is a recording, which is repeated, with an alert when cpu is high."""
    run_in(STEP.solution, UNREADABLE)


def test_no_network() -> None:
    """On a machine without a network, these values are 0. disk isn't in every sample."""
    run_in(STEP.solution, NO_NETWORK)


async def test_recording_on_request() -> None:
    """With SOURCE=recording, the server sends the recording."""
    with Server("exercise.main:app", STEP.solution, environment={"SOURCE": "recording"}) as server:
        async with connect(server.ws(), proxy=None) as ada:
            await ada.send('{"type": "subscribe", "topics": ["disk"]}')
            await receive(ada)
            assert (await receive(ada))["values"] == {"disk": 41.5}


async def test_timeouts_of_a_learner() -> None:
    """The solution passes with the short timeouts of `check()`, although some checks wait for samples."""
    verdict = await Judge(STEP, STEP.solution, short=SHORT, patient=PATIENT).judge()
    assert verdict.passed, verdict
