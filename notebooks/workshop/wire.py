"""A recorder of what goes over the wire, read from the log of the websockets library."""

import html
import logging
import time
from dataclasses import dataclass

from websockets.frames import Close, Frame, Opcode

LONGEST_TEXT = 60
ROW = 34
COLUMN = 260


@dataclass(frozen=True)
class Event:
    """One thing that was seen on a connection."""

    milliseconds: float
    """Since the first event of the recording."""
    who: str
    """The client's name."""
    direction: str
    """`to server`, `from server`, or `lost` for a connection that ended without a close frame."""
    kind: str
    """`http`, `text`, `binary`, `close`, `ping`, `pong`, or `end`."""
    text: str


class Wire:
    """Records the frames of any number of clients.

        wire = Wire()
        async with connect(server.ws(), logger=wire.client("Ada")) as ada:
            ...
        wire

    The last line shows a table of the frames and a sequence diagram of them.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._start: float | None = None

    def client(self, name: str) -> logging.Logger:
        """A logger for the argument `logger=` of `websockets.connect`.

        The library logs every frame at level DEBUG, see "Enable debug logs" in its documentation.

        Args:
            name: the client's name in the table and in the diagram.
        """
        logger = logging.Logger(name, logging.DEBUG)
        logger.addHandler(_Tap(self, name))
        return logger

    def add(self, who: str, direction: str, kind: str, text: str) -> None:
        """Write one event down."""
        now = time.perf_counter()
        if self._start is None:
            self._start = now
        self.events.append(Event((now - self._start) * 1000, who, direction, kind, text))

    def clear(self) -> None:
        """Forget everything recorded so far."""
        self.events.clear()
        self._start = None

    def table(self) -> str:
        """The events as an HTML table."""
        rows = "".join(
            "<tr>"
            + "".join(f'<td style="text-align:left">{value}</td>' for value in _row(event))
            + f"<td>{event.milliseconds:.1f}</td></tr>"
            for event in self.events
        )
        # JupyterLab sets the cells of a table to the right.
        head = "".join(
            f'<th style="text-align:left">{title}</th>' for title in ("who", "direction", "kind", "text", "ms")
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def diagram(self) -> str:
        """The events as a sequence diagram, in SVG."""
        names = list(dict.fromkeys(event.who for event in self.events))
        # The server stands between two clients, as in the diagrams of the notebooks.
        columns = {name: (position if position < 1 else position + 1) for position, name in enumerate(names)}
        centre = {name: 80 + column * COLUMN for name, column in columns.items()}
        server = 80 + COLUMN
        width = 160 + COLUMN * max(len(names), 1)
        height = 60 + ROW * len(self.events)
        parts = [_lifeline(name, x, height) for name, x in (*centre.items(), ("server", server))]
        for row, event in enumerate(self.events):
            parts.append(_step(event, centre[event.who], server, 70 + ROW * row))
        title = f"Sequence diagram of {len(self.events)} events between {', '.join(names)} and the server"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{html.escape(title)}" '
            f'viewBox="0 0 {width} {height + 20}" width="{width}" style="max-width:100%;height:auto" '
            f'font-family="sans-serif" font-size="12" fill="currentColor" stroke="none">{"".join(parts)}</svg>'
        )

    def _repr_html_(self) -> str:
        if not self.events:
            return "<p>Nothing has been recorded yet.</p>"
        return self.table() + self.diagram()

    def __repr__(self) -> str:
        lines = [
            f"{event.milliseconds:8.1f} ms  {event.who:8} {_arrow(event)} {event.kind:6} {event.text}"
            for event in self.events
        ]
        return "\n".join(lines) or "Nothing has been recorded yet."


class _Tap(logging.Handler):
    """Turns log records of the websockets library into events."""

    def __init__(self, wire: Wire, who: str) -> None:
        super().__init__(logging.DEBUG)
        self._wire = wire
        self._who = who
        self._open = False

    def emit(self, record: logging.LogRecord) -> None:
        arguments = record.args if isinstance(record.args, tuple) else ()
        direction = {"> ": "to server", "< ": "from server"}.get(str(record.msg)[:2], "")
        if direction and arguments and isinstance(arguments[0], Frame):
            frame = arguments[0]
            if frame.opcode is Opcode.CLOSE and direction == "from server":
                self._open = False
            self._wire.add(self._who, direction, *_describe(frame))
        elif record.msg == "> GET %s HTTP/1.1":
            self._wire.add(self._who, direction, "http", f"GET {arguments[0]}")
        elif record.msg == "< HTTP/1.1 %d %s":
            self._open = arguments[0] == 101
            self._wire.add(self._who, direction, "http", f"{arguments[0]} {arguments[1]}")
        elif record.msg == "= connection is %s" and arguments == ("CLOSED",) and self._open:
            self._open = False
            self._wire.add(self._who, "lost", "end", "no close frame came: 1006")


def _describe(frame: Frame) -> tuple[str, str]:
    if frame.opcode is Opcode.CLOSE:
        return "close", str(Close.parse(frame.data)) if frame.data else "without a code: 1005"
    data = bytes(frame.data)
    if frame.opcode is Opcode.TEXT:
        text = data.decode("utf-8", "replace")
    elif frame.opcode is Opcode.CONT:
        text = f"{len(data)} bytes more"
    else:
        text = data.hex(" ")
    if len(text) > LONGEST_TEXT:
        text = f"{text[:LONGEST_TEXT]}... ({len(data)} bytes)"
    return frame.opcode.name.lower(), text


def _row(event: Event) -> tuple[str, ...]:
    direction = f"{_arrow(event)} {event.direction}"
    return html.escape(event.who), direction, event.kind, f"<code>{html.escape(event.text)}</code>"


def _arrow(event: Event) -> str:
    return {"to server": "→", "from server": "←", "lost": "×"}[event.direction]


def _lifeline(name: str, x: int, height: int) -> str:
    return (
        f'<line x1="{x}" y1="36" x2="{x}" y2="{height}" stroke="currentColor" stroke-opacity="0.35"/>'
        f'<rect x="{x - 60}" y="8" width="120" height="28" rx="4" fill="none" stroke="currentColor"/>'
        f'<text x="{x}" y="27" text-anchor="middle">{html.escape(name)}</text>'
    )


def _step(event: Event, client: int, server: int, y: int) -> str:
    label = event.text if event.kind == "text" else f"{event.kind} {event.text}"
    if event.direction == "lost":
        return (
            f'<text x="{client}" y="{y + 4}" text-anchor="middle" font-size="18">×</text>'
            f'<text x="{client + 14}" y="{y - 6}">{html.escape(_short(label))}</text>'
        )
    start, stop = (client, server) if event.direction == "to server" else (server, client)
    # Near the client, so that it does not lie across the line of another one.
    middle = client + COLUMN // 2 if client < server else client - COLUMN // 2
    tip = stop - 8 if stop > start else stop + 8
    # Text frames are drawn whole and everything else is dashed: no meaning hangs on colour.
    dash = "" if event.kind == "text" else ' stroke-dasharray="6 3"'
    return (
        f'<line x1="{start}" y1="{y}" x2="{tip}" y2="{y}" stroke="currentColor"{dash}/>'
        f'<path d="M{stop} {y} L{tip} {y - 4} L{tip} {y + 4} Z"/>'
        f'<text x="{middle}" y="{y - 6}" text-anchor="middle">{html.escape(_short(label))}</text>'
    )


def _short(label: str) -> str:
    return label if len(label) <= 38 else label[:36] + "..."
