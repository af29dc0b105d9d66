"""Run the checks of a step against an answer.

First all checks run side by side against one server, with short waits: a right answer passes in
about a second. When one fails, or the log holds a traceback, checks run one by one, each against a
fresh server and with the waits that the exercise promises. So no check suffers from another one,
a slow machine is no mistake, and the first failure is the right one to explain.
"""

import asyncio
import importlib
from collections.abc import Callable, Collection
from pathlib import Path

from workshop.course import Step
from workshop.server import Server, StartupError

from .model import Check, Failure, Verdict, checks_of
from .subject import Subject
from .symptoms import meaning_of, printed_in, telling, troubles_in
from .tasks import spawn

PATIENT = 2.0
"""Seconds to wait for an answer, by default. The exercises promise one within a second."""
LONGEST = 30.0
"""Seconds that one check may take in all."""
ENDED = "something calls sys.exit() or exit(), which ends the server for everybody"
BLOCKED = (
    "the server answers nobody any more: time.sleep, or a loop without an await, "
    "perhaps in the endpoint of a client that has left"
)
RAISED = "your code raised an error there, and what it was about to send never came: the next line says where"
STARTS = Check(0, "starts under uvicorn", "starts", None, False)


def start(step: Step, folder: Path) -> Server:
    """Start an answer the way a reader does in a terminal, on a port that is free."""
    return Server(step.target("exercise"), folder)


