"""Judge an answer again whenever its files are saved."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from watchfiles import PythonFilter, awatch
from workshop.course import Step
from workshop.server import Server

from .judge import Judge
from .model import Verdict
from .tasks import spawn

SHORT = 0.5
"""Seconds that an answer gets at first, while the checks run side by side."""
PATIENT = 1.2
"""Seconds that a check waits when it runs alone: a little more than the second that the exercises promise."""
PAUSE = 50
"""Milliseconds without another change after which a save counts as complete."""


class Saves(PythonFilter):
    """Lets through the Python files of an answer, and not the copies that JupyterLab keeps of them."""

    ignore_dirs = (*PythonFilter.ignore_dirs, ".ipynb_checkpoints")


async def watch(step: Step, first: Server, show: Callable[[Verdict], object]) -> None:
    """Judge the reader's answer, and again after each save, until this is cancelled.

    Args:
        step: the step whose folder is watched.
        first: a server of the answer that was started before.
        show: is given every verdict, also those that are not complete yet.
    """

    async def once(server: Server | None = None) -> None:
        judge = Judge(step, step.folder, server, short=SHORT, patient=PATIENT, spare=True, on_progress=show)
        show(await judge.judge())

    judging = spawn(once(first))
    try:
        async for _ in saves(step.folder):
            await ended(judging)
            judging = spawn(once())
    finally:
        await ended(judging)


async def saves(folder: Path) -> AsyncIterator[object]:
    """An item whenever Python files in this folder have been saved."""
    try:
        async for changes in awatch(folder, watch_filter=Saves(), step=PAUSE):
            yield changes
    except OSError:
        # The system has no watch left to give, or the file system cannot be watched.
        async for changes in awatch(folder, watch_filter=Saves(), step=PAUSE, force_polling=True):
            yield changes


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it has cleaned up; raise what went wrong in it."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
