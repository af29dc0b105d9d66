"""The last verdict on each of your answers, in `.verdicts.jsonl`, and the step to continue with."""

from .course import Step, steps
from .event_log import EventLog

VERDICTS = EventLog(".verdicts.jsonl")


def store(step: str, passed: int, count: int) -> None:
    """Store a verdict, unless it's the same as the last one on this step.

    Args:
        step: the step's folder name.
        passed: the number of required checks that passed.
        count: the number of required checks.
    """
    verdict = f"{passed} of {count}"
    if last_verdicts().get(step) != verdict:
        VERDICTS.append(step=step, verdict=verdict)


def last_verdicts() -> dict[str, str]:
    """Return the last verdict on each step, such as `3 of 6`, by the step's folder name."""
    return {event["step"]: event["verdict"] for event in VERDICTS.events() if {"step", "verdict"} <= event.keys()}


def is_done(verdict: str) -> bool:
    """Return whether all required checks passed.

    Args:
        verdict: a verdict such as `3 of 6`.
    """
    passed, _, count = verdict.partition(" of ")
    return passed == count


def current_step() -> Step:
    """Return the step to continue with: the one with the last verdict, or the one after it if that's green."""
    every = steps()
    names = [step.name for step in every]
    judged = [event["step"] for event in VERDICTS.events() if event.get("step") in names]
    if not judged:
        return every[0]
    place = names.index(judged[-1])
    if is_done(last_verdicts()[judged[-1]]):
        place = min(place + 1, len(every) - 1)
    return every[place]


def following(step: Step) -> Step | None:
    """Return the step after this one, or None after the last one.

    Args:
        step: a step.
    """
    every = steps()
    place = every.index(step) + 1
    return every[place] if place < len(every) else None
