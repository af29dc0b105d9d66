"""Step 13, exercise: the WebSocket endpoint. Each viewer samples for itself, and gets every sample."""

import asyncio
import time

from fastapi import APIRouter, WebSocket

from .encoding import encode
from .messages import EXPECTED_FORMAT, Subscribe, Unsubscribe, parse
from .settings import SAMPLES_PER_SECOND
from .source import alerts, sample
from .tab import Tab

# TODO 1: sample once for all viewers, SAMPLES_PER_SECOND times a second, one call of sample() at a time. A sample that
#         blocks for 0.2 s delays no viewer, and one that raises ends nothing. You need a new file, such as feed.py, and
#         a lifespan in main.py.
# TODO 2: call sample() only while there are viewers: from the first subscribe until LINGER seconds after the last one
#         has left, or has unsubscribed from its last topic. Don't leave a task behind for each start.
# TODO 3: answer subscribe with {"type": "snapshot", "seq": S, "values": {...}}: the newest value of each topic of this
#         viewer. Then send {"type": "values", "first": F, "last": L, "values": {...}}. The first F is S + 1, and each
#         later F is the L before + 1. seq counts the samples of the server. An unknown topic gets an error, and nothing
#         of that request is done.
# TODO 4: answer unsubscribe with {"type": "unsubscribed", "topics": [...]}. No value of these topics comes after it.
# TODO 5: at most MAX_UNSEEN messages with values may be unseen. Merge the samples meanwhile: keep the newest value of
#         each topic. A seen, which answers earlier messages too, sends them in one message.
#         Another subscribe starts again: drop what was merged, and ignore a seen for earlier messages.
# TODO 6: {"type": "rate", "per_second": R} limits the messages with values of this viewer. An interval counts from the
#         last of them. The last value of a burst arrives within 1/R + 0.1 s.
# TODO 7: queue each alert as {"type": "alert", "text": ...} for the viewers with the topic alerts, in order, whatever
#         is unseen. If 64 messages are queued and one more comes, close that viewer's connection with 1013.

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
