"""Step 08, TODO 6: fatal errors stop the client, and no others do."""

from judge.members import message
from judge.messages import show
from judge.model import Failure, check
from judge.stage import stage
from judge.subject import Subject

from .sent import key_of


class FatalErrors:
    @check(6, "stops for good when it is told to, and for nothing else")
    async def test_stops(self, subject: Subject) -> None:
        async with stage(subject) as play:
            for number, code in enumerate((1008, 4401, 401, 403)):
                await play.begin(number, base=0.02, cap=0.05)
                visit = await play.visit(number, likely="the client connects")
                if code > 999:
                    await visit.accept()
                    await visit.send(message(1, "Grace", "hello"))
                    await play.do("send", number, text="hello")
                    await key_of(play, visit, "hello")
                    await visit.close(code)
                    wanted = [("item", None), ("failed", None), ("over", code)]
                else:
                    visit.refuse(code)
                    wanted = [("over", code)]
                play.did = f"the server {'closed with' if code > 999 else 'answered the handshake with HTTP'} {code}"
                likely = f"{code} is final: the iteration ends, send() raises ConnectionError, and stopped is {code}"
                got = [await play.next(number, expect="an end", likely=likely) for _ in wanted]
                ends = sorted((event["event"], event.get("stopped")) for event in got)
                if ends != sorted(wanted, key=str) and sorted(map(str, ends)) != sorted(map(str, wanted)):
                    raise Failure(after=play.did, got=show(ends), expect=show(sorted(wanted, key=str)), likely=likely)
                await play.do("send", number, text="too late")
                await play.does("failed", number, text="too late", likely=likely)
            await play.begin(9, base=0.02, cap=0.05)
            going_on = "refused handshakes with 5xx and every other close code are no reason to stop"
            for code in (1000, 1001, 1011, 1012, 1013, 4408, 500, 502, 503, 504):
                visit = await play.visit(9, likely=going_on)
                play.did = f"the server {'closed with' if code > 999 else 'answered the handshake with HTTP'} {code}"
                if code > 999:
                    await visit.accept()
                    await visit.close(code)
                else:
                    visit.refuse(code)
            visit = await play.visit(9, likely=going_on)
            await visit.accept()
            await visit.send(message(1, "Grace", "hello"))
            await play.does("item", 9, item=message(1, "Grace", "hello"), likely=going_on)
