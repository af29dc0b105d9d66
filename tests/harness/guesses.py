"""Check the predictions: the tests of a lesson pass their own figures to the questions of its notebook."""

from typing import Any

from workshop.predictions import find_question


def assert_right(name: str, measured: Any) -> None:
    """Assert that a run confirms the choice that the question marks as right.

    Args:
        name: the name of the question, such as `07.1`.
        measured: the figure of a run, as the notebook passes it to `reveal`.

    Raises:
        AssertionError: another choice fits, or none.
    """
    question = find_question(name)
    outcome = question.outcome(measured)
    assert outcome and outcome.letter == question.right, f"{name}: {measured!r} makes {outcome} right"
