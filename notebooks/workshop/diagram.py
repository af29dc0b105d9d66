"""A sequence diagram of the traffic on the wire, as SVG."""

import html
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

ROW = 34
COLUMN = 260
LINE = 15
LONGEST_LABEL = 38
"""The longest line of a label, in characters."""
WHOLE = ("http", "close", "end")
"""The kinds of events whose labels are shown whole, in several lines: they state how a connection began and ended."""
LINES = {
    "text": "",
    "binary": ' stroke-width="4"',
    "close": ' stroke-dasharray="10 5"',
}
"""The line style of each kind of event. No meaning depends on a color."""
OTHER_LINE = ' stroke-dasharray="2 3"'
LEGEND = (
    "Whole line: text. Thick: binary. Dashed: close.",
    "Dotted: handshake, ping and pong. ×: it ended without a close frame.",
)


@dataclass(frozen=True)
class Event:
    """An event that was recorded on a connection."""

    milliseconds: float
    """The time since the first event of the recording, in milliseconds."""
    who: str
    """The client's name."""
    direction: str
    """`to server`, `from server`, or `lost` for a connection that ended without a close frame."""
    kind: str
    """`http`, `text`, `binary`, `close`, `ping`, `pong`, or `end`."""
    text: str


def draw(events: Sequence[Event], *, paper: bool = False) -> str:
    """Return a sequence diagram of the events, as SVG.

    Args:
        events: the events, in the order of their recording.
        paper: whether to draw black on white, for a slide. Otherwise, the color is that of the surrounding text.
    """
    names = list(dict.fromkeys(event.who for event in events))
    # Put the server between the first two clients, as in the diagrams of the notebooks.
    columns = {name: (position if position < 1 else position + 1) for position, name in enumerate(names)}
    centre = {name: 80 + column * COLUMN for name, column in columns.items()}
    server = 80 + COLUMN
    width = 160 + COLUMN * max(len(names), 1)
    labels = [_label(event) for event in events]
    # Each event is below its label.
    heights = [ROW + LINE * (len(label) - 1) for label in labels]
    places = [36 + sum(heights[: row + 1]) for row in range(len(events))]
    height = 60 + sum(heights)
    parts = ['<rect width="100%" height="100%" fill="white"/>'] if paper else []
    parts += [_lifeline(name, x, height) for name, x in (*centre.items(), ("server", server))]
    for event, label, y in zip(events, labels, places, strict=True):
        parts.append(_arrow(event, label, centre[event.who], server, y))
    for row, line in enumerate(LEGEND):
        parts.append(f'<text x="8" y="{height + 24 + 16 * row}" font-size="11">{line}</text>')
    title = f"Sequence diagram of {len(events)} events between {', '.join(names)} and the server"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{html.escape(title)}" '
        f'viewBox="0 0 {width} {height + 50}" width="{width}" style="max-width:100%;height:auto" '
        f'font-family="sans-serif" font-size="12" fill="currentColor" color="{"black" if paper else "inherit"}" '
        f'stroke="none">{"".join(parts)}</svg>'
    )


def _lifeline(name: str, x: int, height: int) -> str:
    return (
        f'<line x1="{x}" y1="36" x2="{x}" y2="{height}" stroke="currentColor" stroke-opacity="0.35"/>'
        f'<rect x="{x - 60}" y="8" width="120" height="28" rx="4" fill="none" stroke="currentColor"/>'
        f'<text x="{x}" y="27" text-anchor="middle">{html.escape(name)}</text>'
    )


def _arrow(event: Event, lines: Sequence[str], client: int, server: int, y: int) -> str:
    whole = f"<title>{html.escape(event.text)}</title>"
    if event.direction == "lost":
        # Write towards the server, where there's room.
        side, anchor = (14, "start") if client < server else (-14, "end")
        return (
            f'<g>{whole}<text x="{client}" y="{y + 4}" text-anchor="middle" font-size="18">×</text>'
            f"{_text(lines, client + side, y, anchor)}</g>"
        )
    start, stop = (client, server) if event.direction == "to server" else (server, client)
    # Put the label near the client, so it doesn't cross the line of another one.
    middle = client + COLUMN // 2 if client < server else client - COLUMN // 2
    tip = stop - 8 if stop > start else stop + 8
    return (
        f'<g>{whole}<line x1="{start}" y1="{y}" x2="{tip}" y2="{y}" stroke="currentColor"'
        f"{LINES.get(event.kind, OTHER_LINE)}/>"
        f'<path d="M{stop} {y} L{tip} {y - 5} L{tip} {y + 5} Z"/>'
        f"{_text(lines, middle, y, 'middle')}</g>"
    )


def _text(lines: Sequence[str], x: int, y: int, anchor: str) -> str:
    """Return the lines of a label, the last one right above `y`."""
    spans = (
        f'<tspan x="{x}" y="{y - 6 - LINE * (len(lines) - 1 - row)}">{html.escape(line)}</tspan>'
        for row, line in enumerate(lines)
    )
    return f'<text text-anchor="{anchor}">{"".join(spans)}</text>'


def _label(event: Event) -> list[str]:
    """Return the lines of an event's label."""
    label = event.text if event.kind == "text" else f"{event.kind} {event.text}"
    if event.kind in WHOLE:
        return textwrap.wrap(label, LONGEST_LABEL) or [label]
    return [label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 2]}..."]
