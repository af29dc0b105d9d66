"""JupyterLab in Chromium, for the tests of the notebooks and for the pictures of README.md."""

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from websockets.sync.client import connect
from workshop.course import ROOT, WORKSPACES

from harness.kernels import TRANSPORT

if TYPE_CHECKING:
    from playwright.sync_api import Page

SECONDS = 120
"""The longest wait for an action in JupyterLab, in seconds."""
RUN_SECONDS = 300
"""The longest wait for all cells of a notebook, in seconds."""
SETTINGS = {
    # Render all cells, including those outside the view.
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
}
# Use the indicator in the status bar, because the one in the toolbar turns idle too early.
IDLE = "document.querySelector('#jp-main-statusbar')?.innerText.includes('| Idle')"
# The number of each cell's last run; 0 for a cell that hasn't run, or is queued.
NUMBERS = (
    "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]"
    ".map(prompt => Number(/\\[(\\d+)\\]/.exec(prompt.textContent)?.[1] ?? 0))"
)


@contextlib.contextmanager
def jupyterlab(
    course: Path, arguments: list[str] | None = None, environment: dict[str, str] | None = None
) -> Iterator[str]:
    """Start JupyterLab in the folder of a course, and yield its URL.

    Args:
        course: the folder of the course.
        arguments: the arguments of the command `jupyter`; by default those of README.md.
        environment: settings added to the environment.
    """
    readme = (ROOT / "README.md").read_text("utf-8")
    arguments = arguments or shlex.split(re.search(r"&& jupyter (lab .+)$", readme, re.MULTILINE)[1])
    command = [sys.executable, "-m", "jupyter", *arguments]
    # Set no port, so JupyterLab takes the first free one from 8888 on.
    command += ["--no-browser", "--allow-root", "--ServerApp.port_retries=200", "--IdentityProvider.token="]
    command += [f"--KernelManager.transport={TRANSPORT}"]
    settings = course / ".jupyter"
    for name, values in SETTINGS.items():
        file = settings / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values), "utf-8")
    # Keep the path short, because a socket's path is limited to about a hundred characters. macOS has long folders
    # for temporary files, so don't use the default there.
    place = None if sys.platform == "win32" else "/tmp"
    runtime = tempfile.TemporaryDirectory(prefix="lab-", dir=place, ignore_cleanup_errors=True)
    # Don't read or change the settings of the user who runs the tests.
    environment = (
        os.environ
        | (environment or {})
        | {
            "JUPYTERLAB_SETTINGS_DIR": str(settings),
            "JUPYTERLAB_WORKSPACES_DIR": str(course / ".workspaces"),
            "JUPYTER_RUNTIME_DIR": runtime.name,
        }
    )
    process = subprocess.Popen(
        command, cwd=course, env=environment, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    try:
        for line in process.stderr:
            if "http://127.0.0.1" in line or "http://localhost" in line:
                address = line.split()[-1].split("/lab")[0]
                break
        else:
            raise RuntimeError("JupyterLab ended before it said where it is")
        # Read the rest of the log, because a full pipe would block JupyterLab.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        wait_until_it_listens(address)
        yield address
    finally:
        process.terminate()
        process.wait()
        runtime.cleanup()


def wait_until_it_listens(address: str) -> None:
    """Wait until JupyterLab accepts connections: it prints its URL shortly before."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            httpx.get(f"{address}/api", timeout=SECONDS, trust_env=False)
            return
        except httpx.ConnectError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def open_desk(page: "Page", address: str, name: str) -> None:
    """Open the workspace of a step, and wait until its kernel is ready.

    Args:
        page: an empty tab.
        address: the URL of JupyterLab.
        name: the step's name.
    """
    page.set_default_timeout(SECONDS * 1000)
    page.goto(f"{address}/lab/tree/notebooks/{WORKSPACES}/{name}.jupyterlab-workspace")
    page.wait_for_url(f"**/lab/workspaces/{name}**")
    page.wait_for_selector(".jp-CodeCell")
    page.wait_for_function(IDLE)


def open_notebook(page: "Page", address: str, name: str) -> None:
    """Open a notebook, and wait until its kernel is ready.

    Args:
        page: an empty tab.
        address: the URL of JupyterLab.
        name: the notebook's name, without its ending.
    """
    page.set_default_timeout(SECONDS * 1000)
    page.goto(f"{address}/lab/tree/notebooks/{name}.ipynb?reset")
    page.wait_for_selector(".jp-CodeCell")
    page.wait_for_function(IDLE)


def run_all(page: "Page") -> None:
    """Choose Run All Cells in the menu, and wait until every cell has run once more and the kernel is idle."""
    last = max(page.evaluate(NUMBERS))
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    page.wait_for_function(f"{NUMBERS}.every(number => number > {last})", timeout=RUN_SECONDS * 1000)
    page.wait_for_function(IDLE)


def wait_for_terminal(address: str, name: str, text: str, times: int = 1) -> None:
    """Wait until a terminal of JupyterLab has printed a text. It's drawn on a canvas, so the page has no text to read.

    Args:
        address: the URL of JupyterLab.
        name: the name of the terminal.
        text: the text, without line breaks.
        times: the number of times it must be printed, including earlier output.
    """
    with connect(f"{address.replace('http', 'ws', 1)}/terminals/websocket/{name}") as terminal:
        printed = ""
        while printed.replace("\r\n", "").count(text) < times:
            try:
                kind, *data = json.loads(terminal.recv(timeout=SECONDS))
            except TimeoutError:
                raise TimeoutError(
                    f"{text!r} is not, {times} times, in what the terminal printed:\n{printed}"
                ) from None
            printed += data[0] if kind == "stdout" else ""


def type_into_terminal(address: str, name: str, text: str) -> None:
    """Send keys to a terminal of JupyterLab.

    Args:
        address: the URL of JupyterLab.
        name: the name of the terminal.
        text: the keys.
    """
    with connect(f"{address.replace('http', 'ws', 1)}/terminals/websocket/{name}") as terminal:
        terminal.send(json.dumps(["stdin", text]))
