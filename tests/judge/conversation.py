"""The conversation of one check: its clients, their sent messages, and its random choices."""

import asyncio
import random
from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .clients import Client

REMEMBERED = 50
"""The number of sent messages that a conversation stores."""
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


@dataclass
class Conversation:
    """The clients, sent messages and random choices of one check.

    Args:
        check: the name of the check.
        seed: the seed of the run. Each check draws its own numbers from it, in any order of the checks.
    """

    check: str = ""
    seed: int = 0
    clients: "list[Client]" = field(default_factory=list)
    """Its clients, in the order in which they connected."""
    sent: deque[tuple[int, str, str]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    """The last text messages that its clients have sent: the number sent before, the client, and the text."""
    sent_count: int = 0
    """The number of text messages that its clients have sent."""
    last_sent: str | None = None
    """The last message sent by any of its clients, as a failure shows it."""
    on_pause: asyncio.Event | None = None
    """Set when the check calls `pause`."""
    drew: bool = False
    """Whether it has drawn a random number, so its seed matters."""

    def __post_init__(self) -> None:
        self._chance = random.Random(f"{self.seed} {self.check}")

    def note(self, who: str, text: str) -> None:
        """Store a text message that a client sends."""
        self.sent.append((self.sent_count, who, text))
        self.sent_count += 1

    @property
    def chance(self) -> random.Random:
        """Random numbers that depend on the seed of the run."""
        self.drew = True
        return self._chance

    def next_name(self) -> str:
        """Return the next client's name in failures, if the check doesn't name it."""
        number = len(self.clients)
        return f"the {ORDINALS[number]} client" if number < len(ORDINALS) else f"client {number + 1}"


_current: ContextVar[Conversation | None] = ContextVar("conversation", default=None)


async def pause(seconds: float) -> None:
    """Let a client of this check do nothing for a while; the judge starts other checks meanwhile.

    Args:
        seconds: the length of the pause.
    """
    if (event := current().on_pause) is not None:
        event.set()
    await asyncio.sleep(seconds)


def begin(check: str, seed: int, on_pause: asyncio.Event | None = None) -> Conversation:
    """Start the conversation of a check; tasks that are started from now on belong to it.

    Args:
        check: the name of the check.
        seed: the seed of the run.
        on_pause: set when the check calls `pause`.
    """
    conversation = Conversation(check, seed, on_pause=on_pause)
    _current.set(conversation)
    return conversation


def current() -> Conversation:
    """Return the conversation of the check that runs here. A test of a lesson has one without a name."""
    return _current.get() or begin("", 0)
