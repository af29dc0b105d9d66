"""Run the checks of a step against an answer.

First, all required checks run side by side against one server, with short timeouts: a right answer passes in about a
second. If one fails, or the log has a traceback, the checks run one by one. Each gets a fresh server and the timeouts
that the exercise states, so nothing else affects the first failure. If all of them pass alone, they run side by side
again, with longer timeouts, and that run decides: some mistakes need the other checks' clients. In that run, a step may
limit the number of checks that run at a time.

When all required checks are green, the hard cases run.
"""

import asyncio
import importlib
import random
import sys
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from workshop.course import Step
from workshop.server import Server, StartupError

from . import conversation
from .misplaced import misplaced
from .model import Check, Explanation, Failure, HardCases, Verdict, checks_of
from .slowness import slowness
from .subject import Subject
from .symptoms import Trouble, meaning_of, printed_in, telling, troubles_in
from .tasks import spawn, stop

PATIENT = 2.0
"""Seconds to wait for an answer, by default. The exercises require one within a second."""
AGAIN = 2
"""Factor for the timeouts when the checks run side by side again."""
SOON = 0.12
"""Seconds that the other checks wait for those that pause. A check may fail before it pauses."""
LONGEST = 40.0
"""Seconds; the time limit of one check, on a machine that isn't slow."""
SEEDS = 10_000
"""Number of seeds: 0 to 9999."""
ENDED = "Your code calls sys.exit() or exit(), which ends the server with all its connections. Remove the call."
KILLED = "The server's process was killed, with all its connections."
BLOCKED = (
    "Your code blocks the event loop for a while, so all clients wait: with time.sleep, or with another call that "
    "takes long. Use await asyncio.sleep(), and await asyncio.to_thread() for the other call."
)
SPINNING = (
    "A loop in your code runs without waiting, so it blocks the event loop, and clients are no longer served. "
    "Wait in it with an await, for a message or with queue.get(), and leave it when its client disconnects."
)
LEAVING = "The log holds a traceback after a client has disconnected, which isn't an error."
STARTS = Check(0, "starts under uvicorn", "starts", None, False)


def start(step: Step, folder: Path) -> Server:
    """Start an answer as a learner does in a terminal, on a free port."""
    return Server(step.target("exercise"), folder)


