"""Who is where."""

import json
from dataclasses import dataclass, field
from typing import Any

from .tab import Tab


@dataclass
class Room:
    tabs: list[Tab] = field(default_factory=list)
    count: int = 0

    def names(self) -> list[str]:
        return sorted({tab.name for tab in self.tabs})

    def of(self, name: str) -> list[Tab]:
        return [tab for tab in self.tabs if tab.name == name]

    def tell(self, message: dict[str, Any], tabs: list[Tab] | None = None) -> None:
        text = json.dumps(message, ensure_ascii=False)
        for tab in list(self.tabs if tabs is None else tabs):
            tab.put(text)

    def say(self, name: str, text: str) -> None:
        self.count += 1
        self.tell({"type": "message", "id": self.count, "from": name, "text": text})

    def enter(self, tab: Tab) -> None:
        others = list(self.tabs)
        is_new = tab.name not in self.names()
        self.tabs.append(tab)
        self.tell({"type": "members", "names": self.names()}, [tab])
        if is_new:
            self.tell({"type": "joined", "name": tab.name}, others)

    def forget(self, tab: Tab) -> None:
        if tab in self.tabs:
            self.tabs.remove(tab)
            if tab.name not in self.names():
                self.tell({"type": "left", "name": tab.name})


rooms: dict[str, Room] = {}
