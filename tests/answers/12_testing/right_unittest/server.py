"""Step 12: the server's process, without pytest."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import STDOUT, Popen, TimeoutExpired
from tempfile import TemporaryFile

import psutil

FOLDER = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "uvicorn", "main:app", "--app-dir", "exercise", "--port=0"]
START_TIMEOUT = 8.0
"""Seconds."""
STOP_TIMEOUT = 3.0
"""Seconds."""


class StartError(Exception):
    """The server has ended before it listened, or it takes too long."""


class Server:
    """A process that runs the server, with its output in a temporary file.

    Raises:
        StartError: the server didn't start. The message ends with the server's last lines.
    """

    def __init__(self) -> None:
        self._log = TemporaryFile()
        self.process = Popen(COMMAND, cwd=FOLDER, stdout=self._log, stderr=STDOUT)
        try:
            self.port = self._wait_for_port()
        except BaseException:
            self.close()
            raise

    def _wait_for_port(self) -> int:
        end = time.monotonic() + START_TIMEOUT
        while time.monotonic() < end and self.process.poll() is None:
            for port in self._listening_ports():
                return port
            time.sleep(0.05)
        self._log.seek(0)
        raise StartError(self._log.read()[-2_000:].decode("utf-8", "replace"))

    def _listening_ports(self) -> Iterator[int]:
        try:
            process = psutil.Process(self.process.pid)
            for each in (process, *process.children(recursive=True)):
                for connection in each.net_connections():
                    if connection.status == psutil.CONN_LISTEN:
                        yield connection.laddr.port
        except psutil.NoSuchProcess:
            return

    def close(self) -> None:
        """End the process: with SIGTERM, or by killing it."""
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT)
        except TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()
