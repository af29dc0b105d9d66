"""Run the exercise of a step under uvicorn with --reload; after Ctrl+C, go on as a shell.

python notebooks/workshop/run_exercise.py 02_echo bash
"""

import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

PORTS = range(8001, 8100)
"""8000 is left to the lesson, which the notebook runs."""


def free_port() -> int:
    """The first port in the range that nobody uses; 0 if there is none."""
    for port in PORTS:
        with socket.socket() as probe:
            if sys.platform != "win32":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return 0


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
    # What the shell is told later finds the course's Python too.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    step = find_step(name)
    folder = f"steps/{step.name}"
    command = [
        *("uvicorn", step.target("exercise"), "--app-dir", folder),
        # JupyterLab keeps a copy of each file that you save, and that would be a second change.
        *("--reload", "--reload-dir", folder, "--reload-exclude", "*-checkpoint.py", "--port", str(free_port())),
    ]
    print(f"$ {shlex.join(command)}", flush=True)
    # Ctrl+C reaches the server and this program; only the server is to end.
    signal.signal(signal.SIGINT, lambda *_: None)
    subprocess.run([sys.executable, "-m", *command])
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    print(f"The server has ended. To start it again: {shlex.join(command)}", flush=True)
    if sys.platform == "win32":
        sys.exit(subprocess.run(shell).returncode)
    os.execvp(shell[0], shell)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
