"""Step 08: an append-only log of the messages, which survives the process."""

import errno
import logging
import os

from pydantic import BaseModel, ValidationError

logger = logging.getLogger(__name__)


class Record(BaseModel):
    room: str
    id: int
    sender: str
    text: str
    key: str = ""


class Journal:
    """A file with one line for each message. Without a path, nothing is stored.

    Args:
        path: the file. It's created if it doesn't exist.
    """

    def __init__(self, path: str | None) -> None:
        # Unbuffered: the operating system has each line after write(), so a kill of this process loses none.
        # A power failure could. To survive that too, call os.fsync() before each acknowledgement.
        self.file = open(path, "ab+", buffering=0) if path else None
        # The offset of the end of the last complete line, in bytes, and whether part of a line may follow it.
        self.size = 0
        self.is_torn = False

    def read(self) -> list[Record]:
        """Return all messages, without damaged lines, and truncate a last line that has no end."""
        if self.file is None:
            return []
        self.file.seek(0)
        content = self.file.read()
        *lines, torn = content.split(b"\n")
        if torn:
            # It wasn't acknowledged, so its sender sends it again.
            logger.warning("%s: line %d has no end, and is cut off.", self.file.name, len(lines) + 1)
            self.file.truncate(len(content) - len(torn))
        records = []
        for number, line in enumerate(lines, 1):
            try:
                records.append(Record.model_validate_json(line))
            except ValidationError:
                logger.error("%s: line %d is damaged, and is left out.", self.file.name, number)
        return records

    def append(self, record: Record) -> None:
        """Append a message.

        Raises:
            OSError: the line can't be written, such as on a full disk.
        """
        if self.file is None:
            return
        line = record.model_dump_json(exclude_defaults=True).encode() + b"\n"
        try:
            end = self.file.seek(0, os.SEEK_END)
            if self.is_torn and end > self.size:
                end = self.file.truncate(self.size)
            self.size, self.is_torn = end, True
            if self.file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.is_torn = False
        except OSError as error:
            logger.error("%s: a message can't be written: %s", self.file.name, error)
            raise

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
