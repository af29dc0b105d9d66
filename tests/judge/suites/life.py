"""The checks of TODO 1 to 3: how a suite starts its server, waits for it, and ends it."""

import asyncio
import re
import sys
import time
from dataclasses import replace
from typing import Any

from workshop.server import Server
from workshop.suites import Plan, Run, interrupt

from ..slowness import slowness
from ..tasks import spawn, stop
from .bench import RIGHT_WITHIN, Bench, ports_of
from .failures import SuiteFailure, end_of, first_failure, names, nothing_left
from .servers import TestServer

GIVEN = "right_given"
WITHIN = 10.0
"""Seconds for a run on the given server, and for one whose server doesn't start."""
AT_MOST = 5.0
"""Seconds for a run on the given server, if no test waits for silence."""
USUAL_START = 0.8
"""Seconds for the start of a server in a new Python while a run goes on."""
MOST_TIMES = 2.5
"""The largest factor for that limit on a busy machine."""
MOST_STARTS = 2
LONGEST = 30.0
"""Seconds after which a run on the given server is ended, or one that needs far less. Whether a run on the given server
is too long is decided with a control."""
SILENCE = (
    "A test sleeps, or waits for a message that must not arrive until its deadline is over. Prove silence with a "
    "fence: cause a later message, and check that it's the next one that arrives."
)
KOREAN = "두 번째 폴더"
WARNINGS = re.compile(
    r"^.*(?:ResourceWarning|Task was destroyed but it is pending|was never awaited|PytestUnraisableException|"
    r"PytestUnhandledThreadException|Exception ignored in|Unclosed|never retrieved).*$",
    re.MULTILINE,
)
KILL_WITHIN = 5.0
"""Seconds after which a server that ignores SIGTERM must be killed."""
MARGIN = 2.0
"""Seconds that a busy machine may need beyond a limit."""
PORT = "WORKSHOP_INTERRUPT"
"""The environment variable with the port to which a server connects when the run is to be interrupted."""
CONNECT = f"socket.create_connection(('127.0.0.1', int(os.environ['{PORT}']))).close()"
# uvicorn runs the lifespan after it has set its handlers for signals. Before that, an interrupt ends any server.
STARTING = f"import asyncio, os, socket\n    {CONNECT}\n    await asyncio.sleep(8)"
"""The line of a lifespan that lasts until long after the interrupt."""
WAITING = (
    "\n\nclass Waiting:\n    def __init__(self, app):\n        self.app = app\n\n"
    "    async def __call__(self, scope, receive, send):\n        if scope['type'] != 'websocket':\n"
    f"            return await self.app(scope, receive, send)\n        import os, socket\n        {CONNECT}\n"
    "        while (await receive())['type'] != 'websocket.disconnect':\n            pass\n\n\n"
    "app.add_middleware(Waiting)\n"
)
"""Code that leaves each handshake unanswered."""
INTERRUPTED_WITHIN = 20.0
"""Seconds for a run to end after an interrupt; one that hangs needs all of them."""
START = (
    "Start the server in a fixture: subprocess.Popen with sys.executable, -m uvicorn main:app --app-dir exercise. An "
    "application in the process of the tests, as TestClient runs it, hides what a real client sees."
)
ONCE = 'Give the fixture that starts the server scope="session", so that all tests use one server.'


def mutated(server: TestServer, name: str, *, first: str = "", startup: str = "") -> TestServer:
    """Return a server with more code at its beginning, or with a lifespan that runs a line before its `yield`."""
    docstring, _, rest = server.code.partition('"""\n')
    code = f'{docstring}"""\n{first}{rest}'
    if startup:
        lifespan = (
            "from contextlib import asynccontextmanager\nimport signal\n\n\n@asynccontextmanager\n"
            f"async def lifespan(app):\n    {startup}\n    yield\n"
        )
        code = code.replace("\napp = FastAPI()", f"\n{lifespan}\n\napp = FastAPI(lifespan=lifespan)", 1)
    return replace(server, name=name, code=code)


