"""Run a notebook in a real kernel, with all cells queued from the start."""

import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty

from jupyter_client import BlockingKernelClient, KernelManager
from workshop.course import CHECKPOINTS, ROOT, steps

TRANSPORT = "tcp" if sys.platform == "win32" else "ipc"
"""The transport to a kernel: another program may take a TCP port between the check that it's free and its use."""
DEADLINE = 600.0
"""The longest wait for a kernel's start, and for all cells of a notebook, in seconds."""


@dataclass
class Cell:
    """A cell that has run, with its outputs."""

    source: str
    status: str = "no answer"
    """`ok`, `error`, `aborted`, or `no answer`."""
    text: str = ""
    """The printed text, the outputs in plain text, and the traceback of an error."""
    html: str = ""
    """The outputs in HTML. Of an output that's updated in place, the last version."""
    markdown: str = ""
    kinds: set[str] = field(default_factory=set)
    """The MIME types of the outputs."""
    changing: dict[str, dict[str, str]] = field(default_factory=dict)
    """The outputs that may be updated in place, by their display ids."""

    def finish(self) -> None:
        """Add the outputs that may be updated, as they are now."""
        for data in self.changing.values():
            self.show(data)

    def show(self, data: dict[str, str]) -> None:
        """Add an output."""
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
        """Run these cells. Send all of them before the first one is answered, as Run All does.

        Args:
            sources: the text of each cell.

        Raises:
            AssertionError: a cell doesn't end; the message has its source.
        """
        cells = {self.client.execute(source, stop_on_error=True): Cell(source) for source in sources}
        waiting, busy = set(cells), set(cells)
        deadline = time.monotonic() + DEADLINE
        while waiting:
            try:
                reply = self.client.get_shell_msg(timeout=max(deadline - time.monotonic(), 0))
            except Empty:
                first = next(cell.source for identity, cell in cells.items() if identity in waiting)
                raise AssertionError(f"this cell didn't end within {DEADLINE:g} s of the first one:\n{first}") from None
            identity = reply["parent_header"].get("msg_id")
            if identity in cells:
                waiting.discard(identity)
                cells[identity].status = reply["content"]["status"]
        # The kernel announces an aborted cell on this channel too, so every cell ends here.
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
    """Start a kernel with the working folder `folder`, as JupyterLab does for a notebook there."""
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
    """Return the source of a notebook's code cells."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def copy_of_the_course(folder: Path, *, solved: bool) -> Path:
    """Copy the course into a new folder, so a test may change it, and return the folder.

    Args:
        folder: the folder for the copy.
        solved: whether the worked solutions replace the exercises.
    """
    # Leave out the answers: they're most of the files, and only the tests of the course need them.
    leave_out = shutil.ignore_patterns("__pycache__", CHECKPOINTS, ".pytest_cache", "answers")
    for name in ("notebooks", "steps", "solutions", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=leave_out)
    for name in ("pyproject.toml", "jupyter_config.py"):
        shutil.copy(ROOT / name, folder)
    if solved:
        for step in steps():
            shutil.copytree(step.solution, folder / "steps" / step.name, dirs_exist_ok=True)
    return folder
