"""JupyterLab in Chromium, for the tests of the notebooks there and for the pictures of README.md."""

import contextlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from workshop.course import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page

SECONDS = 60
"""The longest that one thing in JupyterLab may take."""
# The indicator in the toolbar turns idle too early; the one in the status bar does not.
IDLE = "document.querySelector('#jp-main-statusbar')?.innerText.includes('| Idle')"
NUMBERS = "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(prompt => prompt.innerText)"


@contextlib.contextmanager
def jupyterlab(course: Path) -> Iterator[str]:
    """JupyterLab, started in the folder of a course as README.md says; gives its address.

    Args:
        course: the folder.
    """
    readme = (ROOT / "README.md").read_text("utf-8")
    command = [sys.executable, "-m", *shlex.split(re.search(r"&& (jupyter lab .+)$", readme, re.MULTILINE)[1])]
    # No port is asked for, so that it takes the first free one from 8888 on.
    command += ["--no-browser", "--allow-root", "--ServerApp.port_retries=200", "--IdentityProvider.token="]
    process = subprocess.Popen(command, cwd=course, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    try:
        for line in process.stderr:
            if "http://127.0.0.1" in line or "http://localhost" in line:
                yield line.split()[-1].split("/lab")[0]
                break
    finally:
        process.terminate()
        process.communicate()


def open_notebook(page: "Page", address: str, name: str) -> None:
    """Open a notebook and wait until its kernel is ready.

    Args:
        page: so high that all of the notebook is in view; JupyterLab does not draw what is not.
        address: of JupyterLab.
        name: the notebook's name, without its ending.
    """
    page.set_default_timeout(SECONDS * 1000)
    page.goto(f"{address}/lab/tree/notebooks/{name}.ipynb?reset")
    page.wait_for_selector(".jp-CodeCell")
    page.wait_for_function(IDLE)
    # JupyterLab asks on its first start whether you want its news.
    page.add_style_tag(content=".Toastify { display: none }")


def run_all(page: "Page") -> None:
    """Choose Run All Cells in the menu, and wait until the kernel has come to rest."""
    page.evaluate("document.querySelectorAll('.jp-InputPrompt').forEach(prompt => prompt.innerText = '[ ]:')")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    page.wait_for_function(f"{NUMBERS}.every(number => /\\[\\d+\\]/.test(number))")
    page.wait_for_function(IDLE)
