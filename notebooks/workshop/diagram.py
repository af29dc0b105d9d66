"""A sequence diagram of the traffic on the wire, as SVG."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

ROW = 34
COLUMN = 260
LONGEST_LABEL = 38
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
    height = 60 + ROW * len(events)
    parts = ['<rect width="100%" height="100%" fill="white"/>'] if paper else []
    parts += [_lifeline(name, x, height) for name, x in (*centre.items(), ("server", server))]
    for row, event in enumerate(events):
        parts.append(_arrow(event, centre[event.who], server, 70 + ROW * row))
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


def _arrow(event: Event, client: int, server: int, y: int) -> str:
    label = html.escape(_short(event.text if event.kind == "text" else f"{event.kind} {event.text}"))
    whole = f"<title>{html.escape(event.text)}</title>"
    if event.direction == "lost":
        return (
            f'<g>{whole}<text x="{client}" y="{y + 4}" text-anchor="middle" font-size="18">×</text>'
            f'<text x="{client + 14}" y="{y - 6}">{label}</text></g>'
        )
    start, stop = (client, server) if event.direction == "to server" else (server, client)
    # Put the label near the client, so it doesn't cross the line of another one.
    middle = client + COLUMN // 2 if client < server else client - COLUMN // 2
    tip = stop - 8 if stop > start else stop + 8
    return (
        f'<g>{whole}<line x1="{start}" y1="{y}" x2="{tip}" y2="{y}" stroke="currentColor"'
        f"{LINES.get(event.kind, OTHER_LINE)}/>"
        f'<path d="M{stop} {y} L{tip} {y - 5} L{tip} {y + 5} Z"/>'
        f'<text x="{middle}" y="{y - 6}" text-anchor="middle">{label}</text></g>'
    )


def _short(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 2]}..."
