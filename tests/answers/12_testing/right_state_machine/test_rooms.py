"""Step 12: hypothesis joins, sends, leaves and drops connections, and a model predicts what each member receives.

Each promise that the model doesn't have is tested by itself.
"""

import time
from contextlib import ExitStack
from socket import SHUT_RDWR
from typing import ClassVar
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from websockets import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from .conftest import Server, run_server

DEADLINE = 2.0
"""Seconds for one answer. The server promises 1 s."""
MOST_MEMBERS = 4
CHARACTERS = " \t\n<&>abcde가나다라😀"
"""A few are enough. For all of Unicode, hypothesis builds its tables first, which takes longer than the test."""
BURST = [f"{number}" for number in range(20)]
FAST = settings(
    # The same examples in each run: a difference comes from the server.
    derandomize=True,
    database=None,
    # Each wait has its own deadline, and a slow server isn't wrong.
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    # No shrinking: on a silent server, each attempt takes DEADLINE.
    phases=[Phase.explicit, Phase.generate],
    report_multiple_bugs=False,
)
positions = st.integers(0, MOST_MEMBERS - 1)


def new_room() -> str:
    return uuid4().hex[:16]


def join(server: Server, room: str) -> ClientConnection:
    url = f"ws://127.0.0.1:{server.port}/ws/{quote(room)}"
    return connect(url, open_timeout=DEADLINE, close_timeout=DEADLINE, max_queue=None, proxy=None)


def receive(member: ClientConnection) -> str | bytes:
    return member.recv(timeout=DEADLINE)


def vanish(member: ClientConnection) -> None:
    """End a connection without a close frame."""
    member.socket.shutdown(SHUT_RDWR)
    member.close()


def close_code(member: ClientConnection) -> int | None:
    """Return the code with which the server closes a connection."""
    with pytest.raises(ConnectionClosed):
        receive(member)
    return member.close_code


def count(server: Server, room: str) -> int:
    """Return the number of members in GET /rooms; 0 if the room isn't listed."""
    answer = httpx.get(f"{server.url}/rooms", timeout=DEADLINE, trust_env=False)
    return int(answer.raise_for_status().json().get(room, 0))


def count_becomes(server: Server, room: str, number: int) -> bool:
    """Ask until a room has this number of members, or DEADLINE is over."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if count(server, room) == number:
            return True
        time.sleep(0.05)
    return False


class RoomMachine(RuleBasedStateMachine):
    """A room whose model is a list of members: each text is the next message of all of them."""

    server: ClassVar[Server]

    def __init__(self) -> None:
        super().__init__()
        self.room = new_room()
        self.connections = ExitStack()
        self.members: list[ClientConnection] = []
        self.sent = 0

    def member(self, position: int) -> ClientConnection:
        return self.members[position % len(self.members)]

    def remove(self, position: int) -> ClientConnection:
        return self.members.pop(position % len(self.members))

    @initialize()
    def first(self) -> None:
        self.join()

    @rule()
    @precondition(lambda self: len(self.members) < MOST_MEMBERS)
    def join(self) -> None:
        self.members.append(self.connections.enter_context(join(self.server, self.room)))

    @rule(position=positions)
    @precondition(lambda self: self.members)
    def send(self, position: int) -> None:
        self.sent += 1
        self.member(position).send(f"text {self.sent}")
        for member in self.members:
            assert receive(member) == f"text {self.sent}"

    @rule(position=positions)
    @precondition(lambda self: self.members)
    def leave(self, position: int) -> None:
        self.remove(position).close()

    @rule(position=positions)
    @precondition(lambda self: self.members)
    def lose(self, position: int) -> None:
        vanish(self.remove(position))

    def teardown(self) -> None:
        self.connections.close()


def test_members_receive_what_the_model_predicts(server: Server) -> None:
    RoomMachine.server = server
    run_state_machine_as_test(RoomMachine, settings=settings(FAST, max_examples=8, stateful_step_count=15))


@settings(FAST, max_examples=10)
@given(text=st.text(alphabet=CHARACTERS))
@example(text="")
@example(text=" \t")
@example(text="<b>'&'</b>")
@example(text="반가워요")
@example(text="x" * 100_000)
def test_text_is_unchanged(server: Server, text: str) -> None:
    with join(server, new_room()) as ada:
        ada.send(text)
        assert receive(ada) == text


def test_burst_keeps_its_order(server: Server) -> None:
    with join(server, new_room()) as ada:
        for text in BURST:
            ada.send(text)
        assert [receive(ada) for _ in BURST] == BURST


def test_other_room_receives_nothing(server: Server) -> None:
    with join(server, new_room()) as ada, join(server, new_room()) as linus:
        ada.send("not for Linus")
        assert receive(ada) == "not for Linus"
        linus.send("fence")
        assert receive(linus) == "fence"


def test_members_are_counted(server: Server) -> None:
    room = new_room()
    with join(server, room), join(server, room):
        assert count_becomes(server, room, 2)
    assert count_becomes(server, room, 0)


def test_lost_member_is_not_counted(server: Server) -> None:
    room = new_room()
    with join(server, room), join(server, room) as linus:
        vanish(linus)
        assert count_becomes(server, room, 1)


def test_binary_message_closes_its_sender(server: Server) -> None:
    with join(server, new_room()) as linus:
        linus.send(b"\xff")
        assert close_code(linus) == 1003


def test_long_name_is_refused(server: Server) -> None:
    with join(server, "y" * 21) as linus:
        assert close_code(linus) == 4404
    assert count(server, "y" * 21) == 0


def test_server_ends_after_sigterm() -> None:
    with run_server() as server, join(server, new_room()) as ada:
        server.process.terminate()
        assert close_code(ada) == 1012
        server.process.wait(5)
