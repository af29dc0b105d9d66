"""A pytest plugin that reports what a run of tests does, as it happens.

Each report is one line of JSON after the character RS (record separator, RFC 7464), on the standard output that the
process had at its start. The environment variable WORKSHOP_TESTS has the order of the tests, and which of them run.
"""

import json
import os
import random
import sys
from collections.abc import Hashable
from typing import Any

import pytest

RECORD = "\x1e"
_out = os.dup(1)


def emit(what: str, **fields: object) -> None:
    """Write one report, even while pytest captures the output."""
    os.write(_out, f"{RECORD}{json.dumps({'what': what, **fields})}\n".encode())


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("subprocess.Popen", "os.posix_spawn"):
        command = arguments[1]
        words = [command] if isinstance(command, str | bytes | os.PathLike) else list(command)
        emit("process", command=[os.fsdecode(word) for word in words])
    elif event == "os.system":
        emit("process", command=[os.fsdecode(arguments[0])])


def unit_of(item: pytest.Item) -> str:
    """Return the id of a test function, without the parameters of this test."""
    return item.nodeid.partition("[")[0]


def pytest_configure(config: pytest.Config) -> None:
    """Report each process that this one starts."""
    sys.addaudithook(_audit)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Select the tests, and shuffle them, so that those of a module and of a class stay together."""
    settings = json.loads(os.environ.get("WORKSHOP_TESTS", "{}"))
    emit("collected", units=list(dict.fromkeys(unit_of(item) for item in items)))
    chosen = settings.get("units")
    if chosen is not None:
        config.hook.pytest_deselected(items=[item for item in items if unit_of(item) not in chosen])
        items[:] = [item for item in items if unit_of(item) in chosen]
    if (seed := settings.get("seed")) is not None:
        draw = random.Random(seed)
        places: dict[Hashable, float] = {}

        def place(item: pytest.Item) -> tuple[float, ...]:
            keys = (item.nodeid.split("::")[0], getattr(item, "cls", None), item)
            return tuple(places.setdefault(key, draw.random()) for key in keys)

        items.sort(key=place)
    if settings.get("reverse"):
        items.reverse()


def pytest_runtest_logstart(nodeid: str) -> None:
    """Report that a test starts."""
    emit("start", test=nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Report how a phase of a test has ended: `setup`, `call` or `teardown`."""
    crash = getattr(report.longrepr, "reprcrash", None)
    emit(
        "end",
        test=report.nodeid,
        phase=report.when,
        outcome=report.outcome,
        seconds=report.duration,
        error=(crash.message if crash else str(report.longrepr)) if report.failed else "",
        line=crash.lineno if crash and report.failed else 0,
        traceback=report.longreprtext if report.failed else "",
    )


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Report a file that can't be imported."""
    if report.failed:
        emit("broken", file=report.nodeid, traceback=report.longreprtext)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Report the end of the tests."""
    emit("finish", status=int(exitstatus))
