"""Processes that are forked from one that has already imported the libraries of the lessons; see `template.py`."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

TEMPLATE = Path(__file__).with_name("template.py")
POSSIBLE = hasattr(os, "fork") and not os.environ.get("WORKSHOP_COLD")
"""True if this process can fork children. Windows can't, and WORKSHOP_COLD=1 turns it off."""
ALWAYS = {"PYTHONIOENCODING": "utf-8"}
"""The variables in the environment of every child process."""


class ForkedProcess:
    """A child of the template, with the part of `subprocess.Popen` that the course uses.

    Args:
        stdin: the starter's end of the child's standard input.
        stdout: the starter's end of the child's standard output and standard error.
        status: the socket that receives the child's process id, and later its exit code.
    """

    def __init__(self, stdin: BinaryIO, stdout: BinaryIO, status: socket.socket) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self._status = status
        self._lock = threading.Lock()
        self._received = b""
        self._pid: int | None = None
        self._exit_code: int | None = None

    @property
    def pid(self) -> int:
        """The process id. The property waits until the template has forked, and is 0 if it was killed before."""
        if self._pid is None:
            self._read_until(lambda: self._pid is not None, None)
        return self._pid or 0

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None while the process runs."""
        self._read_until(lambda: False, 0)
        return self._exit_code

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the process ends.

        Args:
            timeout: the longest wait, in seconds.

        Returns:
            The exit code, negative for a signal.

        Raises:
            subprocess.TimeoutExpired: the process still runs.
        """
        self._read_until(lambda: False, timeout)
        if self._exit_code is None:
            raise subprocess.TimeoutExpired("a forked process", timeout or 0)
        return self._exit_code

    def terminate(self) -> None:
        """Send SIGTERM if the process still runs."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def _read_until(self, known: Callable[[], bool], timeout: float | None) -> None:
        """Read the status until `known` returns True, the process has ended, or the timeout in seconds is over."""
        with self._lock:
            while self._exit_code is None and not known():
                self._status.settimeout(timeout)
                try:
                    more = self._status.recv(100)
                except (BlockingIOError, TimeoutError):
                    return
                # Add an exit code at the end of the stream: then the template was killed, and sends none.
                self._received += more or b"exit -9\n"
                *lines, self._received = self._received.split(b"\n")
                for line in lines:
                    what, _, number = line.decode().partition(" ")
                    if what == "pid":
                        self._pid = int(number)
                    else:
                        self._exit_code = int(number)
                        self._status.close()


class Template:
    """The starter's side of a template process.

    Args:
        arguments: the arguments of `template.py`, which choose the libraries.
    """

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def fork(
        self, arguments: list[str], environment: dict[str, str], folder: Path, path: Sequence[Path]
    ) -> ForkedProcess:
        """Start a module in a forked child. The first call starts the template, without waiting for it.

        Args:
            arguments: the module's name, and its arguments.
            environment: the whole environment of the child.
            folder: the working folder of the child.
            path: the folders that the module adds to Python's path.
        """
        request = {
            "arguments": arguments,
            "environment": environment,
            "folder": str(folder),
            "path": [str(each) for each in path],
        }
        text = json.dumps(request).encode()
        stdin, own_stdin = os.pipe()
        own_stdout, stdout = os.pipe()
        status, own_status = socket.socketpair()
        with self._lock, status:
            fds = [stdin, stdout, status.fileno()]
            try:
                self._send(text, fds)
            except OSError:
                # The template was killed: start a new one.
                self._socket = None
                self._send(text, fds)
            finally:
                os.close(stdin)
                os.close(stdout)
        return ForkedProcess(os.fdopen(own_stdin, "wb", 0), os.fdopen(own_stdout, "rb"), own_status)

    def _send(self, text: bytes, fds: list[int]) -> None:
        if self._socket is None:
            self._start()
        socket.send_fds(self._socket, [struct.pack("!I", len(text))], fds)
        self._socket.sendall(text)

    def _start(self) -> None:
        if self._process is not None:
            self._process.wait()
        self._socket, other = socket.socketpair()
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-u", str(TEMPLATE), *self._arguments],
                env=os.environ | ALWAYS,
                stdin=other,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Use a separate session, because the interrupt button signals the kernel's whole group.
                start_new_session=True,
            )


TEMPLATE_PROCESS = Template()
"""The template of this process, for servers."""
TESTS_TEMPLATE_PROCESS = Template("tests")
"""The template for runs of pytest."""
