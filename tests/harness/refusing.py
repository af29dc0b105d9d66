"""Small apps that reject a handshake: each has one mistake in its paths or its parameters."""

IMPORTS = """
import asyncio
import sys
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query, Request, WebSocket, WebSocketException
from fastapi.security import OAuth2PasswordBearer
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
"""

PATHS = {
    "prefix twice": (
        """
        router = APIRouter(prefix="/api/chat")
        @router.websocket("/api/chat/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        app = FastAPI()
        app.include_router(router)
        """,
        "/api/chat/ws/lobby",
        "route /api/chat/api/chat/ws/{room_id}, and the client asked for /api/chat/ws/lobby: /api/chat is there twice",
    ),
    "prefix in both": (
        """
        router = APIRouter(prefix="/api/chat")
        @router.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        app = FastAPI()
        app.include_router(router, prefix="/api/chat")
        """,
        "/api/chat/ws/lobby",
        "/api/chat is there twice. Set it once",
    ),
    "prefix missing": (
        """
        router = APIRouter()
        @router.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        app = FastAPI()
        app.include_router(router)
        """,
        "/api/chat/ws/lobby?name=Ada",
        "/api/chat is missing at the beginning. Set it in APIRouter(prefix=...)",
    ),
    "half a prefix": (
        """
        router = APIRouter(prefix="/api")
        @router.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        app = FastAPI()
        app.include_router(router)
        """,
        "/api/chat/ws/lobby",
        "/chat is missing in the middle",
    ),
    "prefix too much": (
        """
        app = FastAPI()
        @app.websocket("/chat/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        """,
        "/ws/lobby",
        "/chat at the beginning is too much",
    ),
    "slash surplus": (
        """
        app = FastAPI()
        @app.websocket("/ws/")
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        "the route ends with a slash. Remove it",
    ),
    "slash surplus after a parameter": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room_id}/")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        """,
        "/ws/lobby",
        "the route ends with a slash. Remove it",
    ),
    "slash missing": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws/",
        "the slash at the end is missing",
    ),
    "two slashes": (
        """
        app = FastAPI()
        @app.websocket("//ws")
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        "two slashes in a row",
    ),
    "space": (
        """
        app = FastAPI()
        @app.websocket("/ws ")
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        "has a space in its path",
    ),
    "case": (
        """
        app = FastAPI()
        @app.websocket("/WS/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        """,
        "/ws/Lobby",
        "paths are case-sensitive",
    ),
    "spelling": (
        """
        app = FastAPI()
        @app.websocket("/ws/announcments")
        async def announcements(websocket: WebSocket): await websocket.accept()
        """,
        "/ws/announcements",
        "the route has announcments, and the client sends announcements",
    ),
    "other word": (
        """
        app = FastAPI()
        @app.websocket("/echo")
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        "the route has echo, and the client sends ws",
    ),
    "no braces": (
        """
        app = FastAPI()
        @app.websocket("/ws/room_id")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        """,
        "/ws/lobby",
        "room_id has no braces, so it isn't a path parameter. Write {room_id}",
    ),
    "braces of Flask": (
        """
        app = FastAPI()
        @app.websocket("/ws/<room_id>")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        """,
        "/ws/lobby",
        "<room_id> isn't a path parameter. Write {room_id}",
    ),
    "slash before a parameter": (
        """
        app = FastAPI()
        @app.websocket("/ws{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        """,
        "/ws/lobby",
        "Write /ws/{room_id}",
    ),
    "hyphen in a parameter": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room-id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        """,
        "/ws/lobby",
        "{room-id} isn't a path parameter. Write {room_id}",
    ),
    "query in the path": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room_id}?name={name}")
        async def chat(websocket: WebSocket, room_id: str, name: str): await websocket.accept()
        """,
        "/ws/lobby?name=Ada",
        "the query isn't part of a route's path. Write /ws/{room_id}",
    ),
    "slip next to a longer route": (
        """
        app = FastAPI()
        @app.websocket("/ws/rooms/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        @app.websocket("/ws/announcement")
        async def announcements(websocket: WebSocket): await websocket.accept()
        """,
        "/ws/announcements",
        "the route has announcement, and the client sends announcements",
    ),
    "convertor": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room_id:int}")
        async def chat(websocket: WebSocket, room_id: int): await websocket.accept()
        """,
        "/ws/lobby",
        "{room_id:int} matches only values of type int. Write {room_id}",
    ),
    "slash in a value": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        """,
        "/ws/a%2Fb?name=Ada",
        "{room_id} doesn't match a slash. Write {room_id:path}",
    ),
    "parameter missing": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def chat(websocket: WebSocket, room_id: str = "lobby"): await websocket.accept()
        """,
        "/ws/lobby",
        'no path parameter for "lobby". Add one to the path, as in /ws/{room_id}',
    ),
    "name in the path": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room_id}/{name}")
        async def chat(websocket: WebSocket, room_id: str, name: str): await websocket.accept()
        """,
        "/ws/lobby?name=Ada",
        "the client sends name in the query. Remove /{name} from the path",
    ),
    "several routes": (
        """
        app = FastAPI()
        @app.websocket("/one/two/three")
        async def one(websocket: WebSocket): await websocket.accept()
        @app.websocket("/four/five")
        async def two(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        "WebSocket routes",
    ),
    "mounted": (
        """
        app = FastAPI()
        inner = FastAPI()
        @inner.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        app.mount("/api", inner)
        """,
        "/ws/lobby",
        "route /api/ws/{room_id}, and the client asked for /ws/lobby: /api at the beginning is too much",
    ),
    "HTTP": (
        """
        app = FastAPI()
        @app.get("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        """,
        "/ws/lobby",
        "chat() is an HTTP route (GET /ws/{room_id}), and the client opens a WebSocket",
    ),
    "no include": (
        """
        router = APIRouter(prefix="/api/chat")
        @router.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        app = FastAPI()
        """,
        "/api/chat/ws/lobby",
        "is on router in exercise.py, and your app doesn't include that router. Call app.include_router(router)",
    ),
    "router created twice": (
        """
        app = FastAPI()
        router = APIRouter()
        @router.websocket("/ws")
        async def echo(websocket: WebSocket): await websocket.accept()
        router = APIRouter()
        app.include_router(router)
        """,
        "/ws",
        "on an APIRouter() that another one replaces",
    ),
    "app created twice": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket): await websocket.accept()
        app = FastAPI()
        """,
        "/ws",
        "on a FastAPI() that another one replaces",
    ),
    "another app": (
        """
        app = FastAPI()
        chat_app = FastAPI()
        @chat_app.websocket("/ws")
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        "is on chat_app in exercise.py, which is another FastAPI()",
    ),
    "no decorator": (
        """
        app = FastAPI()
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        "echo() in exercise.py has no decorator",
    ),
    "decorator without a path": (
        """
        app = FastAPI()
        @app.websocket
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        "@app.websocket above echo() in exercise.py has no path",
    ),
    "no route": (
        """
        app = FastAPI()
        @app.get("/rooms")
        async def rooms(): return {}
        """,
        "/ws",
        "Your app has no WebSocket route.",
    ),
}
"""Apps without a route for the path: each has its code, the path, and a part of the explanation."""

