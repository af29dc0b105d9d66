"""Explain why no WebSocket route of an answer matches a path."""

import ast
import re
from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from typing import Any
from urllib.parse import parse_qsl, unquote

from starlette.routing import compile_path

PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
"""A path parameter in the path of a route."""
OTHER_SYNTAX = re.compile(r"<(?:\w+:)?([\w-]+)>|:(\w+)|\{\s*([\w-]+)[^}]*\}|\$\{?(\w+)\}?")
"""A path parameter in the syntax of other frameworks, or with a space or a hyphen."""
SIMILAR = 0.75
"""Ratio of similarity from which one part of a path is a misspelling of another."""

Facts = dict[str, Any]


def unrouted(facts: Facts, path: str) -> str:
    """Explain why no WebSocket route matches a path.

    Args:
        facts: the routes, and the routes that the app doesn't serve, as `handshake_probe.py` prints them.
        path: the path and the query of the handshake.

    Returns:
        One cause and its fix.
    """
    asked, _, query = path.partition("?")
    routes = facts.get("routes") or []
    sockets = [route for route in routes if route["kind"] == "websocket"]
    lost = facts.get("lost") or []
    text = as_http(routes, asked) or elsewhere(lost, facts, asked)
    if text:
        return text
    for rule in RULES:
        for route in sockets:
            if found := rule(route["path"], asked, query):
                return compared(route["path"], asked, *found)
    if not sockets:
        return elsewhere(lost, facts, None) or (
            f"Your app has no WebSocket route. Declare the endpoint with @app.websocket({quoted(asked)})."
            if "routes" in facts
            else f"Your app has no WebSocket route for {asked}. Correct the path or the prefix of the route."
        )
    near = sorted((route["path"] for route in sockets), key=lambda each: -SequenceMatcher(None, each, asked).ratio())
    if len(near) == 1:
        return compared(near[0], asked, "they differ", "Correct the path of the route")
    listed = ", ".join(near[:4])
    return (
        f"Your app has the WebSocket routes {listed}, and the client asked for {asked}. Correct the path of the route."
    )


def compared(route: str, asked: str, cause: str, fix: str) -> str:
    """Return a sentence about a route and the requested path, and a sentence with the fix."""
    return f"Your app has the WebSocket route {route}, and the client asked for {asked}: {cause}. {fix}."


def as_http(routes: list[Facts], asked: str) -> str | None:
    """Explain an HTTP route that has the path of the WebSocket."""
    for route in routes:
        if route["kind"] == "http" and route["matches"] and ":path}" not in route["path"]:
            method = next((each for each in route["methods"] if each != "HEAD"), "GET")
            path = f"{method} {route['path']}"
            return (
                f"{route['function']}() is an HTTP route ({path}), and the client opens a WebSocket at {asked}. "
                f"Declare {route['function']}() with .websocket(...) instead of .{method.lower()}(...)."
            )
    return None


def elsewhere(lost: list[Facts], facts: Facts, asked: str | None) -> str | None:
    """Explain a route that isn't part of the app.

    Args:
        lost: routes of other apps and routers, and functions without a route.
        facts: all facts.
        asked: the path that the route must match, with or without a prefix; None for any route.
    """
    target = facts.get("target", "the app")
    for place in lost:
        variable, module, path = place.get("variable"), place.get("module"), place["path"]
        if asked is not None and not (path and ends_with(path, asked)):
            continue
        file = f"{module.replace('.', '/')}.py" if module else "your file"
        if place["kind"] == "router":
            if variable is None:
                return (
                    f"The WebSocket route {path} is on an APIRouter() that another one replaces, because the same "
                    "variable is assigned twice. Create the router once, above its routes."
                )
            name = variable if module == target.partition(":")[0] else f"{module.rpartition('.')[2]}.{variable}"
            return (
                f"The WebSocket route {path} is on {variable} in {file}, and your app doesn't include that router. "
                f"Call app.include_router({name})."
            )
        if place["kind"] == "app":
            if variable is None:
                return (
                    f"The WebSocket route {path} is on a FastAPI() that another one replaces, because app is assigned "
                    "twice. Create app = FastAPI() once, above the routes."
                )
            return (
                f"The WebSocket route {path} is on {variable} in {file}, which is another FastAPI() than the one that "
                f"uvicorn runs ({target}). Declare the route on an APIRouter, and include that in the app."
            )
        if place["kind"] == "no path":
            return (
                f"@app.websocket above {variable}() in {file} has no path, so it declares no route. "
                'Write @app.websocket("/path"), with the path of your route.'
            )
        return (
            f"{variable}() in {file} has no decorator, so it isn't a route. "
            "Put @app.websocket(...) or @router.websocket(...) above it."
        )
    return None


