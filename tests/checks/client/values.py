"""Step 09, TODO 1: values of every class, URLs, and several clients of one program."""

import asyncio
import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from judge import pool
from judge.fake_server import FakeServer, fake_server
from judge.members import message
from judge.messages import show
from judge.model import Failure, check
from judge.rejoining import ack
from judge.subject import Subject

from .resume import AGAIN
from .sent import (
    CONNECTS,
    IN_ORDER,
    NO_ID,
    NO_ITEM,
    PINGS,
    SHARED,
    accepted,
    key_in,
    key_of,
    next_sent,
    no_more_sent,
    unique,
)

URL = (
    "Your client changes the URL of the program. Replace only after= in its query: parse it with "
    "parse_qsl(parts.query, keep_blank_values=True), and build it again with urlencode()."
)
TWO_AFTERS = "Your client keeps the after= in the program's URL, and adds another one. Leave the old one out."
OTHER_AFTER = "Your client doesn't send the last id as after=. Build the URL from self.after for each attempt."
REPEATS = (
    "Your client's keys aren't unique: {what} uses the same ones, so the server takes its messages for duplicates, and "
    "drops them. Choose a random key in each call of send(), such as uuid.uuid4().hex."
)
SOME = 12
"""The number of messages of a client that are sent together."""
LONG = 70_000
"""The characters of the long text: more than the payload of a short frame, and than a buffer of 64 KiB."""
SAME_KEY = (
    "Your client doesn't send all of its messages. If two calls of send() choose the same key, the second one replaces "
    "the first in self._unacknowledged: choose a random key in each call. Otherwise, the writer isn't woken."
)


def batched(items: Iterable[tuple[str, str]], size: int) -> Iterator[list[tuple[str, str]]]:
    """Yield the items in lists of this size, the last one shorter."""
    left = list(items)
    while left:
        yield left[:size]
        del left[:size]


