"""Python modules as child processes that end with the process that started them."""

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

    The child's `stdout` has standard output and standard error together. Its `stdin` keeps the child alive,
    until you close it; see `launch.py`.

    Args:
        module: the module's name, such as `uvicorn`.
        arguments: the arguments after it on the command line.
        environment: settings added to the environment of the child.
        warm: whether to fork a process that has imported the lessons' libraries, if the operating system can fork.
        path: the folders that the module adds to Python's path.
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
        # Use a separate process group, because the interrupt button signals the kernel's whole group.
        start_new_session=True,
    )


def end(process: Process) -> None:
    """Kill a child of `start_module` and its children immediately. A second call does nothing."""
    if process.stdin.closed:
        return  # Another process may have this process id by now.
    if sys.platform != "win32" and process.pid:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # No process is left in that group.
    # On Windows, closing standard input ends the child together with its children.
    process.stdin.close()
    process.wait()
