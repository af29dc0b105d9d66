"""Take the pictures of README.md again, from the present course: python tests/tools/pictures.py"""

import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / "notebooks")]

from harness.browser import chromium  # noqa: E402
from harness.kernels import copy_of_the_course  # noqa: E402
from harness.lab import jupyterlab, open_desk, open_notebook, run_all, wait_for_terminal  # noqa: E402
from workshop.course import ROOT, find_step  # noqa: E402
from workshop.server import Server  # noqa: E402

PICTURES = ROOT / "notebooks" / "pictures"
HALF_DONE = """            text = await websocket.receive_text()
            data = json.loads(text)
            count += 1
            await websocket.send_json({"type": "echo", "text": data["text"], "count": count})
"""


def half_solve(course: Path) -> None:
    """Write a partial answer to step 02, which fails its third check."""
    file = course / "steps" / "02_echo" / "exercise.py"
    source = file.read_text("utf-8")
    head, rest = source.split("            text = await websocket.receive_text()\n")
    tail = rest.split("            await websocket.send_text(text)\n")[1]
    head = head.replace("from fastapi", "import json\n\nfrom fastapi", 1)
    head = head.replace(
        "    # TODO 1", '    count = 0\n    await websocket.send_json({"type": "welcome"})\n    # TODO 1'
    )
    file.write_text(head + HALF_DONE + tail, "utf-8")


def main() -> None:
    """Take all pictures."""
    PICTURES.mkdir(exist_ok=True)
    with chromium() as browser, tempfile.TemporaryDirectory() as folder:
        course = copy_of_the_course(Path(folder) / "course", solved=False)
        half_solve(course)
        with jupyterlab(course) as address:
            page = browser.new_page(viewport={"width": 1100, "height": 1600})
            open_notebook(page, address, "02_echo")
            run_all(page)
            cells = page.locator(".jp-CodeCell")
            for name, text in (("wire", 'for text in ("hello"'), ("check", "check(2)")):
                cells.filter(has_text=text).first.screenshot(path=PICTURES / f"{name}.png")
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            open_desk(page, address, "03_rooms")
            wait_for_terminal(address, "03_rooms", "Application startup complete")
            # Wait until JupyterLab has drawn the arrived output.
            page.evaluate("() => new Promise(done => setTimeout(done, 500))")
            page.screenshot(path=PICTURES / "desk.png")
        step = find_step(3)
        with Server(step.target("lesson"), step.folder) as server:
            page = browser.new_page(viewport={"width": 1100, "height": 860})
            page.goto(f"{server.url}/?address=/ws/lobby")
            page.get_by_role("button", name="Add a connection").click()
            for name, text in (("Ada", "hello"), ("Grace", "good morning")):
                card = page.get_by_role("region", name=name, exact=True)
                card.get_by_role("button", name="Connect", exact=True).click()
                card.get_by_text("Accepted").wait_for()
                card.get_by_label("Message").fill(text)
            for name in ("Ada", "Grace"):
                page.get_by_role("region", name=name, exact=True).get_by_role("button", name="Send as text").click()
            page.get_by_role("log").nth(1).get_by_text("good morning").first.wait_for()
            page.screenshot(path=PICTURES / "page.png")


if __name__ == "__main__":
    main()
