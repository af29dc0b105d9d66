"""How slow this machine is now: a slow or busy one gets longer timeouts."""

import time

ROUNDS = 200_000
USUAL = 0.016
"""Seconds for `ROUNDS` on a machine that takes the timeouts as they are."""
MOST = 2.0
"""The largest factor: with longer timeouts, an answer that's late by its own fault would pass."""


def slowness() -> float:
    """Measure how many times longer than usual Python takes for the same work now.

    Returns:
        A factor for timeouts: 1, 1.5 or 2.
    """
    total, start = 0, time.perf_counter()
    for number in range(ROUNDS):
        total += number
    return factor(time.perf_counter() - start)


def factor(seconds: float) -> float:
    """Return the factor for a machine that takes so long for `ROUNDS`."""
    return min(max(round(2 * seconds / USUAL) / 2, 1.0), MOST)
