"""Step 13, lesson: the WebSocket endpoint. Each viewer samples for itself, and gets every sample."""

import asyncio
import time

from fastapi import APIRouter, WebSocket

from .encoding import encode
from .messages import EXPECTED_FORMAT, Subscribe, Unsubscribe, parse
from .settings import SAMPLES_PER_SECOND
from .source import alerts, sample
from .tab import Tab

router = APIRouter()


async def stream(tab: Tab, topics: set[str]) -> None:
    """Queue the values of these topics for a viewer, until its queue is full."""
    interval = 1 / SAMPLES_PER_SECOND
    seq, has_room = 0, True
    while has_room:
        # At whole intervals of the clock, so all charts move at the same time.
        await asyncio.sleep(interval - time.time() % interval)
        seq += 1
        values = {topic: value for topic, value in sample().items() if topic in topics}
        if values:
            has_room = tab.try_put(encode({"type": "values", "first": seq, "last": seq, "values": values}))
        if "alerts" in topics:
            for text in alerts():
                has_room = has_room and tab.try_put(encode({"type": "alert", "text": text}))
    tab.close(1013, "too slow")


@router.websocket("/ws")
async def live(websocket: WebSocket) -> None:
    await websocket.accept()
    tab = Tab("viewer", websocket)
    topics: set[str] = set()
    # In a group: if one of the tasks fails, the endpoint ends too, so no viewer stays without them.
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(tab.write()), tasks.create_task(stream(tab, topics))]
        try:
            while (event := await websocket.receive())["type"] != "websocket.disconnect":
                match parse(event):
                    case Subscribe(topics=chosen):
                        topics.update(chosen)
                    case Unsubscribe(topics=chosen):
                        topics.difference_update(chosen)
                    case None:
                        tab.try_put(encode({"type": "error", "detail": EXPECTED_FORMAT}))
        finally:
            for task in running:
                task.cancel()
            tab.abort_later()
