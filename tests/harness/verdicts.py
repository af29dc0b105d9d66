"""The count of a step's checks, as a verdict shows it."""

import importlib

from judge.model import Check, checks_of
from workshop.course import find_step


def checks(step: int, *, hard: bool = False) -> list[Check]:
    """Return the required checks of a step, or its hard cases."""
    suite = importlib.import_module(f"checks.test_{find_step(step).name}").TestExercise
    return [check for check in checks_of(suite) if check.hard == hard]


def red(step: int) -> str:
    """Return the count of a verdict on the starter code of a step, such as `0 of 6 checks`."""
    return f"0 of {len(checks(step))} checks"


def green(step: int) -> str:
    """Return the count of a verdict on the worked solution of a step, such as `6 of 6 checks`."""
    return f"{len(checks(step))} of {len(checks(step))} checks"