async def passes(bench: Bench) -> None:
    """Check that the suite starts the given server itself, at most twice, and passes on it."""
    run = await _strict(bench)
    if not run.passed:
        # Warnings are a matter of TODO 3.
        run = await bench.once("plain", bench.server(GIVEN), _plan(LONGEST), whole=True)
    bench.units = run.units
    ran = "your tests on the given server"
    expect = f"one server for all tests, at most {MOST_STARTS} in all, and every test passes within {WITHIN:g} s"
    if not run.starts and not run.broken and run.units:
        got = f"no process that runs uvicorn main:app. Without one, these ran: {names(run.units)}"
        raise SuiteFailure(ran=ran, got=got, expect=expect, likely=START)
    if len(run.starts) > MOST_STARTS:
        got = f"{len(run.starts)} servers started, for {len(run.units)} test functions"
        raise SuiteFailure(ran=ran, got=got, expect=expect, likely=ONCE)
    if not run.passed:
        raise first_failure(run, ran, expect)
    if run.seconds > WITHIN and (late := await _longer_than(bench, WITHIN)):
        raise SuiteFailure(ran=ran, got=f"an end after {late.seconds:.0f} s", expect=expect, likely=SILENCE)
    skipped = [each.test for each in run.ends if each.outcome == "skipped"]
    if skipped and len({each.test for each in run.ends if each.phase == "call"} - set(skipped)) == 0:
        raise SuiteFailure(ran=ran, got="every test is skipped", expect=expect)


async def passes_twice(bench: Bench) -> None:
    """Check that two runs at the same time pass, one of them in a folder with a space and Korean letters."""
    given = bench.server(GIVEN)
    ran = f"your tests twice at the same time, once in a folder called {KOREAN!r}"
    expect = "both runs pass, each with a server on a port of its own"
    # In random order, and in its reverse, so TODO 4 needs no more runs on this server.
    plan = replace(_plan(2 * WITHIN), seed=bench.seed)
    plans = [plan, replace(plan, reverse=True, folder=KOREAN)]
    one, other = await asyncio.gather(
        *(bench.once(f"twice {number}", given, plan) for number, plan in enumerate(plans))
    )
    if same := sorted(ports_of(one) & ports_of(other)):
        got = f"both runs start the server on port {same[0]}"
        likely = (
            "The port is fixed, so two runs disturb each other, and so does any other program that uses it. Let the "
            "system choose: --port 0, or bind a socket to port 0 first and pass its port."
        )
        raise SuiteFailure(ran=ran, got=got, expect=expect, likely=likely)
    for run, plan, name in ((one, plans[0], "alone"), (other, plans[1], "alone there")):
        if run.passed:
            continue
        again = await bench.once(f"twice, {name}", given, replace(plan, seed=None, reverse=False))
        if not again.passed:
            likely = (
                "A path of your fixture isn't right in this folder. Build it from Path(__file__), and don't use a "
                "shell."
            )
            where = f"your tests in a folder called {plan.folder!r}"
            raise first_failure(again, where, "every test passes", likely)
        if (await bench.once(f"twice, {name}, in the same order", given, plan)).passed:
            likely = "The runs share something: a port, a file or a folder. Use names that no other run has."
            raise first_failure(run, ran, expect, likely)
        # It fails because of the order of its tests, which is a matter of TODO 4.


async def reports_a_failed_start(bench: Bench) -> None:
    """Check that the run fails soon, and prints the server's last line, if the server doesn't start."""
    given = bench.server(GIVEN)
    # Not at random: the results are kept by the server's code.
    word = bench.contents.shared[:8]
    error = f'raise RuntimeError("no configuration {word}")\n'
    servers = {
        "raises an error at import": (
            mutated(given, "import_error", first=error),
            f"RuntimeError: no configuration {word}",
        ),
        # uvicorn's own last line.
        "raises an error in its lifespan": (
            mutated(given, "lifespan_error", startup=f"raise RuntimeError('no database {word}')"),
            "Application startup failed. Exiting.",
        ),
    }
    plan = _plan(WITHIN * slowness() + MARGIN)
    runs = await asyncio.gather(*(bench.once("start", server, plan, passes=False) for server, _ in servers.values()))
    for (what, (server, sign)), run in zip(servers.items(), runs, strict=True):
        if _hides_a_failed_start(run, what, sign):
            # On a busy machine, a fixture may end the server before it has failed: only a second time, alone, counts.
            again = await bench.run_alone(server, plan)
            if failure := _hides_a_failed_start(again, what, sign):
                raise failure


def _hides_a_failed_start(run: Run, what: str, sign: str) -> SuiteFailure | None:
    """Return what's wrong with a run on a server that doesn't start, or None."""
    ran = f"your tests on a server that {what}"
    expect = f"a run that fails within {WITHIN:g} s, and prints the last line of the server's log"
    if run.timed_out:
        likely = "Your fixture waits although the server's process has ended. Ask process.poll() in the loop."
        return SuiteFailure(ran=ran, got=f"no end within {WITHIN:g} s", expect=expect, likely=likely)
    if run.passed:
        likely = "Your fixture ignores that the server didn't start. Let it fail, with pytest.fail() or an exception."
        return SuiteFailure(ran=ran, got="a run that passes", expect=expect, likely=likely)
    if sign not in run.output:
        likely = (
            "Your fixture drops what the server prints, so the reason is lost. Store its output in a file, and put its "
            "last lines into the message of the failure."
        )
        got = f"a run that fails without the line {sign!r}"
        return SuiteFailure(ran=ran, got=got, expect=expect, likely=likely, printed=end_of(run))
    return None


