"""Explain an error in a server's log: one cause in the learner's code, then one fix.

An error supplements what a check knows. It's looked up by its type, by the phase it happened in, by the last thing the
client sent, and by whether the learner's line or a library raised it: see explanations.py.
"""

import re
from collections.abc import Sequence

from .explanations import EXPLAIN, GO_ON, explain_jwt, explain_redis
from .troubles import NEVER_AWAITED, Phase, Trouble, printed_in, troubles_in

__all__ = ["Phase", "Trouble", "meaning_of", "printed_in", "telling", "troubles_in"]


def telling(troubles: Sequence[Trouble]) -> Trouble | None:
    """Return the error that explains most, or None if there is none.

    A coroutine that was never awaited comes first. Clients of a check come and go, so an error that a disconnect
    causes comes after the others, and of equal ones the last counts.
    """

    def rank(trouble: Trouble) -> int:
        if NEVER_AWAITED.search(trouble.message):
            return 6 if trouble.places else 5
        if trouble.kind.startswith("Task was destroyed"):
            return 0
        if trouble.about_leaving:
            return 1
        return 2 if trouble.caught else 4 if trouble.places else 3

    return max(reversed(troubles), key=rank, default=None)


def meaning_of(trouble: Trouble, sent: str | None = None) -> str | None:
    """Explain an error: one cause and one fix, or None if the cause isn't known.

    Args:
        trouble: the error.
        sent: the last thing the client sent, as the line "I sent" shows it, such as `a binary frame b"..."`.
    """
    # A check may say before the message what is special about it: "half an emoji: the text ...".
    if sent and (shown := re.search(r'(?:a binary frame b|the text "|an empty text$).*', sent, re.DOTALL)):
        sent = shown[0]
    if found := NEVER_AWAITED.search(trouble.message):
        call = re.search(rf"(?:\w+\.)*{found[1]}(?=\()", trouble.source)
        where = ", and async def for its function" if trouble.in_plain_def else ""
        return (
            f"The call of {found[1]}() has no await, so it never runs. "
            f"Write await {call[0] if call else found[1]}(...){where}."
        )
    if trouble.kind.startswith("Task was destroyed"):
        return (
            "A task still waited when nothing referred to it any longer, so Python destroyed it. "
            "Keep the task in a variable, and cancel and await it when the endpoint ends."
        )
    if trouble.module.startswith("redis"):
        return explain_redis(trouble)
    if trouble.module.startswith("jwt"):
        return explain_jwt(trouble)
    explain = EXPLAIN.get(trouble.kind)
    meaning = explain(trouble, sent) if explain else None
    if meaning and trouble.over_http:
        return meaning.replace(GO_ON, "and answer with an HTTP error")
    if trouble.caught and trouble.about_leaving:
        return (
            "Your code catches the error that a disconnect raises, and prints its traceback. A client that leaves is "
            "normal: print no traceback there, as logging.exception() and traceback.print_exc() do."
        )
    # An error that the learner's own code prints was caught.
    return None if meaning and trouble.caught and "nothing catches" in meaning else meaning
