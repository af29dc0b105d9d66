"""Members that read slowly or not at all, in step 07: what fills their connections, and who holds their sockets."""

import json

import psutil
from websockets import frames

from .clients import Client
from .subject import Subject

LARGE = "x" * 65_536
"""A text of which the kernel keeps some dozens for a member that does not read."""
LONGEST_WAIT = 0.1
"""Seconds that the others may wait for a message."""


def in_one_piece(texts: list[str]) -> bytes:
    """Messages as the bytes that a client sends, for one write."""
    data = (json.dumps({"type": "message", "text": text}).encode() for text in texts)
    return b"".join(frames.Frame(frames.Opcode.TEXT, each).serialize(mask=True) for each in data)


def holds(subject: Subject, tab: Client) -> bool:
    """Whether the server's process has a socket whose other end is this client's."""
    port = tab.connection.local_address[1]
    found = psutil.Process(subject.server.pid).net_connections()
    return any(one.raddr and one.raddr.port == port for one in found)
