"""Step 05, lesson: what a client may send."""

from typing import Literal

from pydantic import BaseModel

EXPECTED_FORMAT = 'expected {"type": "message", "text": "..."} in a text frame'


class Message(BaseModel):
    type: Literal["message"]
    text: str
