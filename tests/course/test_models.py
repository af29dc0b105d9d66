"""Random joins, leaves, drops and messages, against a model that predicts the messages of each tab."""

import contextlib
import json
import socket
import struct
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, precondition, rule, run_state_machine_as_test
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from workshop.course import find_step
from workshop.server import Server

pytestmark = pytest.mark.thorough("random traffic against a model")
DEADLINE = 5.0
"""The longest wait for an expected event, in seconds."""
ROOMS = st.sampled_from(["lobby", "lab 한글"])
NAMES = st.sampled_from(["Ada", "Grace", "Li/nus & <b>"])
# No lone surrogates, because UTF-8 has none: RFC 3629, section 3.
PICKS = st.integers(0, 11)
"""The choice of an open tab; the number is taken modulo the number of open tabs."""
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
BAD = st.sampled_from(["", "no JSON", "[]", "{}", '{"type": "message"}', '{"type": "direct", "text": ""}', b"\x00"])


@dataclass(eq=False)
class Tab:
    """One connection, and the messages that it must receive next."""

    room: str
    name: str
    connection: ClientConnection
    expected: list[dict[str, Any]] = field(default_factory=list)

    def hears(self) -> None:
        """Receive the expected messages, and check that no other message arrives between them."""
        for message in self.expected:
            got = json.loads(self.connection.recv(timeout=DEADLINE))
            if message["type"] == "error":
                assert got.keys() == {"type", "detail"}
                assert got["type"] == "error"
            else:
                assert got == message
        self.expected.clear()


class Sessions(RuleBasedStateMachine):
    """The rooms of step 05: every tab receives the model's messages, in their order, and no others."""

    server: ClassVar[Server | None] = None
    """The server of the solution. It serves all examples until one of them fails."""
    tabs = Bundle("tabs")

    def __init__(self) -> None:
        super().__init__()
        if Sessions.server is None:
            step = find_step(5)
            Sessions.server = Server(step.target("exercise"), step.solution)
            Sessions.server.wait_until_ready()
        self.open: list[Tab] = []
        self.stack = contextlib.ExitStack()
        self.http = httpx.Client(base_url=self.server.url, timeout=DEADLINE, trust_env=False)

    def of(self, room: str, name: str | None = None) -> list[Tab]:
        """Return the open tabs of a room, or of one name in it."""
        return [tab for tab in self.open if tab.room == room and name in (None, tab.name)]

    def tell(self, tabs: list[Tab], **message: str) -> None:
        """Expect this message for these tabs."""
        for tab in tabs:
            tab.expected.append({"from" if key == "sender" else key: value for key, value in message.items()})

    def settle(self) -> None:
        """Check that every tab has its messages, and the server has as many sessions and rooms as the model."""
        for tab in self.open:
            tab.hears()
        expected = {"sessions": len(self.open), "rooms": len({tab.room for tab in self.open})}
        deadline = time.monotonic() + DEADLINE
        while (got := self.http.get("/debug/sessions").json()) != expected:
            assert time.monotonic() < deadline, f"the server has {got}, the model {expected}"
        for room in {tab.room for tab in self.open}:
            names = self.http.get(f"/rooms/{quote(room)}/members").json()["names"]
            assert names == sorted({tab.name for tab in self.of(room)})

    @rule(target=tabs, room=ROOMS, name=NAMES)
    def join(self, room: str, name: str) -> Tab:
        """Open a tab."""
        url = self.server.ws(f"/ws/{quote(room)}?name={quote(name, safe='')}")
        tab = Tab(room, name, self.stack.enter_context(connect(url, proxy=None)))
        others = self.of(room)
        if not self.of(room, name):
            self.tell(others, type="joined", name=name)
        self.open.append(tab)
        tab.expected.append({"type": "members", "names": sorted({other.name for other in self.of(room)})})
        self.settle()
        return tab

    @rule(tab=consumes(tabs), how=st.sampled_from(["leave", "finish", "reset"]))
    def leave(self, tab: Tab, how: str) -> None:
        """End a tab with a close frame, by the end of its program, or by a network failure."""
        if tab not in self.open:
            return  # It was removed before.
        self.open.remove(tab)
        if not self.of(tab.room, tab.name):
            self.tell(self.of(tab.room), type="left", name=tab.name)
        if how == "leave":
            tab.connection.close()
        else:
            if how == "reset":
                linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
                tab.connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                tab.connection.close_socket()
            else:
                tab.connection.socket.shutdown(socket.SHUT_WR)
        self.settle()

    @rule(tab=tabs, text=TEXTS)
    def say(self, tab: Tab, text: str) -> None:
        """Send a message from a tab to its room."""
        if tab in self.open:
            self.tell(self.of(tab.room), type="message", sender=tab.name, text=text)
            tab.connection.send(json.dumps({"type": "message", "text": text, "from": "nobody"}))
            self.settle()

    @rule(tab=tabs, to=NAMES, text=TEXTS)
    def whisper(self, tab: Tab, to: str, text: str) -> None:
        """Send a direct message from a tab to one name."""
        if tab in self.open:
            if receivers := self.of(tab.room, to):
                self.tell(receivers, type="direct", sender=tab.name, text=text)
            else:
                self.tell([tab], type="error")
            tab.connection.send(json.dumps({"type": "direct", "to": to, "text": text}))
            self.settle()

    @rule(tab=tabs, frame=BAD)
    def stammer(self, tab: Tab, frame: str | bytes) -> None:
        """Send an invalid message from a tab. The error is its next message, so no other one was on its way."""
        if tab in self.open:
            self.tell([tab], type="error")
            tab.connection.send(frame)
            self.settle()

    @rule(room=ROOMS, name=NAMES)
    def remove(self, room: str, name: str) -> None:
        """Remove a name from a room."""
        removed = self.of(room, name)
        response = self.http.delete(f"/rooms/{quote(room)}/members/{quote(name, safe='')}")
        assert response.status_code == (204 if removed else 404)
        self.open = [tab for tab in self.open if tab not in removed]
        if removed:
            self.tell(self.of(room), type="left", name=name)
        for tab in removed:
            with pytest.raises(Exception, match="1008.* removed"):
                tab.connection.recv(timeout=DEADLINE)
            assert (tab.connection.close_code, tab.connection.close_reason) == (1008, "removed")
        self.settle()

    def teardown(self) -> None:
        """Close all tabs, and check that the log has no error."""
        server, Sessions.server = self.server, None
        with self.stack, contextlib.ExitStack() as failing:
            self.stack.callback(self.http.close)
            failing.callback(server.kill)
            for tab in self.open[:]:
                self.leave(tab, "leave")
            assert "Traceback" not in "\n".join(server.log)
            # The next example may use it.
            failing.pop_all()
            Sessions.server = server


