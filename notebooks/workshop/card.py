"""Views of a verdict in a notebook: the checks, the first failure, its hints, and an overview of all steps."""

import html
import json
import re
from typing import Any

from .comparing import compare
from .course import Step, steps
from .predictions import tally

# JupyterLab aligns the cells of a table to the right, and wraps the lines of narrow ones.
LEFT = 'style="text-align:left"'
SHORT = 'style="text-align:left;white-space:nowrap"'
MARKS = {"passed": "✓ passed", "failed": "✗ failed", "running": "▸ running", "not run": "· not run"}


def as_html(verdict: dict[str, Any], note: str) -> str:
    """Return the card of a verdict in HTML.

    Args:
        verdict: the verdict of the checks; see `Verdict.as_dict` in tests/judge/model.py.
        note: one sentence below the table.
    """
    rows = _rows(verdict["checks"], verdict["explanation"])
    if hard := verdict.get("hard"):
        rows += f"<tr><th {LEFT} colspan=3>Hard cases, once all is green: {html.escape(hard['count'])}</th></tr>"
        rows += _rows(hard["checks"], hard["explanation"])
    # The first line of the text is the heading: the step, a gap, the count.
    heading = re.sub(r" {2,}", ": ", verdict["text"].splitlines()[0])
    return (
        f'<p role="status"><strong>{html.escape(heading)}</strong></p><table><tbody>{rows}</tbody></table>'
        f"<p>{html.escape(note)}</p>"
    )


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


def help_for(step: Step, verdict: dict[str, Any], offer: bool) -> str:
    """Return the help below the card in Markdown: the hints for the first failure, and the worked solution if offered.

    Args:
        step: the step that was judged.
        verdict: the verdict of the checks.
        offer: whether to offer the solution.
    """
    failed = [check for check in verdict["checks"] if check["state"] == "failed"]
    # Explain only the first failure of the hard cases.
    hard = [check for check in (verdict.get("hard") or {}).get("checks", []) if check["state"] == "failed"]
    parts = [hints(step, check["number"]) for check in failed or hard[:1]]
    if offer:
        worked = compare(step.name)
        key = "`-` marks your lines, `+` the solution's.\n\n" if worked.text else ""
        parts.append(
            "<details><summary>The worked solution next to your code</summary>\n\n"
            f"{key}{worked._repr_markdown_()}\n\n</details>"
        )
    return "\n\n".join(part for part in parts if part)


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
