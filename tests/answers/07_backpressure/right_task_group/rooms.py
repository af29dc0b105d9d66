"""Who is where."""

import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from .tab import Tab


@dataclass
class Room:
    tabs: list[Tab] = field(default_factory=list)
    last_id: int = 0
    outbox: deque[tuple[str, list[Tab]]] = field(default_factory=deque)

    def names(self) -> list[str]:
        return sorted({tab.name for tab in self.tabs})

    def of(self, name: str) -> list[Tab]:
        return [tab for tab in self.tabs if tab.name == name]

    def send(self, message: dict[str, Any], tabs: list[Tab] | None = None) -> None:
        self.outbox.append((json.dumps(message, ensure_ascii=False), list(self.tabs if tabs is None else tabs)))
        # At a full backlog its tab leaves, which is one more message: the outermost call puts that one too.
        if len(self.outbox) == 1:
            while self.outbox:
                text, recipients = self.outbox[0]
                for tab in recipients:
                    tab.put(text)
                self.outbox.popleft()

    def post_message(self, name: str, text: str) -> None:
        self.last_id += 1
        self.send({"type": "message", "id": self.last_id, "from": name, "text": text})

    def join(self, tab: Tab) -> None:
        others = list(self.tabs)
        is_new = tab.name not in self.names()
        self.tabs.append(tab)
        self.send({"type": "members", "names": self.names()}, [tab])
        if is_new:
            self.send({"type": "joined", "name": tab.name}, others)

    def leave(self, tab: Tab) -> None:
        if tab in self.tabs:
            self.tabs.remove(tab)
            if tab.name not in self.names():
                self.send({"type": "left", "name": tab.name})


rooms: dict[str, Room] = {}
