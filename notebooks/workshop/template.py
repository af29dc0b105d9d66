"""A process that has imported the libraries of the lessons, or of tests, and forks a child for each server or run.

    python template.py
    python template.py tests

A server spends most of its first second on imports that are the same each time. A child of this process
inherits them, so it's ready in a few hundredths of a second. This process imports nothing of the course
and none of your files. Its standard input is a socket of its starter; see `warm.py` for the requests.
It ends when that socket is closed.
"""

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import launch

PRELOADED = (
    # The imports of `uvicorn` at its start, with the protocols and the event loop of `uvicorn[standard]`.
    *("uvicorn", "uvicorn.main", "uvicorn.lifespan.on", "uvicorn.loops.auto", "uvicorn.protocols.http.auto"),
    *("uvicorn.loops.uvloop", "uvicorn.protocols.http.httptools_impl"),
    *("uvicorn.protocols.websockets.auto", "uvicorn.protocols.websockets.websockets_sansio_impl"),
    # The imports of lessons and answers.
    *("fastapi", "fastapi.concurrency", "fastapi.middleware.cors", "fastapi.security", "fastapi.staticfiles"),
    *("pydantic", "python_multipart.multipart", "jwt", "pwdlib.hashers.argon2"),
    *("redis.asyncio", "websockets.asyncio.client", "uuid"),
)
"""Modules to import before the first fork. If one is missing, the import in the child raises the error."""
PRELOADED_FOR_TESTS = (
    *("pytest", "_pytest.assertion.rewrite", "_pytest.unittest", "_pytest.unraisableexception", "_pytest.legacypath"),
    *("_pytest.faulthandler", "_pytest.helpconfig", "_pytest.junitxml", "_pytest.pastebin", "_pytest.setuponly"),
    *("_pytest.setupplan", "_pytest.skipping", "_pytest.threadexception", "_pytest.warnings", "pdb"),
    *("anyio", "anyio._backends._asyncio", "asyncio", "httpx", "psutil", "unittest.mock"),
    *("websockets.asyncio.client", "websockets.sync.client"),
)
"""The same for the runs of test suites."""
FDS = 3
"""The number of file descriptors in a request: standard input, standard output, and the socket for the status."""


@dataclass
class Request:
    """A request to run a module in a child."""

    arguments: list[str]
    """The module's name, and its arguments."""
    environment: dict[str, str]
    folder: str
    """The working folder."""
    path: list[str]
    """The folders that the module adds to Python's path."""


@dataclass
class Template:
    """The state of this process.

    Args:
        starter: the socket for requests from the starter.
    """

    starter: socket.socket
    statuses: dict[int, socket.socket] = field(default_factory=dict)
    """The sockets for the exit codes of the running children, by process id. The starter reads from them."""

    def serve(self) -> Request | None:
        """Fork a child for each request.

        Returns:
            The request in a child; None in this process, when the starter has ended.
        """
        woken, waker = socket.socketpair()
        for end in (woken, waker):
            end.setblocking(False)
        # Let Python write a byte to `waker` for each signal, so the loop below wakes up when a child ends.
        signal.set_wakeup_fd(waker.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            selector.register(self.starter, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select()]
                if woken in ready:
                    woken.recv(4096)
                    self._report_ended()
                if self.starter not in ready:
                    continue
                if (received := self._receive()) is None:
                    return None
                request, fds = received
                if self._fork(fds):
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    # Close these in the child: otherwise, the starter couldn't detect the end of this process.
                    for end in (woken, waker, self.starter, *self.statuses.values()):
                        end.close()
                    return request

    def _receive(self) -> tuple[Request, list[int]] | None:
        header, fds, _, _ = socket.recv_fds(self.starter, 4, FDS)
        text = b""
        while header and len(text) < (size := struct.unpack("!I", header)[0]):
            if not (more := self.starter.recv(size - len(text))):
                return None
            text += more
        return (Request(**json.loads(text)), fds) if header else None

    def _fork(self, fds: list[int]) -> bool:
        """Fork, and return whether this is the child, which has a separate session and the given streams."""
        pid = os.fork()
        if pid:
            self.statuses[pid] = socket.socket(fileno=fds.pop())
            send_line(self.statuses[pid], f"pid {pid}")
            for fd in fds:
                os.close(fd)
            return False
        os.setsid()
        stdin, stdout, _ = fds
        for fd, standard in ((stdin, 0), (stdout, 1), (stdout, 2)):
            os.dup2(fd, standard)
        for fd in fds:
            os.close(fd)
        return True

    def _report_ended(self) -> None:
        while self.statuses:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            with self.statuses.pop(pid) as reported:
                send_line(reported, f"exit {os.waitstatus_to_exitcode(status)}")


def send_line(starter: socket.socket, line: str) -> None:
    """Send a line to the starter, unless it no longer reads."""
    try:
        starter.sendall(f"{line}\n".encode())
    except OSError:
        pass


def needs_cold_start(request: Request, environment: dict[str, str]) -> bool:
    """Return whether the request needs a new Python.

    Args:
        request: the request of the child.
        environment: the environment of this process.

    Returns:
        True if the environments differ in a variable that Python reads only at its start, or if a folder on the path
        has a module with the same name as an imported one.
    """

    def settings(variables: dict[str, str]) -> dict[str, str]:
        return {name: value for name, value in variables.items() if name.startswith("PYTHON") and name != "PYTHONPATH"}

    if settings(environment) != settings(request.environment):
        return True
    imported = {name.partition(".")[0] for name in sys.modules}
    for folder in {*request.path, *pythonpath(request.environment)}:
        try:
            if imported & {name.partition(".")[0] for name in os.listdir(Path(request.folder, folder))}:
                return True
        except OSError:
            pass  # If the folder is missing, the module raises the error.
    return False


def pythonpath(environment: Mapping[str, str]) -> list[str]:
    """Return the folders that a new Python with this environment adds to its path."""
    return [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]


def become(request: Request) -> None:
    """Run the module of a request as a new Python would.

    Args:
        request: the request of this child.
    """
    cold = needs_cold_start(request, dict(os.environ))
    os.chdir(request.folder)
    if cold:
        command = [sys.executable, "-u", str(Path(__file__).with_name("launch.py")), *request.arguments]
        os.execve(sys.executable, command, request.environment)
    own = pythonpath(os.environ)
    os.environ.clear()
    os.environ.update(request.environment)
    time.tzset()
    sys.path = [*pythonpath(os.environ), *(entry for entry in sys.path if entry not in own)]
    launch.run(request.arguments)


def main() -> None:
    """Import the libraries, and fork until the starter has ended. A child runs its module from here."""
    launch.leave_path()
    # Forget `launch`, because an answer may have a module with this name.
    del sys.modules["launch"]
    for name in PRELOADED_FOR_TESTS if sys.argv[1:] == ["tests"] else PRELOADED:
        try:
            importlib.import_module(name)
        except ImportError:
            pass
    # Leave the objects of these modules out of garbage collection: pytest collects several times at its end.
    gc.freeze()
    if request := Template(socket.socket(fileno=os.dup(0))).serve():
        become(request)


if __name__ == "__main__":
    main()
