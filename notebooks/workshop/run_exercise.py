"""Run the exercise of a step: a server under uvicorn with --reload, a suite with pytest. After Ctrl+C, run it again.

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
"""The ports for exercises. Port 8000 is reserved for the lesson, which the notebook runs."""
CLAIM = 100
"""The offset from a port to the port that claims it."""


def wants_it_again(ended: str) -> bool:
    """Ask whether to run the exercise again, and return the reply.

    Args:
        ended: the sentence that it has ended, without the full stop.
    """
    try:
        input(f"{ended}. Enter starts it again; Ctrl+D, or on Windows Ctrl+Z and Enter, gives you a shell. ")
    except EOFError:
        print()
        return False
    return True


@contextlib.contextmanager
def claimed() -> Iterator[int]:
    """Claim a free port against other workspaces. If none is free, it's 0, which lets the operating system choose.

    With --reload, uvicorn binds its port long before it listens there. Until then, a second uvicorn can bind the same
    port, and neither reports an error. So a workspace also listens on the port plus CLAIM. If it can't, it tries the
    next port.
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
        target: the app to serve, as `module:attribute`.
        folder: the step's folder, relative to the course's.
    """
    from workshop.ports import is_free

    while True:
        with claimed() as port:
            command = [
                *("uvicorn", target, "--app-dir", folder),
                # Exclude the copy that JupyterLab writes at each save, because it would cause a second reload.
                *("--reload", "--reload-dir", folder, "--reload-exclude", "*-checkpoint.py", "--port", str(port)),
            ]
            print(f"$ {shlex.join(command)}", flush=True)
            status = subprocess.run([sys.executable, "-m", *command]).returncode
        # Retry if a program that claims no port has bound this one between the test and the start.
        if status <= 0 or port == 0 or is_free(port):
            return


def run_tests(folder: Path) -> None:
    """Run a test suite now and after each save, until Ctrl+C.

    Args:
        folder: the step's folder.
    """
    print("$ python -m pytest exercise", flush=True)
    # watchfiles splits the command like a shell.
    tests = shlex.join([sys.executable, "-m", "pytest", "exercise"])
    quiet = ["--verbosity", "warning", "--filter", "python"]
    subprocess.run([sys.executable, "-m", "watchfiles", *quiet, tests, "exercise"], cwd=folder)


def main(name: str, shell: list[str]) -> None:
    """Run the exercise until it ends, then the shell.

    Args:
        name: the step's folder name.
        shell: the command line of the shell.
    """
    root = Path(__file__).resolve().parents[2]
    sys.path.insert(0, str(root / "notebooks"))
    from workshop.course import find_step

    os.chdir(root)
    step = find_step(name)
    if sys.platform != "win32":
        # Reset SIGHUP: under nohup, the server would inherit that it's ignored, and outlive its terminal.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # Ignore Ctrl+C here: it signals both processes, and only the server must end.
    signal.signal(signal.SIGINT, lambda *_: None)
    again = True
    while again:
        if step.is_suite:
            run_tests(step.folder)
            again = wants_it_again("The tests have ended")
        else:
            run(step.target("exercise"), f"steps/{step.name}")
            again = wants_it_again("The server has ended")
    if sys.platform != "win32":
        # The shell replaces this process below. On Windows, it becomes a child, and Ctrl+C is still only for the child.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.prefix != sys.base_prefix:
        # Print the command, because passing PATH isn't enough: the shell's start files may put another Python first.
        prefix = Path(sys.prefix)
        place = str(prefix.relative_to(root) if prefix.is_relative_to(root) else prefix)
        if sys.platform == "win32":
            # PowerShell refuses the script that activates an environment by default.
            advice = f"To run a program of the course, type: {place}\\Scripts\\python -m, and its name"
        else:
            advice = f"To find the programs of the course, type: . {shlex.quote(place)}/bin/activate"
        print(f"This is a shell. {advice}", flush=True)
    if sys.platform == "win32":
        sys.exit(subprocess.run(shell).returncode)
    os.execvp(shell[0], shell)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
