"""Step 12, lesson: seven tests in the style of FastAPI's documentation. The notebook is about what they don't find."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from .main import app


@pytest.fixture
def client() -> Iterator[TestClient]:
    # With `with`, all connections of a test share one event loop, as under uvicorn.
    with TestClient(app) as client:
        yield client


def test_sender_receives_its_text(client: TestClient) -> None:
    with client.websocket_connect("/ws/lobby") as ada:
        ada.send_text("hello")
        assert ada.receive_text() == "hello"


def test_other_member_receives_the_text(client: TestClient) -> None:
    with client.websocket_connect("/ws/lobby") as ada, client.websocket_connect("/ws/lobby") as grace:
        ada.send_text("hello")
        assert grace.receive_text() == "hello"


def test_texts_arrive_in_order(client: TestClient) -> None:
    with client.websocket_connect("/ws/lobby") as ada:
        for text in ("one", "two", "three"):
            ada.send_text(text)
            assert ada.receive_text() == text


def test_rooms_are_separate(client: TestClient) -> None:
    with client.websocket_connect("/ws/lobby") as ada, client.websocket_connect("/ws/lab"):
        ada.send_text("hello")
        assert ada.receive_text() == "hello"


def test_rooms_are_counted(client: TestClient) -> None:
    with client.websocket_connect("/ws/lobby"), client.websocket_connect("/ws/lobby"):
        assert client.get("/rooms").json() == {"lobby": 2}
    assert client.get("/rooms").json() == {}


def test_binary_message_is_refused(client: TestClient) -> None:
    with client.websocket_connect("/ws/lobby") as ada:
        ada.send_bytes(b"hello")
        with pytest.raises(WebSocketDisconnect):
            ada.receive_text()


def test_long_name_is_refused(client: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect("/ws/" + "x" * 21) as ada:
        ada.receive_text()
    assert closed.value.code == 4404