def ends_with(route: str, asked: str) -> bool:
    """Return whether a route matches the path or its last parts."""
    parts = segments(unquote(asked))
    return any(matches(route, "/" + "/".join(parts[start:])) for start in range(len(parts)))


# Rules: each compares a route with the path, and returns a cause and a fix.

Rule = Callable[[str, str, str], tuple[str, str] | None]


def slash_at_end(route: str, asked: str, query: str) -> tuple[str, str] | None:
    """Explain a slash that only one of the two paths has at its end."""
    if route.endswith("/") and matches(route, asked + "/"):
        return "the route ends with a slash", "Remove it, because a WebSocket handshake isn't redirected"
    if asked.endswith("/") and matches(route, asked.rstrip("/")):
        return "the slash at the end is missing", "Add it to the path of the route"
    return None


def slash_twice(route: str, asked: str, query: str) -> tuple[str, str] | None:
    """Explain two slashes next to each other, or a space, in the route."""
    if "//" in route and matches(re.sub("/+", "/", route), asked):
        return "the route has two slashes in a row", "Remove one of them"
    if " " in route and matches(route.replace(" ", ""), asked):
        return "the route has a space in its path", "Remove it"
    return None


def query_inside(route: str, asked: str, query: str) -> tuple[str, str] | None:
    """Explain a query in the path of the route."""
    path, mark, _ = route.partition("?")
    if mark and matches(path, asked):
        return (
            "the query isn't part of a route's path",
            f"Write {path}, and leave the query to the function's parameters",
        )
    return None


def slash_before_parameter(route: str, asked: str, query: str) -> tuple[str, str] | None:
    """Explain a path parameter without a slash before it."""
    with_slash = re.sub(r"(?<=[^/])\{", "/{", route)
    if with_slash != route and matches(with_slash, asked):
        return "the slash before the path parameter is missing", f"Write {with_slash}"
    return None


def similar(route: str, asked: str, query: str) -> tuple[str, str] | None:
    """Explain a misspelling in one part of the path."""
    different = differences(route, asked)
    if len(different) == 1 and SequenceMatcher(None, *different[0]).ratio() >= SIMILAR:
        return difference(*different[0])
    return None


def slash_inside(route: str, asked: str, query: str) -> tuple[str, str] | None:
    """Explain a value that contains an encoded slash."""
    if "%2f" in asked.lower() and matches(route, unquote(re.sub("(?i)%2f", "-", asked))):
        name = PARAMETER.findall(route)[-1]
        return (
            f"uvicorn decodes %2F to a slash, and {{{name}}} doesn't match a slash",
            f"Write {{{name}:path}} in the path of the route",
        )
    return None


def other_case(route: str, asked: str, query: str) -> tuple[str, str] | None:
    """Explain a difference between upper and lower case."""
    lower = "/".join(part if PARAMETER.search(part) else part.lower() for part in route.split("/"))
    if matches(lower, asked.lower()):
        return "paths are case-sensitive", "Write the route's path with the letters that the client sends"
    return None


def convertor(route: str, asked: str, query: str) -> tuple[str, str] | None:
    """Explain a path parameter with a convertor that doesn't match the value."""
    found = re.search(r"\{(\w+):(\w+)\}", route)
    if found and matches(re.sub(r"\{(\w+):\w+\}", r"{\1}", route), asked):
        return f"{found[0]} matches only values of type {found[2]}", f"Write {{{found[1]}}}"
    return None


def other_syntax(route: str, asked: str, query: str) -> tuple[str, str] | None:
    """Explain a path parameter that FastAPI doesn't recognize as one."""
    for part in segments(route):
        found = OTHER_SYNTAX.fullmatch(part)
        if found and not PARAMETER.fullmatch(part) and len(segments(route)) == len(segments(asked)):
            name = next(each for each in found.groups() if each).replace("-", "_")
            return f"{part} isn't a path parameter", f"Write {{{name}}}"
    return None


