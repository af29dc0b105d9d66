"""Run the exercise of a step under uvicorn with --reload; after Ctrl+C, run it again or go on as a shell.

python notebooks/workshop/run_exercise.py 02_echo bash
"""

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PORTS = range(8001, 8100)
"""8000 is left to the lesson, which the notebook runs."""
CLAIM = 100
"""What is added to a port for the one that claims it."""


def wants_it_again() -> bool:
    """Ask whether to start the server again."""
    try:
        input(
            "The server has ended. Enter starts it again; Ctrl+D, or on Windows Ctrl+Z and Enter, gives you a shell. "
        )
    except EOFError:
        print()
        return False
    return True


@contextlib.contextmanager
def claimed() -> Iterator[int]:
    """A free port that no other desk takes meanwhile; 0, which lets the system choose, if there is none.

    With --reload, uvicorn has its port long before it listens there. Until then a second uvicorn gets the same port,
    and neither says a word. So a desk listens at the port CLAIM above, and whoever cannot do that goes on.
    """
    from workshop.ports import is_free

    for port in PORTS:
        try:
            claim = socket.create_server(("127.0.0.1", port + CLAIM))
        except OSError:
            continue
        with claim:
            if is_free(port):
                yield port
                return
    yield 0


def run(target: str, folder: str) -> None:
    """Run the server on a free port until it ends.

    Args:
        target: what to serve, as `module:attribute`.
        folder: the step's, seen from the course's.
    """
    from workshop.ports import is_free

    while True:
        with claimed() as port:
            command = [
                *("uvicorn", target, "--app-dir", folder),
                # JupyterLab keeps a copy of each file that you save, and that would be a second change.
                *("--reload", "--reload-dir", folder, "--reload-exclude", "*-checkpoint.py", "--port", str(port)),
            ]
            print(f"$ {shlex.join(command)}", flush=True)
            status = subprocess.run([sys.executable, "-m", *command]).returncode
        # Another program, which claims nothing, may have taken the port between the look and the start.
        if status <= 0 or port == 0 or is_free(port):
            return


def main(name: str, shell: list[str]) -> None:
    """Run the exercise until it ends, then the shell.

    Args:
        name: the folder's name of the step.
        shell: the command of the shell.
    """
    root = Path(__file__).resolve().parents[2]
    sys.path.insert(0, str(root / "notebooks"))
    from workshop.course import find_step

    os.chdir(root)
    step = find_step(name)
    if sys.platform != "win32":
        # Under nohup it would be ignored from here down, and the server would outlive its terminal.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # Ctrl+C reaches the server and this program; only the server is to end.
    signal.signal(signal.SIGINT, lambda *_: None)
    again = True
    while again:
        run(step.target("exercise"), f"steps/{step.name}")
        again = wants_it_again()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.prefix != sys.base_prefix:
        # The start files of a shell may put another Python first, so it is not enough to hand down a PATH.
        prefix = Path(sys.prefix)
        place = str(prefix.relative_to(root) if prefix.is_relative_to(root) else prefix)
        activate = f"{place}\\Scripts\\activate" if sys.platform == "win32" else f". {shlex.quote(place)}/bin/activate"
        print(f"This is a shell. To find the programs of the course, type: {activate}", flush=True)
    if sys.platform == "win32":
        sys.exit(subprocess.run(shell).returncode)
    os.execvp(shell[0], shell)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
