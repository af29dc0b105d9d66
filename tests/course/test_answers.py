"""The checks accept every right answer, refuse every wrong one, and name the mistake."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.answers import Answer, answers
from judge.judge import Judge

pytestmark = pytest.mark.thorough("right and wrong answers")
SHORT = 1.2
"""Seconds that an answer gets at first: several are judged at a time here. See `Judge`."""


@pytest.fixture(scope="module", autouse=True)
def few_objects() -> Iterator[None]:
    """Keep what was there before out of each collection, which takes a tenth of a second otherwise."""
    gc.freeze()
    yield
    gc.unfreeze()


def parameter(number: int, answer: Answer) -> object:
    """An answer with its name, and with a group of which one test runs at a time if it takes many processes."""
    marks = [pytest.mark.xdist_group(f"scale out {number % 2}")] if answer.step.number == 9 else []
    return pytest.param(answer, id=f"{answer.step.name}-{answer.path.stem}", marks=marks)


@pytest.mark.parametrize("answer", [parameter(number, answer) for number, answer in enumerate(answers())])
def test_answer(answer: Answer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A right answer passes; a wrong one is refused by a check it names, with the phrase it names."""
    answer.put_into(tmp_path)
    through = () if answer.right else answer.refused_by
    verdict = Judge(answer.step, tmp_path, short=SHORT, through=through).run()
    # asyncio logs an exception that nothing has asked for when its task is collected.
    gc.collect()
    own = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert not own, f"the judge prints something of its own:\n{own}"
    if answer.right:
        assert verdict.failed is None, f"this answer is right and must pass:\n{verdict}"
        return
    assert verdict.failed is not None, "this answer is wrong and must be refused"
    refused_by = " or ".join(answer.refused_by)
    assert verdict.failed.name in answer.refused_by, f"it must be refused by {refused_by}:\n{verdict}"
    assert answer.claim("Says") in str(verdict), f"the message must contain {answer.claim('Says')!r}:\n{verdict}"
