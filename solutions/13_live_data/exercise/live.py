"""Step 13, solution: the WebSocket endpoint."""

import asyncio

from fastapi import APIRouter, WebSocket

from .feed import FeedDep
from .messages import EXPECTED_FORMAT, Rate, Seen, Subscribe, Unsubscribe, parse
from .source import TOPICS
from .tab import Tab
from .viewer import Viewer

router = APIRouter()


@router.websocket("/ws")
async def live(websocket: WebSocket, feed: FeedDep) -> None:
    await websocket.accept()
    tab = Tab("viewer", websocket)
    viewer = Viewer(tab)
    # In a group: if the writer fails, the endpoint ends too, so no viewer stays without a writer.
    async with asyncio.TaskGroup() as tasks:
        writer = tasks.create_task(tab.write())
        try:
            while (event := await websocket.receive())["type"] != "websocket.disconnect":
                # Yield control to the writers: many messages may have arrived at the same time.
                await asyncio.sleep(0)
                if viewer.is_closing:
                    continue
                match parse(event):
                    case Subscribe(topics=topics) | Unsubscribe(topics=topics) if not set(topics) <= set(TOPICS):
                        viewer.send({"type": "error", "detail": "unknown topic"})
                    case Subscribe(topics=topics):
                        feed.subscribe(viewer, topics)
                    case Unsubscribe(topics=topics):
                        feed.unsubscribe(viewer, topics)
                    case Seen(last=last):
                        viewer.seen(last)
                    case Rate(per_second=per_second):
                        viewer.set_rate(per_second)
                    case None:
                        viewer.send({"type": "error", "detail": EXPECTED_FORMAT})
        finally:
            feed.leave(viewer)
            writer.cancel()
            tab.abort_later()