async def waits_until_ready(bench: Bench) -> None:
    """Check that the suite waits for a server that's ready after 3 s, and that logs nothing."""
    server = bench.server("right_slow_start")
    async with bench.lock(server):
        # In random order, so TODO 4 needs only its reverse.
        plan = replace(_plan(RIGHT_WITHIN * slowness()), seed=bench.seed)
        run = await bench.once("slow start", server, plan)
        if not run.passed:
            # One test is enough to show whether it waits. The others are a matter of TODO 4.
            run = await bench.once(
                "slow start, one test", server, replace(plan, seed=None, units=await _starting_units(bench))
            )
    if not run.passed:
        ran = "a test of yours on a server that starts after 3 s and logs nothing"
        raise first_failure(run, ran, "the test passes", server.label("Granted"))


async def reads_the_log(bench: Bench) -> None:
    """Check that the suite passes on a server that logs 1 MB: half at its start, and half later."""
    half = 'import sys\n\nfor _ in range(500):\n    print("log " * 256, flush=True)\n'
    later = (
        "\n\nclass Loud:\n    def __init__(self, app):\n        self.app, self.quiet = app, False\n\n"
        "    async def __call__(self, scope, receive, send):\n"
        "        if scope['type'] in ('http', 'websocket') and not self.quiet:\n            self.quiet = True\n"
        '            for _ in range(500):\n                print("log " * 256, flush=True)\n'
        "        await self.app(scope, receive, send)\n\n\napp.add_middleware(Loud)\n"
    )
    loud = mutated(bench.server(GIVEN), "loud", first=half)
    loud = replace(loud, code=loud.code + later)
    run = await bench.once("loud", loud, _plan(2 * WITHIN))
    if not run.passed:
        likely = bench.server("right_chatty").label("Granted")
        raise first_failure(run, "your tests on a server that logs 1 MB", "every test passes", likely)


async def leaves_nothing(bench: Bench) -> None:
    """Check that a run that passes leaves no process, file, task or warning."""
    run = await _strict(bench)
    ran = "your tests as python -W error -m pytest -W error"
    expect = "every test passes, without warnings, and no process or file is left"
    nothing_left(run, ran)
    if found := WARNINGS.search(run.output):
        raise SuiteFailure(ran=ran, got=found[0].strip(), expect=expect, likely=_cause_of_warning(run.output))
    if not run.passed:
        raise first_failure(run, ran, expect)


async def leaves_nothing_on_failure(bench: Bench) -> None:
    """Check that a run leaves nothing if it ends at its first failure, or if a test fails that starts a server."""
    server = bench.server("broken_sigterm_ignored")
    # Lock it first: the check of TODO 8 needs the same results.
    async with bench.lock(server):
        plan = replace(_plan(60.0), arguments=("-x",))
        run = await bench.once("-x", bench.server("broken_sender_left_out"), plan, passes=False)
        nothing_left(run, "your tests with -x, on a server on which a test may fail")
        starters = (await _strict(bench)).starters
        # A server that isn't killed is a matter of its own check.
        if again := await bench.complete(server, [unit for unit in bench.units if unit in starters], LONGEST):
            likely = (
                "A test that starts a server of its own must end it in finally, or with a with statement, because its "
                "asserts may fail."
            )
            nothing_left(again, f"your tests that start a server, on a broken one: {server.what}", likely)


async def leaves_nothing_when_interrupted(bench: Bench) -> None:
    """Check that an interrupt leaves nothing, while the server starts and while a test waits."""
    if sys.platform == "win32":
        return
    given = bench.server(GIVEN)
    await _interrupted(bench, mutated(given, "starting", startup=STARTING), "while the server starts")
    await _interrupted(bench, replace(given, name="waiting", code=given.code + WAITING), "while a test waits")


async def kills_a_stubborn_server(bench: Bench) -> None:
    """Check that a server that ignores SIGTERM is killed within 5 s."""
    # Not at import: uvicorn sets its own handler after it has imported the application.
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    stubborn = mutated(bench.server(GIVEN), "stubborn", startup=ignore)
    plan = replace(_plan(30.0), units=await _starting_units(bench))
    run = await bench.once("stubborn", stubborn, plan)
    if _ends_late(run):
        run = await bench.run_alone(stubborn, plan)
    ran = "a test of yours on a server that ignores SIGTERM"
    expect = f"the server is killed, and the run ends, within {KILL_WITHIN:g} s"
    kill = (
        "Your fixture only sends SIGTERM. If process.wait(3) raises TimeoutExpired, call process.kill() and wait again."
    )
    nothing_left(run, ran, kill)
    if _ends_late(run):
        got = "no end of the run"
        if not run.timed_out:
            got = f"the run's end {run.seconds_after_call:.0f} s after its last test"
        likely = "Your fixture waits too long for the server's end, or without a limit. " + kill
        raise SuiteFailure(ran=ran, got=got, expect=expect, likely=likely)


