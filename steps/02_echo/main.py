"""Step 02, lesson: a WebSocket that echoes every text message."""

from pathlib import Path

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            text = await websocket.receive_text()
            await websocket.send_text(f"Message text was: {text}")
    except WebSocketDisconnect:
        # The client has disconnected. Every conversation ends like this, so it isn't an error.
        pass


# The browser page of the course. Routes come first; a file is served if no route matches.
app.frontend("/", directory=Path(__file__).parents[1] / "page")
