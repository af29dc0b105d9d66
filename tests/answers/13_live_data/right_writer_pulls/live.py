"""Step 13: the WebSocket endpoint."""

import asyncio

from fastapi import APIRouter, WebSocket

from . import source
from .messages import EXPECTED_FORMAT, Rate, Seen, Subscribe, Unsubscribe, parse
from .viewer import Viewer

router = APIRouter()


@router.websocket("/ws")
async def live(websocket: WebSocket) -> None:
    feed = websocket.app.state.feed
    await websocket.accept()
    viewer = Viewer(websocket, feed)
    writer = asyncio.create_task(viewer.write())
    try:
        while (event := await websocket.receive())["type"] != "websocket.disconnect":
            await asyncio.sleep(0)
            match parse(event):
                case Subscribe(topics=topics) if set(topics).issubset(source.TOPICS):
                    viewer.subscribe(topics)
                    await feed.add(viewer)
                case Unsubscribe(topics=topics) if set(topics).issubset(source.TOPICS):
                    viewer.unsubscribe(topics)
                    if not viewer.topics:
                        feed.remove(viewer)
                case Seen(last=last):
                    viewer.seen(last)
                case Rate(per_second=per_second):
                    viewer.set_rate(per_second)
                case Subscribe() | Unsubscribe():
                    viewer.reply({"type": "error", "detail": f"the topics are {', '.join(source.TOPICS):.200}"})
                case _:
                    viewer.reply({"type": "error", "detail": EXPECTED_FORMAT})
    finally:
        feed.remove(viewer)
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)
