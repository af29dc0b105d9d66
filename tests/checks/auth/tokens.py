"""Step 06, TODO 2: handshakes need a valid token."""

import base64
import hashlib
import hmac
import time

from judge.auth import KEY, KEYED, AuthClient, b64, bearer, claims_of, elsewhere, forged
from judge.members import BAD
from judge.model import Failure, Likely, check
from judge.subject import Subject

NAMED = "The member has another name than the token's user. Use principal.user.name, and no name that the client sends."
ANSWERED = (
    "Your loop doesn't answer a message that it can't parse. Keep the branch of step 05 that sends "
    '{"type": "error", "detail": ...}.'
)
DECODED = "Decode it with jwt.decode(token, SECRET_KEY, algorithms=['HS256'], audience='chat', options=...)."
SIGNATURE = f"Your code accepts a token without verifying its signature. {DECODED}"
ALGORITHM = (
    "Your code accepts the algorithm that the token's header names, or several. "
    "Pass algorithms=['HS256'] to jwt.decode(), and look at nothing in the header."
)
FROM_HEADER = (
    "jwt.decode() gets the algorithm from the token's header, or none is in its list. Pass algorithms=['HS256']. "
    "Catch jwt.PyJWTError too: InvalidKeyError isn't an InvalidTokenError."
)
AUDIENCE = (
    "Your code accepts another aud than \"chat\". Pass audience='chat' to jwt.decode(), without verify_aud in options."
)
REQUIRED = (
    "PyJWT verifies {claim} only if the token has it, so a token without it is accepted. "
    'Pass options={{"require": ["exp", "sub", "aud"]}} to jwt.decode().'
)
EXPIRED = (
    "Your code accepts an expired token: the verification of exp is switched off, or has a leeway. "
    "Remove verify_exp and leeway."
)
UNKNOWN = "Your code accepts a sub that isn't the name of a user. Look it up with USERS.get(), as it is."
SCHEME = (
    "Your code takes the token from the header without looking at the scheme. "
    "Use oauth2_scheme, which accepts Bearer only."
)
PLACE = (
    "Your code also looks for a token in this place. Accept it from Authorization: Bearer only: a page of another site "
    "can make a browser send cookies, and addresses are logged."
)


