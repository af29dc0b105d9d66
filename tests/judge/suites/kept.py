"""The results of suites, by the content of suite and server, so that a run isn't repeated without a reason.

They're kept in memory, and in `.suite_results.json` in the course's folder, for the next time.
"""

import hashlib
import importlib.metadata
import os
import sys
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError
from workshop import suites
from workshop.course import ROOT
from workshop.suites import Outcome, Run

FILE = ROOT / ".suite_results.json"
MOST = 5_000
"""The largest number of results to keep. A suite of ten test functions has about 300."""
LIBRARIES = ("anyio", "fastapi", "hypothesis", "pytest", "starlette", "uvicorn", "websockets")
LONGEST = 4_000
"""The largest number of characters of a text to keep."""
DEADLINES = (0.8, 4.0)
"""Seconds. A test that failed after this long has probably waited for a deadline that a busy machine can miss. A setup
may take longer, because it waits for the start of a server."""
Key = tuple[str, str, str]
T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """The result of one test function on one server."""

    passed: bool
    failure: Outcome | None = None
    """The first phase that failed."""

    @property
    def finds(self) -> bool:
        """Whether it failed in its call, which is a find on a broken server."""
        return self.failure is not None and self.failure.phase == "call"

    @property
    def by_deadline(self) -> bool:
        """Whether it failed because of a deadline, as far as that can be seen."""
        failure = self.failure
        if failure is None or failure.seconds < DEADLINES[0]:
            return False
        return failure.phase == "setup" or failure.seconds < DEADLINES[1]


@dataclass
class Kept:
    """Results, and whole runs in a situation such as an interrupt. The oldest ones are dropped."""

    results: OrderedDict[Key, Result] = field(default_factory=OrderedDict)
    situations: OrderedDict[Key, Run] = field(default_factory=OrderedDict)

    def keep_result(self, key: Key, result: Result) -> None:
        """Keep the result of a test function."""
        if result.failure:
            short = replace(result.failure, traceback=result.failure.traceback[-LONGEST:])
            result = replace(result, failure=replace(short, error=short.error[:LONGEST]))
        _keep(self.results, key, result)

    def keep_situation(self, key: Key, run: Run) -> None:
        """Keep a run."""
        _keep(self.situations, key, replace(run, output=run.output[-LONGEST:]))


@dataclass
class _Stored:
    course: str
    results: list[tuple[Key, Result]]
    situations: list[tuple[Key, Run]]


KEPT = Kept()
"""The results of this process."""


def _keep(kept: OrderedDict[Key, T], key: Key, value: T) -> None:
    kept[key] = value
    if len(kept) > MOST:
        kept.popitem(last=False)


@cache
def fingerprint() -> str:
    """Return what every result depends on besides suite and server: this judge, Python, and the libraries."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES]
    code = hashlib.sha256(f"{sys.version} {versions}".encode())
    for path in (*sorted(Path(__file__).parent.glob("*.py")), Path(suites.__file__), *suites.PLUGIN.glob("*.py")):
        code.update(path.read_bytes())
    return code.hexdigest()


@cache
def load() -> None:
    """Read the stored results into `KEPT`, once. Results of another version of the course are ignored."""
    with suppress(OSError, ValidationError):
        stored = TypeAdapter(_Stored).validate_json(FILE.read_bytes())
        if stored.course == fingerprint():
            KEPT.results.update(stored.results)
            KEPT.situations.update(stored.situations)


def store() -> None:
    """Write `KEPT` to the file. If that isn't possible, they're only in memory."""
    stored = _Stored(fingerprint(), list(KEPT.results.items()), list(KEPT.situations.items()))
    new = FILE.with_name(f"{FILE.name}.{os.getpid()}")
    with suppress(OSError):
        new.write_bytes(TypeAdapter(_Stored).dump_json(stored))
        new.replace(FILE)
