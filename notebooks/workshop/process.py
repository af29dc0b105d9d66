"""Start a Python module as a child process that ends when its starter ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from .course import ROOT

LAUNCH = Path(__file__).with_name("launch.py")


def start_module(
    module: str, arguments: list[str], environment: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Run `python -m module arguments` in the course's folder.

    Standard output and standard error come together in the child's `stdout`. Its `stdin` is what
    keeps it alive: see `launch.py`.

    Args:
        module: the module's name, such as `uvicorn`.
        arguments: what follows it on the command line.
        environment: settings added to the environment of the child.
    """
    return subprocess.Popen(
        [sys.executable, "-u", str(LAUNCH), module, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"} | (environment or {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # A process group of its own, because the interrupt button signals the kernel's whole group.
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """End a child of `start_module`, and the child's children, at once. A second call does nothing."""
    if process.stdin.closed:
        return  # its process id may be somebody else's by now
    if sys.platform != "win32":
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # nobody is left in that group
    # On Windows this is what ends it together with its children.
    process.stdin.close()
    process.wait()
