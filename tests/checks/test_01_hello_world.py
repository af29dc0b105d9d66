"""Step 01: the checks of the exercise."""

from urllib.parse import quote, unquote

from judge.messages import parsed, show
from judge.model import Failure, check
from judge.subject import Subject

HELLO = {"message": "Hello World"}
NAMES = ("Ada", "Grace Hopper", "지수", "O'Hara", "100%", "n")
NO_LANGUAGES = ("fr", "", "KO", "ko,en", " ko")


async def greets(subject: Subject, name: str, query: str, greeting: str, *, likely: str) -> None:
    """`GET /hello/{name}` answers with this greeting and the name."""
    path = f"/hello/{quote(name, safe='')}{query}"
    response = await subject.get(path, likely=likely)
    expected = {"message": f"{greeting}, {name}!"}
    if response.status_code == 200 and parsed(response.text) == expected:
        return
    if response.status_code == 200 and response.text == "null":
        likely = "the function returns nothing: return the dict"
    elif response.status_code == 404:
        likely = "no route takes this path: it is /hello/{name}"
    elif response.status_code == 422 and '"query","name"' in response.text:
        likely = "the name in the braces of the path must be the name of the parameter"
    got = f"status {response.status_code}, {show(response.text)}"
    wrong = response.status_code == 500
    sent = f"GET /hello/{name}{query}"
    raise Failure(sent=sent, got=got, expect=f"status 200, {show(expected)}", likely=likely, broken=wrong)


async def refuses(subject: Subject, path: str, *, likely: str) -> None:
    """`GET path` answers with status 422."""
    response = await subject.get(path, likely=likely)
    if response.status_code != 422:
        got = f"status {response.status_code}, {show(response.text)}"
        if 400 <= response.status_code < 500:
            likely = "it is refused as it should be, but with another status"
        wrong = response.status_code == 500
        raise Failure(sent=f"GET {unquote(path)}", got=got, expect="status 422", likely=likely, broken=wrong)


class TestExercise:
    @check(1, "still answers GET / with Hello World")
    async def test_root(self, subject: Subject) -> None:
        value = await subject.get_json("/", likely="GET / is gone, or raises")
        if value != HELLO:
            raise Failure(sent="GET /", got=show(value), expect=show(HELLO), likely="GET / was changed: keep it")

    @check(2, "greets by name")
    async def test_name(self, subject: Subject) -> None:
        for name in NAMES:
            likely = "the answer is not exactly Hello, a comma, the name and an exclamation mark, as the message"
            await greets(subject, name, "", "Hello", likely=likely)

    @check(3, "greets in Korean, and refuses other languages")
    async def test_language(self, subject: Subject) -> None:
        likely = "language is not read from the query: give the function a parameter of that name, with a default"
        await greets(subject, "Ada", "?language=ko", "안녕하세요", likely=likely)
        await greets(subject, "Ada", "?language=en", "Hello", likely="en itself is not accepted")
        await greets(subject, "Ada", "", "Hello", likely="the default is not en")
        for language in NO_LANGUAGES:
            likely = "any text is taken for a language: let the type say which ones there are, with Literal or an Enum"
            if not language:
                likely = "an empty language is taken for a missing one: it was given, and it is wrong"
            await refuses(subject, f"/hello/Ada?language={quote(language)}", likely=likely)

    @check(4, "refuses a name of more than 40 characters")
    async def test_long_name(self, subject: Subject) -> None:
        for name in ("a" * 40, "한" * 40):
            await greets(subject, name, "", "Hello", likely="40 characters are allowed; count characters, not bytes")
        for name in ("a" * 41, "한" * 41):
            likely = "nothing limits the length: declare it, as Path(max_length=40), and do not cut the name"
            await refuses(subject, f"/hello/{quote(name)}", likely=likely)

    @check(5, "describes both parameters in /openapi.json")
    async def test_description(self, subject: Subject) -> None:
        description = await subject.get_json("/openapi.json", likely="the description is switched off, or fails")
        parameters = description.get("paths", {}).get("/hello/{name}", {}).get("get", {}).get("parameters", [])
        found = {(parameter.get("name"), parameter.get("in")) for parameter in parameters}
        if not {("name", "path"), ("language", "query")} <= found:
            raise Failure(
                sent="GET /openapi.json",
                got="these parameters of /hello/{name}: " + (", ".join(map(str, sorted(found))) or "none"),
                expect="name in the path and language in the query",
                likely="a parameter is read from the Request by hand: declare both as parameters of the function",
            )
