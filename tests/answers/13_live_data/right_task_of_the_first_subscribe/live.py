"""Step 13: the WebSocket endpoint."""

import asyncio

from fastapi import APIRouter, WebSocket

from .feed import feed
from .messages import EXPECTED_FORMAT, Rate, Seen, Subscribe, Unsubscribe, parse
from .source import TOPICS
from .tab import Tab
from .viewer import Viewer

router = APIRouter()


@router.websocket("/ws")
async def live(websocket: WebSocket) -> None:
    await websocket.accept()
    tab = Tab("viewer", websocket)
    viewer = Viewer(tab)
    writer = asyncio.create_task(tab.write())
    try:
        while (event := await websocket.receive())["type"] != "websocket.disconnect":
            await asyncio.sleep(0)
            request = parse(event)
            if isinstance(request, Subscribe | Unsubscribe) and set(request.topics) - set(TOPICS):
                viewer.post({"type": "error", "detail": "unknown topic"})
            elif isinstance(request, Subscribe):
                feed.subscribe(viewer, request.topics)
            elif isinstance(request, Unsubscribe):
                feed.unsubscribe(viewer, request.topics)
            elif isinstance(request, Seen):
                viewer.seen(request.last)
            elif isinstance(request, Rate):
                viewer.set_rate(request.per_second)
            else:
                viewer.post({"type": "error", "detail": EXPECTED_FORMAT})
    finally:
        feed.leave(viewer)
        viewer.stop()
        writer.cancel()
        tab.abort_later()
        await asyncio.wait([writer])