class Reconnects(RuleBasedStateMachine):
    """The rooms of step 08: a client that reconnects gets what it missed, and a kill of the server loses no message."""

    KEPT = 100
    server: ClassVar[Server | None] = None
    """The server of the solution. Each example starts a new one, because the server's state is in its journal."""
    somebody = precondition(lambda self: self.open)

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.journal = str(Path(self.stack.enter_context(tempfile.TemporaryDirectory())) / "journal")
        self.open: list[Tab] = []
        # By room: the messages, as sender, text and key. The position is the id.
        self.said: dict[str, list[tuple[str, str, str]]] = {}
        self.start()

    def start(self) -> None:
        """Start the solution on the journal of this example."""
        step = find_step(8)
        Reconnects.server = Server(step.target("exercise"), step.solution, environment={"JOURNAL": self.journal})
        self.server.wait_until_ready()

    def of(self, room: str, name: str | None = None) -> list[Tab]:
        """Return the open tabs of a room, or of one name in it."""
        return [tab for tab in self.open if tab.room == room and name in (None, tab.name)]

    def message(self, room: str, number: int) -> dict[str, Any]:
        """Return the message with this id, as all members get it."""
        sender, text, _ = self.said[room][number - 1]
        return {"type": "message", "id": number, "from": sender, "text": text}

    def settle(self) -> None:
        """Check that every tab has received its messages."""
        for tab in self.open:
            tab.hears()

    @rule(room=ROOMS, name=NAMES, back=st.none() | st.integers(0, 3) | st.integers(60, 130))
    def join(self, room: str, name: str, back: int | None) -> None:
        """Open a tab, with or without a resume offset.

        Args:
            room: the room.
            name: the member's name.
            back: the number of messages after the offset; None for a tab without an offset.
        """
        last = len(self.said.get(room, []))
        after = None if back is None else max(last - back, 0)
        query = "" if after is None else f"&after={after}"
        url = self.server.ws(f"/ws/{quote(room)}?name={quote(name, safe='')}{query}")
        tab = Tab(room, name, self.stack.enter_context(connect(url, proxy=None)))
        if not self.of(room, name):
            for other in self.of(room):
                other.expected.append({"type": "joined", "name": name})
        self.open.append(tab)
        tab.expected.append({"type": "members", "names": sorted({other.name for other in self.of(room)})})
        if after is not None:
            first = max(after, last - self.KEPT) + 1
            if first > after + 1:
                tab.expected.append({"type": "gap", "missed": first - after - 1})
            tab.expected += [self.message(room, number) for number in range(first, last + 1)]
        self.settle()

    @rule(room=ROOMS, name=NAMES, beyond=st.integers(1, 3))
    def come_from_the_future(self, room: str, name: str, beyond: int) -> None:
        """Try a resume offset that no message has: the handshake is rejected, and no member is notified."""
        after = len(self.said.get(room, [])) + beyond
        with pytest.raises(InvalidStatus) as refused:
            connect(
                self.server.ws(f"/ws/{quote(room)}?name={quote(name, safe='')}&after={after}"), proxy=None
            ).__enter__()
        assert refused.value.response.status_code == 403

    @somebody
    @rule(pick=PICKS)
    def leave(self, pick: int) -> None:
        """Close a tab."""
        tab = self.open.pop(pick % len(self.open))
        if not self.of(tab.room, tab.name):
            for other in self.of(tab.room):
                other.expected.append({"type": "left", "name": tab.name})
        tab.connection.close()
        self.settle()
        if not self.of(tab.room, tab.name):
            self.wait_until_gone(tab)

    def wait_until_gone(self, tab: Tab) -> None:
        """Wait until the name of a tab isn't on the list, even if no member was there to be notified."""
        deadline = time.monotonic() + DEADLINE
        while True:
            response = httpx.get(f"{self.server.url}/rooms/{quote(tab.room)}/members", trust_env=False)
            if response.status_code == 404 or tab.name not in response.json()["names"]:
                return
            assert time.monotonic() < deadline, f"{tab.name} is still there"

    @somebody
    @rule(pick=PICKS, text=TEXTS, key=st.sampled_from(["", "열쇠"]), times=st.sampled_from([1, 1, 2, 60]))
    def say(self, pick: int, text: str, key: str, times: int) -> None:
        """Send a message from a tab, once or many times, with a key or without."""
        tab = self.open[pick % len(self.open)]
        said = self.said.setdefault(tab.room, [])
        for _ in range(times):
            known = next((n for n, (who, _, k) in enumerate(said, 1) if key and (who, k) == (tab.name, key)), None)
            number = known or len(said) + 1
            if not known:
                said.append((tab.name, text, key))
                for other in self.of(tab.room):
                    other.expected.append(self.message(tab.room, number))
            if key:
                tab.expected.append({"type": "ack", "key": key, "id": number})
            tab.connection.send(json.dumps({"type": "message", "text": text} | ({"key": key} if key else {})))
        self.settle()

    @somebody
    @precondition(lambda self: self.said)
    @rule()
    def kill(self) -> None:
        """Kill the server, and start it again on its journal."""
        self.server.kill()
        self.open.clear()
        self.start()

    def teardown(self) -> None:
        """Check that no member has received another message, and that the log has no error."""
        with self.stack:
            try:
                for tab in self.open:
                    tab.expected.append({"type": "error"})
                    tab.connection.send("no JSON")
                self.settle()
                assert "Traceback" not in "\n".join(self.server.log)
            finally:
                self.server.kill()


QUIET = settings(
    # Use the same examples in each run, so a test fails because of a change, and not by chance.
    derandomize=True,
    # Don't search for the shortest example: each attempt would wait for a message that never arrives.
    phases=[Phase.generate],
    report_multiple_bugs=False,
    database=None,
    deadline=None,
    max_examples=20,
    stateful_step_count=25,
    suppress_health_check=list(HealthCheck),
)


def test_sessions() -> None:
    """In any order of events, every tab of step 05 receives exactly its messages, and no session is left behind."""
    try:
        run_state_machine_as_test(Sessions, settings=QUIET)
    finally:
        if Sessions.server is not None:
            Sessions.server.kill()
            Sessions.server = None


def test_reconnects() -> None:
    """In any order of events, a client that reconnects in step 08 neither loses a message nor gets it twice."""
    run_state_machine_as_test(Reconnects, settings=settings(QUIET, max_examples=16, stateful_step_count=25))
