"""Every notebook in a real JupyterLab, in Chromium, with Run All from the menu."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from harness.kernels import code_of, copy_of_the_course
from harness.lab import (
    IDLE,
    SECONDS,
    jupyterlab,
    open_desk,
    open_notebook,
    run_all,
    type_into_terminal,
    wait_for_terminal,
)
from harness.verdicts import green
from workshop.course import ROOT, Step, find_step, steps

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, FrameLocator, Locator, Page

pytestmark = [
    # One process runs them all, so one browser and one JupyterLab are enough.
    pytest.mark.xdist_group("jupyterlab"),
    pytest.mark.thorough("JupyterLab in a browser"),
]
PICTURES = os.environ.get("SCREENSHOTS")
"""The folder for a screenshot of every notebook after its run; None if there shouldn't be any."""


def keep_picture(part: "Page | Locator", name: str) -> None:
    """Save a screenshot if SCREENSHOTS is set. If the browser can't take it, the test doesn't fail.

    Args:
        part: the part of the page to show.
        name: the name of the file, without its ending.
    """
    if not PICTURES:
        return
    from playwright.sync_api import Error

    Path(PICTURES).mkdir(parents=True, exist_ok=True)
    try:
        part.screenshot(path=Path(PICTURES) / f"{name}.png")
    except Error as error:
        print(f"no picture of {name}: {error}")


