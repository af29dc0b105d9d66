"""Step 06: the claims of its notebook about tokens in a handshake, verified on the running lesson."""

import ast
import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness.browser import chromium
from harness.guesses import assert_right
from harness.kernels import code_of
from harness.sources import functions_of
from judge.auth import HASHING, KEY, AuthClient, b64, bearer, claims_of, forged
from judge.clients import ClientConnection, anything
from judge.members import Members
from judge.subject import Subject
from websockets import ConnectionClosed, InvalidStatus, Subprotocol, connect
from workshop.course import find_step
from workshop.ports import free_port
from workshop.server import Server

EXCEPTIONS = """
from fastapi import FastAPI, HTTPException, WebSocket, WebSocketException

app = FastAPI()
EXCEPTIONS = {
    "http": HTTPException(401, "no token", headers={"WWW-Authenticate": "Bearer"}),
    "websocket": WebSocketException(4401),
}

@app.websocket("/before/{kind}")
async def before(websocket: WebSocket, kind: str) -> None:
    assert "websocket.http.response" in websocket.scope["extensions"]
    raise EXCEPTIONS[kind]

@app.websocket("/after/{kind}")
async def after(websocket: WebSocket, kind: str) -> None:
    await websocket.accept()
    raise EXCEPTIONS[kind]
"""


@contextlib.asynccontextmanager
async def served(target: str, **settings: str) -> AsyncIterator[Subject]:
    """Serve a module of the lesson with a server of its own."""
    folder = find_step(6).folder
    with Server(target, folder, environment=settings) as server:
        subject = Subject(server, 2.0, folder)
        yield subject
        await subject.close()


