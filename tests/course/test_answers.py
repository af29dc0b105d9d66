"""The checks accept every right answer, and reject every wrong one with a failure that names the mistake."""

import gc
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.answers import Answer, answers
from judge.judges import judge_of
from judge.model import Verdict, checks_of

pytestmark = pytest.mark.thorough("right and wrong answers")


@pytest.fixture(scope="module", autouse=True)
def few_objects() -> Iterator[None]:
    """Exclude the existing objects from each garbage collection, which would otherwise take a tenth of a second."""
    gc.freeze()
    yield
    gc.unfreeze()


GROUPS = {
    6: "many hashes",
    9: "many processes",
    10: "many processes",
    11: "many processes",
    12: "suites",
    13: "many samples",
}
"""By the number of the step: the name of a group whose answers are judged one at a time."""


def each(wanted: list[Answer]) -> pytest.MarkDecorator:
    """Parametrize a test over these answers; see `GROUPS`."""
    parameters = []
    for answer in wanted:
        group = GROUPS.get(answer.step.number)
        marks = [pytest.mark.xdist_group(group)] if group else []
        parameters.append(pytest.param(answer, id=f"{answer.step.name}-{answer.path.stem}", marks=marks))
    return pytest.mark.parametrize("answer", parameters)


def verdict_on(answer: Answer, folder: Path, caplog: pytest.LogCaptureFixture) -> Verdict:
    """Judge an answer, and fail if the judge itself logs an error.

    Args:
        answer: the answer.
        folder: an empty folder for its files.
        caplog: pytest's fixture for the log of this process.
    """
    answer.put_into(folder)
    through = answer.refused_by + answer.hard_cases
    if answer.right and answer.step.is_suite:
        # The hard cases of a suite go beyond the promises of the server, so a right suite may miss them.
        checks = checks_of(importlib.import_module(f"checks.test_{answer.step.name}").TestExercise)
        through = [check.name for check in checks if not check.hard]
    verdict = judge_of(answer.step, folder, through=through).run()
    # When an unretrieved exception's task is collected, asyncio logs the exception.
    gc.collect()
    own = [record for record in caplog.records if record.levelname == "ERROR"]
    assert not own, f"the judge itself logs an error:\n{caplog.text}"
    return verdict


def message_of(verdict: Verdict) -> str:
    """Return the explanation of a verdict's first failure, without the titles of the checks, which it always prints."""
    explanation = verdict.explanation if verdict.failed or not verdict.hard else verdict.hard.explanation
    return "\n".join(f"{label:<9}{text}" for label, text in explanation)


@each(answers())
def test_answer(answer: Answer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A right answer passes. A wrong one is rejected by the check and with the phrase that its header names."""
    verdict = verdict_on(answer, tmp_path, caplog)
    hard = verdict.hard.first_failed if verdict.hard else None
    if answer.right:
        assert verdict.failed is None, f"this answer is right and must pass:\n{verdict}"
        assert hard is None, f"this answer is right and must pass the hard cases:\n{verdict.hard}"
        return
    if answer.hard_cases:
        assert verdict.failed is None, f"only a hard case may reject this answer:\n{verdict}"
        assert hard is not None, f"a hard case must reject this answer:\n{verdict.hard}"
        assert hard.name in answer.hard_cases, f"it must be rejected by {answer.claim('Hard case')}:\n{verdict.hard}"
        message = message_of(verdict)
        assert answer.claim("Says") in message, f"the message must contain {answer.claim('Says')!r}:\n{verdict.hard}"
        return
    assert verdict.failed is not None, "this answer is wrong and must be rejected: check the sentence that it breaks"
    refused_by = " or ".join(answer.refused_by)
    assert verdict.failed.name in answer.refused_by, f"it must be rejected by {refused_by}:\n{verdict}"
    assert answer.claim("Says") in message_of(verdict), f"the message must contain {answer.claim('Says')!r}:\n{verdict}"
