"""Run a module as `python -m` does, and end with the process that started it.

    python launch.py uvicorn main:app --app-dir steps/02_echo

The starter holds the other end of this process's standard input. However the starter ends, even
by a kill, the operating system closes that end. Then this process and all of its children end too.
A byte that arrives there is a request to end as by SIGTERM, for Windows, where no process can send that signal.
"""

import os
import runpy
import signal
import subprocess
import sys
import threading
from pathlib import Path

HERE = str(Path(__file__).parent)


def end_with(pipe: int) -> None:
    """Raise SIGTERM for each byte from `pipe`. When no process holds its other end, end this process and its children.

    Args:
        pipe: an open file descriptor.
    """
    while os.read(pipe, 1):
        signal.raise_signal(signal.SIGTERM)
    if sys.platform == "win32":
        # If taskkill is missing or fails, end at least this process: the starter waits for it.
        try:
            subprocess.run(["taskkill", "/F", "/T", "/PID", str(os.getpid())], check=False)
        finally:
            os._exit(1)
    else:
        os.killpg(0, signal.SIGKILL)


def leave_path() -> None:
    """Remove the folder of this script from the path. Python adds it there, and `python -m` doesn't."""
    sys.path = [entry for entry in sys.path if entry != HERE]


def run(arguments: list[str]) -> None:
    """Run a module as the main program of this process, and end when the starter ends.

    Args:
        arguments: the module's name, and its arguments.
    """
    lifeline = os.dup(0)
    # Replace standard input: then input() in a lesson or an answer raises EOFError, and can't wait indefinitely.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    threading.Thread(target=end_with, args=(lifeline,), daemon=True).start()
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # A shell lets its background jobs ignore Ctrl+C, and their children inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = arguments
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    leave_path()
    if sys.platform == "win32":
        import ctypes

        # uvicorn's --reload restarts the server by Ctrl+C, and a kernel's children inherit that it's ignored.
        ctypes.windll.kernel32.SetConsoleCtrlHandler(None, False)
    run(sys.argv[1:])
