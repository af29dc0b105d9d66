"""Step 06: what its notebook states about tokens in a handshake, verified on the running lesson."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from harness.browser import chromium
from harness.sources import functions_of
from judge.auth import HASHING, KEY, AuthClient, b64, bearer, claims_of, forged
from judge.clients import ClientConnection, anything
from judge.members import Members
from judge.subject import Subject
from websockets import ConnectionClosed, InvalidStatus, Subprotocol, connect
from workshop.course import find_step
from workshop.ports import free_port
from workshop.server import Server


@contextlib.asynccontextmanager
async def served(target: str, **settings: str) -> AsyncIterator[Subject]:
    """A module of the lesson in a server of its own."""
    folder = find_step(6).folder
    with Server(target, folder, environment=settings) as server:
        subject = Subject(server, 2.0, folder)
        yield subject
        await subject.close()


async def gets_message(connection: ClientConnection, kind: str) -> dict[str, Any]:
    """The next frame of this type."""
    async with asyncio.timeout(2):
        while (message := json.loads(await connection.recv()))["type"] != kind:
            pass
    return message


class TestInABrowser:
    """What a page can send and sees of a handshake: the last column of the table in the notebook."""

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
        """Query, subprotocol and first message work from a page; a refused handshake is 1006, whatever was said."""
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
            # A third argument, as programs have it, is not looked at.
            header = f"{{headers: {json.dumps(bearer(of_the_lesson))}}}"
            made = f"new WebSocket({json.dumps(lesson.ws('/ws/lobby'))}, [], {header})"
            code = f"new Promise((resolve) => {{ {made}.onclose = (event) => resolve(event.code); }})"
            assert page.evaluate(code) == 1006
            # The page is one of another port: CORS keeps it from an answer over HTTP, and from no socket.
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
        """With the solution, a page of an allowed origin gets in with a ticket, and the browser says its origin."""
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
            # The same page by another name of the same machine: it is of another origin, and the ticket does not help.
            page.goto(f"http://localhost:{port}/openapi.json")
            ticket = page.evaluate(buy)
            assert page.evaluate(self.SEES, [server.ws(f"/ws/lobby?ticket={ticket}"), [], None]) == self.HIDDEN
            assert server.wait_for(lambda log: any(f'{ticket}" 403' in line for line in log), 2)


@pytest.mark.anyio
class TestLesson:
    def test_begins_with_the_solution(self) -> None:
        """What the lesson does not change is the solution of step 05, and so is what the exercise begins with."""
        solution, app, exercise = find_step(5).solution / "exercise", find_step(6).folder / "app", find_step(6).folder
        names = ("manager", "messages", "members")
        before = functions_of(*(solution / f"{name}.py" for name in names))
        assert functions_of(*(app / f"{name}.py" for name in (*names, "sending"))) == before
        assert functions_of(*(exercise / "exercise" / f"{name}.py" for name in names)) == before

    async def test_sockets(self, lesson: Subject) -> None:
        """A token in the header gives a socket its name; without a good one there is no socket, and no traceback."""
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
        """Linus gets into the lab, and whoever has no token may ask who is there, and throw him out."""
        token = await AuthClient(lesson).log_in("Linus")
        async with lesson.client("/ws/lab", headers=bearer(token)) as linus:
            await linus.gets({"type": "members", "names": ["Linus"]}, likely="")
            assert await lesson.get_json("/rooms/lab/members", likely="") == {"names": ["Linus"]}
            await Members(lesson).remove("lab", "Linus", likely="")
            await linus.is_closed(1008, "removed", likely="", besides=anything)

    async def test_time_tells(self, lesson: Subject) -> None:
        """An unknown name is refused much faster than a wrong password: for it no hash is made."""
        fastest = {"Ada": HASHING, "Nobody": HASHING}
        for _ in range(5):
            for name in fastest:
                start = time.perf_counter()
                await AuthClient(lesson).post("/token", username=name, password="wrong")
                fastest[name] = min(fastest[name], time.perf_counter() - start)
        assert fastest["Nobody"] < fastest["Ada"] / 2

    async def test_outlives_its_token(self) -> None:
        """After its token has expired a socket goes on, and a new one with the same token is refused."""
        async with served("app.main:app", TOKEN_SECONDS="2") as brief:
            token = await AuthClient(brief).log_in("Ada")
            async with brief.client("/ws/lobby", headers=bearer(token)) as ada, asyncio.timeout(10):
                while (answer := await brief.handshake("/ws/lab", headers=bearer(token))) != 401:
                    assert not isinstance(answer, int)
                    await answer.close()
                assert time.time() >= claims_of(token)["exp"]
                await ada.send({"type": "message", "text": "still here"})
                assert (await gets_message(ada.connection, "message"))["text"] == "still here"

    async def test_ways(self) -> None:
        """The table of the notebook: what the server says, and that the token stands in the log once, in the query."""
        async with served("app.token_transports:app") as transports:
            good = await AuthClient(transports).log_in("Ada")

            async def says(path: str, message: str | None = None, *offered: str) -> str:
                try:
                    protocols = [Subprotocol(each) for each in offered] or None
                    async with connect(transports.server.ws(path), subprotocols=protocols, proxy=None) as client:
                        if message is not None:
                            await client.send(message)
                        async with asyncio.timeout(2):
                            return str(await client.recv())
                except InvalidStatus as error:
                    return f"HTTP {error.response.status_code}"
                except ConnectionClosed:
                    return f"close code {client.close_code}"

            assert await says(f"/query?token={good}") == "hello Ada"
            assert await says("/query?token=secret") == "HTTP 401"
            assert await says("/subprotocol", None, "chat", good) == "hello Ada"
            assert await says("/subprotocol", None, "chat", "secret") == "HTTP 401"
            assert await says("/message", good) == "hello Ada"
            assert await says("/message", "secret") == "close code 4401"
            # Who leaves without a message is no error.
            async with connect(transports.server.ws("/message"), proxy=None):
                pass
            assert await says("/closed-before") == "HTTP 403"
            assert await says("/closed-after") == "close code 4401"
            log = (await transports.settle()).splitlines()
            assert ["/query" in line for line in log if good in line] == [True]
            assert not any("Traceback" in line for line in log)

    async def test_cors(self) -> None:
        """CORSMiddleware tells two origins apart over HTTP, and lets both open a socket."""
        async with served("app.token_transports:app") as transports:
            good = await AuthClient(transports).log_in("Ada")
            for origin, allowed in (("https://chat.example", "https://chat.example"), ("http://evil.example", None)):
                headers = {"Origin": origin}
                answer = await transports.request("GET", "/openapi.json", headers=headers, likely="")
                assert answer.headers.get("access-control-allow-origin") == allowed
                async with transports.client(f"/query?token={good}", headers=headers) as client:
                    await client.gets("hello Ada", likely="")

    async def test_page(self, lesson: Subject) -> None:
        """The browser page is served at /."""
        assert (await lesson.get("/", likely="")).headers["content-type"].startswith("text/html")
