"""An event loop that can limit the size of files, so writes to JOURNAL fail as on a full disk.

    PYTHONPATH=tests/judge/loop uvicorn exercise.main:app --loop full:new_loop

SIGUSR1 sets the limit, SIGUSR2 removes it, and both print it. A second SIGUSR1 lowers the limit to the size that the
file had at the first one, so no byte can be written. Windows has no such limit.
"""

import asyncio
import os
import resource
import signal
import sys
from pathlib import Path

assert sys.platform != "win32"

LEFT = 10
"""Bytes that can still be written to the file: the first write is short, and only the next one fails."""


def set_limit(size: int) -> None:
    """Limit the files of this process to this size in bytes."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A write beyond the limit raises OSError, because Python ignores SIGXFSZ.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    print(f"most bytes of a file: {size}", flush=True)


def size_of(path: Path) -> int:
    """Return the size of a file in bytes; 0 if it doesn't exist."""
    return path.stat().st_size if path.exists() else 0


sizes: list[int] = []
"""The size of the file at the first SIGUSR1."""


def fill_up(journal: Path) -> None:
    """Leave a few bytes for the file, and none at the second call."""
    if sizes:
        set_limit(sizes[0])
    else:
        sizes.append(size_of(journal))
        set_limit(sizes[0] + LEFT)


def free(most: int) -> None:
    """Remove the limit."""
    sizes.clear()
    set_limit(most)


def new_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that uvicorn would choose, with handlers for the two signals."""
    try:
        import uvloop
    except ImportError:
        loop = asyncio.new_event_loop()
    else:
        loop = uvloop.new_event_loop()
    journal = Path(os.environ["JOURNAL"])
    most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    loop.add_signal_handler(signal.SIGUSR1, fill_up, journal)
    loop.add_signal_handler(signal.SIGUSR2, free, most)
    return loop
