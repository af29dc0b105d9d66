"""Python modules as child processes that end with the process that started them."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .course import ROOT
from .warm import ALWAYS, POSSIBLE, TEMPLATE_PROCESS, TESTS_TEMPLATE_PROCESS, ForkedProcess

LAUNCH = Path(__file__).with_name("launch.py")
Process = subprocess.Popen[bytes] | ForkedProcess
# On Windows, Ctrl+C signals every process of a console, so give the child a console of its own, without a window.
NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)


def start_module(
    module: str,
    arguments: list[str],
    environment: dict[str, str] | None = None,
    *,
    warm: bool = False,
    path: Sequence[Path] = (),
    folder: Path = ROOT,
    options: Sequence[str] = (),
) -> Process:
    """Run `python -m module arguments`, by default in the course's folder.

    The child's `stdout` has standard output and standard error together. Its `stdin` keeps the child alive,
    until you close it; see `launch.py`.

    Args:
        module: the module's name, such as `uvicorn`.
        arguments: the arguments after it on the command line.
        environment: settings added to the environment of the child.
        warm: whether to fork a process that has imported the libraries, if the operating system can fork.
        path: the folders that the module adds to Python's path.
        folder: the working folder.
        options: options for Python, such as `-W` and `error`. They need a new Python, so not `warm`.
    """
    whole = os.environ | ALWAYS | (environment or {})
    if warm and POSSIBLE:
        template = TESTS_TEMPLATE_PROCESS if module == "pytest" else TEMPLATE_PROCESS
        return template.fork([module, *arguments], whole, folder, path)
    python, settings = interpreter()
    return subprocess.Popen(
        [python, *options, "-u", str(LAUNCH), module, *arguments],
        cwd=folder,
        env=whole | settings,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # Use a separate process group, because the interrupt button signals the kernel's whole group.
        start_new_session=True,
        creationflags=NO_WINDOW,
    )


def interpreter() -> tuple[str, dict[str, str]]:
    """Return the path of this Python, and the environment variables that its children need.

    On Windows, the `python.exe` of a virtual environment is a launcher: it starts the real one as its child, so its
    process id isn't the server's. Start the real one, and name the environment in the variable that the launcher sets
    too, as `multiprocessing` does.
    """
    if sys.platform != "win32" or sys.prefix == sys.base_prefix:
        return sys.executable, {}
    # The attribute is private, but right for a Python from the Microsoft Store too.
    real = getattr(sys, "_base_executable", "") or str(Path(sys.base_prefix) / "python.exe")
    return real, {"__PYVENV_LAUNCHER__": sys.executable}


def terminate(process: Process) -> None:
    """Send SIGTERM to a child of `start_module`.

    On Windows, no process can send SIGTERM to another one, and `Popen.terminate` kills. There, the child raises the
    signal itself; see `launch.py`.
    """
    if sys.platform != "win32":
        process.terminate()
    elif process.poll() is None:
        with contextlib.suppress(OSError):  # It may end between these two lines.
            process.stdin.write(b"t")
            process.stdin.flush()


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
