"""Step 08, TODO 4: a client that reconnects, and loses and duplicates nothing."""

from typing import Any

from judge.members import message
from judge.messages import show
from judge.model import Failure, check
from judge.rejoining import ack
from judge.stage import Stage, Visit, stage
from judge.subject import Subject

from .keys import ONCE


async def key_of(play: Stage, visit: Visit, text: str) -> str:
    """Read the next message of the client, and return its key.

    Args:
        play: the stage of the client.
        visit: the connection.
        text: of the message.

    Raises:
        Failure: none comes, or it has another text or no key.
    """
    likely = "what is not acknowledged is sent on each connection, in the order of the calls, with a key"
    while (got := await play.says(visit, likely=likely)) == {"type": "pong"}:
        pass
    key = got.get("key") if isinstance(got, dict) else None
    if not isinstance(key, str) or not 1 <= len(key) <= 64 or got.get("text") != text or got.get("type") != "message":
        expect = show({"type": "message", "text": text, "key": "..."})
        raise Failure(after=play.did, got=show(got), expect=expect, likely=likely)
    return key


class ReconnectingClient:
    @check(4, "asks for what it missed, sends again what is not acknowledged, and hands nothing on twice")
    async def test_client(self, subject: Subject) -> None:
        async with stage(subject) as play:
            await play.begin(after=7, base=0.05, cap=0.1)
            visit = await self._visits(play, after="7")
            play.did = "the server sent messages 8 and 9, a gap and a ping"
            items = [message(8, "Grace", "eight"), message(9, "Ada", "nine"), {"type": "gap", "missed": 2}]
            await visit.send({"type": "members", "names": ["Ada"]}, *items[:2], {"type": "joined", "name": "Grace"})
            for item in items[:2]:
                await play.does(
                    "item", item=item, likely="message and gap objects are handed on as they came, each once"
                )
            # Somebody has taken both when they come again; the check below is of one who asks late.
            await visit.send(items[1], items[0], {"type": "ping"})
            pong = await play.says(visit, likely="a ping is answered with a pong")
            if pong != {"type": "pong"}:
                likely = 'a {"type": "ping"} of the server is answered with {"type": "pong"}'
                raise Failure(after=play.did, got=show(pong), expect='{"type": "pong"}', likely=likely)
            # Three sends: one is acknowledged, the connection is lost, the others come again, in order.
            for text in ("one", "두", "three"):
                await play.do("send", text=text)
            sent = [await key_of(play, visit, text) for text in ("one", "두", "three")]
            await visit.send(ack(sent[0], 10))
            twice = (
                "what was handed on before is handed on again, or send() does not give the id of its acknowledgement"
            )
            await play.does("sent", text="one", id=10, likely=twice)
            visit.drop()
            play.did = "three messages were sent, one was acknowledged, and the connection was lost"
            visit = await self._visits(play, after="9")
            again = [await key_of(play, visit, text) for text in ("두", "three")]
            if again != sent[1:]:
                likely = "a message that is sent again keeps its key: otherwise the server takes it for a new one"
                raise Failure(after=play.did, got=f"keys {again}", expect=f"keys {sent[1:]}", likely=likely)
            await visit.send(message(10, "Ada", "one"), message(11, "Ada", "두"), ack(sent[1], 11), items[2])
            for item in (message(10, "Ada", "one"), message(11, "Ada", "두")):
                await play.does("item", item=item, likely="what comes after a reconnect is handed on")
                if item["id"] == 11:
                    break
            await self._any_order(
                play, ("sent", {"text": "두", "id": 11}), ("item", {"item": items[2]}), likely="a gap is handed on too"
            )
            # Sent while there is no connection, so it comes after what is waiting.
            await visit.close(1012)
            play.did = "a close with 1012, a text was sent meanwhile, and three is not acknowledged"
            await play.do("send", text="four")
            visit = await play.visit(likely="1012 is no reason to stop")
            await visit.accept()
            await key_of(play, visit, "three")
            key = await key_of(play, visit, "four")
            await visit.send(ack(sent[2], 12), ack(key, 13), ack("nobody's", 14))
            await play.does("sent", text="three", id=12, likely="each send() gets the id of its own key")
            await play.does("sent", text="four", id=13, likely="each send() gets the id of its own key")
            if len({*sent, key}) != 4:
                raise Failure(got=f"keys {[*sent, key]}", expect="a key of its own for each message", likely=ONCE)

    async def _visits(self, play: Stage, *, after: str) -> Visit:
        visit = await play.visit(likely="the client connects, and again when the connection was lost")
        if visit.query != {"name": ["Ada"], "after": [after]}:
            raise Failure(
                after=play.did,
                got=f"a handshake with {visit.query}",
                expect=f"name=Ada and after={after}, the last id handed on",
                likely="each connect asks for after= the last id, and leaves the rest of the address as it is",
            )
        await visit.accept()
        return visit

    @staticmethod
    async def _any_order(play: Stage, *wanted: tuple[str, dict[str, Any]], likely: str) -> None:
        expected = [{"event": event, "client": 0, **more} for event, more in wanted]
        got = [await play.next(expect=show(expected), likely=likely) for _ in wanted]
        if sorted(map(show, got)) != sorted(map(show, expected)):
            raise Failure(after=play.did, got=show(got), expect=show(expected), likely=likely)

    @check(4, "hands on each message once, also to one who asks late")
    async def test_late(self, subject: Subject) -> None:
        likely = "what is in the inbox must not be asked for again, or be left out when it comes; a stop loses nothing"
        async with stage(subject) as play:
            await play.begin(read=False, base=0.02, cap=0.05)
            for _ in range(3):
                visit = await play.visit(likely="the client connects, and again when the connection was lost")
                await visit.accept()
                after = int(visit.query.get("after", ["0"])[0])
                await visit.send(*(message(number, "Grace", f"text {number}") for number in range(after + 1, 4)))
                await visit.send({"type": "ping"})
                # When this is answered, what came before has been taken.
                await play.says(visit, likely="a ping is answered with a pong")
                visit.drop()
            visit = await play.visit(likely="the client connects again")
            await visit.accept()
            await visit.close(1008)
            # When this has failed, the client has stopped.
            await play.do("send", text="too late")
            await play.does("failed", text="too late", likely="1008 is final: let each send() raise ConnectionError")
            await play.do("read")
            play.did = (
                "three connections brought messages 1 to 3, then one was closed with 1008, and then somebody read"
            )
            for number in (1, 2, 3):
                await play.does("item", item=message(number, "Grace", f"text {number}"), likely=likely)
            await play.does("over", stopped=1008, likely=likely)

    @check(4, "leaves no task behind, and tells whoever waits")
    async def test_ends(self, subject: Subject) -> None:
        likely = "at the end of async with: end every task and await it, and let each send() raise ConnectionError"
        async with stage(subject) as play:
            # Connected, between two tries, and before an answer to the handshake.
            for number in range(3):
                await play.begin(number, base=5 if number == 1 else 0.05)
                visit = await play.visit(likely="the client connects")
                if number == 0:
                    await visit.accept()
                elif number == 1:
                    visit.refuse(503)
                await play.do("send", number, text="hello")
                if number == 0:
                    await play.says(visit, likely="a message is sent on the connection")
                play.did = "the client was ended, while a send() waits for its acknowledgement"
                await play.do("end", number)
                got = [await play.next(number, expect="failed, over, ended", likely=likely) for _ in range(3)]
                events = sorted(event["event"] for event in got)
                ended = next((event for event in got if event["event"] == "ended"), {})
                if events != ["ended", "failed", "over"] or ended.get("left") or ended.get("waiting"):
                    raise Failure(
                        after=play.did,
                        got=f"{', '.join(events)}; unfinished: {ended.get('left') or 'nothing'}",
                        expect="send() raises ConnectionError, the iteration ends, nothing is unfinished",
                        likely=likely,
                    )
                await play.do("send", number, text="too late")
                late = "send() after the end raises ConnectionError"
                await play.does("failed", number, text="too late", likely=late)
