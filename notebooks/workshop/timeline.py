"""Bars over time, as SVG: the periods in which something was the case."""

import html
import time
from dataclasses import dataclass, field

LEFT = 220
WIDTH = 860
ROW = 30


@dataclass
class _Bar:
    start: float
    stop: float | None = None


@dataclass
class Timeline:
    """A recorder of periods, such as those in which a tab was connected, and their diagram.

        timeline = Timeline()
        timeline.begin("Ada, first tab")
        ...
        timeline.end("Ada, first tab")
        timeline

    The last line shows the diagram below the cell.
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

    def _repr_html_(self) -> str:
        every = [bar for bars in self.rows.values() for bar in bars]
        if not every:
            return "<p>Nothing has been recorded yet.</p>"
        first = min(bar.start for bar in every)
        # Draw a bar that hasn't ended up to the right edge.
        last = max(max(bar.start if bar.stop is None else bar.stop for bar in every), first + 0.001) + 0.02
        scale = (WIDTH - LEFT - 20) / (last - first)
        parts = []
        for row, (label, bars) in enumerate(self.rows.items()):
            y = 8 + ROW * row
            parts.append(f'<text x="{LEFT - 10}" y="{y + 16}" text-anchor="end">{html.escape(label)}</text>')
            for bar in bars:
                stop = last if bar.stop is None else bar.stop
                x, width = LEFT + (bar.start - first) * scale, max((stop - bar.start) * scale, 2)
                title = f"{label}: {_milliseconds(bar.start, first)} to " + (
                    "the end" if bar.stop is None else _milliseconds(bar.stop, first)
                )
                parts.append(
                    f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="20" fill="currentColor" '
                    f'fill-opacity="0.25" stroke="currentColor"><title>{html.escape(title)}</title></rect>'
                )
        height = 8 + ROW * len(self.rows)
        parts.append(f'<line x1="{LEFT}" y1="{height}" x2="{WIDTH - 20}" y2="{height}" stroke="currentColor"/>')
        parts.append(f'<text x="{LEFT}" y="{height + 16}">0 ms</text>')
        parts.append(f'<text x="{WIDTH - 20}" y="{height + 16}" text-anchor="end">{_milliseconds(last, first)}</text>')
        name = f"Bars over time for {', '.join(self.rows)}"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{html.escape(name)}" '
            f'viewBox="0 0 {WIDTH} {height + 24}" width="{WIDTH}" style="max-width:100%;height:auto" '
            f'font-family="sans-serif" font-size="12" fill="currentColor">{"".join(parts)}</svg>'
        )

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
