"""`check`: judge the reader's answer from a notebook."""

import html
import json
import re
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from .course import CourseError, find_step
from .process import end, start_module

# JupyterLab sets the cells of a table to the right, and breaks the lines of narrow ones.
LEFT = 'style="text-align:left"'
SHORT = 'style="text-align:left;white-space:nowrap"'


@dataclass(frozen=True)
class Report:
    """What the checks said about one exercise."""

    checks: list[dict[str, str]]
    """Each with `number`, `title` and `state`: `passed`, `failed` or `not run`."""
    explanation: list[list[str]]
    """Of the first failure: pairs of a label and a text."""
    text: str
    """The same as the terminal prints."""

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check["state"] == "passed" for check in self.checks)

    def _repr_html_(self) -> str:
        marks = {"passed": "✓ passed", "failed": "✗ failed", "not run": "· not run"}
        rows = ""
        for check in self.checks:
            rows += (
                f"<tr><td {SHORT}>{marks[check['state']]}</td><td>{check['number']}</td>"
                f"<td {LEFT}>{html.escape(check['title'])}</td></tr>"
            )
            if check["state"] == "failed":
                lines = "".join(
                    f"<tr><th {SHORT}>{html.escape(label)}</th>"
                    f'<td {LEFT}><code style="white-space:pre-wrap">{html.escape(text)}</code></td></tr>'
                    for label, text in self.explanation
                )
                rows += f"<tr><td></td><td></td><td {LEFT}><table>{lines}</table></td></tr>"
        # The first line of the text is the heading: the step, a gap, the count.
        heading = re.sub(r" {2,}", ": ", self.text.splitlines()[0])
        return f"<p><strong>{html.escape(heading)}</strong></p><table><tbody>{rows}</tbody></table>"

    def __repr__(self) -> str:
        return self.text


def check(step: int | str, *, seconds: float = 180) -> Report:
    """Judge your answer to a step: the same as `pytest --exercise N` in a terminal.

    Args:
        step: the step's number or folder name.
        seconds: the longest wait.

    Raises:
        CourseError: there is no such step, or the checks themselves did not work.
    """
    found = find_step(step)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        arguments = ["--exercise", str(found.number), "--exercise-report", str(file)]
        process = start_module("pytest", arguments)
        # communicate() would close the standard input, and with it the process.
        limit = threading.Timer(seconds, end, [process])
        limit.start()
        try:
            output = process.stdout.read()
        finally:
            limit.cancel()
            end(process)
        if not file.exists():
            raise CourseError(f"The checks did not finish. They printed:\n{output.decode('utf-8', 'replace')}")
        return Report(**json.loads(file.read_text("utf-8")))