class Judge:
    """Judges one answer.

    Args:
        step: the step it answers.
        folder: the folder that holds the answer.
        first: a server of that answer which was started before; by default one is started now.
        short: seconds to wait for an answer while the checks run side by side. A reader wants the
            verdict soon; a machine that judges many answers at a time needs longer.
        patient: seconds to wait for an answer when a check runs alone.
        spare: whether a second server is started at once, for the check that may have to run alone.
        through: names of checks; those after the last of them don't run. Which check fails first doesn't depend on
            later ones, so this is enough for an answer that's known to fail. By default all run.
        on_progress: called with a verdict that is not complete yet whenever one more check has passed.
    """

    def __init__(
        self,
        step: Step,
        folder: Path,
        first: Server | None = None,
        *,
        short: float = PATIENT,
        patient: float = PATIENT,
        spare: bool = False,
        through: Collection[str] = (),
        on_progress: Callable[[Verdict], object] = lambda verdict: None,
    ) -> None:
        self.step = step
        self.folder = folder
        self._short = short
        self._patient = patient
        self._wants_spare = spare
        self._through = through
        self._spare: Server | None = None
        self._on_progress = on_progress
        self._first = first or start(step, folder)

    def run(self) -> Verdict:
        """Run the checks of the step and say what came of it. No server is left behind."""
        return asyncio.run(self.judge())

    async def judge(self) -> Verdict:
        """The same, in an event loop that runs already. It may be cancelled."""
        try:
            suite = importlib.import_module(f"checks.test_{self.step.name}").TestExercise
            # The checks of a step that take many processes ask for more.
            least = getattr(suite, "least_patience", 0.0)
            self._short, self._patient = max(self._short, least), max(self._patient, least)
            checks = checks_of(suite)
            last = max((place for place, check in enumerate(checks) if check.name in self._through), default=-1)
            return await self._judge(checks[: last + 1] or checks)
        finally:
            self._first.kill()
            if self._spare is not None:
                self._spare.kill()

    async def _judge(self, checks: list[Check]) -> Verdict:
        self._on_progress(Verdict(self.step.name, checks, reached=0))
        try:
            await asyncio.to_thread(self._first.wait_until_ready)
        except StartupError as error:
            return self._no_start(checks, error)
        if self._wants_spare:
            self._spare = start(self.step, self.folder)
        first = await self._side_by_side(checks)
        if first is None:
            return Verdict(self.step.name, checks)
        # The checks before it passed, but one of them may have left a traceback in the log. So they run alone as well
        # before an answer is accepted, and last, because what failed is the likelier mistake.
        in_order = list(enumerate(checks))
        for position, check in in_order[first:] + in_order[:first]:
            self._on_progress(Verdict(self.step.name, checks, reached=position))
            if explanation := await self._alone(check):
                return Verdict(self.step.name, checks, check, explanation)
        return Verdict(self.step.name, checks)

    async def _side_by_side(self, checks: list[Check]) -> int | None:
        """The place of the first check that needs a closer look, or None if all is well."""
        subject = Subject(self._first, self._short, self.folder)
        tasks = [spawn(_bounded(check, subject)) for check in checks]
        try:
            pending = set(tasks)
            reached = 0
            while pending:
                _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for place, task in enumerate(tasks):
                    if not task.done():
                        break
                    if task.exception():
                        return place
                    reached = place + 1
                self._on_progress(Verdict(self.step.name, checks, reached=reached))
            return 0 if "Traceback" in await subject.settle() else None
        finally:
            for task in tasks:
                task.cancel()
            # The server first: clients then find their connections ended, and wait for nothing.
            await subject.close()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _alone(self, check: Check) -> list[tuple[str, str]] | None:
        """The explanation of what this check finds, or None if it passes."""
        server, self._spare = self._spare or start(self.step, self.folder), None
        try:
            await asyncio.to_thread(server.wait_until_ready)
            subject = Subject(server, self._patient, self.folder)
            try:
                await _bounded(check, subject)
                log = await subject.settle()
                if check.quiet and "Traceback" in log:
                    raise Failure(
                        got="a traceback in the server's log",
                        expect="a log without tracebacks: a client that leaves is no error",
                        likely="an exception leaves the endpoint",
                        broken=True,
                    )
            except Failure as failure:
                log = await subject.settle()
                return self._explain(check, failure, log, subject)
            finally:
                await subject.close()
        except StartupError as error:
            return [("I got", str(error))]
        finally:
            await asyncio.to_thread(server.kill)
        return None

    def _explain(self, check: Check, failure: Failure, log: str, subject: Subject) -> list[tuple[str, str]]:
        got, likely, place = failure.got, failure.likely, None
        trouble = telling(troubles_in(log, self.folder))
        # When a wrong answer came, a client that left without a catch explains nothing.
        if trouble and (failure.broken or not trouble.about_leaving):
            place = trouble.where
            likely = meaning_of(trouble, failure.sent) or (RAISED if place and failure.broken else likely)
        if failure.broken:
            if (code := subject.server.exit_code) is not None:
                got += f"; the server ended, exit code {code}"
                likely = "the server's process was killed, with all clients" if code < 0 else ENDED
            elif subject.blocked and not failure.closed:
                likely = BLOCKED
        lines = [
            ("I sent", failure.sent),
            ("After", failure.after),
            ("I got", got),
            ("I expect", failure.expect),
            ("Likely", likely),
            ("Server", place),
            ("Printed", "\n".join(printed_in(log))),
            ("Hint", f"notebook {self.step.number:02}, Make, TODO {check.number}"),
        ]
        return [(label, text) for label, text in lines if text]

    def _no_start(self, checks: list[Check], error: StartupError) -> Verdict:
        lines = [("I got", str(error)), ("I expect", f"uvicorn {self.step.target('exercise')} takes connections")]
        trouble = telling(troubles_in("\n".join(self._first.log), self.folder))
        if trouble and (meaning := meaning_of(trouble)):
            lines.append(("Likely", meaning))
        return Verdict(self.step.name, [STARTS, *checks], STARTS, lines)


async def _bounded(check: Check, subject: Subject) -> None:
    try:
        async with asyncio.timeout(LONGEST) as limit:
            await check.run(subject)
    except Failure:
        raise
    except TimeoutError:
        if not limit.expired():
            raise Failure(
                got=f"the server took nothing for {subject.patience:g} s",
                expect="an answer within 1 s each time",
                likely="the endpoint waits for something else than its client",
                broken=True,
            ) from None
        raise Failure(
            got=f"no end of this check within {LONGEST:g} s",
            expect="an answer within 1 s each time",
            likely="something waits for ever, or answers without end",
            broken=True,
        ) from None
    except Exception as error:
        # No answer may crash the checks, whatever it sends.
        raise Failure(
            got=f"{type(error).__name__}: {error}",
            expect="a conversation as the exercise describes it",
            likely="the server sends something that no WebSocket client can read",
            broken=True,
        ) from error
