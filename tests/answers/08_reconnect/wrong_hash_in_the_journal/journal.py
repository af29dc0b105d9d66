"""The file that outlives the process."""

from pydantic import BaseModel


class Record(BaseModel):
    room: str
    id: int
    sender: str
    text: str
    hashed: int = 0


class Journal:
    """A line for each message. Without a path, nothing is kept.

    Args:
        path: the file. It is made if it is not there.
    """

    def __init__(self, path: str | None) -> None:
        # Without a buffer: what write() has taken, the system has, and no kill of this process can take it back.
        # A power cut could. Against that, os.fsync() would have to come before each acknowledgement.
        self.file = open(path, "ab+", buffering=0) if path else None

    def read(self) -> list[Record]:
        """Every message so far. A last line without its end was never acknowledged, and is cut off."""
        if self.file is None:
            return []
        self.file.seek(0)
        whole, newline, _ = self.file.read().rpartition(b"\n")
        self.file.truncate(len(whole + newline))
        return [Record.model_validate_json(line) for line in whole.splitlines()]

    def append(self, record: Record) -> None:
        if self.file is not None:
            self.file.write(record.model_dump_json(exclude_defaults=True).encode() + b"\n")

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
