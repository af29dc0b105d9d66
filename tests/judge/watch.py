"""Judge an answer whenever its files are saved."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from watchfiles import PythonFilter, awatch
from workshop.course import CHECKPOINTS, Step
from workshop.server import Server

from .judges import judge_of
from .model import Verdict
from .tasks import spawn

SHORT = 0.5
"""Seconds to wait for an answer at first, while the checks run side by side."""
PATIENT = 1.2
"""Seconds to wait for an answer when a check runs alone: a little more than the second that the exercises allow."""
PAUSE = 50
"""Milliseconds without another change after which a save is complete."""


class Saves(PythonFilter):
    """A filter for the Python files of an answer, without JupyterLab's copies of them."""

    ignore_dirs = (*PythonFilter.ignore_dirs, CHECKPOINTS)


async def watch(step: Step, first: Server | None, show: Callable[[Verdict], object]) -> None:
    """Judge the learner's answer now and after each save, until this task is canceled.

    Args:
        step: the step whose folder to watch.
        first: a running server of the answer; None if it's a test suite.
        show: called with each verdict, including incomplete ones.
    """

    async def once(server: Server | None = None) -> None:
        judge = judge_of(step, step.folder, first=server, short=SHORT, patient=PATIENT, spare=True, on_progress=show)
        show(await judge.judge())

    judging = spawn(once(first))
    try:
        async for _ in saves(step.folder):
            await ended(judging)
            judging = spawn(once())
    finally:
        await ended(judging)


async def saves(folder: Path) -> AsyncIterator[object]:
    """Yield an item whenever Python files in this folder have been saved."""
    try:
        async for changes in awatch(folder, watch_filter=Saves(), step=PAUSE):
            yield changes
    except OSError:
        # Poll: the system's limit of watches is reached, or the file system doesn't support them.
        async for changes in awatch(folder, watch_filter=Saves(), step=PAUSE, force_polling=True):
            yield changes


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it has cleaned up. Raise its exception, if it has one."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
