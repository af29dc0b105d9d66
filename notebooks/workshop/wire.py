"""A recorder of the traffic on the wire, from the log of the websockets library."""

import base64
import html
import logging
import threading
import time
from pathlib import Path

from websockets.frames import Close, Frame, Opcode

from .close_codes import meaning
from .course import CourseError
from .diagram import Event, draw
from .output import Output

LONGEST_TEXT = 60
MOST_SHOWN = 200
"""The number of events that are shown, which are the last ones. All events are stored."""
PAUSE = 0.1
"""The shortest interval between two updates of the outputs, in seconds."""


class Wire:
    """A recorder of the frames of any number of clients, which shows them live.

        wire = Wire()
        wire.show()
        async with connect(server.ws(), logger=wire.client("Ada")) as ada:
            ...

    Below the cell, you see a table and a sequence diagram of the frames.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._start: float | None = None
        self._stopped = False
        self._outputs: list[Output] = []
        self._lock = threading.Lock()
        self._waiting = False

    def client(self, name: str) -> logging.Logger:
        """Return a logger for the argument `logger=` of `websockets.connect`.

        The library logs every frame at level DEBUG; see "Enable debug logs" in its documentation.

        Args:
            name: the client's name in the table and in the diagram.
        """
        logger = logging.Logger(name, logging.DEBUG)
        logger.addHandler(_Tap(self, name))
        return logger

    def add(self, who: str, direction: str, kind: str, text: str) -> None:
        """Record an event, unless the recording is stopped."""
        if self._stopped:
            return
        now = time.perf_counter()
        if self._start is None:
            self._start = now
        self.events.append(Event((now - self._start) * 1000, who, direction, kind, text))
        self._changed()

    def show(self) -> None:
        """Show the events below this cell, and update them live."""
        self._outputs.append(Output(self._repr_html_(), repr(self)))

    def stop(self) -> None:
        """Stop recording until `clear()`. The recorded events stay."""
        self._stopped = True
        self._changed()

    def clear(self) -> None:
        """Delete all recorded events, and start recording again."""
        self.events.clear()
        self._start = None
        self._stopped = False
        self._changed()

    def save(self, file: str | Path) -> None:
        """Write the sequence diagram of all events as SVG, black on white, for a slide.

        Args:
            file: the path of the file, relative to the notebook's folder.

        Raises:
            CourseError: the file can't be written.
        """
        try:
            Path(file).write_text(draw(self.events, paper=True), "utf-8")
        except OSError as error:
            raise CourseError(f"The diagram was not saved as {file}: {error.strerror}.") from None

    def table(self) -> str:
        """Return the last events as an HTML table."""
        rows = "".join(
            "<tr>"
            + "".join(f'<td style="text-align:left">{value}</td>' for value in _row(event))
            + f"<td>{event.milliseconds:.1f}</td></tr>"
            for event in self.events[-MOST_SHOWN:]
        )
        # JupyterLab aligns the cells of a table to the right.
        head = "".join(
            f'<th style="text-align:left">{title}</th>' for title in ("who", "direction", "kind", "text", "ms")
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def diagram(self) -> str:
        """Return the last events as a sequence diagram, in SVG."""
        return draw(self.events[-MOST_SHOWN:])

    def _repr_html_(self) -> str:
        if not self.events:
            return f"<p>{self._note()}</p>"
        picture = base64.b64encode(draw(self.events[-MOST_SHOWN:], paper=True).encode()).decode()
        link = f'<a download="wire.svg" href="data:image/svg+xml;base64,{picture}">Save the diagram as SVG</a>'
        return f"{self.table()}{self.diagram()}<p>{self._note()} {link}</p>"

    def __repr__(self) -> str:
        lines = [
            f"{event.milliseconds:8.1f} ms  {event.who:8} {_arrow(event)} {event.kind:6} {event.text}"
            for event in self.events[-MOST_SHOWN:]
        ]
        return "\n".join([*lines, self._note()])

    def _ipython_display_(self) -> None:
        self.show()

    def _note(self) -> str:
        count = len(self.events)
        said = f"{count} event{'' if count == 1 else 's'}." if count else "Nothing has been recorded yet."
        if count > MOST_SHOWN:
            said += f" These are the last {MOST_SHOWN}."
        return f"{said} The recording is stopped." if self._stopped else said

    def _changed(self) -> None:
        with self._lock:
            if not self._outputs or self._waiting:
                return
            self._waiting = True
        # Delay the update, so that a flood of frames doesn't cause a flood of updates.
        timer = threading.Timer(PAUSE, self._draw)
        timer.daemon = True
        timer.start()

    def _draw(self) -> None:
        with self._lock:
            self._waiting = False
        for output in self._outputs:
            output.show(self._repr_html_(), repr(self))


class _Tap(logging.Handler):
    """A log handler that turns records of the websockets library into events."""

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
            self._wire.add(self._who, "lost", "end", f"1006, {meaning(1006)}")


def _describe(frame: Frame) -> tuple[str, str]:
    if frame.opcode is Opcode.CLOSE:
        if not frame.data:
            return "close", f"1005, {meaning(1005)}"
        close = Close.parse(frame.data)
        # Put the reason before the meaning, because a diagram only has room for the beginning.
        return "close", f"{close.code}" + (f' "{close.reason}"' if close.reason else "") + f", {meaning(close.code)}"
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
