"""Every notebook in the real thing: JupyterLab, in Chromium, with Run All from the menu."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import chromium
from kernels import code_of, copy_of_the_course
from lab import jupyterlab, open_notebook, run_all
from workshop.course import Step, steps

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [
    # One process runs them all, so that one browser and one JupyterLab are enough.
    pytest.mark.xdist_group("jupyterlab"),
    pytest.mark.skipif(not os.environ.get("CI"), reason="CI runs every notebook in JupyterLab; so does CI=1 pytest"),
]
PICTURES = os.environ.get("SCREENSHOTS")
"""A folder for a screenshot of every notebook after its run."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab in a fresh copy of the course."""
    with jupyterlab(copy_of_the_course(tmp_path_factory.mktemp("course"), solved=False)) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """One Chromium for the whole file."""
    with chromium() as browser:
        yield browser


def errors_in(page: "Page") -> list[str]:
    """What looks wrong in a notebook that has run."""
    found = [f"an error output: {text[:300]}" for text in page.locator("[data-mime-type$='stderr']").all_inner_texts()]
    found += [f"a dialog: {text}" for text in page.locator(".jp-Dialog").all_inner_texts()]
    broken = "pictures => pictures.filter(picture => !picture.naturalWidth).length"
    if number := page.locator(".jp-Notebook img").evaluate_all(broken):
        found.append(f"{number} broken pictures")
    if number := page.locator(".jp-RenderedMermaid.jp-mod-warning").count():
        found.append(f"{number} diagrams that could not be drawn")
    return found


@pytest.mark.parametrize("step", steps(), ids=lambda step: step.name)
def test_run_all_twice(step: Step, browser: "Browser", address: str) -> None:
    """Run All ends without an error, a dialog, a cell that never ran, or a picture that is not drawn; twice."""
    page = browser.new_page(viewport={"width": 1100, "height": 14_000 if PICTURES else 1000})
    try:
        open_notebook(page, address, step.name)
        for _ in range(2):
            run_all(page)
            assert errors_in(page) == []
            assert page.locator(".jp-CodeCell").count() == len(code_of(step.notebook))
            # One diagram in the section Picture, drawn.
            assert page.locator(".jp-RenderedMermaid img").count() == 1
            assert page.locator(".jp-OutputArea-output table").last.is_visible()
        # "Your file: steps/..." opens the file in an editor beside the notebook.
        link = page.locator(".jp-RenderedMarkdown a[href*='steps/']").first
        link.click()
        page.locator(".jp-FileEditor").wait_for()
        assert f"/steps/{step.name}/" in page.url
        page.get_by_role("tab", name=f"{step.name}.ipynb").click()
        if PICTURES:
            Path(PICTURES).mkdir(parents=True, exist_ok=True)
            page.locator(".jp-Notebook").screenshot(path=Path(PICTURES) / f"{step.name}.png")
    finally:
        page.close()
