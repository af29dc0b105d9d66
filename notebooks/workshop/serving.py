"""`serve`: start a lesson or an answer from a notebook, and see its log there."""

import sys

from .course import find_step
from .ports import is_free
from .server import PortInUse, Server

PORT = 8000
MARK = "server │ "
"""The start of each line of a server's log, which distinguishes it from what the cell prints itself."""
_servers: dict[tuple[str, str], Server] = {}


def serve(
    step: int | str,
    part: str = "lesson",
    *,
    port: int | None = None,
    reload: bool = False,
    under: str = "uvicorn",
) -> Server:
    """Start a step under uvicorn, as a child process, and print its log below the cell.

    If you run it again, the server restarts. The server ends with the kernel, even if the kernel is killed.

    Args:
        step: the step's number or folder name.
        part: `"lesson"` or `"exercise"`.
        port: the TCP port; by default 8000, or a free one if 8000 is in use.
        reload: whether the server restarts itself when you save a file.
        under: `"uvicorn"` or `"hypercorn"`.

    Raises:
        CourseError: there's no such step or part.
        StartupError: the server didn't start. The message has the reason and the fix.
    """
    found = find_step(step)
    target = found.target(part)
    key = (found.name, part)
    usual = PORT
    if key in _servers:
        before = _servers.pop(key)
        before.stop()
        # Keep the port, because a browser may have a page of this server open.
        usual = before.port
    if port is not None:
        ports = [port]
    else:
        ports = [usual, 0] if is_free(usual) else [0]
    for choice in ports:
        server = Server(target, found.folder, port=choice, reload=reload, module=under, on_line=Screen())
        try:
            server.wait_until_ready()
            break
        except PortInUse:
            # Another program may have bound the port since is_free().
            if choice == ports[-1]:
                raise
    _servers[key] = server
    if port is None and server.port != usual:
        _print(f"Port {usual} is in use, perhaps by another notebook or program, so this server is at {server.url}")
    _print(f"The same in a terminal: {server.command}")
    return server


class Screen:
    """A printer for the lines of a log. It marks each as the server's, and leaves out the lines of libraries."""

    def __init__(self) -> None:
        self._hiding = False

    def __call__(self, line: str) -> None:
        """Print a line, unless it's inside a library."""
        if line.startswith('  File "'):
            before, self._hiding = self._hiding, "site-packages" in line
            if self._hiding and not before:
                _print(f"{MARK}  ... (inside libraries)")
        elif not line.startswith("    "):
            self._hiding = False
        if not self._hiding:
            _print(f"{MARK}{line}")


def _print(line: str) -> None:
    # Write each line in one call, so the lines of two threads can't mix.
    sys.stdout.write(f"{line}\n")
