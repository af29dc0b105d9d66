"""Step 08: what was said, in a database."""

import sqlite3

from .settings import DEDUP_WINDOW

SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    room TEXT, id INTEGER, sender TEXT, text TEXT, key TEXT, PRIMARY KEY (room, id)
)
"""


class Journal:
    def __init__(self, path: str | None) -> None:
        self.database = sqlite3.connect(path or ":memory:", isolation_level=None)
        # A commit is then in the hands of the system, and that is what a kill leaves alone.
        self.database.execute("PRAGMA synchronous = OFF")
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.execute(SCHEMA)

    def last_id(self, room: str) -> int:
        return self.database.execute("SELECT coalesce(max(id), 0) FROM messages WHERE room = ?", (room,)).fetchone()[0]

    def id_of(self, room: str, sender: str, key: str) -> int | None:
        window = "SELECT id, sender, key FROM messages WHERE room = ? AND key IS NOT NULL ORDER BY id DESC LIMIT ?"
        query = f"SELECT max(id) FROM ({window}) WHERE sender = ? AND key = ?"
        return self.database.execute(query, (room, DEDUP_WINDOW, sender, key)).fetchone()[0]

    def add(self, room: str, sender: str, text: str, key: str) -> int:
        number = self.last_id(room) + 1
        self.database.execute("INSERT INTO messages VALUES (?, ?, ?, ?, ?)", (room, number, sender, text, key or None))
        return number

    def since(self, room: str, after: int) -> list[tuple[int, str, str]]:
        query = "SELECT id, sender, text FROM messages WHERE room = ? AND id > ? ORDER BY id DESC LIMIT 100"
        return self.database.execute(query, (room, after)).fetchall()[::-1]

    def close(self) -> None:
        self.database.close()
