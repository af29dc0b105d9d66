"""Step 08: what was said in one room, as a list."""

from itertools import islice, pairwise
from typing import Any

from starlette.types import Message as ASGIEvent

from .encoding import encode
from .journal import Record
from .settings import DEDUP_WINDOW


class History:
    def __init__(self) -> None:
        self.records: list[Record] = []

    @property
    def last_id(self) -> int:
        return self.records[-1].id if self.records else 0

    @property
    def ids_by_key(self) -> Any:
        return self

    def get(self, who: tuple[str, str]) -> int | None:
        keyed = (record for record in reversed(self.records) if record.key)
        known = (r.id for r in islice(keyed, DEDUP_WINDOW) if (r.sender, r.key) == who)
        return next(known, None)

    def event(self, record: Record) -> ASGIEvent:
        return encode({"type": "message", "id": record.id, "from": record.sender, "text": record.text})

    def add(self, record: Record) -> ASGIEvent:
        self.records.append(record)
        return self.event(record)

    def since(self, after: int) -> list[ASGIEvent]:
        missed = [record for record in self.records[-100:] if record.id > after]
        events = []
        for before, record in pairwise([Record(room="", id=after, sender="", text=""), *missed]):
            if gap := record.id - before.id - 1:
                events.append(encode({"type": "gap", "missed": gap}))
            events.append(self.event(record))
        return events
