"""Explain an error in a server's log: one cause in the learner's code, then one fix.

An error supplements the result of a check. Its explanation depends on its type, its phase, the client's last message,
and on whether the learner's line or a library raised it: see explanations.py.
"""

import re
from collections.abc import Sequence

from .explanations import EXPLAIN, GO_ON, explain_jwt, explain_redis
from .troubles import NEVER_AWAITED, Phase, Trouble, printed_in, troubles_in

__all__ = ["Phase", "Trouble", "meaning_of", "printed_in", "telling", "troubles_in"]


CALLED_DEPENDENCY = re.compile(r"must have a callable dependency|is not a callable object")
"""FastAPI's and Python's messages for `Depends(f())`."""


def telling(troubles: Sequence[Trouble]) -> Trouble | None:
    """Return the error that explains most, or None if there is none.

    A coroutine that was never awaited ranks first, unless `Depends(f())` caused it. Clients of a check often
    disconnect, so an error that a disconnect causes ranks below other errors. Of equal errors, the last one is
    returned.
    """

    def rank(trouble: Trouble) -> int:
        if CALLED_DEPENDENCY.search(trouble.message):
            return 7
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
        sent: the client's last message, as the line "I sent" shows it, such as `a binary frame b"..."`.
    """
    # Remove a prefix: a check may describe the message before it, as in "half an emoji: the text ...".
    if sent and (shown := re.search(r'(?:a binary frame b|the text "|an empty text$).*', sent, re.DOTALL)):
        sent = shown[0]
    if CALLED_DEPENDENCY.search(trouble.message) and trouble.file and trouble.file.exists():
        # The line of the error is that of the route, not of the dependency.
        code = trouble.file.read_text("utf-8", errors="replace")
        if call := re.search(r"Depends\(\s*([\w.]+)\(", code):
            return f"Depends({call[1]}()) calls the function, and FastAPI needs the function. Write Depends({call[1]})."
    if found := NEVER_AWAITED.search(trouble.message):
        call = re.search(rf"(?:\w+\.)*{found[1]}(?=\()", trouble.source)
        where = ", and async def for its function" if trouble.in_plain_def else ""
        return (
            f"The call of {found[1]}() has no await, so it never runs. "
            f"Write await {call[0] if call else found[1]}(...){where}."
        )
    if trouble.kind.startswith("Task was destroyed"):
        return (
            "A task was still waiting when the last reference to it was lost, so Python destroyed it. "
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
    # Return None if an explanation states that the error isn't caught: the learner's code caught and printed it.
    return None if meaning and trouble.caught and "nothing catches" in meaning else meaning
