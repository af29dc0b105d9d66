"""Step 06, TODO 5: handshakes from foreign origins are refused."""

from urllib.parse import urlsplit

from judge.auth import KEYED, AuthClient, bearer
from judge.model import check
from judge.subject import Subject

OWN_ORIGINS = ("http://127.0.0.1:8000", "http://localhost:8000")
DOTLESS = "http://127x0x0x1:8000"
FOREIGN_ORIGINS = {
    "http://127.0.0.1:8001": "another port",
    "http://127.0.0.1": "no port",
    "https://127.0.0.1:8000": "another scheme",
    "http://localhost:80": "the beginning of one that is allowed",
    "http://localhost:8000.evil.example": "one that is allowed, with something after it",
    "http://localhost:8000/": "one that is allowed, with a slash after it",
    "http://evil.localhost:8000": "another host that ends alike",
    "evil://http://localhost:8000": "one that is allowed, with something before it",
    "http://localhost:8000@evil.example": "one that is allowed, as the user name at another host",
    DOTLESS: "other characters in place of the dots",
    "HTTP://LOCALHOST:8000": "one that is allowed, in upper case",
    "http://127.0.0.1:8000,http://localhost:8000": "the whole setting",
    "http://localhost:8000, http://evil.example": "one that is allowed, and another one",
    "http://evil.example": "another host",
    "null": "what a page from a file or in a sandbox sends",
}
WHOLE = (
    "Your code compares a part of the origin, or changes it before. "
    "Compare the whole header as it is: origin not in ALLOWED_ORIGINS."
)
PATTERN = (
    "Your code uses the allowed origins as patterns, in which a dot is any character. "
    "Compare the whole header as it is: origin not in ALLOWED_ORIGINS."
)
NOT_COMPARED = (
    "Your code doesn't compare the Origin of a handshake: CORSMiddleware looks at HTTP requests only. "
    "Read websocket.headers in authenticate_socket, and raise HTTPException(403)."
)
HOST = (
    "Your code accepts the origin that the handshake was sent to, as in its Host header. "
    "Only ALLOWED_ORIGINS decides: a proxy may change Host."
)
BY_TICKET = "Your code compares the Origin for tokens only. Do that in authenticate_socket, before it looks at either."
FROM_SETTINGS = (
    "The origins are in your code, or the setting isn't used whole. "
    "Use ALLOWED_ORIGINS of settings.py: a list, whose entries are compared one by one."
)
REFUSED = "Your code refuses an origin that's in ALLOWED_ORIGINS. Compare with each entry: origin in ALLOWED_ORIGINS."
NO_ORIGIN = (
    "Your code refuses a client without an Origin header, which isn't a browser. Compare only if the header is there."
)


class Origins:
    @check(5, "refuses a foreign origin with 403, even with a valid token or ticket")
    async def test_origins(self, subject: Subject) -> None:
        auth = AuthClient(subject)
        token = await auth.log_in("Ada")
        for origin in OWN_ORIGINS:
            async with (
                auth.member("lobby", token=token, origin=origin, likely=REFUSED),
                auth.member("lobby", ticket=await auth.create_ticket(token), origin=origin, likely=REFUSED),
            ):
                pass
        async with auth.member("lobby", ticket=await auth.create_ticket(token), likely=NO_ORIGIN):
            pass
        address = f"http://{urlsplit(subject.server.url).netloc}"
        # Start with one that no comparison accepts: if it's accepted, there is none.
        foreign = {"http://evil.example": "another host", address: "the address of the server"} | FOREIGN_ORIGINS
        for origin, what in foreign.items():
            credentials = [("token", "", bearer(token))]
            if origin in ("http://evil.example", address, "null"):
                credentials.append(("ticket", f"?ticket={await auth.create_ticket(token)}", {}))
            for held, query, headers in credentials:
                cause = {"http://evil.example": NOT_COMPARED, address: HOST, DOTLESS: PATTERN}.get(origin, WHOLE)
                await auth.refuses(
                    f"/ws/lobby{query}",
                    f"a valid {held} and Origin: {origin}, {what}",
                    headers={**headers, "Origin": origin},
                    statuses=(403,),
                    after="the same Origin with a valid token was refused with 403" if held == "ticket" else None,
                    likely=BY_TICKET if held == "ticket" else cause,
                )

    @check(5, "reads the allowed origins from ALLOWED_ORIGINS")
    async def test_other_origins(self, subject: Subject) -> None:
        auth = AuthClient(await subject.under(**KEYED))
        token = await auth.log_in("Ada")
        for origin in KEYED["ALLOWED_ORIGINS"].split(","):
            async with auth.member("lobby", token=token, origin=origin, likely=FROM_SETTINGS):
                pass
        for origin in (*OWN_ORIGINS, KEYED["ALLOWED_ORIGINS"], "https://chat.example:8443", "https://chat"):
            await auth.refuses(
                "/ws/lobby",
                f"a valid token and Origin: {origin}, with ALLOWED_ORIGINS={KEYED['ALLOWED_ORIGINS']}",
                headers=bearer(token) | {"Origin": origin},
                statuses=(403,),
                likely=FROM_SETTINGS,
            )
        async with auth.member("lobby", token=token, likely=NO_ORIGIN):
            pass


class HardOrigins:
    @check(5, "refuses an empty origin", hard=True)
    async def test_empty_origin(self, subject: Subject) -> None:
        auth = AuthClient(subject)
        token = await auth.log_in("Ada")
        await auth.refuses(
            "/ws/lobby",
            "a valid token and an empty Origin",
            headers=bearer(token) | {"Origin": ""},
            statuses=(403,),
            likely="Your code treats an empty Origin like a missing one. Compare it unless it's None.",
        )
