"""Step 02, exercise: an echo that speaks JSON.

In the folder of the course:

Run it:    uvicorn exercise:app --app-dir steps/02_echo --reload
Judge it:  pytest --exercise 2
"""

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    # TODO 1: greet the client with {"type": "welcome"}, as JSON in a text message.
    try:
        while True:
            text = await websocket.receive_text()
            # TODO 2: answer {"type": "echo", "text": T} with {"type": "echo", "text": T, "count": n}.
            #         n counts the echoes of this connection from 1.
            # TODO 3: answer anything else with {"type": "error", "detail": "what is wrong"}.
            #         The connection stays open, and the count doesn't change.
            # TODO 4: do the same for a binary message. receive_text() can't receive one.
            # TODO 5: on {"type": "bye"}, close with code 1000 and the reason "bye".
            await websocket.send_text(text)
    except WebSocketDisconnect:
        # TODO 6: a client may also disconnect while you send to it. A send then raises too: make sure that it ends
        #         here, without a traceback in the log, and without disturbing other clients.
        pass