def connect(frame: "FrameLocator") -> None:
    """Connect in the browser page, inside a cell or a panel, and wait until its server has accepted.

    Repeat the click, because Chromium ignores one on a frame of another site that it hasn't painted yet. A second click
    doesn't affect a connection that has begun.

    Args:
        frame: the page.

    Raises:
        AssertionError: the server doesn't accept in time; the message has the text of the page.
    """
    from playwright.sync_api import TimeoutError

    deadline = time.monotonic() + SECONDS
    while True:
        frame.get_by_role("button", name="Connect", exact=True).click()
        try:
            return frame.get_by_text("Accepted").wait_for(timeout=5000)
        except TimeoutError:
            assert time.monotonic() < deadline, f"not accepted:\n{frame.locator('body').inner_text()}"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start JupyterLab in a new copy of the course."""
    with jupyterlab(copy_of_the_course(tmp_path_factory.mktemp("course"), solved=False)) as address:
        yield address


@pytest.fixture(scope="module")
def laboratory(browser: "Browser") -> Iterator["BrowserContext"]:
    """Create a browser profile that caches files, because JupyterLab has 20 MB of scripts."""
    context = browser.new_context(viewport={"width": 1100, "height": 1000})
    yield context
    context.close()


def errors_in(page: "Page") -> list[str]:
    """Return the visible errors of a notebook that has run."""
    found = [f"an error output: {text[:300]}" for text in page.locator("[data-mime-type$='stderr']").all_inner_texts()]
    found += [f"a dialog: {text}" for text in page.locator(".jp-Dialog").all_inner_texts()]
    broken = "pictures => pictures.filter(picture => !picture.naturalWidth).length"
    if number := page.locator(".jp-Notebook img").evaluate_all(broken):
        found.append(f"{number} broken pictures")
    if number := page.locator(".jp-RenderedMermaid.jp-mod-warning").count():
        found.append(f"{number} diagrams that could not be drawn")
    return found


@pytest.mark.parametrize("step", steps(), ids=lambda step: step.name)
def test_run_all(step: Step, laboratory: "BrowserContext", address: str) -> None:
    """Run All ends without an error, a dialog, a cell that didn't run, or a picture that isn't drawn."""
    page = laboratory.new_page()
    try:
        open_notebook(page, address, step.name)
        run_all(page)
        assert errors_in(page) == []
        assert page.locator(".jp-CodeCell").count() == len(code_of(step.notebook))
        # The section Picture has one diagram, and it's drawn.
        page.locator(".jp-RenderedMermaid img").wait_for()
        # The checks that haven't run are in a folded table.
        page.locator(".jp-OutputArea-output table:visible").last.wait_for()
        # "Your file: steps/..." opens the file in an editor next to the notebook.
        link = page.locator(".jp-RenderedMarkdown a[href*='steps/']").first
        link.click()
        page.locator(".jp-FileEditor").wait_for()
        assert f"/steps/{step.name}/" in page.url
        page.get_by_role("tab", name=f"{step.name}.ipynb").click()
        if PICTURES:
            # Make the window tall only now, because drawing the whole notebook slows every other action down.
            page.set_viewport_size({"width": 1100, "height": 14_000})
            keep_picture(page.locator(".jp-Notebook"), step.name)
    finally:
        page.close()


def cell_of(page: "Page", text: str) -> "Locator":
    """Return the code cell whose input begins with this text."""
    return page.locator(".jp-CodeCell").filter(has=page.locator(".jp-InputArea-editor", has_text=text)).first


def run_cell(page: "Page", text: str) -> "Locator":
    """Run the cell whose input contains this text, as Shift+Enter does."""
    cell = cell_of(page, text)
    cell.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    return cell


def wait_for_tab(page: "Page", name: str) -> None:
    """Wait until a file is in the current tab.

    Raises:
        AssertionError: it doesn't become the current tab; the message has the page's tabs and dialogs.
    """
    from playwright.sync_api import TimeoutError

    try:
        page.wait_for_selector(f".jp-mod-current[data-id] >> text={name}")
    except TimeoutError:
        tabs = [f"{tab.inner_text()}: {tab.get_attribute('class')}" for tab in page.locator("[data-id]").all()]
        dialogs = page.locator(".jp-Dialog, .Toastify__toast, #jupyterlab-splash").all_inner_texts()
        raise AssertionError(f"{name} isn't the current tab of {page.url}; tabs {tabs}, dialogs {dialogs}") from None


class TestDesk:
    """The workspace of a step: the notebook, the exercise, and a terminal that runs it."""

    def test_first_page(self, browser: "Browser", tmp_path: Path) -> None:
        """JupyterLab starts with the workspace of step 01, without a dialog, and a click opens the next one."""
        # Start a new JupyterLab: the other one still has the kernels, servers and saved outputs of every notebook.
        with jupyterlab(copy_of_the_course(tmp_path / "course", solved=False)) as address:
            self._walk_the_desks(browser, address)

    @staticmethod
    def _walk_the_desks(browser: "Browser", address: str) -> None:
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(SECONDS * 1000)
        try:
            page.goto(address)
            page.wait_for_url("**/lab/workspaces/01_hello_world**")
            page.wait_for_function(IDLE)
            # The browser shows a dialog before it leaves an unsaved notebook.
            page.on("dialog", lambda dialog: dialog.accept())
            for step in steps():
                if step.number > 1:
                    # Use the list of the first page, then the last line of each notebook.
                    link = re.compile(f"^(the (desk|workspace) of step )?{step.number:02}$")
                    page.locator(".jp-RenderedMarkdown a[href*=workspace]", has_text=link).last.click()
                page.wait_for_url(f"**/lab/workspaces/{step.name}**")
                wait_for_tab(page, f"{step.name}.ipynb")
                page.wait_for_function(IDLE)
                page.locator(".jp-FileEditor:visible").first.wait_for()
                page.locator(".jp-Terminal:visible").first.wait_for()
                # The terminal runs a suite once, and a server until it's ended.
                signs = (f"--app-dir steps/{step.name} --reload", "Application startup complete")
                for sign in (f"$ {step.command}", "1 failed") if step.is_suite else signs:
                    wait_for_terminal(address, step.name, sign)
                assert page.locator(".jp-Dialog, .Toastify__toast").count() == 0
            keep_picture(page, "desk")
        finally:
            page.close()

    def test_loop(self, browser: "Browser", address: str) -> None:
        """If you save in the editor, the card below the notebook's check changes, and the terminal's server reloads."""
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        try:
            open_desk(page, address, "02_echo")
            # A file that's saved earlier is part of the start, and doesn't cause a reload.
            wait_for_terminal(address, "02_echo", "Application startup complete")
            run_cell(page, "from workshop import")
            cell = run_cell(page, "check(2)")
            card = cell.locator(".jp-OutputArea")
            card.get_by_text("Verdict 1,").wait_for()
            card.get_by_text("TODO 1: hint 1").click()
            editor = page.locator(".jp-FileEditor .cm-content")
            editor.click()
            page.keyboard.press("ControlOrMeta+a")
            page.keyboard.insert_text((find_step(2).solution / "exercise.py").read_text("utf-8"))
            page.keyboard.press("ControlOrMeta+s")
            card.get_by_text(green(2)).wait_for()
            card.get_by_text("The worked solution", exact=True).click()
            card.get_by_text("Your code and the worked solution are the same.").wait_for()
            wait_for_terminal(address, "02_echo", "Reloading...")
            keep_picture(page, "loop")
            # Ctrl+C ends the server; Enter starts it again; Ctrl+D opens a shell in the course's folder.
            type_into_terminal(address, "02_echo", "\x03")
            wait_for_terminal(address, "02_echo", "The server has ended. Enter starts it again")
            type_into_terminal(address, "02_echo", "\r")
            # The server has started at the beginning, after the save, and now.
            wait_for_terminal(address, "02_echo", "Application startup complete", times=3)
            type_into_terminal(address, "02_echo", "\x03")
            wait_for_terminal(address, "02_echo", "The server has ended. Enter starts it again", times=2)
            type_into_terminal(address, "02_echo", "\x04")
            wait_for_terminal(address, "02_echo", "This is a shell.")
            type_into_terminal(address, "02_echo", "echo $((6 * 7)) files: $(ls -d steps/02_*)\r")
            wait_for_terminal(address, "02_echo", "42 files: steps/02_echo")
        finally:
            page.close()

    def test_restart(self, browser: "Browser", address: str) -> None:
        """After a restart or the end of their kernel, the results are marked as old."""
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        old = "These results are old, because their kernel has ended. Run this cell again: check(2)"
        try:
            open_notebook(page, address, "02_echo")
            # The cell runs by itself, without the cells above.
            card = run_cell(page, "check(2)").locator(".jp-OutputArea")
            card.get_by_text("Verdict 1,").wait_for()
            assert not card.get_by_text(old).is_visible()
            page.evaluate("void jupyterapp.commands.execute('kernelmenu:restart')")
            page.get_by_role("button", name="Confirm Kernel Restart").click()
            card.get_by_text(old).wait_for()
            keep_picture(page, "restart")
            run_cell(page, "check(2)")
            card.get_by_text(old).wait_for(state="hidden")
            card.get_by_text("Verdict 1,").wait_for()
            page.evaluate("jupyterapp.commands.execute('kernelmenu:shutdown')")
            card.get_by_text(old).wait_for()
        finally:
            page.close()

    def test_page_beside(self, browser: "Browser", address: str) -> None:
        """A button opens the page in a tab of JupyterLab, which keeps the connection when the cell runs again."""
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        try:
            open_notebook(page, address, "02_echo")
            run_cell(page, "from workshop import")
            run_cell(page, 'server = serve("02_echo")')
            cell = run_cell(page, "page(server")
            cell.get_by_role("button", name="Open it in a tab of JupyterLab").click()
            beside = page.locator(".jp-IFrame iframe")
            beside.wait_for()
            frame = beside.content_frame
            connect(frame)
            frame.get_by_label("Message").fill("hello")
            frame.get_by_role("button", name="Send as text").click()
            frame.get_by_text("Message text was: hello").wait_for()
            assert beside.bounding_box()["height"] > 700
            keep_picture(page, "beside")
            page.get_by_role("tab", name="02_echo.ipynb").click()
            run_cell(page, "page(server")
            page.get_by_role("tab", name="The server's page").click()
            frame.get_by_label("Message").fill("again")
            frame.get_by_role("button", name="Send as text").click()
            frame.get_by_text("Message text was: again").wait_for()
        finally:
            page.close()


def test_elsewhere(browser: "Browser", tmp_path: Path) -> None:
    """With a path prefix, as on Binder, and the settings in JupyterLab's default place, pages go through the proxy."""
    course = copy_of_the_course(tmp_path / "course", solved=False)
    home = tmp_path / "home"
    # Do the same as .binder/postBuild.
    (home / ".jupyter").mkdir(parents=True)
    shutil.copytree(ROOT / ".binder", course / ".binder")
    subprocess.run(["bash", ".binder/postBuild"], cwd=course, env=os.environ | {"HOME": str(home)}, check=True)
    environment = {"HOME": str(home), "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/"}
    options = ["lab", "--ServerApp.base_url=/user/ada/"]
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    try:
        with jupyterlab(course, options, environment) as address:
            page.set_default_timeout(SECONDS * 1000)
            page.goto(address)
            page.wait_for_url("**/user/ada/lab/workspaces/01_hello_world**")
            page.wait_for_function(IDLE)
            # The browser shows a dialog before it leaves an unsaved notebook.
            page.on("dialog", lambda dialog: dialog.accept())
            open_notebook(page, address, "02_echo")
            run_cell(page, "from workshop import")
            run_cell(page, 'server = serve("02_echo")')
            frame = run_cell(page, "page(server").locator("iframe").content_frame
            connect(frame)
            frame.get_by_label("Message").fill("hello")
            frame.get_by_role("button", name="Send as text").click()
            frame.get_by_text("Message text was: hello").wait_for()
            assert re.search(r"/user/ada/proxy/\d+/ws$", frame.get_by_label("Address").input_value())
    finally:
        page.close()
