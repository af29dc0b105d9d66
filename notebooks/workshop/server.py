"""Servers as child processes with a log, for notebooks and checks."""

import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .course import ROOT, CourseError
from .ports import comes_to_listen, ports_of
from .process import end, start_module, terminate

ADDRESS = re.compile(r"[Rr]unning on http://127\.0\.0\.1:(\d+)")
# Windows translates the text of an error, and 10013 is its answer for a port that the system has reserved.
IN_USE = re.compile(r"address already in use|(?:WinError|Errno) (?:10048|10013)", re.IGNORECASE)
STARTS_WITHIN = 30.0 if sys.platform == "win32" else 10.0
"""The limit for a start, in seconds. On Windows, a virus scanner may read every module at the first import."""
LISTENS_WITHIN = 2.0
"""The limit from the log line that the server runs to listening, in seconds."""
LISTENING_FOR = 0.5
"""Seconds for which a server must listen until it counts as ready without its log lines."""
LONGEST_LINE = 10_000
LONGEST_LOG = 10_000
READY = {
    # Wait for both lines, because --reload reverses their order.
    "uvicorn": ("Application startup complete", "Uvicorn running on"),
    "hypercorn": ("Running on",),
}


class StartupError(CourseError):
    """A server that didn't start. The message is one sentence with the fix."""


class PortInUse(StartupError):
    """A port that another program uses."""


class Server:
    """A server in a separate child process.

    An interrupt of the process that started it doesn't end the server. When that process ends, the server ends too.

    Args:
        target: the app to serve, as `module:attribute`.
        app_dir: the folder of the module.
        port: the TCP port on 127.0.0.1; 0 lets the operating system choose a free one.
        reload: whether the server restarts itself when a file changes.
        module: `uvicorn` or `hypercorn`.
        extra: additional arguments for the command.
        environment: settings added to the environment of the child.
        on_line: the function to call with each line of the log, from a thread.
        cold: whether to start a new Python in any case. Otherwise, fork one that has already imported the libraries,
            if the operating system can fork; see `template.py`.
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
        """The lines that the server has printed so far, without the middle of a very long log."""
        self._on_line = on_line
        self._news = threading.Condition()
        self._at_end = False
        self._listening = 0
        # Never fork with --reload, because uvicorn starts a new Python anyway.
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
        # Limit the length, because a line may never end.
        while raw := self._process.stdout.readline(LONGEST_LINE):
            line = raw.decode("utf-8", "replace").rstrip()
            with self._news:
                self.log.append(line)
                if len(self.log) > LONGEST_LOG:
                    # Keep the beginning, with the start of the server, and the end, with the last events.
                    del self.log[100 : LONGEST_LOG // 2]
                self._news.notify_all()
            if self._on_line is not None:
                self._on_line(line)
        with self._news:
            self._at_end = True
            self._news.notify_all()

    @property
    def command(self) -> str:
        """The equivalent command for a terminal, from the course's folder."""
        join = subprocess.list2cmdline if sys.platform == "win32" else shlex.join
        return join([self.module, *self._arguments()])

    @property
    def pid(self) -> int:
        """The process id of the child."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code of the process, negative for a signal, or None while it runs."""
        return self._process.poll()

    @property
    def url(self) -> str:
        """The URL for HTTP, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    def ws(self, path: str = "/ws") -> str:
        """Return the URL of a WebSocket endpoint on this server, such as `ws://127.0.0.1:8000/ws`."""
        return f"ws://127.0.0.1:{self.port}/{path.removeprefix('/')}"

    def wait_for(self, holds: Callable[[list[str]], bool], seconds: float) -> bool:
        """Wait until `holds` is true for the log, the server has ended, or the time is up.

        Args:
            holds: the condition, a function of all lines so far.
            seconds: the longest wait, in seconds.

        Returns:
            The condition's present value.
        """
        with self._news:
            self._news.wait_for(lambda: self._at_end or holds(self.log), timeout=seconds)
            return holds(self.log)

    def wait_until_ready(self, seconds: float = STARTS_WITHIN) -> None:
        """Wait until the server accepts connections, and set `port`.

        Args:
            seconds: the longest wait, in seconds.

        Raises:
            StartupError: the server has ended, or the time is up. In both cases, it no longer runs.
        """

        def ready(log: list[str]) -> bool:
            return all(any(sign in line for line in log) for sign in READY[self.module])

        if not self._becomes_ready(ready, seconds):
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
        logged = next((int(found[1]) for line in self.log if (found := ADDRESS.search(line))), 0)
        self.port = logged or self.port or self._listening
        # Don't trust the log: it reports success even if another server listens on the port, because uvloop drops
        # that error. With --reload, it also reports it shortly before the server listens.
        if not comes_to_listen(self.pid, self.port, LISTENS_WITHIN):
            self.kill()
            raise PortInUse(port_in_use(self.port))

    def _becomes_ready(self, ready: Callable[[list[str]], bool], seconds: float) -> bool:
        """Wait for the log lines of a ready server. If an application turned logging off, listening is enough."""
        deadline = time.monotonic() + seconds
        before: set[int] = set()
        while not self._at_end and (left := deadline - time.monotonic()) > 0:
            if self.wait_for(ready, min(left, LISTENING_FOR)):
                return True
            # The lines follow the listening within milliseconds, so two looks without them decide.
            now = ports_of(self.pid)
            if listening := before & now:
                self._listening = min(listening)
                return True
            before = now
        return ready(self.log)

    def stop(self, seconds: float = 2.0) -> None:
        """Shut the server down as Ctrl+C does, and kill it if it still runs after `seconds`."""
        # On Windows, only kill() ends the child that uvicorn starts for --reload.
        if sys.platform != "win32" or not self.reload:
            self.terminate()
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                pass  # A stuck client blocks the shutdown; see step 07.
        self.kill()

    def terminate(self) -> None:
        """Send SIGTERM to the server, as a deployment does."""
        terminate(self._process)

    def kill(self) -> None:
        """Kill the server and its children immediately."""
        end(self._process)
        self._reader.join(2)
        # Skip close() if a process outside the group keeps the pipe open: it would wait for the reader.
        if not self._reader.is_alive():
            self._process.stdout.close()

    def __enter__(self) -> "Server":
        self.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def port_in_use(port: int) -> str:
    """Return one sentence: the port is in use, and the fix."""
    return f"Port {port} is in use: stop the program that uses it, or choose another port, such as {port + 1}."


def explain_end(server: Server) -> str:
    """Return one sentence: why this server ended before it was ready, and the fix."""
    log = "\n".join(server.log)
    where = place_of_error(log, server.app_dir)
    if where:
        return f"{where}: importing the file stops there, so fix that line first."
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
    """Return the place and the error of the last traceback in a log, or of a coroutine that was never awaited.

    Args:
        log: text with or without tracebacks.
        folder: the folder of the files to consider.

    Returns:
        A string such as `steps/02_echo/exercise.py:31 KeyError: 'text'`, or None.
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
    """Return a path for messages: relative to the course's folder, if it's inside."""
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)