@contextlib.contextmanager
def served_code(code: str) -> Iterator[Server]:
    """Serve an application whose code is in a string."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "application.py").write_text(code, "utf-8")
        with Server("application:app", Path(folder)) as server:
            yield server


def cookie_session() -> str:
    """Return the code of the application with a cookie session, which is in a cell of the notebook."""
    (cell,) = (cell for cell in code_of(find_step(6).notebook) if cell.startswith("COOKIE_SESSION = "))
    return ast.literal_eval(cell.partition(" = ")[2])


async def first_reply(address: str, message: str = "", **options: Any) -> str:
    """Return the server's reply to a handshake and a first message, as the notebook's function does."""
    try:
        async with connect(address, proxy=None, **options) as client, asyncio.timeout(3):
            if message:
                await client.send(message)
            return f"101, then the text: {await client.recv()}"
    except InvalidStatus as error:
        return f"HTTP {error.response.status_code}"
    except ConnectionClosed:
        return f"101, then close code {client.close_code}"
    except TimeoutError:
        return "101, then nothing"


async def next_answer(connection: ClientConnection) -> dict[str, Any]:
    """Return the next message or error; the type is "closed" at the end of the connection."""
    try:
        async with asyncio.timeout(2):
            while (message := json.loads(await connection.recv()))["type"] in ("members", "joined", "left"):
                pass
        return message
    except ConnectionClosed:
        return {"type": "closed"}


class TestInABrowser:
    """The last column of the table in the notebook: which credentials a page can send, and which replies it sees."""

    SEES = """async ([address, protocols, message]) => {
        const socket = new WebSocket(address, protocols);
        const seen = {opened: false, text: null};
        return await new Promise((resolve) => {
            socket.onopen = () => { seen.opened = true; if (message !== null) socket.send(message); };
            socket.onmessage = ({data}) => { seen.text = data; };
            socket.onclose = ({code, reason}) => resolve({...seen, code, reason});
            setTimeout(() => { if (seen.text !== null) socket.close(); }, 1500);
        });
    }"""
    HIDDEN = {"opened": False, "text": None, "code": 1006, "reason": ""}

    def test_ways(self) -> None:
        """A page can use the query, a subprotocol and the first message. It sees 1006 for every rejected handshake."""
        folder = find_step(6).folder
        with (
            chromium() as browser,
            Server("app.token_transports:app", folder) as transports,
            Server("app.main:app", folder) as lesson,
        ):
            page = browser.new_page()
            page.goto(f"{lesson.url}/")
            good, of_the_lesson = (
                httpx.post(
                    f"{server.url}/token",
                    data={"username": "Ada", "password": "lovelace"},
                    timeout=HASHING,
                    trust_env=False,
                ).json()["access_token"]
                for server in (transports, lesson)
            )

            def sees(address: str, protocols: tuple[str, ...] = (), message: str | None = None) -> dict[str, Any]:
                return page.evaluate(self.SEES, [address, protocols, message])

            assert sees(lesson.ws("/ws/lobby")) == self.HIDDEN
            # A browser ignores a third argument, which some libraries for programs have.
            header = f"{{headers: {json.dumps(bearer(of_the_lesson))}}}"
            made = f"new WebSocket({json.dumps(lesson.ws('/ws/lobby'))}, [], {header})"
            code = f"new Promise((resolve) => {{ {made}.onclose = (event) => resolve(event.code); }})"
            assert page.evaluate(code) == 1006
            # The page is from another port: CORS withholds an HTTP response from it, and no WebSocket message.
            assert sees(transports.ws(f"/query?token={good}"))["text"] == "hello Ada"
            assert "TypeError" in page.evaluate(
                f"fetch('{transports.url}/openapi.json').then(() => '', error => String(error))"
            )
            assert sees(transports.ws("/query?token=secret")) == self.HIDDEN
            assert sees(transports.ws("/subprotocol"), ("chat", good))["text"] == "hello Ada"
            assert sees(transports.ws("/subprotocol"), ("chat", "secret")) == self.HIDDEN
            assert sees(transports.ws("/message"), (), good)["text"] == "hello Ada"
            seen = sees(transports.ws("/message"), (), "secret")
            assert (seen["opened"], seen["text"], seen["code"]) == (True, None, 4401)
            assert sees(transports.ws("/closed-before")) == self.HIDDEN
            assert sees(transports.ws("/closed-after"))["code"] == 4401

    def test_ticket(self) -> None:
        """With the solution, a page of an allowed origin connects with a ticket, and the browser sends its origin."""
        port = free_port()
        settings = {"ALLOWED_ORIGINS": f"http://127.0.0.1:{port}"}
        folder = find_step(6).solution
        buy = """async () => {
            const form = new URLSearchParams({username: "Ada", password: "lovelace"});
            const {access_token} = await (await fetch("/token", {method: "POST", body: form})).json();
            const headers = {Authorization: `Bearer ${access_token}`};
            return (await (await fetch("/ticket", {method: "POST", headers})).json()).ticket;
        }"""
        with chromium() as browser, Server("exercise.main:app", folder, port=port, environment=settings) as server:
            page = browser.new_page()
            page.goto(f"{server.url}/openapi.json")
            seen = page.evaluate(self.SEES, [server.ws(f"/ws/lobby?ticket={page.evaluate(buy)}"), [], None])
            assert json.loads(seen["text"]) == {"type": "members", "names": ["Ada"]}
            # The same page by another name of the same machine has another origin, and its ticket isn't accepted.
            page.goto(f"http://localhost:{port}/openapi.json")
            ticket = page.evaluate(buy)
            assert page.evaluate(self.SEES, [server.ws(f"/ws/lobby?ticket={ticket}"), [], None]) == self.HIDDEN
            assert server.wait_for(lambda log: any(f'{ticket}" 403' in line for line in log), 2)

    def test_cookie(self) -> None:
        """A browser adds a cookie with SameSite=Lax for pages of another port, which is the same site, and no other."""
        connects = f"async (address) => (await ({self.SEES})([address, [], null])).text"
        with (
            chromium() as browser,
            served_code(cookie_session()) as server,
            Server("app.main:app", find_step(6).folder) as other,
        ):
            page = browser.new_page()
            page.goto(f"{server.url}/openapi.json")
            cookie = page.evaluate("async () => { await fetch('/login', {method: 'POST'}); return document.cookie; }")
            assert cookie == "", "HttpOnly keeps a script from reading it"
            page.goto(f"{other.url}/")
            assert other.url.startswith("http://127.0.0.1:")
            assert page.evaluate(connects, server.ws("/ws")) == "hello Ada"
            page.goto(f"{other.url.replace('127.0.0.1', 'localhost')}/")
            assert page.evaluate(connects, server.ws("/ws")) is None


@pytest.mark.anyio
class TestLesson:
    def test_begins_with_the_solution(self) -> None:
        """Except for the changes of the lesson, its code and the starter code are the solution of step 05."""
        solution, app, exercise = find_step(5).solution / "exercise", find_step(6).folder / "app", find_step(6).folder
        names = ("manager", "messages", "members")
        before = functions_of(*(solution / f"{name}.py" for name in names))
        assert functions_of(*(app / f"{name}.py" for name in (*names, "sending"))) == before
        assert functions_of(*(exercise / "exercise" / f"{name}.py" for name in names)) == before

    async def test_sockets(self, lesson: Subject) -> None:
        """A token in the header gives a connection its name. Others are rejected, without a traceback."""
        auth = AuthClient(lesson)
        refused = await auth.post("/token", username="Ada", password="hopper")
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        unknown = await auth.post("/token", username="Nobody", password="hopper")
        assert (unknown.status_code, unknown.content) == (401, refused.content)
        ada, grace = await auth.log_in("Ada"), await auth.log_in("Grace")
        async with auth.member("lobby", token=ada) as one, auth.member("lobby", token=grace, more="?name=Linus") as two:
            await two.says("hello", **{"from": "Linus"})
            await one.gets_message("Grace", "hello", likely="")
        head, claims, signature = ada.split(".")
        await auth.refuses("/ws/lobby", "no token", statuses=(401,), likely="")
        for token in ("secret", f"{head}.{grace.split('.')[1]}.{signature}", f"{b64({'alg': 'none'})}.{claims}."):
            await auth.refuses("/ws/lobby", token, headers=bearer(token), statuses=(401,), likely="")
        async with served("app.main:app", SECRET_KEY=KEY) as keyed:
            good = await AuthClient(keyed).log_in("Ada")
            for claim in ("sub", "aud", "exp"):
                token = forged(good, KEY, {claim: None})
                await AuthClient(keyed).refuses("/ws/lobby", claim, headers=bearer(token), statuses=(401,), likely="")
        assert "Traceback" not in await lesson.settle()

    async def test_open_doors(self, lesson: Subject) -> None:
        """Linus can join the lab, and a client without a token can list its members and remove him."""
        token = await AuthClient(lesson).log_in("Linus")
        async with lesson.client("/ws/lab", headers=bearer(token)) as linus:
            await linus.gets({"type": "members", "names": ["Linus"]}, likely="")
            assert await lesson.get_json("/rooms/lab/members", likely="") == {"names": ["Linus"]}
            await Members(lesson).remove("lab", "Linus", likely="")
            await linus.is_closed(1008, "removed", likely="", besides=anything)

    async def test_time_tells(self, lesson: Subject) -> None:
        """An unknown name is rejected much faster than a wrong password, because the server computes no hash for it."""
        fastest = {"Ada": HASHING, "Nobody": HASHING}
        for _ in range(5):
            for name in fastest:
                start = time.perf_counter()
                await AuthClient(lesson).post("/token", username=name, password="wrong")
                fastest[name] = min(fastest[name], time.perf_counter() - start)
        assert fastest["Nobody"] < fastest["Ada"] / 2

    async def test_outlives_its_token(self) -> None:
        """A connection stays open after its token has expired, and a new handshake with that token is rejected."""
        async with served("app.main:app", TOKEN_SECONDS="2") as brief:
            token = await AuthClient(brief).log_in("Ada")
            async with brief.client("/ws/lobby", headers=bearer(token)) as ada, asyncio.timeout(10):
                while (answer := await brief.handshake("/ws/lab", headers=bearer(token))) != 401:
                    assert not isinstance(answer, int)
                    await answer.close()
                assert time.time() >= claims_of(token)["exp"]
                await ada.send({"type": "message", "text": "still here"})
                answer = await next_answer(ada.connection)
                assert answer["text"] == "still here"
                assert_right("06.3", answer["type"])

    async def test_ways(self) -> None:
        """The table of the notebook: the server's replies. The log has the token once, in the query."""
        async with served("app.token_transports:app") as transports:
            good = await AuthClient(transports).log_in("Ada")

            async def reply_to(path: str, message: str = "", *offered: str) -> str:
                protocols = [Subprotocol(each) for each in offered] or None
                return await first_reply(transports.server.ws(path), message, subprotocols=protocols)

            hello, rejected = "101, then the text: hello Ada", "101, then close code 4401"
            assert await reply_to(f"/query?token={good}") == hello
            assert await reply_to("/query?token=secret") == "HTTP 401"
            assert await reply_to("/subprotocol", "", "chat", good) == hello
            assert await reply_to("/subprotocol", "", "chat", "secret") == "HTTP 401"
            assert await reply_to("/message", good) == hello
            assert await reply_to("/message", "secret") == rejected
            # A client that leaves without a message causes no error.
            async with connect(transports.server.ws("/message"), proxy=None):
                pass
            assert_right("06.1", await reply_to("/closed-before"))
            assert await reply_to("/closed-after") == rejected
            log = (await transports.settle()).splitlines()
            assert ["/query" in line for line in log if good in line] == [True]
            assert not any("Traceback" in line for line in log)

    async def test_cors(self) -> None:
        """CORSMiddleware distinguishes two origins over HTTP, and lets both open a WebSocket."""
        async with served("app.token_transports:app") as transports:
            good = await AuthClient(transports).log_in("Ada")
            for origin, allowed in (("https://chat.example", "https://chat.example"), ("http://evil.example", None)):
                headers = {"Origin": origin}
                answer = await transports.request("GET", "/openapi.json", headers=headers, likely="")
                assert answer.headers.get("access-control-allow-origin") == allowed
                async with transports.client(f"/query?token={good}", headers=headers) as client:
                    await client.gets("hello Ada", likely="")

    async def test_cookie(self) -> None:
        """With a cookie, CORSMiddleware doesn't protect a WebSocket from a page of another origin of the site."""
        origin = {"Origin": "https://forum.chat.example"}
        with served_code(cookie_session()) as server:
            async with httpx.AsyncClient(base_url=server.url, timeout=5, trust_env=False) as client:
                cookie = (await client.post("/login")).headers["set-cookie"]
                assert "HttpOnly" in cookie and "SameSite=lax" in cookie
                response = await client.get("/openapi.json", headers=origin)
                assert "access-control-allow-origin" not in response.headers
            headers = origin | {"Cookie": cookie.partition(";")[0]}
            reply = await first_reply(server.ws("/ws"), additional_headers=headers)
            assert reply == "101, then the text: hello Ada"
            assert_right("06.2", reply)
            assert await first_reply(server.ws("/ws"), additional_headers=origin) == "HTTP 401"

    async def test_exceptions(self) -> None:
        """HTTPException is a Denial Response before accept, and WebSocketException a close code after it."""
        with served_code(EXCEPTIONS) as server:
            with pytest.raises(InvalidStatus) as rejected:
                await connect(server.ws("/before/http"), proxy=None)
            response = rejected.value.response
            assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
            assert json.loads(bytes(response.body)) == {"detail": "no token"}
            assert await first_reply(server.ws("/before/websocket")) == "HTTP 403"
            assert not any("Traceback" in line for line in server.log)
            assert await first_reply(server.ws("/after/websocket")) == "101, then close code 4401"
            assert await first_reply(server.ws("/after/http")) == "101, then close code 1006"
            assert server.wait_for(lambda log: any("Traceback" in line for line in log), 2)

    async def test_page(self, lesson: Subject) -> None:
        """The browser page is served at /."""
        assert (await lesson.get("/", likely="")).headers["content-type"].startswith("text/html")
