"""Start a Python module as a child process that ends when its starter ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .course import ROOT
from .warm import ALWAYS, POSSIBLE, TEMPLATE_PROCESS, ForkedProcess

LAUNCH = Path(__file__).with_name("launch.py")
Process = subprocess.Popen[bytes] | ForkedProcess


def start_module(
    module: str,
    arguments: list[str],
    environment: dict[str, str] | None = None,
    *,
    warm: bool = False,
    path: Sequence[Path] = (),
) -> Process:
    """Run `python -m module arguments` in the course's folder.

    Standard output and standard error come together in the child's `stdout`. Its `stdin` is what
    keeps it alive: see `launch.py`.

    Args:
        module: the module's name, such as `uvicorn`.
        arguments: what follows it on the command line.
        environment: settings added to the environment of the child.
        warm: whether it's forked from a process that has imported the libraries of the lessons, where the system can.
        path: folders that the module puts on Python's path.
    """
    whole = os.environ | ALWAYS | (environment or {})
    if warm and POSSIBLE:
        return TEMPLATE_PROCESS.fork([module, *arguments], whole, ROOT, path)
    return subprocess.Popen(
        [sys.executable, "-u", str(LAUNCH), module, *arguments],
        cwd=ROOT,
        env=whole,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # A process group of its own, because the interrupt button signals the kernel's whole group.
        start_new_session=True,
    )


def end(process: Process) -> None:
    """End a child of `start_module`, and the child's children, at once. A second call does nothing."""
    if process.stdin.closed:
        return  # its process id may be another process's by now
    if sys.platform != "win32" and process.pid:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # no process is left in that group
    # On Windows this is what ends it together with its children.
    process.stdin.close()
    process.wait()
