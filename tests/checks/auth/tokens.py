"""Step 06, TODO 2: handshakes need a valid token."""

import time

from judge.auth import KEY, KEYED, AuthClient, b64, bearer, claims_of, forged
from judge.members import BAD
from judge.model import check
from judge.subject import Subject

REFUSED = "a token counts if jwt.decode(token, SECRET_KEY, algorithms=['HS256'], audience='chat', ...) takes it"


class Tokens:
    @check(2, "lets in who sends a good token, under the name of its user")
    async def test_let_in(self, subject: Subject) -> None:
        auth = AuthClient(subject)
        ada, grace = await auth.log_in("Ada"), await auth.log_in("Grace")
        likely = "the name of a socket is that of the token's user, whatever else the client says"
        async with auth.member("lobby", token=ada, more="?name=Linus") as one, auth.member("lobby", token=grace) as two:
            await one.says("hello", **{"from": "Linus", "name": "Linus"})
            for member in (one, two):
                member.did = "a message of Ada"
                await member.gets_message("Ada", "hello", likely=likely)
            await two.send({"type": "direct", "to": "Ada", "text": f"{auth.mark} psst"})
            one.did = "a direct message of Grace to Ada"
            await one.gets_message("Grace", "psst", kind="direct", likely=likely)
            for frame in BAD[-8:]:
                await one.send(frame)
                await one.gets_error(likely="what cannot be read is answered with an error, as in step 05")

    @check(2, "refuses a handshake without a good token")
    async def test_refused(self, subject: Subject) -> None:
        auth = AuthClient(await subject.under(**KEYED))
        token = await auth.log_in("Ada")
        head, claims, signature = token.split(".")
        now = int(time.time())
        none = b64({"alg": "none", "typ": "JWT"})
        grace = b64(claims_of(token) | {"sub": "Grace"})
        flipped = ("A" if signature[5] != "A" else "B").join((signature[:5], signature[6:]))
        tokens = {
            "no JWT as its token": "secret",
            "an empty token": "",
            "a token whose signature was changed": f"{head}.{claims}.{flipped}",
            "a token whose claims were changed": f"{head}.{grace}.{signature}",
            "a token without its signature": f"{head}.{claims}.",
            "a token signed with another key": forged(token, "another key, which is long enough as well", {}),
            "a token that says alg: none": f"{none}.{claims}.",
            "a token that says alg: None, with a signature": f"{b64({'alg': 'None'})}.{claims}.{signature}",
            "a token that says alg: RS256": f"{b64({'alg': 'RS256'})}.{claims}.{signature}",
            "a token that has expired": forged(token, KEY, {"exp": now - 5}),
            "a token that expires now": forged(token, KEY, {"exp": now}),
            "a token whose exp is no number": forged(token, KEY, {"exp": "tomorrow"}),
            "a token for another audience": forged(token, KEY, {"aud": "mail"}),
            "a token for chats, an audience that only begins alike": forged(token, KEY, {"aud": "chats"}),
            "a token of a user that nobody is": forged(token, KEY, {"sub": "Nobody"}),
            "a token of ada, where case counts": forged(token, KEY, {"sub": "ada"}),
            "a token whose sub is no text": forged(token, KEY, {"sub": ["Ada"]}),
            **{f"a token without {claim}": forged(token, KEY, {claim: None}) for claim in ("aud", "exp", "sub")},
        }
        likely = {
            "a token without aud": "PyJWT looks for aud if audience= is given",
            "a token without exp": 'PyJWT takes it unless told otherwise: options={"require": ["exp", "sub", "aud"]}',
            "a token without sub": 'PyJWT takes it unless told otherwise: options={"require": ["exp", "sub", "aud"]}',
            "a token for another audience": "jwt.decode() gets audience='chat'",
            "a token of a user that nobody is": "the claim sub names no user: look for it in USERS",
            "a token that says alg: none": "the algorithm is yours to say, not the token's: algorithms=['HS256']",
        }
        await auth.refuses("/ws/lobby", "no token", likely="the socket does not depend on a token")
        for what, value in tokens.items():
            await auth.refuses("/ws/lobby", what, headers=bearer(value), likely=likely.get(what, REFUSED))
        for scheme in ("Basic", "Token", "JWT", ""):
            headers = {"Authorization": f"{scheme} {token}".strip()}
            what = f"a good token and the scheme {scheme or 'left out'}"
            await auth.refuses("/ws/lobby", what, headers=headers, likely="only the scheme Bearer is asked for")
        for name in ("token", "access_token", "ticket"):
            await auth.refuses(
                f"/ws/lobby?{name}={token}",
                f"a good token as ?{name}=",
                likely="a token in the query is in every log on the way: take it from the header alone",
            )

    @check(2, "refuses the tokens of the run before, when SECRET_KEY is not set")
    async def test_run_before(self, subject: Subject) -> None:
        token = await AuthClient(subject).log_in("Ada")
        # Start a second server instead of restarting the first one: it has its own key.
        await AuthClient(await subject.under()).refuses(
            "/ws/lobby",
            "a token of another run",
            headers=bearer(token),
            likely="the key is the same at each start: without SECRET_KEY it is secrets.token_urlsafe(32)",
        )