class Values:
    @check(1, "sends and delivers every text unchanged")
    async def test_values(self, subject: Subject) -> None:
        texts = pool.texts(long=False) | {"long": LONG * "x"}
        async with fake_server(subject) as server:
            await server.begin(base=0.02, cap=0.05)
            attempt = await accepted(server)
            keys: dict[str, str] = {}
            for batch in batched(texts.items(), SOME):
                for _, text in batch:
                    await server.do("send", text=text)
                for kind, text in batch:
                    server.did = f"a call of send() with a text of the class {kind!r}"
                    keys[text] = await key_of(server, attempt, text, wrong=IN_ORDER)
                await no_more_sent(server, attempt, likely=IN_ORDER)
                server.did = f"acks of {len(batch)} messages, in the reverse order"
                for number, (_, text) in reversed(list(enumerate(batch, len(keys)))):
                    await attempt.send(ack(keys[text], number))
                    await server.does("sent", text=text, id=number, likely=NO_ID)
            unique(server, list(keys.values()))
            await self._delivers(server, attempt.connection, texts)

    @staticmethod
    async def _delivers(server: FakeServer, connection: Any, texts: dict[str, str]) -> None:
        names = list(pool.names().items())
        number = 0
        for place, (kind, text) in enumerate(texts.items()):
            named, name = names[place % len(names)]
            number += 1
            item = message(number, name, text)
            server.did = f"a message with a text of the class {kind!r}, from a member with a name of {named!r}"
            await connection.send(json.dumps(item))
            await server.does("item", item=item, likely=NO_ITEM)
        # The same text from the same member is another message, if it has another id.
        for original in (message(number + 1, "Ada", "Straße 1"), {"type": "gap", "missed": 1}):
            for kind, spelled in pool.spellings(original).items():
                item = json.loads(spelled)
                if item.get("id", 0) is None:
                    continue
                if "id" in item:
                    number += 1
                    spelled = spelled.replace(str(original["id"]), str(number), 1)
                    item["id"] = number
                server.did = f"JSON {kind}: {show(spelled)}"
                await connection.send(spelled)
                await server.does("item", item=json.loads(spelled), likely=NO_ITEM)
            number += 10
        await server.quiet(likely=AGAIN)

    @check(1, "leaves the program's URL as it is, except for after=")
    async def test_urls(self, subject: Subject) -> None:
        rooms, names = pool.rooms(), pool.names()
        async with fake_server(subject) as server:
            queries = [urlencode({"name": name}, quote_via=quote) for name in names.values()]
            queries += [
                "name=Ada&token=a%2Bb%3D%26",
                "tag=2&name=Ada&tag=1&debug=",
                "name=Ada&afterwards=1&x=after%3D3",
            ]
            paths = [quote(room, safe="") for room in rooms.values()]
            urls = [f".{paths[place % len(paths)]}?{query}" for place, query in enumerate(queries)]
            urls += [".%3Froom%23?name=A+da", "", "/inner%2Fpath/?name=Ada", "?name=Ada&after=5", "?after=5&name=Ada"]
            await asyncio.gather(*(self._asks(server, *each) for each in enumerate(urls)))

    @staticmethod
    async def _asks(server: FakeServer, client: int, url: str) -> None:
        whole = f"/ws/lobby-{client}{url}"
        await server.begin(client, url=f"ws://127.0.0.1:{server.port}{whole}", after=7, base=0.02, cap=0.05)
        parts = urlsplit(whole)
        expected = parse_qs(parts.query, keep_blank_values=True) | {"after": ["7"]}
        path = [unquote(part) for part in parts.path.split("/")]
        for _ in range(2):
            attempt = await server.next_attempt(client, likely=CONNECTS)
            if attempt.query != expected or attempt.path != path:
                afters = attempt.query.pop("after", [])
                likely = URL
                if attempt.path == path and attempt.query | {"after": ["7"]} == expected:
                    likely = TWO_AFTERS if len(afters) > 1 else OTHER_AFTER
                raise Failure(
                    after=f"the start of a client with the URL ws://127.0.0.1:{server.port}{whole} and after=7",
                    got=f"a handshake for {attempt.target}",
                    expect="the same path and query, with after=7",
                    likely=likely,
                )
            await attempt.accept()
            attempt.drop()

    @check(1, "keeps two clients apart, and uses each key once")
    async def test_apart(self, subject: Subject) -> None:
        keys = await asyncio.gather(*(self._keys(subject) for _ in range(2)))
        first, restarted = ([key for client in each for key in client] for each in keys)
        for what, both in (
            ("a second client of the program", [[*keys[0][0]], [*keys[0][1]]]),
            ("the program after a restart", [first, restarted]),
        ):
            if same := sorted({*both[0]} & {*both[1]}):
                raise Failure(
                    after=f"{len(both[0])} messages of a client, and {len(both[1])} of {what}",
                    got=f"{len(same)} keys twice, such as {show(same[0])}",
                    expect="a key of its own in each message",
                    likely=REPEATS.format(what=what),
                )

    @staticmethod
    async def _keys(subject: Subject) -> list[list[str]]:
        """Return the keys of two clients in one process, which share nothing."""
        async with fake_server(subject) as server:
            for client in (0, 1):
                await server.begin(client, base=0.02, cap=0.05, read=client == 0)
            attempts = [await accepted(server, client) for client in (0, 1)]
            # The second client has an item in its inbox before the first one gets its own.
            await attempts[1].send(message(1, "Grace", "to client 1"))
            await server.messages_before_pong(attempts[1], likely=PINGS)
            texts = [[f"{client}: {number}" for number in range(SOME)] for client in (0, 1)]
            server.did = f"{SOME} calls of send() of client 0, and then {SOME} of client 1 in the same process"
            keys = []
            for client, attempt in enumerate(attempts):
                for text in texts[client]:
                    await server.do("send", client, text=text)
                keys.append([await key_of(server, attempt, texts[client][0], likely=SAME_KEY)])
                if client:
                    await server.do("read", client)
                else:
                    await attempt.send(message(1, "Grace", "to client 0"))
                await attempt.send(ack(keys[client][0], 1))
                item = {"event": "item", "item": message(1, "Grace", f"to client {client}")}
                sent = {"event": "sent", "text": texts[client][0], "id": 1}
                try:
                    await server.all_of(item, sent, client=client, likely=NO_ID)
                except Failure as failure:
                    if f"to client {1 - client}" in failure.got:
                        failure.likely = SHARED
                    raise
                number = 1
                while number < SOME:
                    batch = [
                        await next_sent(server, attempt, likely=SAME_KEY),
                        *await server.messages_so_far(attempt, likely=PINGS),
                    ]
                    for got in batch:
                        keys[client].append(key_in(server, got, texts[client][number], client=client))
                        number += 1
            for client in (0, 1):
                await server.quiet(client, likely=SHARED)
            # Lose both connections: each client sends its own messages again, and asks for what follows its own id.
            await attempts[1].send(message(2, "Grace", "to client 1"))
            await server.does("item", 1, item=message(2, "Grace", "to client 1"), likely=NO_ITEM)
            for attempt in attempts:
                attempt.drop()
            for client in (0, 1):
                attempt = await accepted(server, client)
                if attempt.query.get("after") != [str(1 + client)]:
                    got, expect = f"a handshake for {attempt.target}", f"after={1 + client}, its own last id"
                    raise server.failure(client, got=got, expect=expect, likely=SHARED, crash=False)
                await key_of(server, attempt, texts[client][1], key=keys[client][1])
            return keys
