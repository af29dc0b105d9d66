"""Write the workspace of every step, notebooks/workspaces/NN_name.jupyterlab-workspace: python tests/tools/desks.py

The file describes the layout of JupyterLab: the notebook, the files of the exercise that have a TODO, and a terminal
that runs it.
"""

import json
import re
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent / "notebooks")]

from workshop.course import ROOT, Step, exercise_files, steps  # noqa: E402


def first_file(step: Step) -> Path:
    """Return the file of an exercise whose docstring has the commands to run and to check it."""
    return next(path for path in exercise_files(step.folder) if "\nRun it:" in path.read_text("utf-8"))


def todos(path: Path) -> bool:
    """Return whether a file has a TODO."""
    return bool(re.search(r"^ *# TODO \d", path.read_text("utf-8"), re.MULTILINE))


def desk(step: Step) -> str:
    """Return the workspace of a step: the notebook on the left, the exercise and below it the terminal on the right.

    The first file of the exercise is the one with its commands, whether it has a TODO or not.
    """
    notebook = f"notebook:notebooks/{step.name}.ipynb"
    # No others: with more tabs, JupyterLab cuts off their names.
    files = [
        first := first_file(step),
        *(path for path in exercise_files(step.folder) if path != first and todos(path)),
    ]
    editors = [f"editor:{path.relative_to(ROOT).as_posix()}" for path in files]
    terminal = f"terminal:{step.name}"
    right = {
        "type": "split-area",
        "orientation": "vertical",
        "sizes": [0.65, 0.35],
        "children": [tabs(*editors), tabs(terminal)],
    }
    dock = {
        "type": "split-area",
        "orientation": "horizontal",
        "sizes": [0.55, 0.45],
        "children": [tabs(notebook), right],
    }
    data: dict[str, object] = {
        "layout-restorer:data": {
            "main": {"current": notebook, "dock": dock},
            "left": {"collapsed": True, "visible": True},
            "right": {"collapsed": True, "visible": True},
        },
        notebook: {"data": {"path": notebook.partition(":")[2], "factory": "Notebook"}},
    }
    for editor in editors:
        data[editor] = {"data": {"path": editor.partition(":")[2], "factory": "Editor"}}
    data[terminal] = {"data": {"name": step.name}}
    return json.dumps({"data": data, "metadata": {"id": step.name}}, indent=1) + "\n"


def tabs(*widgets: str) -> dict[str, object]:
    """Return an area with a tab for each of these widgets."""
    return {"type": "tab-area", "currentIndex": 0, "widgets": widgets}


if __name__ == "__main__":
    for step in steps():
        step.workspace.write_text(desk(step), "utf-8")
