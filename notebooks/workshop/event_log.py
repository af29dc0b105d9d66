"""Small logs of what you did in the course, one JSON object a line, in files that git ignores."""

import json
from datetime import datetime
from pathlib import Path

from .course import ROOT


class EventLog:
    """A file of events in the folder of the course.

    Args:
        name: the name of the file, such as `.predictions.jsonl`.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._unsaved: list[dict[str, str]] = []
        """The events that couldn't be written, because the course is in a folder that's read-only."""

    @property
    def path(self) -> Path:
        """The path of the file, which may not exist yet."""
        return ROOT / self._name

    def append(self, **event: str) -> None:
        """Append an event. Two processes can do so at the same time, because each writes one line in one call.

        Args:
            event: the fields of the event. The time is added.
        """
        event["time"] = datetime.now().astimezone().isoformat(timespec="seconds")
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(event) + "\n")
        except OSError:
            self._unsaved.append(event)

    def events(self) -> list[dict[str, str]]:
        """Return all events in order. A damaged line is left out."""
        try:
            lines = self.path.read_text("utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        found = []
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                found.append(event)
        return found + self._unsaved
