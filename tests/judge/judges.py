"""The judge of an answer: a server is judged by clients, and a test suite by servers."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from workshop.course import Step

from .judge import Judge
from .model import Verdict
from .suites.judge import SuiteJudge


def judge_of(
    step: Step,
    folder: Path,
    *,
    through: Collection[str] = (),
    seed: int | None = None,
    on_progress: Callable[[Verdict], object] = lambda verdict: None,
    **server: Any,
) -> Judge | SuiteJudge:
    """Return the judge of an answer to a step.

    Args:
        step: the step that the answer belongs to.
        folder: the folder of the answer.
        through: names of checks; those after the last of them don't run. By default, all run.
        seed: the seed of the run; by default, a random one.
        on_progress: called with each incomplete verdict.
        server: more arguments of `Judge`, which a suite doesn't need.
    """
    if step.is_suite:
        return SuiteJudge(step, folder, through=through, seed=seed, on_progress=on_progress)
    return Judge(step, folder, through=through, seed=seed, on_progress=on_progress, **server)