def _ends_late(run: Run) -> bool:
    return run.timed_out or run.seconds_after_call > KILL_WITHIN * slowness() + MARGIN


async def ends_soon(bench: Bench) -> None:
    """Check that the run on the given server is short, because no test waits for silence."""
    run = await _strict(bench)
    if run.seconds <= AT_MOST:
        return
    run = await _longer_than(bench, AT_MOST)
    if run is None:
        return
    slow = sorted((each for each in run.ends if each.phase == "call"), key=lambda each: -each.seconds)[:3]
    listed = ", ".join(f"{each.test.partition('::')[2]} {each.seconds:.1f} s" for each in slow)
    raise SuiteFailure(
        ran="your tests on the given server",
        got=f"{run.seconds:.1f} s. The longest tests: {listed}",
        expect=f"an end within {AT_MOST:g} s",
        likely=SILENCE,
    )


def _plan(seconds: float) -> Plan:
    return Plan("", seconds=seconds)


async def _longer_than(bench: Bench, seconds: float) -> Run | None:
    """Run the suite on the given server alone, and return the run if it takes too long, else None.

    A busy machine takes longer for everything, so the limit grows with the start of a server at the same time.
    """
    run, control = await asyncio.gather(
        bench.run_alone(bench.server(GIVEN), _plan(60.0)), asyncio.to_thread(_start_time, bench)
    )
    return run if run.seconds > seconds * min(max(control / USUAL_START, 1.0), MOST_TIMES) else None


def _start_time(bench: Bench) -> float:
    """Return the seconds that the worked solution's server needs now for a start in a new Python."""
    begun = time.monotonic()
    with Server("exercise.main:app", bench.step.solution, cold=True):
        return time.monotonic() - begun


async def _strict(bench: Bench) -> Run:
    return await bench.once("strict", bench.server(GIVEN), replace(_plan(LONGEST), strict=True), whole=True)


async def _starting_units(bench: Bench) -> list[str]:
    """Return the first test function that makes the suite start a server, in a list."""
    run = await _strict(bench)
    return run.starters[:1] or bench.units[:1]


async def _interrupted(bench: Bench, server: TestServer, when: str) -> None:
    ran = f"your tests, with Ctrl+C {when}"
    run = await _interrupt_once(bench, server, f"interrupted {when}")
    if run.timed_out:
        run = await _interrupt_once(bench, server, f"interrupted {when}, once more")
    likely = (
        "An interrupt raises KeyboardInterrupt wherever the code waits, also in the fixture before its yield. Put "
        "everything after the start of the process into try, and end the process in finally."
    )
    if run.timed_out:
        got = f"no end within {INTERRUPTED_WITHIN:g} s"
        raise SuiteFailure(ran=ran, got=got, expect="the end of the run, with nothing left", likely=likely)
    nothing_left(run, ran, likely)


async def _interrupt_once(bench: Bench, server: TestServer, name: str) -> Run:
    """Run the suite, and interrupt it when the server connects to the port in its environment."""
    begun: asyncio.Future[Run] = asyncio.get_running_loop().create_future()
    connected = asyncio.Event()

    def note(run: Run, report: dict[str, Any]) -> None:
        if not begun.done():
            begun.set_result(run)

    def on_connect(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        writer.close()

    async def wait_and_interrupt() -> None:
        await connected.wait()
        interrupt(await begun)

    async with await asyncio.start_server(on_connect, "127.0.0.1", 0) as listener:
        environment = {PORT: str(listener.sockets[0].getsockname()[1])}
        task = spawn(wait_and_interrupt())
        try:
            plan = replace(_plan(INTERRUPTED_WITHIN), environment=environment)
            return await bench.once(name, server, plan, note, passes=False)
        finally:
            await stop(task)


def _cause_of_warning(output: str) -> str:
    if "Task was destroyed" in output or "never retrieved" in output:
        return "A task of a test still runs when the test ends. Cancel it and await it in finally, or use a task group."
    if "was never awaited" in output:
        return "A coroutine is called without await. Await it."
    if re.search(r"ResourceWarning.*subprocess|subprocess \d+ is still running", output):
        return "Your fixture doesn't wait for the end of the server's process. Call process.wait() after terminate()."
    return "A connection, a file or a client isn't closed. Open each with a with statement."
