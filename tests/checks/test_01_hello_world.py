"""Step 01: the checks of the exercise."""

from urllib.parse import quote, unquote

from judge import pool
from judge.differences import difference
from judge.messages import parsed, show
from judge.model import Failure, check
from judge.subject import Subject

HELLO = {"message": "Hello World"}
LONGEST = 40
NO_LANGUAGES = ("fr", "", "KO", "Ko", "ko,en", " ko", "ko ", "k", "ko-KR", "eng", "null", "한국어")
EXACT = "The response isn't exactly Hello, a comma, a space, the name and an exclamation mark, under the key message."
BY_TYPE = "Let the type of the parameter allow two strings and no other, with Literal or an Enum."


def url(name: str, query: str = "") -> str:
    """Return the path that greets this name."""
    return f"/hello/{quote(name, safe='')}{query}"


async def greets(subject: Subject, name: str, query: str, greeting: str, *, likely: str) -> None:
    """Check that `GET /hello/{name}` responds with this greeting and the name."""
    response = await subject.get(url(name, query), likely=likely)
    expected = {"message": f"{greeting}, {name}!"}
    status, text = response.status_code, response.text
    if status == 200 and parsed(text) == expected:
        return
    if status == 200 and text == "null":
        likely = "Here your function ends without a return, so it returns None. Return the dict in every case."
    elif status == 200:
        likely = difference(expected, text) or likely
    elif status == 404:
        likely = "No route matches this path. Declare it as /hello/{name}, with the name in braces."
    elif status == 405:
        likely = "The route has another method. Declare it with @app.get."
    elif status in (307, 308):
        likely = "The path of your route ends with a slash. Remove the slash."
    elif status == 422:
        likely = missing(parsed(text)) or "This name is refused. Accept every character."
    raise Failure(
        sent=f"GET /hello/{name}{query}",
        got=f"status {status}, {show(text)}",
        expect=f"status 200, {show(expected)}",
        likely=likely,
        broken=status == 500,
    )


def missing(body: object) -> str | None:
    """Return the cause of a 422: the missing or invalid parameter in its body, or None if there's none."""
    details = body.get("detail") if isinstance(body, dict) else None
    for detail in details if isinstance(details, list) else []:
        match detail:
            case {"type": "missing", "loc": ["query", str(parameter)]}:
                braces = f"If it's the name in the path, write {{{parameter}}} there: both must be the same word."
                return f"The function has a parameter {parameter} that isn't in the path and has no default. {braces}"
            case {"loc": [str(place), str(parameter), *_], "msg": str(why)}:
                return f"The {place} parameter {parameter} refuses this value: {why}. Make allows it."
    return None


async def refuses(subject: Subject, path: str, *, likely: str) -> None:
    """Check that `GET path` responds with status 422."""
    response = await subject.get(path, likely=likely)
    status, value = response.status_code, parsed(response.text)
    if status == 422:
        return
    if isinstance(value, list) and len(value) == 2 and value[1] == 422:
        likely = (
            "You return the status behind the body, as Flask does. FastAPI sends both as a list with status 200. "
            "Raise HTTPException(422) instead."
        )
    elif 400 <= status < 500:
        likely = "It is refused, with another status. Let FastAPI refuse it, or raise HTTPException(422)."
    raise Failure(
        sent=f"GET {unquote(path)}",
        got=f"status {status}, {show(response.text)}",
        expect="status 422",
        likely=likely,
        broken=status == 500,
    )


class TestExercise:
    @check(1, "still answers GET / with Hello World")
    async def test_root(self, subject: Subject) -> None:
        value = await subject.get_json("/", likely="GET / has no route any longer, or it raises. Keep it as it was.")
        if value != HELLO:
            changed = difference(HELLO, show(value)) if isinstance(value, str) else None
            raise Failure(
                sent="GET /",
                got=show(value),
                expect=show(HELLO),
                likely=changed or "GET / was changed. Keep it as it was.",
            )

    @check(2, "greets by name")
    async def test_name(self, subject: Subject) -> None:
        for kind, name in pool.names().items():
            # Skip names with a slash, which is part of the path, and the longest ones, which TODO 4 checks.
            if "/" not in name and not kind.startswith("as long as allowed"):
                await greets(subject, name, "", "Hello", likely=EXACT)

    @check(3, "greets in Korean, and refuses other languages")
    async def test_language(self, subject: Subject) -> None:
        unread = "language isn't read from the query. Give the function a parameter of that name, with a default."
        for name in ("Ada", "지수"):
            await greets(subject, name, "?language=ko", "안녕하세요", likely=unread)
            await greets(subject, name, "?language=en", "Hello", likely="en itself isn't accepted. Allow en and ko.")
            await greets(subject, name, "", "Hello", likely='The default isn\'t en. Write language: ... = "en".')
        for language in NO_LANGUAGES:
            likely = f"Every string is accepted as a language. {BY_TYPE}"
            if not language:
                likely = f"An empty language is taken for a missing one. It was given, and it's wrong. {BY_TYPE}"
            elif language.strip().casefold() in ("ko", "en"):
                likely = f"A language is changed before it's compared, by strip() or lower(). {BY_TYPE}"
            await refuses(subject, url("Ada", f"?language={quote(language)}"), likely=likely)

    @check(4, "refuses a name of more than 40 characters")
    async def test_long_name(self, subject: Subject) -> None:
        for letter in ("a", "한", "🙂"):
            for query, greeting in (("", "Hello"), ("?language=ko", "안녕하세요")):
                try:
                    await greets(subject, letter * LONGEST, query, greeting, likely=EXACT)
                except Failure as failure:
                    if letter != "a" and "status 4" in failure.got:
                        failure.likely = f"Your code counts bytes. Count characters: {LONGEST} of them are allowed."
                    raise
            likely = "Nothing limits the length. Declare it, as in Path(max_length=40), and do not cut the name."
            for name in (letter * (LONGEST + 1), f"{letter * LONGEST} ", letter * 1000):
                await refuses(subject, url(name), likely=likely)
                await refuses(subject, url(name, "?language=ko"), likely=likely)

    @check(5, "describes both parameters in /openapi.json")
    async def test_description(self, subject: Subject) -> None:
        description = await subject.get_json("/openapi.json", likely="The description is switched off, or it fails.")
        parameters = description.get("paths", {}).get("/hello/{name}", {}).get("get", {}).get("parameters", [])
        found = {(parameter.get("name"), parameter.get("in")) for parameter in parameters}
        if not {("name", "path"), ("language", "query")} <= found:
            raise Failure(
                sent="GET /openapi.json",
                got="these parameters of /hello/{name}: " + (", ".join(map(str, sorted(found))) or "none"),
                expect="name in the path and language in the query",
                likely="A parameter is read from the Request by hand. Declare both as parameters of the function.",
            )
