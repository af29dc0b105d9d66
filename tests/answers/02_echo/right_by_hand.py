"""Everything by hand: the standard library's json, and each way of going wrong looked at in its place."""

import json

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()


@app.websocket("/ws")
async def echo(ws: WebSocket):
    await ws.accept()
    echoes = 0

    async def send(**fields):
        await ws.send_text(json.dumps(fields))

    try:
        await send(type="welcome")
        while True:
            message = await ws.receive()
            if message["type"] == "websocket.disconnect":
                break
            text = message.get("text")
            if text is None:
                await send(type="error", detail="text frames only, please")
                continue
            try:
                request = json.loads(text)
            except (ValueError, RecursionError):
                await send(type="error", detail="this is not JSON")
                continue
            if not isinstance(request, dict):
                await send(type="error", detail="this is no object")
            elif request.get("type") == "bye":
                await ws.close(code=1000, reason="bye")
                break
            elif request.get("type") != "echo":
                await send(type="error", detail="unknown type")
            elif not isinstance(request.get("text"), str):
                await send(type="error", detail="the text is no string")
            else:
                echoes += 1
                await send(type="echo", text=request["text"], count=echoes)
    except (WebSocketDisconnect, RuntimeError):
        pass
