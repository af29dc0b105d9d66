"""Run a notebook in a real kernel, with all cells queued at once."""

import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from jupyter_client import BlockingKernelClient, KernelManager
from workshop.course import ROOT, steps

TRANSPORT = "tcp" if sys.platform == "win32" else "ipc"
"""How to reach a kernel: a TCP port may be taken between the moment in which it was free and its use."""
DEADLINE = 120.0
"""Seconds for the start of a kernel, and for all cells of a notebook."""


@dataclass
class Cell:
    """What came of one cell."""

    source: str
    status: str = "no answer"
    """`ok`, `error`, `aborted`, or `no answer`."""
    text: str = ""
    """Everything it printed or showed as plain text, and the message of an error."""
    html: str = ""
    """Everything it showed as HTML; what changed in its place, as it was in the end."""
    markdown: str = ""
    kinds: set[str] = field(default_factory=set)
    """The MIME types it showed."""
    changing: dict[str, dict[str, str]] = field(default_factory=dict)
    """By their ids, outputs that may change in their place."""

    def finish(self) -> None:
        """Add the outputs that may change, as they are now."""
        for data in self.changing.values():
            self.show(data)

    def show(self, data: dict[str, str]) -> None:
        """Add what an output shows."""
        self.kinds |= data.keys()
        self.text += data.get("text/plain", "")
        self.html += data.get("text/html", "")
        self.markdown += data.get("text/markdown", "")


@dataclass
class Kernel:
    """A running kernel and a client of it."""

    manager: KernelManager
    client: BlockingKernelClient

    def run(self, sources: list[str]) -> list[Cell]:
        """Run these cells. All of them are sent before the first has been answered, as Run All does.

        Args:
            sources: the text of each cell.
        """
        cells = {self.client.execute(source, stop_on_error=True): Cell(source) for source in sources}
        waiting, busy = set(cells), set(cells)
        deadline = time.monotonic() + DEADLINE
        while waiting:
            reply = self.client.get_shell_msg(timeout=deadline - time.monotonic())
            identity = reply["parent_header"].get("msg_id")
            if identity in cells:
                waiting.discard(identity)
                cells[identity].status = reply["content"]["status"]
        # An aborted cell is announced on this channel as well, so that every cell comes to its end.
        while busy:
            message = self.client.get_iopub_msg(timeout=deadline - time.monotonic())
            identity = message["parent_header"].get("msg_id")
            if identity not in cells:
                continue
            content = message["content"]
            if message["msg_type"] == "status" and content["execution_state"] == "idle":
                busy.discard(identity)
            self._note(cells[identity], message["msg_type"], content)
        for cell in cells.values():
            cell.finish()
        return list(cells.values())

    @staticmethod
    def _note(cell: Cell, kind: str, content: dict) -> None:
        if kind == "stream":
            cell.text += content["text"]
        elif kind == "error":
            cell.text += "\n".join(content["traceback"])
        elif identity := content.get("transient", {}).get("display_id"):
            cell.changing[identity] = content["data"]
        elif kind in ("execute_result", "display_data"):
            cell.show(content["data"])


@contextlib.contextmanager
def kernel(folder: Path) -> Iterator[Kernel]:
    """A new kernel that works in `folder`, as JupyterLab starts it for a notebook there."""
    with tempfile.TemporaryDirectory() as place:
        sockets = {} if TRANSPORT == "tcp" else {"ip": f"{place}/socket"}
        manager = KernelManager(transport=TRANSPORT, **sockets)
        manager.start_kernel(cwd=str(folder))
        client = manager.client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=DEADLINE)
            yield Kernel(manager, client)
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


def code_of(notebook: Path) -> list[str]:
    """The code cells of a notebook."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def copy_of_the_course(folder: Path, *, solved: bool) -> Path:
    """The course in a new folder, so that a test may change it.

    Args:
        folder: where to put it.
        solved: whether the worked solutions take the place of the exercises.
    """
    # The answers are most of all files, and only the course itself needs them.
    leave_out = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", ".pytest_cache", "answers")
    for name in ("notebooks", "steps", "solutions", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=leave_out)
    for name in ("pyproject.toml", "jupyter_config.py"):
        shutil.copy(ROOT / name, folder)
    if solved:
        for step in steps():
            shutil.copytree(step.solution, folder / "steps" / step.name, dirs_exist_ok=True)
    return folder
