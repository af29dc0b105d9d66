"""Bars over time: the periods in which something was the case."""

import time
from dataclasses import dataclass, field

from .graphs import Graph, new_figure


@dataclass
class _Bar:
    start: float
    stop: float | None = None


@dataclass
class Timeline:
    """A recorder of periods, such as those in which a tab was connected, and their graph.

        timeline = Timeline()
        timeline.begin("Ada, first tab")
        ...
        timeline.end("Ada, first tab")
        timeline

    The last line shows the graph below the cell.
    """

    rows: dict[str, list[_Bar]] = field(default_factory=dict)
    """The bars of each label, in the order of the first bars."""

    def begin(self, label: str) -> None:
        """Begin a bar for this label. If one has already begun, do nothing."""
        bars = self.rows.setdefault(label, [])
        if not bars or bars[-1].stop is not None:
            bars.append(_Bar(time.perf_counter()))

    def end(self, label: str) -> None:
        """End the bar of this label. If none has begun, do nothing."""
        bars = self.rows.get(label, [])
        if bars and bars[-1].stop is None:
            bars[-1].stop = time.perf_counter()

    def _repr_png_(self) -> bytes | None:
        return self._graph()._repr_png_() if any(self.rows.values()) else None

    def _graph(self) -> Graph:
        every = [bar for bars in self.rows.values() for bar in bars]
        first = min(bar.start for bar in every)
        # Draw a bar that hasn't ended up to the right edge.
        last = max(bar.start if bar.stop is None else bar.stop for bar in every) + 0.02
        figure = new_figure(0.8 + 0.35 * len(self.rows))
        axes = figure.subplots()
        for row, bars in enumerate(self.rows.values()):
            spans = [((bar.start - first) * 1000, ((bar.stop or last) - bar.start) * 1000) for bar in bars]
            axes.broken_barh(spans, (row - 0.35, 0.7), alpha=0.5, edgecolor="black")
        axes.set_yticks(range(len(self.rows)), list(self.rows), parse_math=False)
        axes.set(xlabel="milliseconds", xlim=(0, (last - first) * 1000), ylim=(len(self.rows) - 0.5, -0.5))
        return Graph(figure, repr(self))

    def __repr__(self) -> str:
        starts = [bar.start for bars in self.rows.values() for bar in bars]
        lines = []
        for label, bars in self.rows.items():
            spans = (
                f"{_milliseconds(bar.start, min(starts))} to "
                + ("the end" if bar.stop is None else _milliseconds(bar.stop, min(starts)))
                for bar in bars
            )
            lines.append(f"{label}: {', '.join(spans)}")
        return "\n".join(lines) or "Nothing has been recorded yet."


def _milliseconds(moment: float, first: float) -> str:
    return f"{(moment - first) * 1000:.0f} ms"
