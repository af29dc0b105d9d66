"""Run an answer of step 13 with a source that the judge controls, and count its samples.

    ANSWER=steps/13_live_data uvicorn source_probe:app --app-dir tests/judge

The n-th sample has the value n for the topic `count` and for one of the topics `m0` to `m9`, the one with the last
digit of n. The first sample has the value 1 for `rare`, and `zero` is 1 and 0 in turn. So the judge knows the newest
value of each topic from n alone.

Settings, from the environment:

- TOPICS: the number of further topics, `t0`, `t1` and so on, with the value n in each sample.
- PADDING: the number of characters that each of their names has in addition, so a message with them is large.
- BLOCK: the time that each sample blocks, in seconds.
- QUIET: if it's 1, samples have no values, except those of `POST /judge/push`.
- RAISE: the numbers of the first and the last call that raises, such as `5-8`. They aren't samples.

Requests: `GET /judge/state`, and `POST /judge/push` with {"values": [...], "alerts": [...]}: each object of `values` is
added to one of the next samples, and the alerts are returned after the next one.
"""

import asyncio
import importlib
import json
import os
import sys
import threading
import time
from collections import deque
from typing import Any

from starlette.types import Receive, Scope, Send

sys.path.insert(0, os.environ["ANSWER"])
source = importlib.import_module("exercise.source")

PADDING = "-" * int(os.environ.get("PADDING", "0"))
FURTHER = [f"t{number}{PADDING}" for number in range(int(os.environ.get("TOPICS", "0")))]
BLOCK = float(os.environ.get("BLOCK", "0"))
QUIET = os.environ.get("QUIET") == "1"
FIRST, LAST = (int(part) for part in os.environ.get("RAISE", "0-0").split("-"))
ERRORS = (OSError, LookupError, ZeroDivisionError)
"""The exceptions that the calls raise in turn."""
MAX_STARTS = 400
"""The number of stored times."""


class Script:
    """The source, and what it has counted."""

    def __init__(self) -> None:
        self.calls = 0
        """The calls of sample()."""
        self.count = 0
        """The samples, without the calls that raised."""
        self.alert_calls = 0
        """The calls of alerts()."""
        self.early_alerts = 0
        """Those before the first call of sample(), or a second one after the same."""
        self.running, self.most_running = 0, 0
        self.in_loop = 0
        """The calls in the event loop's thread, which block it."""
        self.loop: asyncio.AbstractEventLoop | None = None
        self.starts: deque[float] = deque(maxlen=MAX_STARTS)
        """When the last calls started, in seconds."""
        self.values: deque[dict[str, float]] = deque()
        self.alerts: list[str] = []
        # The answer may sample in threads.
        self.lock = threading.Lock()

    def sample(self) -> dict[str, float]:
        """Return the next sample."""
        with self.lock:
            self.calls += 1
            call = self.calls
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            self.starts.append(time.monotonic())
            self.in_loop += asyncio._get_running_loop() is self.loop
        try:
            time.sleep(BLOCK)
            if FIRST <= call <= LAST:
                raise ERRORS[call % len(ERRORS)](f"The sensor of call {call} is unplugged.")
            with self.lock:
                self.count += 1
                values = {"count": float(self.count), f"m{self.count % 10}": float(self.count)}
                values |= dict.fromkeys(FURTHER, float(self.count))
                values["zero"] = float(self.count % 2)
                if self.count == 1:
                    values["rare"] = 1.0
                if QUIET:
                    values = {}
                return values | (self.values.popleft() if self.values else {})
        finally:
            with self.lock:
                self.running -= 1

    def new_alerts(self) -> list[str]:
        """Return the alerts since the last call."""
        with self.lock:
            self.alert_calls += 1
            self.early_alerts += self.alert_calls > self.calls
            texts, self.alerts = self.alerts, []
            return texts


script = Script()
source.sample, source.alerts = script.sample, script.new_alerts
source.TOPICS = ("count", *(f"m{number}" for number in range(10)), "rare", "zero", "burst", *FURTHER, "alerts")
# Import it now, so it finds the functions above, however it imports them.
answer = importlib.import_module("exercise.main").app


async def body_of(receive: Receive) -> Any:
    """Return the JSON of a request."""
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return json.loads(body)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer the judge's requests, and pass everything else on to the answer."""
    script.loop = asyncio.get_running_loop()
    if scope["type"] != "http" or not scope["path"].startswith("/judge/"):
        await answer(scope, receive, send)
        return
    if scope["path"] == "/judge/push":
        pushed = await body_of(receive)
        with script.lock:
            script.values.extend(pushed.get("values", []))
            script.alerts.extend(pushed.get("alerts", []))
    names = ("calls", "count", "running", "most_running", "in_loop", "alert_calls", "early_alerts")
    state = {name: getattr(script, name) for name in names} | {"starts": list(script.starts)}
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(state).encode()})