class Tokens:
    @check(2, "accepts a handshake with a valid token, under the name of the token's user")
    async def test_let_in(self, subject: Subject) -> None:
        auth = AuthClient(subject)
        ada, grace = await auth.log_in("Ada"), await auth.log_in("Grace")
        async with auth.member("lobby", token=ada, more="?name=Linus") as one, auth.member("lobby", token=grace) as two:
            await one.says("hello", **{"from": "Linus", "name": "Linus"})
            for member in (one, two):
                member.did = 'a message of Ada with "from": "Linus", on a connection with ?name=Linus'
                await member.gets_message("Ada", "hello", likely=Likely(MISSING, keys={"from": NAMED}))
            await two.send({"type": "direct", "to": "Ada", "text": f"{auth.mark} psst"})
            one.did = "a direct message of Grace to Ada"
            await one.gets_message("Grace", "psst", kind="direct", likely=Likely(MISSING, keys={"from": NAMED}))
            for frame in BAD[-8:]:
                await one.send(frame)
                await one.gets_error(likely=ANSWERED)
        for scheme in ("bearer", "BEARER"):
            async with auth.member(
                "lobby",
                headers={"Authorization": f"{scheme} {ada}"},
                after="the same token with the scheme Bearer was accepted",
                likely=f"Your code compares the scheme with upper and lower case, and refuses {scheme}. "
                "Use oauth2_scheme, or compare scheme.lower().",
            ):
                pass

    @check(2, "refuses a handshake without a valid token")
    async def test_refused(self, subject: Subject) -> None:
        auth = AuthClient(await subject.under(**KEYED))
        token = await auth.log_in("Ada")
        head, claims, signature = token.split(".")
        now = int(time.time())
        none = b64({"alg": "none", "typ": "JWT"})
        grace = b64(claims_of(token) | {"sub": "Grace"})
        flipped = ("A" if signature[5] != "A" else "B").join((signature[:5], signature[6:]))
        await auth.refuses(
            "/ws/lobby",
            "no token",
            likely="Your endpoint accepts a client without credentials. Let it depend on authenticate_socket, and "
            "raise HTTPException(401) there if there's no principal.",
        )
        tokens = {
            "a string that isn't a JWT": ("secret", SIGNATURE),
            "an empty token": ("", SIGNATURE),
            "a token that isn't ASCII": ("caf\u00e9.\u00e9.\u00e9", SIGNATURE),
            "a token with changed signature": (f"{head}.{claims}.{flipped}", SIGNATURE),
            "a token with changed claims": (f"{head}.{grace}.{signature}", SIGNATURE),
            "a token without its signature": (f"{head}.{claims}.", SIGNATURE),
            "a token signed with another key": (
                forged(token, "another key, which is long enough as well", {}),
                SIGNATURE,
            ),
            "a token signed with an empty key": (signed(token, "", "HS256"), SIGNATURE),
            "a token that says alg: none": (f"{none}.{claims}.", ALGORITHM),
            "a token that says alg: None, with a signature": (
                f"{b64({'alg': 'None'})}.{claims}.{signature}",
                ALGORITHM,
            ),
            "a token that says alg: RS256": (f"{b64({'alg': 'RS256'})}.{claims}.{signature}", ALGORITHM),
            "a token signed with HS512": (signed(token, KEY, "HS512"), ALGORITHM),
            "a token signed with HS384": (signed(token, KEY, "HS384"), ALGORITHM),
            "a token that expired 5 s ago": (forged(token, KEY, {"exp": now - 5}), EXPIRED),
            "a token that expires now": (forged(token, KEY, {"exp": now}), EXPIRED),
            "a token whose exp isn't a number": (forged(token, KEY, {"exp": "tomorrow"}), EXPIRED),
            "a token whose exp is an object": (forged(token, KEY, {"exp": {"at": now + 500}}), EXPIRED),
            **{
                f'a token with "aud": {audience}': (forged(token, KEY, {"aud": audience}), AUDIENCE)
                for audience in ("mail", "chats", "Chat", "cha", "", ["mail"], ["chats"])
            },
            "a token of a user that doesn't exist": (forged(token, KEY, {"sub": "Nobody"}), UNKNOWN),
            "a token whose sub is ada, in lower case": (forged(token, KEY, {"sub": "ada"}), UNKNOWN),
            "a token whose sub is Ada between blanks": (forged(token, KEY, {"sub": " Ada "}), UNKNOWN),
            "a token whose sub is empty": (forged(token, KEY, {"sub": ""}), UNKNOWN),
            "a token whose sub is a list": (forged(token, KEY, {"sub": ["Ada"]}), UNKNOWN),
            **{
                f"a token without {claim}": (forged(token, KEY, {claim: None}), REQUIRED.format(claim=claim))
                for claim in ("aud", "exp", "sub")
            },
        }
        for what, (value, likely) in tokens.items():
            try:
                await auth.refuses("/ws/lobby", what, headers=bearer(value), likely=likely)
            except Failure as failure:
                # PyJWT raises this only if none is among the accepted algorithms.
                if failure.broken and 'When alg = "none"' in await auth.subject.settle():
                    failure.likely, failure.certain = FROM_HEADER, True
                raise
        password = base64.b64encode(b"Ada:lovelace").decode()
        for scheme, value in (
            ("Basic", token),
            ("Token", token),
            ("JWT", token),
            ("Bearers", token),
            ("", token),
            ("Basic", base64.b64encode(f"Ada:{token}".encode()).decode()),
            ("Basic", password),
        ):
            what = f"a valid token and the scheme {scheme or 'left out'}"
            if value == password:
                what = "the scheme Basic, and Ada's name and password in base64"
            headers = {"Authorization": f"{scheme} {value}".strip()}
            await auth.refuses("/ws/lobby", what, headers=headers, likely=SCHEME)
        await auth.refuses(
            f"/ws/lobby?ticket={token}",
            "a valid token as ?ticket=",
            likely="Your code decodes a ticket as a token. Look a ticket up among the issued tickets only.",
        )
        for place, (query, headers) in elsewhere(token).items():
            await auth.refuses(f"/ws/lobby{query}", f"a valid token {place}", headers=headers, likely=PLACE)

    @check(2, "refuses the tokens of an earlier run if SECRET_KEY isn't set")
    async def test_run_before(self, subject: Subject) -> None:
        token = await AuthClient(subject).log_in("Ada")
        # Start a second server instead of restarting the first one: it has its own key.
        await AuthClient(await subject.under()).refuses(
            "/ws/lobby",
            "a token of another run, without SECRET_KEY in the environment of both",
            headers=bearer(token),
            likely="Both runs sign with the same key: it's a constant, read from a file, or computed from something "
            "that stays the same, such as the command. Sign with SECRET_KEY of settings.py, and leave its default "
            "there at secrets.token_urlsafe(32).",
        )


MISSING = (
    "The message doesn't reach a member of the room. Join with principal.user.name, and send to "
    "manager.all_tabs(room_id), or for a direct message to the tabs of its receiver."
)


def signed(token: str, key: str, algorithm: str) -> str:
    """Return a token with the same claims, signed with this key and this HMAC algorithm."""
    # Don't use PyJWT: it warns about short keys.
    text = f"{b64({'alg': algorithm, 'typ': 'JWT'})}.{token.split('.')[1]}"
    digest = hmac.digest(key.encode(), text.encode(), getattr(hashlib, f"sha{algorithm[2:]}"))
    return f"{text}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
