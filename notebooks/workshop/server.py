"""One way to start a server: a child process with a log. Notebooks and checks both use it."""

import re
import shlex
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from .course import ROOT, CourseError
from .ports import comes_to_listen
from .process import end, start_module

ADDRESS = re.compile(r"[Rr]unning on http://127\.0\.0\.1:(\d+)")
IN_USE = re.compile(r"address already in use|WinError 10048|only one usage of each socket", re.IGNORECASE)
LISTENS_WITHIN = 2.0
"""Seconds that a server gets from saying that it runs to listening."""
LONGEST_LINE = 10_000
LONGEST_LOG = 10_000
READY = {
    # With --reload the two lines come in the other order, so both are waited for.
    "uvicorn": ("Application startup complete", "Uvicorn running on"),
    "hypercorn": ("Running on",),
}


class StartupError(CourseError):
    """The server did not start. The message is one sentence that says what to do."""


class PortInUse(StartupError):
    """Another program has the port."""


class Server:
    """A server in a child process of its own.

    It survives an interrupt of the process that started it, and it never outlives that process.

    Args:
        target: what to serve, as `module:attribute`.
        app_dir: the folder that holds the module.
        port: the TCP port on 127.0.0.1; 0 lets the system choose a free one.
        reload: whether the server restarts itself when a file changes.
        module: `uvicorn` or `hypercorn`.
        extra: further arguments of the command.
        environment: settings added to the environment of the child.
        on_line: called with each line of the log, from a thread.
        cold: whether it's a new Python in any case. Otherwise it's a fork of one that has imported the libraries,
            where the system can: see `template.py`.
    """

    def __init__(
        self,
        target: str,
        app_dir: Path,
        *,
        port: int = 0,
        reload: bool = False,
        module: str = "uvicorn",
        extra: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        on_line: Callable[[str], object] | None = None,
        cold: bool = False,
    ) -> None:
        self.target = target
        self.app_dir = app_dir.resolve()
        self.port = port
        self.reload = reload
        self.module = module
        self.extra = extra
        self.log: list[str] = []
        """Every line the server has printed so far."""
        self._on_line = on_line
        self._news = threading.Condition()
        self._at_end = False
        # The process that uvicorn starts with --reload is a new Python anyway.
        warm = module == "uvicorn" and not reload and not cold
        self._process = start_module(module, self._arguments(), environment, warm=warm, path=[self.app_dir])
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _arguments(self) -> list[str]:
        folder = shown(self.app_dir)
        if self.module == "hypercorn":
            arguments = [f"{folder}/{self.target}", "--bind", f"127.0.0.1:{self.port}"]
        else:
            arguments = [self.target, "--app-dir", folder, "--port", str(self.port)]
        return [*arguments, *(["--reload"] if self.reload else []), *self.extra]

    def _read(self) -> None:
        # A limit, because a line need not end.
        while raw := self._process.stdout.readline(LONGEST_LINE):
            line = raw.decode("utf-8", "replace").rstrip()
            with self._news:
                self.log.append(line)
                if len(self.log) > LONGEST_LOG:
                    # Its beginning says how the server started, its end what happened last.
                    del self.log[100 : LONGEST_LOG // 2]
                self._news.notify_all()
            if self._on_line is not None:
                self._on_line(line)
        with self._news:
            self._at_end = True
            self._news.notify_all()

    @property
    def command(self) -> str:
        """The command that does the same in a terminal, from the course's folder."""
        return shlex.join([self.module, *self._arguments()])

    @property
    def pid(self) -> int:
        """The process id of the child."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """What the process returned, or None while it runs."""
        return self._process.poll()

    @property
    def url(self) -> str:
        """The address for HTTP, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    def ws(self, path: str = "/ws") -> str:
        """The address of a socket on this server, such as `ws://127.0.0.1:8000/ws`."""
        return f"ws://127.0.0.1:{self.port}/{path.removeprefix('/')}"

    def wait_for(self, holds: Callable[[list[str]], bool], seconds: float) -> bool:
        """Wait until the log satisfies `holds`, or the server has ended, or the time is up.

        Args:
            holds: is given all lines so far.
            seconds: the longest wait.

        Returns:
            Whether it holds now.
        """
        with self._news:
            self._news.wait_for(lambda: self._at_end or holds(self.log), timeout=seconds)
            return holds(self.log)

    def wait_until_ready(self, seconds: float = 10.0) -> None:
        """Wait until the server takes connections, and learn its port.

        Args:
            seconds: the longest wait.

        Raises:
            StartupError: it ended, or it took longer; it is then no longer running.
        """

        def ready(log: list[str]) -> bool:
            return all(any(sign in line for line in log) for sign in READY[self.module])

        if not self.wait_for(ready, seconds):
            ended = self._at_end
            self.kill()
            if ended and IN_USE.search("\n".join(self.log)):
                raise PortInUse(port_in_use(self.port))
            if ended:
                raise StartupError(explain_end(self))
            raise StartupError(
                f"{self.target} did not start within {seconds:g} s: look for an endless loop, "
                "a sleep or a wait outside every function."
            )
        self.port = next(int(found[1]) for line in self.log if (found := ADDRESS.search(line)))
        # It says so too if another server has bound the port at the same time and was the first to listen: uvloop drops
        # that error. With --reload it says so a moment before it listens.
        if not comes_to_listen(self.pid, self.port, LISTENS_WITHIN):
            self.kill()
            raise PortInUse(port_in_use(self.port))

    def stop(self, seconds: float = 2.0) -> None:
        """Ask the server to end, as Ctrl+C does; after `seconds` make it."""
        self._process.terminate()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass  # a stuck client holds it back: step 07 is about that
        self.kill()

    def kill(self) -> None:
        """End the server and its children at once."""
        end(self._process)
        self._reader.join(2)
        # A process that has left the group may hold the pipe open, and close() would wait for the reader.
        if not self._reader.is_alive():
            self._process.stdout.close()

    def __enter__(self) -> "Server":
        self.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def port_in_use(port: int) -> str:
    """Return one sentence: the port is in use, and what to do."""
    return f"Port {port} is in use: stop the program that uses it, or choose another port, such as {port + 1}."


def explain_end(server: Server) -> str:
    """One sentence: why this server ended before it was ready, and what to do."""
    log = "\n".join(server.log)
    where = place_of_error(log, server.app_dir)
    if where:
        return f"{where}: importing the file stops there, so mend that line first."
    if log.endswith("Aborted!"):
        return f"{server.target} asks for something while it is imported: take out the call of input()."
    if "Could not import module" in log:
        return f"There is no module for {server.target} in {shown(server.app_dir)}: is the file there, under that name?"
    if "not found in module" in log:
        return f"The module has no {server.target.split(':')[1]}: keep the line app = FastAPI()."
    if (server.exit_code or 0) < 0:
        return f"{server.target} was killed from outside (signal {-server.exit_code}): run it again."
    return (
        f"{server.target} ended while it was imported, with exit code {server.exit_code}: "
        "take out the call of sys.exit(), exit() or quit()."
    )


def place_of_error(log: str, folder: Path) -> str | None:
    """Where in `folder` the last traceback of a log comes from, and its error.

    Args:
        log: text with or without tracebacks.
        folder: only lines of files below it count.

    Returns:
        Such as `steps/02_echo/exercise.py:31 KeyError: 'text'`, or None.
    """
    folder = folder.resolve()
    for warning in re.finditer(
        r"^(\S.*\.py):(\d+): RuntimeWarning: (coroutine .+ was never awaited)", log, re.MULTILINE
    ):
        if folder in Path(warning[1]).resolve().parents:
            return f"{shown(Path(warning[1]).resolve())}:{warning[2]} {warning[3]}"
    start = log.rfind("Traceback (most recent call last)")
    if start < 0:
        return None
    found = None
    for place in re.finditer(r'^ +File "([^"]+)", line (\d+)', log[start:], re.MULTILINE):
        if folder in Path(place[1]).resolve().parents:
            found = place
    if found is None:
        return None
    error = re.search(r"^[A-Za-z_][\w.]*(?:: .*)?$", log[start + found.end() :], re.MULTILINE)
    name = re.sub(r"^(?:\w+\.)+(?=\w+(?::|$))", "", error[0]) if error else ""
    return f"{shown(Path(found[1]).resolve())}:{found[2]} {name}".rstrip()


def shown(path: Path) -> str:
    """A path as the course writes it: from the course's folder, if it is in there."""
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)
