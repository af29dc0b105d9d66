"""Several server processes of one lesson, for the notebooks on scaling out."""

import httpx

from .course import find_step
from .server import Server

_running: list[Server] = []


class Processes:
    """Server processes of one lesson, which end with the kernel.

    A second object replaces the first one and kills its processes, so that a notebook can run twice in one kernel.

    Args:
        step: the step's number or folder name.

    Raises:
        CourseError: there's no such step.
    """

    def __init__(self, step: int | str) -> None:
        self._step = find_step(step)
        while _running:
            _running.pop().kill()

    def begin(self, *, workers: int = 1, **environment: str) -> Server:
        """Begin to start a server, and return it without waiting.

        Args:
            workers: the number of worker processes that share its port.
            environment: settings for the environment of the server.
        """
        extra = ("--workers", str(workers)) if workers > 1 else ()
        target = self._step.target("lesson")
        server = Server(target, self._step.folder, extra=extra, environment=environment)
        _running.append(server)
        return server

    def start(self, *, workers: int = 1, **environment: str) -> Server:
        """Start a server, wait until it accepts connections, and print its command.

        Args:
            workers: the number of worker processes that share its port.
            environment: settings for the environment of the server.

        Raises:
            StartupError: the server didn't start. The message has the reason and the fix.
        """
        server = self.begin(workers=workers, **environment)
        # Each worker is a new Python, which imports the libraries again.
        server.wait_until_ready(10 if workers == 1 else 30)
        if workers > 1:
            # The port is bound by then, and the workers respond slightly later.
            server.wait_for(lambda log: sum("startup complete" in line for line in log) == workers, 30)
            with httpx.Client(transport=httpx.HTTPTransport(retries=5), trust_env=False) as client:
                client.get(server.url)
        settings = "".join(f"{key}={value} " for key, value in environment.items())
        print(settings + server.command)
        return server
