"""Views of a verdict in a notebook: the checks, the first failure, its hints, and an overview of all steps."""

import html
import json
import re
from pathlib import Path
from typing import Any

from .comparing import Comparison
from .course import WORKSPACES, Step, find_step, steps
from .predictions import tally
from .record import following, is_done, last_verdicts

# JupyterLab aligns the cells of a table to the right, and wraps the lines of narrow ones.
LEFT = 'style="text-align:left"'
SHORT = 'style="text-align:left;white-space:nowrap"'
# The colors of JupyterLab's theme, with a value for other frontends. The signs say the same without color.
GREEN, RED = "var(--jp-success-color1, #2e7d32)", "var(--jp-error-color1, #d32f2f)"
MARKS = {
    "passed": f'<span style="color:{GREEN}">✓ passed</span>',
    "failed": f'<strong style="color:{RED}">✗ failed</strong>',
    "running": "▸ running",
    "not run": "· not run",
}


WATCH = Path(__file__).with_name("old_results.js").read_text("utf-8")


def old_note(cell: str, kernel: str) -> str:
    """Return a hidden note in HTML that the results are old, and the script that shows it.

    Args:
        cell: the code of the cell to run again.
        kernel: the id of the kernel that the results come from.
    """
    return (
        f'<p hidden role="status" data-workshop-kernel="{html.escape(kernel)}"><strong style="color:{RED}">'
        f"✗ These results are old, because their kernel has ended. Run this cell again: {html.escape(cell)}"
        "</strong></p>"
        f"<script>{WATCH}</script>"
    )


def as_html(verdict: dict[str, Any], note: str) -> str:
    """Return the card of a verdict in HTML.

    Args:
        verdict: the verdict of the checks; see `Verdict.as_dict` in tests/judge/model.py.
        note: one sentence below the table.
    """
    passed = [check for check in verdict["checks"] if check["state"] == "passed"]
    others = [check for check in verdict["checks"] if check["state"] not in ("passed", "not run")]
    left = [check for check in verdict["checks"] if check["state"] == "not run"]
    # Fold the passed checks above one that failed or runs, so that one is in view.
    before = _folded(passed, "✓", "passed") if others else ""
    rows = _rows(others or passed, verdict["explanation"])
    if hard := verdict.get("hard"):
        rows += f"<tr><th {LEFT} colspan=3>Hard cases, once all is green: {html.escape(hard['count'])}</th></tr>"
        rows += _rows(hard["checks"], hard["explanation"])
    # The first line of the text is the heading: the step, a gap, the count.
    heading = re.sub(r" {2,}", ": ", verdict["text"].splitlines()[0])
    return (
        f'<p role="status"><strong>{html.escape(heading)}</strong></p>{before}<table><tbody>{rows}</tbody></table>'
        f"{_folded(left, '·', 'not run')}<p>{html.escape(note)}</p>{_next(verdict)}"
    )


def _folded(checks: list[dict[str, Any]], sign: str, state: str) -> str:
    """Return a folded table of checks with the same state, or an empty string if there are none."""
    if not checks:
        return ""
    count = "1 check" if len(checks) == 1 else f"{len(checks)} checks"
    return (
        f"<details><summary>{sign} {count} {state}</summary><table><tbody>{_rows(checks, [])}</tbody></table></details>"
    )


def _next(verdict: dict[str, Any]) -> str:
    """Return a link to the next workspace once all required checks are green, otherwise an empty string."""
    if any(check["state"] != "passed" for check in verdict["checks"]):
        return ""
    step = following(find_step(verdict["step"]))
    if step is None:
        return "<p>That was the last step.</p>"
    # The link is relative to the notebook.
    return f'<p>Next: <a href="{WORKSPACES}/{step.name}.jupyterlab-workspace">the workspace of {step.name}</a></p>'


def _rows(checks: list[dict[str, Any]], explanation: list[list[str]]) -> str:
    """Return the rows of a table for these checks, with the explanation below the first failure."""
    rows = ""
    for check in checks:
        rows += (
            f"<tr><td {SHORT}>{MARKS[check['state']]}</td><td>{check['number']}</td>"
            f"<td {LEFT}>{html.escape(check['title'])}</td></tr>"
        )
        if check["state"] == "failed" and explanation:
            lines = "".join(
                f"<tr><th {SHORT}>{html.escape(label)}</th>"
                f'<td {LEFT}><code style="white-space:pre-wrap">{html.escape(text)}</code></td></tr>'
                for label, text in explanation
            )
            rows += f"<tr><td></td><td></td><td {LEFT}><table>{lines}</table></td></tr>"
            explanation = []
    return rows


def as_text(verdict: dict[str, Any], note: str) -> str:
    """Return the card as text, as the terminal prints it."""
    return f"{verdict['text']}\n{note}"


def hints_for(step: Step, verdict: dict[str, Any]) -> str:
    """Return the hints for the first failure in Markdown, or an empty string.

    Args:
        step: the step that was judged.
        verdict: the verdict of the checks.
    """
    failed = [check for check in verdict["checks"] if check["state"] == "failed"]
    # Explain only the first failure of the hard cases.
    hard = [check for check in (verdict.get("hard") or {}).get("checks", []) if check["state"] == "failed"]
    return "\n\n".join(hints(step, check["number"]) for check in failed or hard[:1])


def folded_solution(solution: Comparison) -> str:
    """Return the worked solution in Markdown, to be opened with a click.

    Args:
        solution: the worked solution, and its difference from the learner's answer.
    """
    return f"<details><summary>The worked solution</summary>\n\n{solution._repr_markdown_()}\n\n</details>"


def hints(step: Step, number: int) -> str:
    """Return the hints for a TODO from the step's notebook, or an empty string if there are none.

    Args:
        step: the step.
        number: the number of the TODO.
    """
    try:
        cells = json.loads(step.notebook.read_text("utf-8"))["cells"]
    except (OSError, ValueError, KeyError):
        return ""
    text = "\n".join("".join(cell["source"]) for cell in cells)
    ladder = rf"<details><summary>TODO {number}: hint 1</summary>.*?</details></details></details>"
    found = re.search(ladder, text, re.DOTALL)
    return found[0] if found else ""


def steps_so_far() -> str:
    """Return one line with the last verdict on each step that was judged, such as `01 ✓ · 02 3 of 6`."""
    parts = []
    for name, verdict in sorted(last_verdicts().items()):
        parts.append(f"{name[:2]} {'✓' if is_done(verdict) else verdict}")
    return " · ".join(parts)


def overview(verdicts: dict[str, dict[str, Any]]) -> str:
    """Return an HTML table with a row for each step: its checks, what is next, and your guesses.

    Args:
        verdicts: the verdicts so far, by the step's folder name.
    """
    rows = ""
    for step in steps():
        count, following = "", "waiting"
        if verdict := verdicts.get(step.name):
            count = "" if verdict["running"] else verdict["text"].splitlines()[0].split("  ")[-1].strip()
            following = "judging" if verdict["running"] else "✓ done"
            if hard := verdict.get("hard"):
                following += f", {hard['count']}"
            for check in verdict["checks"]:
                if check["state"] == "failed":
                    following = f"next: {check['number']} {check['title']}"
        link = f'<a href="{step.name}.ipynb">{step.name}</a>'
        rows += (
            f"<tr><td {SHORT}>{link}</td><td {SHORT}>{count}</td><td {LEFT}>{html.escape(following)}</td>"
            f"<td {SHORT}>{tally(step)}</td></tr>"
        )
    return f"<table><tbody>{rows}</tbody></table>"
