"""Step 12: the checks of the exercise. They run your tests on right and on broken servers."""

from judge.model import NOT_ON_WINDOWS, check
from judge.suites import finds, life
from judge.suites.bench import Bench


class TestExercise:
    @check(1, "starts the given server once, and passes on it")
    async def test_passes(self, bench: Bench) -> None:
        await life.passes(bench)

    @check(1, "passes twice at the same time, in any folder")
    async def test_twice(self, bench: Bench) -> None:
        await life.passes_twice(bench)

    @check(2, "prints the last line of a server that doesn't start")
    async def test_failed_start(self, bench: Bench) -> None:
        await life.reports_a_failed_start(bench)

    @check(2, "waits for a server that starts after 3 s and logs nothing")
    async def test_slow_start(self, bench: Bench) -> None:
        await life.waits_until_ready(bench)

    @check(2, "reads or stores what a server logs")
    async def test_log(self, bench: Bench) -> None:
        await life.reads_the_log(bench)

    @check(3, "leaves nothing behind, and causes no warnings")
    async def test_nothing_left(self, bench: Bench) -> None:
        await life.leaves_nothing(bench)

    @check(3, f"kills a server that ignores SIGTERM{NOT_ON_WINDOWS}")
    async def test_stubborn(self, bench: Bench) -> None:
        await life.kills_a_stubborn_server(bench)

    @check(3, f"leaves nothing behind after Ctrl+C{NOT_ON_WINDOWS}")
    async def test_interrupt(self, bench: Bench) -> None:
        await life.leaves_nothing_when_interrupted(bench)

    @check(3, "leaves nothing behind after a failure")
    async def test_failure(self, bench: Bench) -> None:
        await life.leaves_nothing_on_failure(bench)

    @check(4, "passes on every right server")
    async def test_right_servers(self, bench: Bench) -> None:
        await finds.holds_on_right_servers(bench)

    @check(5, "finds a server that delivers too little")
    async def test_too_little(self, bench: Bench) -> None:
        await finds.finds(bench, 5)

    @check(6, "finds a server that delivers too much")
    async def test_too_much(self, bench: Bench) -> None:
        await finds.finds(bench, 6)

    @check(6, "ends within 5 s on the given server, so it doesn't wait for silence")
    async def test_short(self, bench: Bench) -> None:
        await life.ends_soon(bench)

    @check(7, "finds a server that doesn't answer, and never hangs")
    async def test_silence(self, bench: Bench) -> None:
        await finds.finds(bench, 7)

    @check(8, "finds wrong ends of connections, members and processes")
    async def test_ends(self, bench: Bench) -> None:
        await finds.finds(bench, 8)

    @check(9, "has six test functions that find different servers")
    async def test_purposes(self, bench: Bench) -> None:
        await finds.each_has_a_purpose(bench)

    @check(8, "finds a loop over the live list of members", hard=True)
    async def test_live_list(self, bench: Bench) -> None:
        await finds.finds_beyond(bench, "beyond_live_list")

    @check(8, "finds a loop over the live set of members", hard=True)
    async def test_live_set(self, bench: Bench) -> None:
        await finds.finds_beyond(bench, "beyond_live_set")

    @check(8, "finds one try around the whole loop", hard=True)
    async def test_one_try(self, bench: Bench) -> None:
        await finds.finds_beyond(bench, "beyond_one_try")

    @check(8, "finds a dead member that costs the sender its connection", hard=True)
    async def test_sender_dies_too(self, bench: Bench) -> None:
        await finds.finds_beyond(bench, "beyond_sender_dies_too")