class Judge:
    """A judge of one answer.

    Args:
        step: the step that the answer belongs to.
        folder: the folder of the answer.
        first: a running server of that answer; by default, a new one.
        short: seconds to wait for an answer while the checks run side by side. A learner needs the
            verdict soon; a machine that judges many answers at the same time needs longer.
        patient: seconds to wait for an answer when a check runs alone. A slow machine gets up to twice as long for
            this, for `short` and for a check; see `slowness.py`.
        spare: whether to start a second server immediately, for a check that may have to run alone.
        through: names of checks; those after the last of them don't run. The first failure doesn't depend on later
            checks, so this is enough for an answer that's known to fail. By default, all run.
        seed: the seed for the values that the checks draw from their pools; by default, a random one.
        on_progress: called with an incomplete verdict whenever another check has passed, and with the green verdict
            before the hard cases run.
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
        seed: int | None = None,
        on_progress: Callable[[Verdict], object] = lambda verdict: None,
    ) -> None:
        self.step = step
        self.folder = folder
        self.seed = random.randrange(SEEDS) if seed is None else seed
        self._short = short
        self._patient = patient
        self._wants_spare = spare
        self._through = through
        self._spare: Server | None = None
        self._on_progress = on_progress
        self._leaving = 0
        self._most_at_once = sys.maxsize
        self._slowness = 1.0
        self._first = first or start(step, folder)

    def run(self) -> Verdict:
        """Run the checks of the step and return the verdict. All servers have ended by then."""
        return asyncio.run(self.judge())

    async def judge(self) -> Verdict:
        """Do the same in a running event loop. The task may be canceled."""
        try:
            suite = importlib.import_module(f"checks.test_{self.step.name}").TestExercise
            # A step whose checks start many processes needs longer timeouts.
            least = getattr(suite, "least_patience", 0.0)
            self._short, self._patient = max(self._short, least), max(self._patient, least)
            self._leaving = getattr(suite, "leaving", 0)
            # Many servers that start together delay each other, and a check may count what comes in a time.
            self._most_at_once = getattr(suite, "most_at_once", sys.maxsize)
            checks = checks_of(suite)
            last = max((place for place, check in enumerate(checks) if check.name in self._through), default=-1)
            # Don't cut: any check may detect an error that a disconnect causes.
            is_cut = last >= 0 and not any(
                check.name in self._through and check.number == self._leaving for check in checks
            )
            chosen = checks[: last + 1] if is_cut else checks
            required = [check for check in chosen if not check.hard]
            verdict = await self._judge(required)
            hard = [check for check in chosen if check.hard]
            if not verdict.passed or not hard:
                return verdict
            verdict = replace(verdict, hard=HardCases(hard))
            self._on_progress(verdict)
            return replace(verdict, hard=HardCases(hard, await self._judge_hard(hard)))
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
        if failed := await self._in_order(checks, first):
            return Verdict(self.step.name, checks, *failed)
        # Each check passed alone, and one failed side by side: either the machine was busy, or the mistake shows only
        # with other clients.
        failed, left = await self._together(checks, AGAIN * self._patient)
        first_failed = failed[0] if failed else left
        return Verdict(self.step.name, checks, *first_failed) if first_failed else Verdict(self.step.name, checks)

    async def _in_order(self, checks: list[Check], first: int) -> tuple[Check, Explanation] | None:
        """Run checks alone until one fails, starting with the one that failed side by side.

        The checks before it run last: they passed, but one of them may have left a traceback in the log.

        Returns:
            The check that the failure belongs to, and its explanation; None if all passed.
        """
        in_order = list(enumerate(checks))
        later: dict[int, Explanation] = {}
        for position, check in in_order[first:] + in_order[:first]:
            self._on_progress(Verdict(self.step.name, checks, reached=position))
            number, explanation, is_final = await self._alone(check)
            if explanation and number == check.number:
                return check, explanation
            if explanation and number < check.number:
                # The checks of that TODO have passed, but this one shows that its code is wrong.
                return next((each for each in reversed(checks) if each.number <= number), check), explanation
            if is_final:
                return next((each for each in checks if each.number >= number), checks[-1]), explanation
            if explanation:
                later.setdefault(number, explanation)
            elif check.number in later:
                return check, later[check.number]
        for number, explanation in later.items():
            # The check of that TODO ran before, and passed.
            return next((check for check in checks if check.number >= number), checks[-1]), explanation
        return None

    async def _judge_hard(self, checks: list[Check]) -> dict[str, Explanation]:
        """Run the hard cases, and return the explanations of those that fail, by the name of the check."""
        together, left = await self._together(checks, self._patient)
        failed = {}
        for check in checks:
            explanation = next((explanation for each, explanation in together if each is check), None)
            # Run all of them alone after a traceback: any of them may have caused it.
            if explanation or left:
                _, alone, _ = await self._alone(check)
                explanation = alone or explanation
            if explanation:
                failed[check.name] = explanation
        return failed

    async def _together(
        self, checks: list[Check], patience: float
    ) -> tuple[list[tuple[Check, Explanation]], tuple[Check, Explanation] | None]:
        """Run all checks side by side against a fresh server.

        Returns:
            The checks that fail, with their explanations; and a check with the explanation of a traceback in the log,
            or None.
        """
        server = start(self.step, self.folder)
        try:
            await asyncio.to_thread(server.wait_until_ready)
        except StartupError as error:
            return [(checks[0], [("I got", str(error))])], None
        subject = self._subject(server, patience)
        free = asyncio.Semaphore(self._most_at_once)

        async def run(check: Check) -> tuple[Failure | None, conversation.Conversation]:
            async with free:
                return await self._run(check, subject)

        try:
            results = await asyncio.gather(*(run(check) for check in checks))
            log = await subject.settle()
            failed = [
                (check, self._explain(check, failure, log, subject, talk))
                for check, (failure, talk) in zip(checks, results, strict=True)
                if failure
            ]
            if (trouble := self._unquiet(log)) is None:
                return failed, None
            number = self._leaving if trouble.about_leaving else 0
            check = next((each for each in checks if each.quiet and each.number >= number), checks[0])
            talk = conversation.Conversation()
            return failed, (check, self._explain(check, self._traceback(trouble), log, subject, talk))
        finally:
            await subject.close()
            await asyncio.to_thread(server.kill)

    def _subject(self, server: Server, patience: float) -> Subject:
        self._slowness = slowness()
        return Subject(server, patience * self._slowness, self.folder)

    async def _run(
        self, check: Check, subject: Subject, on_pause: asyncio.Event | None = None
    ) -> tuple[Failure | None, conversation.Conversation]:
        talk = conversation.begin(check.name, self.seed, on_pause)
        try:
            await _bounded(check, subject, LONGEST * self._slowness)
        except Failure as failure:
            return failure, talk
        return None, talk

    async def _side_by_side(self, checks: list[Check]) -> int | None:
        """Return the position of the first check to run alone, or None if all pass."""
        subject = self._subject(self._first, self._short)
        # Start the checks that pause first, so the others run during the pauses.
        pausing = {check.name: asyncio.Event() for check in checks if check.pauses}
        early = {check.name: spawn(self._run(check, subject, pausing[check.name])) for check in checks if check.pauses}
        paused = [spawn(event.wait()) for event in pausing.values()]
        if paused:
            await asyncio.wait(paused, timeout=SOON)
            await stop(*paused)
        tasks = [early.get(check.name) or spawn(self._run(check, subject)) for check in checks]
        try:
            pending = set(tasks)
            reached = 0
            while pending:
                _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for place, task in enumerate(tasks):
                    if not task.done():
                        break
                    if task.exception() or task.result()[0]:
                        return place
                    reached = place + 1
                self._on_progress(Verdict(self.step.name, checks, reached=reached))
            return 0 if self._unquiet(await subject.settle()) else None
        finally:
            for task in tasks:
                task.cancel()
            # Close the server first: this ends the clients' connections, so no client waits.
            await subject.close()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _alone(self, check: Check) -> tuple[int, Explanation, bool]:
        """Run a check against a fresh server.

        Returns:
            The number of the TODO that the failure belongs to; its explanation, empty if the check passes; and whether
            the failure is final, because the server hangs or has ended.
        """
        server, self._spare = self._spare or start(self.step, self.folder), None
        try:
            await asyncio.to_thread(server.wait_until_ready)
            subject = self._subject(server, self._patient)
            try:
                failure, talk = await self._run(check, subject)
                log = await subject.settle()
                if failure is None and check.quiet and (trouble := self._unquiet(log)):
                    failure = self._traceback(trouble)
                if failure is None:
                    return check.number, [], False
                if subject.hung and self._leaving and any(client.ended for client in talk.clients):
                    failure.number = self._leaving
                explanation = self._explain(check, failure, log, subject, talk)
                return failure.number or check.number, explanation, subject.hung
            finally:
                await subject.close()
        except StartupError as error:
            return check.number, [("I got", str(error))], True
        finally:
            await asyncio.to_thread(server.kill)

    def _unquiet(self, log: str) -> Trouble | None:
        """Return the error in the log that fails a check whose clients do nothing wrong, or None."""
        troubles = troubles_in(log, self.folder)
        return telling([trouble for trouble in troubles if trouble.about_leaving or not trouble.caught])

    def _traceback(self, trouble: Trouble) -> Failure:
        return Failure(
            got=f"{trouble.error} in the server's log",
            expect="a log without tracebacks",
            likely=LEAVING if trouble.about_leaving else "",
            broken=True,
            number=self._leaving or None if trouble.about_leaving else None,
        )

    def _explain(
        self, check: Check, failure: Failure, log: str, subject: Subject, talk: conversation.Conversation
    ) -> Explanation:
        got, likely, places = failure.got, failure.likely, ""
        trouble = telling(troubles_in(log, self.folder))
        # After a wrong message, an uncaught disconnect in the log doesn't explain the failure.
        if trouble and (failure.broken or not trouble.about_leaving):
            meaning = meaning_of(trouble, failure.sent or talk.last_sent)
            places = trouble.where or ""
            # A coroutine that never ran, or a disconnect taken for a message, explains an answer that's wrong, too.
            if (failure.broken or trouble.never_ran or trouble.raw_message) and not failure.certain:
                raised = f"Your code raised {trouble.error} in the line below, so it never sent an answer."
                likely = meaning or (raised if trouble.places else likely)
        if (code := subject.server.exit_code) is not None:
            got += f"; the server ended, exit code {code}"
            likely = KILLED if code < 0 else ENDED
        elif not failure.closed and not failure.certain and subject.hung:
            likely = SPINNING if subject.spinning else BLOCKED
        elif not failure.closed and failure.broken and subject.blocked and not (trouble and trouble.explains):
            # An error explains the failure, even if a busy machine makes the server look blocked.
            likely = BLOCKED
        name, number = self.step.name, failure.number or check.number
        lines = [
            ("I sent", failure.sent),
            ("After", failure.after),
            ("I got", got),
            ("I expect", failure.expect),
            ("Passed", failure.passed),
            # Before the cause: an answer in another file explains more than the starter code does.
            ("Misplaced", misplaced(self.step, self.folder)),
            ("Likely", likely),
            ("Server", places),
            ("Printed", "\n".join(printed_in(log))),
            ("Hint", f"notebook {name[:2]}, Make, TODO {number}"),
            ("Seed", talk.drew and f"pytest --exercise {self.step.number} --seed {self.seed} sends the same again"),
        ]
        return [(label, text) for label, text in lines if text]

    def _no_start(self, checks: list[Check], error: StartupError) -> Verdict:
        lines = [("I got", str(error)), ("I expect", f"uvicorn {self.step.target('exercise')} takes connections")]
        trouble = telling(troubles_in("\n".join(self._first.log), self.folder))
        if trouble and (meaning := meaning_of(trouble)):
            lines.append(("Likely", meaning))
        if place := misplaced(self.step, self.folder):
            lines.append(("Misplaced", place))
        return Verdict(self.step.name, [STARTS, *checks], STARTS, lines)


async def _bounded(check: Check, subject: Subject, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds) as limit:
            await check.run(subject)
    except Failure:
        raise
    except TimeoutError:
        if not limit.expired():
            raise Failure(
                got=f"the server read nothing for {subject.patience:g} s",
                expect="an answer within 1 s each time",
                likely="Your endpoint waits for something else than its client. Receive and answer in one loop.",
                broken=True,
            ) from None
        raise Failure(
            got=f"no end of this check within {seconds:g} s",
            expect="an answer within 1 s each time",
            likely="Your code waits without a limit, or sends without end.",
            broken=True,
        ) from None
    except Exception as error:
        # Catch everything: no answer may crash the checks, whatever it sends.
        raise Failure(
            got=f"{type(error).__name__}: {error}",
            expect="a conversation as the exercise describes it",
            likely="The server sends something that a WebSocket client can't read.",
            broken=True,
        ) from error
