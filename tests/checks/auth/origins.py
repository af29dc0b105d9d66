"""Step 06, TODO 5: handshakes from foreign origins are refused."""

from judge.auth import KEYED, AuthClient, bearer
from judge.model import check
from judge.subject import Subject

OWN_ORIGINS = ("http://127.0.0.1:8000", "http://localhost:8000")
FOREIGN_ORIGINS = {
    "http://127.0.0.1:8001": "another port",
    "http://127.0.0.1": "no port",
    "https://127.0.0.1:8000": "another scheme",
    "http://localhost:80": "the beginning of one that is allowed",
    "http://localhost:8000.evil.example": "one that is allowed, with something after it",
    "http://evil.localhost:8000": "another host that ends alike",
    "http://evil.example": "another host",
    "null": "what a page from a file or in a sandbox sends",
}


class Origins:
    @check(5, "refuses a foreign origin, whatever the client holds")
    async def test_origins(self, subject: Subject) -> None:
        auth = AuthClient(subject)
        token = await auth.log_in("Ada")
        whole = "compare the whole header with each of ALLOWED_ORIGINS: origin in ALLOWED_ORIGINS"
        for origin in OWN_ORIGINS:
            async with (
                auth.member("lobby", token=token, origin=origin),
                auth.member("lobby", ticket=await auth.create_ticket(token), origin=origin),
            ):
                pass
        for origin, what in FOREIGN_ORIGINS.items():
            for held, query, headers in (
                ("token", "", bearer(token)),
                ("ticket", f"?ticket={await auth.create_ticket(token)}", {}),
            ):
                await auth.refuses(
                    f"/ws/lobby{query}",
                    f"a good {held} and Origin: {origin}, {what}",
                    headers={**headers, "Origin": origin},
                    statuses=(403,),
                    likely=whole,
                )

    @check(5, "takes the origins from ALLOWED_ORIGINS")
    async def test_other_origins(self, subject: Subject) -> None:
        auth = AuthClient(await subject.under(**KEYED))
        token = await auth.log_in("Ada")
        for origin in KEYED["ALLOWED_ORIGINS"].split(","):
            async with auth.member("lobby", token=token, origin=origin):
                pass
        for origin in (*OWN_ORIGINS, KEYED["ALLOWED_ORIGINS"], "https://chat.example:8443", "https://chat"):
            await auth.refuses(
                "/ws/lobby",
                f"a good token and Origin: {origin}, with ALLOWED_ORIGINS={KEYED['ALLOWED_ORIGINS']}",
                headers=bearer(token) | {"Origin": origin},
                statuses=(403,),
                likely="ALLOWED_ORIGINS is a list with commas, and none but those are allowed",
            )
        async with auth.member("lobby", token=token):
            pass