def prefix_twice(route: str, asked: str, query: str) -> tuple[str, str] | None:
    """Explain a duplicated part of the path."""
    parts = segments(route)
    for start in range(len(parts)):
        for length in range((len(parts) - start) // 2, 0, -1):
            middle = start + length
            if parts[start:middle] == parts[middle : middle + length]:
                if matches(joined(parts[:start] + parts[middle:]), asked):
                    return (
                        f"{joined(parts[start:middle])} is there twice",
                        "Set it once: in APIRouter(prefix=...), in include_router(), or in the path of the route",
                    )
    return None


def prefix_missing(route: str, asked: str, query: str) -> tuple[str, str] | None:
    """Explain a path that lacks its first parts."""
    parts = segments(asked)
    for start in range(1, len(parts)):
        if matches(route, joined(parts[start:])):
            return (
                f"{joined(parts[:start])} is missing at the beginning",
                "Set it in APIRouter(prefix=...), or write it into the path of the route",
            )
    return None


def prefix_surplus(route: str, asked: str, query: str) -> tuple[str, str] | None:
    """Explain a path with parts at its beginning that the client doesn't send."""
    parts = segments(route)
    for start in range(1, len(parts)):
        if has_literal(parts[start:]) and matches(joined(parts[start:]), asked):
            return f"{joined(parts[:start])} at the beginning is too much", "Remove it from the prefix or from the path"
    return None


def parts_missing(route: str, asked: str, query: str) -> tuple[str, str] | None:
    """Explain a path that lacks its last part."""
    parts = segments(asked)
    if len(parts) > 1 and not route.endswith("}") and matches(route, joined(parts[:-1])):
        return (
            f"the route has no path parameter for {quoted(unquote(parts[-1]))}",
            f"Add one to the path, as in {route.rstrip('/')}/{{room_id}}",
        )
    return None


def parts_surplus(route: str, asked: str, query: str) -> tuple[str, str] | None:
    """Explain a path with a last part that the client doesn't send in its path."""
    parts = segments(route)
    if has_literal(parts[:-1]) and matches(joined(parts[:-1]), asked):
        found = PARAMETER.fullmatch(parts[-1])
        if found and found[1] in dict(parse_qsl(query, keep_blank_values=True)):
            return f"the client sends {found[1]} in the query", f"Remove /{parts[-1]} from the path"
        return f"/{parts[-1]} at the end is too much", "Remove it from the path"
    return None


def one_part_differs(route: str, asked: str, query: str) -> tuple[str, str] | None:
    """Explain paths that differ in one part, or in an additional part in the middle."""
    mine, theirs = segments(route), segments(asked)
    different = differences(route, asked)
    if len(different) == 1:
        one, other = different[0]
        if one == mine[-1] and len(mine) > 1 and re.search(r"id$|^(?:room|name|user)", one):
            return f"{one} has no braces, so it isn't a path parameter", f"Write {{{one}}}"
        return difference(one, other)
    for index in range(1, len(theirs) - 1):
        if matches(route, joined(theirs[:index] + theirs[index + 1 :])):
            return f"/{theirs[index]} is missing in the middle", "Add it to the prefix or to the path"
    for index in range(1, len(mine) - 1):
        if matches(joined(mine[:index] + mine[index + 1 :]), asked):
            return f"/{mine[index]} in the middle is too much", "Remove it from the prefix or from the path"
    return None


def differences(route: str, asked: str) -> list[tuple[str, str]]:
    """Return the parts that differ between a route and a path with the same number of parts."""
    mine, theirs = segments(route), segments(asked)
    if len(mine) != len(theirs):
        return []
    return [(one, other) for one, other in zip(mine, theirs, strict=True) if not matches(f"/{one}", f"/{other}")]


def difference(one: str, other: str) -> tuple[str, str]:
    """Return the cause and the fix for one part that differs."""
    return f"the route has {one}, and the client sends {other}", f"Write {other} in the path of the route"


RULES: tuple[Rule, ...] = (
    slash_at_end,
    slash_twice,
    query_inside,
    slash_before_parameter,
    slash_inside,
    other_case,
    convertor,
    other_syntax,
    similar,
    prefix_twice,
    prefix_missing,
    prefix_surplus,
    parts_missing,
    parts_surplus,
    one_part_differs,
)


def matches(route: str, asked: str) -> bool:
    """Return whether a route with this path matches a percent-encoded path."""
    try:
        return bool(compile_path(route)[0].match(unquote(asked)))
    except Exception:
        return False


def has_literal(parts: list[str]) -> bool:
    """Return whether one of these parts isn't a path parameter."""
    return any(not PARAMETER.fullmatch(part) for part in parts)


def segments(path: str) -> list[str]:
    """Return the parts of a path between its slashes."""
    return [part for part in path.split("/") if part]


def joined(parts: list[str] | Iterator[str]) -> str:
    """Return the path with these parts."""
    return "/" + "/".join(parts)


def quoted(text: str) -> str:
    """Return a string in double quotes."""
    return f'"{text}"'


def not_included(name: str, main: str) -> str:
    """Explain why the app has no route of a module's router.

    Args:
        name: the module, such as `chat`.
        main: the code of main.py.

    Returns:
        One cause and its fix.
    """
    imported: dict[str, list[str]] = {}
    for node in ast.walk(ast.parse(main)):
        if isinstance(node, ast.ImportFrom):
            for each in node.names:
                imported.setdefault(each.asname or each.name, []).append(node.module or "")
    for variable, modules in imported.items():
        if len(set(modules)) > 1:
            return (
                f"main.py imports the name {variable} from two modules, and the second import replaces the first. "
                "Import the modules, as in from . import chat, lobby, and include chat.router and lobby.router."
            )
    return f"main.py doesn't include this router. Call app.include_router({name}.router)."