PARAMETERS = {
    "no annotation": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room_id}")
        async def chat(websocket, room_id: str): await websocket.accept()
        """,
        "/ws/lobby",
        "websocket of chat() has no annotation, so FastAPI takes it for a query parameter. Write websocket: WebSocket.",
    ),
    "no annotation in a dependency": (
        """
        def language(websocket): return websocket.headers.get("accept-language")
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket, spoken: Annotated[str, Depends(language)]): await websocket.accept()
        """,
        "/ws",
        "The parameter websocket of language() has no annotation",
    ),
    "annotation Any": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(ws: Any): await ws.accept()
        """,
        "/ws",
        "ws of echo() isn't annotated with WebSocket",
    ),
    "decorator without wraps": (
        """
        app = FastAPI()
        def logged(function):
            async def inner(*args, **kwargs): return await function(*args, **kwargs)
            return inner
        @app.websocket("/ws")
        @logged
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        "Put @functools.wraps(function) above the decorator's inner function",
    ),
    "another name in the path": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room}")
        async def chat(websocket: WebSocket, room_id: str, name: str): await websocket.accept()
        """,
        "/ws/lobby?name=Ada",
        "has {room}, and chat() calls it room_id, so FastAPI takes room_id for a query parameter. Write {room_id}",
    ),
    "another name in the query": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str, username: str): await websocket.accept()
        """,
        "/ws/lobby?name=Ada",
        "requires the query parameter username, and the client sends name instead. Rename the parameter to name",
    ),
    "name in a dependency": (
        """
        async def member_name(user: Annotated[str, Query(min_length=1)]): return user
        app = FastAPI(dependencies=[Depends(member_name)])
        @app.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        """,
        "/ws/lobby?name=Ada",
        "member_name() requires the query parameter user",
    ),
    "no query": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket, token: str): await websocket.accept()
        """,
        "/ws",
        "requires the query parameter token, and the client sends no query. Give token a default",
    ),
    "header": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket, name: Annotated[str, Header()]): await websocket.accept()
        """,
        "/ws?name=Ada",
        "requires the header name, and the client doesn't send it",
    ),
    "body": (
        """
        class Message(BaseModel):
            text: str
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket, message: Message): await websocket.accept()
        """,
        "/ws",
        "a handshake has no body",
    ),
    "too short": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket, name: Annotated[str, Query(min_length=5)]): await websocket.accept()
        """,
        "/ws?name=Ada",
        'limits the query parameter name to min_length=5, and the client sends "Ada", which has 3 characters',
    ),
    "too long": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room_id}")
        async def echo(websocket: WebSocket, room_id: str, name: Annotated[str, Query(max_length=2)]): pass
        """,
        "/ws/lobby?name=%C3%85sa",
        'max_length=2, and the client sends "Åsa"',
    ),
    "pattern": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket, name: Annotated[str, Query(pattern="^[a-z]+$")]): pass
        """,
        "/ws?name=Ada",
        'pattern="^[a-z]+$", and the client sends "Ada"',
    ),
    "literal": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: Literal["main"]): pass
        """,
        "/ws/lobby",
        "one of 'main', and the client sends \"lobby\"",
    ),
    "int": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: int): await websocket.accept()
        """,
        "/ws/lobby",
        'declares the path parameter room_id as int, and the client sends "lobby". Annotate room_id with str',
    ),
    "order": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str, name: str): await websocket.accept()
        @app.websocket("/ws/announcements")
        async def announcements(websocket: WebSocket): await websocket.accept()
        """,
        "/ws/announcements",
        "/ws/{room_id} is declared before /ws/announcements",
    ),
    "mount first": (
        """
        app = FastAPI()
        app.mount("/", StaticFiles(directory="."))
        @app.websocket("/ws")
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        'app.mount("/") comes before the WebSocket route',
    ),
}
"""Apps that reject a parameter, or route the path to another endpoint."""
