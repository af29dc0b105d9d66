"""Graphs of a notebook's measurements, drawn with matplotlib. Each one has a text that states the same."""

import io
import math
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 8.6
"""The width of a graph, in inches."""
ATTEMPTS_BIN = 0.02
"""The width of a bar in `plot_attempts`, in seconds."""


class Graph:
    """A graph below a cell.

    Args:
        figure: the graph.
        text: a description of it, for a frontend without pictures and for a screen reader.
    """

    def __init__(self, figure: "Figure", text: str) -> None:
        self._figure = figure
        self._text = text

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        self._figure.savefig(picture, format="png", dpi=100)
        return picture.getvalue()

    def __repr__(self) -> str:
        return self._text


def new_figure(height: float) -> "Figure":
    """Return an empty figure.

    Args:
        height: its height, in inches.
    """
    # Import it here: only a graph needs matplotlib, and its import takes most of a second.
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), layout="constrained")


def plot_delays(measured: dict[str, list[float]]) -> Graph:
    """Draw a row of dots for each run: the number of the message to the right, its delay upward.

    Args:
        measured: the delays of each run's messages, in seconds, by a title. An infinite delay is a message that
            didn't arrive.
    """
    figure = new_figure(1.9 * max(len(measured), 1))
    lines = []
    rows = figure.subplots(max(len(measured), 1), sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (title, delays) in zip(rows, measured.items(), strict=False):
        arrived = {number: delay * 1000 for number, delay in enumerate(delays, 1) if not math.isinf(delay)}
        lost = [number for number, delay in enumerate(delays, 1) if math.isinf(delay)]
        axes.scatter(arrived.keys(), arrived.values(), s=6)
        for number in lost:
            axes.axvline(number, color="tab:red")
            axes.annotate(f" message {number} never arrives", (number, 1000), color="tab:red", va="top")
        axes.set(title=title, ylabel="delay", yscale="log", ylim=(0.05, 1000))
        axes.set_yticks([0.1, 1, 10, 100, 1000], ["0.1 ms", "1 ms", "10 ms", "100 ms", "1 s"])
        axes.grid(axis="y", alpha=0.4)
        lines.append(f"{title}: {len(arrived)} messages arrive" + "".join(f", message {n} never does" for n in lost))
    rows[-1].set_xlabel("number of the message")
    return Graph(figure, "\n".join(lines))


def plot_attempts(measured: dict[str, list[float]]) -> Graph:
    """Draw a histogram for each run: how many clients connect in each interval of `ATTEMPTS_BIN` seconds.

    Args:
        measured: when each client of a run connects, in seconds after the start of the outage, by a title.
    """
    figure = new_figure(1.7 * max(len(measured), 1))
    lines = []
    rows = figure.subplots(max(len(measured), 1), sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (title, times) in zip(rows, measured.items(), strict=False):
        counts = Counter(int(time / ATTEMPTS_BIN) for time in times)
        axes.bar([number * ATTEMPTS_BIN for number in counts], counts.values(), width=ATTEMPTS_BIN, align="edge")
        axes.set(title=title, ylabel="clients")
        axes.set_xlim(left=0)
        axes.grid(axis="y", alpha=0.4)
        most = max(counts.values(), default=0)
        lines.append(f"{title}: {len(times)} clients, at most {most} of them within {ATTEMPTS_BIN} s")
    rows[-1].set_xlabel(f"seconds after the start of the outage, in intervals of {ATTEMPTS_BIN} s")
    return Graph(figure, "\n".join(lines))


def plot_ages(measured: dict[str, list[tuple[float, float]]]) -> Graph:
    """Draw a line for each run: the time to the right, the age of the newest received value upward.

    Args:
        measured: for each received message of a run, by a title: the time since the start of the run, and the age of
            its values, both in seconds.
    """
    figure = new_figure(3.2)
    axes = figure.subplots()
    lines = []
    # Different dashes, so the lines can be told apart without their colors.
    for number, (title, points) in enumerate(measured.items()):
        times, ages = zip(*points, strict=True) if points else ((), ())
        axes.plot(times, ages, label=title, linestyle=("-", "--", ":", "-.")[number % 4])
        end = f"{ages[-1]:.2f} s old at the end, at most {max(ages):.2f} s" if points else "nothing"
        lines.append(f"{title}: {len(points)} messages, {end}")
    axes.set(xlabel="seconds since the start", ylabel="age in seconds")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.4)
    if measured:
        axes.legend()
    return Graph(figure, "\n".join(lines))


def draw_topology(members: list[int], machine: str = "process") -> Graph:
    """Draw Redis, a row of processes that are connected to it, and the members at each process.

    Args:
        members: the number of members at each process.
        machine: the label of a process, such as `"machine"`.
    """
    figure = new_figure(2.4)
    axes = figure.subplots()
    axes.set_axis_off()
    middle = (len(members) - 1) / 2
    box = {"boxstyle": "round,pad=0.6", "facecolor": "white", "edgecolor": "black"}
    for x, count in enumerate(members):
        axes.plot([middle, x], [2, 1], color="gray", zorder=1)
        axes.text(x, 1, f"{machine} {x + 1}", ha="center", va="center", bbox=box)
        for place in range(count):
            to = x + (place - (count - 1) / 2) * 0.7 / max(count, 1)
            axes.plot([x, to], [1, 0], color="gray", zorder=1)
            axes.scatter([to], [0], color="black", s=40, zorder=2)
    axes.text(middle, 2, "Redis", ha="center", va="center", bbox=box)
    axes.set(xlim=(-0.7, len(members) - 0.3), ylim=(-0.3, 2.4))
    return Graph(figure, f"Redis, {len(members)} processes with one connection each, and {sum(members)} members")
