"""Run a module the way `python -m` does, and end with the process that started it.

    python launch.py uvicorn main:app --app-dir steps/02_echo

The starter holds the other end of this process's standard input. However the starter ends, also
by a kill, the system closes that end; then this process and all of its children end too.
"""

import os
import runpy
import signal
import subprocess
import sys
import threading
from pathlib import Path


def end_with(pipe: int) -> None:
    """Wait until nobody holds the other end of `pipe`, then end this process and its children.

    Args:
        pipe: an open file descriptor.
    """
    while os.read(pipe, 1024):
        pass
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(os.getpid())], check=False)
    else:
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    lifeline = os.dup(0)
    # input() in a lesson or an answer gets an end of file and cannot wait for ever.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    threading.Thread(target=end_with, args=(lifeline,), daemon=True).start()
    # Python puts the folder of a script on the path; `python -m` would not.
    here = str(Path(__file__).parent)
    sys.path = [entry for entry in sys.path if entry != here]
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
