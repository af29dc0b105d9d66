"""Find the errors in a server's log, and the lines of the learner's code that they come from."""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from workshop.course import ROOT
from workshop.server import shown

Phase = Literal["start", "handshake", "receive", "send", "clean-up", "other"]

NEVER_AWAITED = re.compile(r"coroutine '(?:[\w<>]+\.)*(\w+)' was never awaited")
DISCONNECTS = ("WebSocketDisconnect", "ClientDisconnected")

_HEADER = re.compile(r"(?:ERROR: {4})?(?:Exception Group )?Traceback \(most recent call last\):$")
_FRAME = re.compile(r'\s*File "(.+?)", line (\d+)(?:, in (.+))?$')
_ERROR = re.compile(r"(?:([A-Za-z_][\w.]*)\.)?([A-Za-z_]\w*)(?:: (.*))?$")
_MARKS = re.compile(r"\s*[\^~]+\s*$|\s*\[Previous line repeated ")
_CHAIN = re.compile(
    r"(?:During handling of the above exception, another exception occurred"
    r"|The above exception was the direct cause of the following exception):$"
)
_WARNING = re.compile(r"(\S.*?):(\d+): (\w*Warning): (.*)$")
# Match the padding of uvicorn's levels: a printed "INFO: ready" isn't a line of uvicorn.
_UVICORN = re.compile(r"(?:INFO: {5}|(?:DEBUG|TRACE|ERROR): {4}|WARNING: {2}|CRITICAL: )\S")
_HYPERCORN = re.compile(r"\[\d{4}-\d\d-\d\d [\d:]+ [+-]\d{4}\] \[\d+\] \[[A-Z]+\]")
_NOTES = re.compile(
    r"(?:\w+:asyncio:)?(?:Task exception was never retrieved|Future exception was never retrieved"
    r"|Task was destroyed but it is pending!|Exception in callback |Exception in thread |Exception ignored )"
    r"|(?:future|task|handle): <|\w+Warning: Enable tracemalloc |Aborted!$"
)
# On Windows, asyncio shuts a socket down that the client has reset, and logs the error. No code of an app causes it.
_RESET_ON_WINDOWS = re.compile(
    r"(?:\w+:asyncio:)?Exception in callback _ProactorBasePipeTransport\._call_connection_lost\b"
)
_DESTROYED = re.compile(r"(?:\w+:asyncio:)?Task was destroyed but it is pending!")
_RUNNING_AT = re.compile(r"\b(?:running|defined) at (.+?):(\d+)>")
_CLEAN_UP = re.compile(r"leave|remove|disconnect|unregister|clean|discard|detach|__a?exit__")
_NO_HANDSHAKE = "ASGI callable returned without completing handshake."
_SENDS = ("send", "send_text", "send_bytes", "send_json", "close")


@dataclass(frozen=True)
class Trouble:
    """An error in a server's log."""

    error: str
    """The exception, such as "KeyError: 'text'", without its module."""
    places: tuple[str, ...]
    """The innermost and the outermost line of the learner's code, such as "steps/02_echo/exercise.py:31". One if
    they're the same, none if the traceback has no line of the learner."""
    phase: Phase
    about_leaving: bool
    """Whether a client's disconnect causes it."""
    source: str = ""
    """The innermost line of the learner's code, as the traceback prints it."""
    module: str = ""
    """The module of the exception, such as `jwt.exceptions`."""
    detail: str = ""
    """The lines of the message after the first, such as those of Pydantic."""
    called: str = ""
    """The library function that the learner's innermost line calls, such as `receive_text`."""
    libraries: tuple[str, ...] = ()
    """The library files below that line, from the outermost to the innermost."""
    function: str = ""
    """The learner's function with the innermost line."""
    file: Path | None = None
    """The learner's file with the innermost line."""
    background: bool = False
    """Whether it ended a task that isn't awaited."""
    caught: bool = False
    """Whether the learner's own code printed the traceback, so the code may handle the error."""
    own_close: bool = False
    """Whether an earlier line of the same function closes the same connection."""
    own_socket: bool = False
    """Whether the line uses the endpoint's own connection, not another member's."""
    raw_message: bool = False
    """Whether the line reads a key of the message that `websocket.receive()` returned."""
    in_plain_def: bool = False
    """Whether the line is in a `def` without `async`."""
    over_http: bool = False
    """Whether it ended an HTTP request."""

    @property
    def kind(self) -> str:
        """The name of the exception, such as `KeyError`."""
        return self.error.partition(":")[0]

    @property
    def message(self) -> str:
        """The first line of its message, which may be empty."""
        return self.error.partition(": ")[2]

    @property
    def where(self) -> str:
        """The innermost place with the error, and the outermost in a second line; empty if there's no place."""
        inner, *outer = self.places or ("",)
        return "\n".join([f"{inner} {self.error}", *(f"called from {place}" for place in outer)]) if inner else ""

    @property
    def explains(self) -> bool:
        """Whether it ended the learner's code, and isn't the disconnect of the endpoint's own client."""
        return bool(self.places) and not self.caught and (self.phase == "send" or not self.about_leaving)

    @property
    def never_ran(self) -> bool:
        """Whether it's a coroutine without `await` in the learner's code."""
        return bool(self.places) and NEVER_AWAITED.search(self.message) is not None

    @property
    def own(self) -> bool:
        """Whether the learner's line raised it, not a library that the line calls."""
        return bool(self.places) and not self.called

    @property
    def answers_disconnect(self) -> bool:
        """Whether it's a send of an endpoint that takes events with receive(), and never looks at their type."""
        if not self.own_socket or self.file is None or not self.file.exists():
            return False
        code = self.file.read_text(encoding="utf-8", errors="replace")
        return ".receive()" in code and not re.search(r"websocket\.(disconnect|receive)[\"']", code)


@dataclass
class _Frame:
    path: str
    line: int
    function: str
    source: str = ""

    @staticmethod
    def of(found: re.Match[str]) -> "_Frame":
        return _Frame(found[1].replace("\\", "/"), int(found[2]), found[3] or "")

    @property
    def is_http(self) -> bool:
        return "/protocols/http/" in self.path


@dataclass
class _Block:
    """A traceback, with the frames of the exception groups around it."""

    frames: list[_Frame]
    note: str
    header: str
    started: bool
    module: str = ""
    name: str = ""
    message: str = ""
    detail: list[str] = field(default_factory=list)
    chained: bool = False
    is_group: bool = False
    rejected: bool = False


def troubles_in(log: str, folder: Path) -> list[Trouble]:
    """Return all errors in a log, in order.

    An error is a traceback, a coroutine that was never awaited, a task that was destroyed while pending, or a
    handshake that the endpoint didn't complete. Chained tracebacks are one error: the last one with a learner's line.

    Args:
        log: the complete log of a server.
        folder: the folder of the learner's code; lines of files outside it aren't the learner's.
    """
    return _Reader(log, folder).troubles


COUNTED = "unfinished tasks: "
"""The start of the lines that loop/counting.py prints."""
LIMITED = "most bytes of a file: "
"""The start of the lines that loop/full.py prints."""


def printed_in(log: str) -> list[str]:
    """Return the last lines that the learner's code printed: at most three, each of at most 120 characters."""
    lines = [line for line in _Reader(log, ROOT).printed if line.strip() and not line.startswith((COUNTED, LIMITED))]
    return [line if len(line) <= 120 else f"{line[:119]}…" for line in lines[-3:]]


class _Reader:
    def __init__(self, log: str, folder: Path) -> None:
        self._folder = folder.resolve()
        self._lines = log.splitlines()
        self._at = 0
        self.troubles: list[Trouble] = []
        self.printed: list[str] = []
        self._started = False
        self._note = ""
        self._groups: list[tuple[int, list[_Frame]]] = []
        self._chain: list[_Block] = []
        self._linked = False
        self._read()

    def _read(self) -> None:
        while self._at < len(self._lines):
            depth, text = _without_margin(self._lines[self._at])
            if depth is None:
                self._groups.clear()
            if _HEADER.match(text):
                self._read_block(depth or 0)
            elif _CHAIN.match(text):
                self._linked = True
                self._at += 1
            elif depth is not None or not text:
                self._at += 1
            else:
                self._end_chain()
                self._read_other(text)
        self._end_chain()

    def _read_block(self, depth: int) -> None:
        text = _without_margin(self._lines[self._at])[1]
        if not self._linked:
            self._end_chain()
        while self._groups and self._groups[-1][0] >= depth:
            self._groups.pop()
        around = self._groups[-1][1] if self._groups else []
        block = _Block(list(around), self._note, text, self._started, chained=self._linked)
        block.is_group = "Exception Group" in text
        self._linked = False
        self._at += 1
        self._read_frames(block.frames)
        if self._at < len(self._lines) and (error := _ERROR.match(self._text)):
            block.module, block.name, block.message = error[1] or "", error[2], error[3] or ""
            self._at += 1
            self._read_detail(block)
        if block.is_group:
            self._groups.append((depth, block.frames))
        elif self._groups:
            # End the chain: each exception of a group is a separate error.
            self._end_chain()
            self._chain = [block]
            self._end_chain(keep_note=True)
        else:
            self._chain.append(block)

    @property
    def _text(self) -> str:
        return _without_margin(self._lines[self._at])[1]

    def _read_frames(self, frames: list[_Frame]) -> None:
        while self._at < len(self._lines):
            if frame := _FRAME.match(self._text):
                frames.append(_Frame.of(frame))
            elif not self._text.startswith("  "):
                return
            elif not _MARKS.match(self._text) and frames and not frames[-1].source:
                frames[-1].source = self._text.strip()
            self._at += 1

    def _read_detail(self, block: _Block) -> None:
        while self._at < len(self._lines):
            after = _without_margin(self._lines[self._at + 1])[1] if self._at + 1 < len(self._lines) else ""
            # Read on: Pydantic's messages have a line for each field, and FastAPI adds the place of the route.
            named = block.name.endswith("ValidationError") and after.startswith("  ") and not _UVICORN.match(self._text)
            if frame := _FRAME.match(self._text):
                block.frames.append(_Frame.of(frame))
            elif self._text.startswith("  ") or (named and not _HEADER.match(self._text)):
                block.detail.append(self._text)
            else:
                return
            self._at += 1

    def _read_other(self, text: str) -> None:
        self._at += 1
        if text.endswith(_NO_HANDSHAKE):
            if any("connection rejected (500" in line for line in self._lines[self._at : self._at + 2]):
                self.troubles.append(Trouble(f"RuntimeError: {_NO_HANDSHAKE}", (), "handshake", False))
        elif warning := _WARNING.match(text):
            self._read_warning(warning)
        elif _NOTES.match(text):
            self._note = text if not text.startswith(("future: ", "task: ", "handle: ")) else self._note
            if _DESTROYED.match(text):
                self._read_destroyed()
            return
        elif _UVICORN.match(text) or _HYPERCORN.match(text):
            self._started = self._started or "Application startup complete" in text
        else:
            self.printed.append(text)
        self._note = text if text.startswith("ERROR: ") else ""

    def _read_warning(self, warning: re.Match[str]) -> None:
        source = ""
        if self._at < len(self._lines) and self._lines[self._at].startswith("  "):
            source = self._lines[self._at].strip()
            self._at += 1
        if not NEVER_AWAITED.match(warning[4]):
            return
        error = f"{warning[3]}: {warning[4]}"
        path = self._own(warning[1])
        last = self.troubles[-1] if self.troubles else None
        if path:
            places = (f"{shown(path)}:{warning[2]}",)
            plain = _Look.at(path, int(warning[2])).is_plain_def
            self.troubles.append(Trouble(error, places, "other", False, source=source, file=path, in_plain_def=plain))
        elif last and "'coroutine' object" in last.error:
            self.troubles.append(Trouble(error, last.places, "other", False, source=last.source, file=last.file))
        elif not (last and re.search(r"event loop", last.error)):
            # Skip the warning after asyncio.run(f()): the call fails before it awaits f().
            self.troubles.append(Trouble(error, (), "other", False))

    def _read_destroyed(self) -> None:
        task = self._lines[self._at] if self._at < len(self._lines) else ""
        place = _RUNNING_AT.search(task)
        path = self._own(place[1]) if place else None
        places = (f"{shown(path)}:{place[2]}",) if path and place else ()
        error = "Task was destroyed but it is pending"
        self.troubles.append(Trouble(error, places, "other", False, file=path, background=True))

    def _end_chain(self, *, keep_note: bool = False) -> None:
        chain, self._chain = self._chain, []
        if not chain:
            return
        if not keep_note:
            self._note = ""
        if _RESET_ON_WINDOWS.match(chain[0].note):
            return
        following = self._lines[self._at : self._at + 3]
        chain[-1].rejected = any("connection rejected (" in line for line in following)
        troubles = []
        for position, block in enumerate(chain):
            block.rejected = chain[-1].rejected
            block.note = chain[0].note
            troubles.append(self._trouble(block, chain[:position]))
        with_place = [trouble for trouble in troubles if trouble.places]
        last = (with_place or troubles)[-1]
        # Keep the first errors too: they weren't caught, and an error in the clean-up is often their consequence.
        if last.phase == "clean-up" and last.about_leaving:
            self.troubles += [first for first in with_place[:-1] if not first.about_leaving]
        self.troubles.append(last)

    def _own(self, name: str) -> Path | None:
        path = (ROOT / name).resolve()
        return path if self._folder in path.parents else None

    def _trouble(self, block: _Block, before: Sequence[_Block]) -> Trouble:
        own = [(at, frame, path) for at, frame in enumerate(block.frames) if (path := self._own(frame.path))]
        error = f"{block.name}: {block.message}" if block.message else block.name
        ends_task = "never retrieved" in block.note
        detail = "\n".join(block.detail)
        if not own:
            phase: Phase = "handshake" if block.rejected else "other"
            if _at_start(block):
                phase = "start"
            leaving = block.name in DISCONNECTS
            paths = tuple(frame.path for frame in block.frames)
            return Trouble(error, (), phase, leaving, module=block.module, detail=detail, libraries=paths)
        at, inner, path = own[-1]
        places = [f"{shown(path)}:{inner.line}", f"{shown(own[0][2])}:{own[0][1].line}"]
        below = block.frames[at + 1 :]
        look = _Look.at(path, inner.line)
        trouble = Trouble(
            error,
            tuple(dict.fromkeys(places)),
            self._phase(block, own, before),
            False,
            source=inner.source,
            module=block.module,
            detail=detail,
            called=below[0].function if below else "",
            libraries=tuple(frame.path for frame in below),
            function=inner.function,
            file=path,
            background=ends_task,
            caught=not block.note and block.started and not block.header.startswith("ERROR"),
            own_close=look.closes_before(inner.source),
            own_socket=len(own) == 1 and look.has_parameter(inner.source),
            raw_message=look.reads_message(),
            in_plain_def=look.is_plain_def,
            over_http=any(frame.is_http for frame in block.frames),
        )
        return _with_leaving(trouble)

    def _phase(self, block: _Block, own: list[tuple[int, _Frame, Path]], before: Sequence[_Block]) -> Phase:
        at, inner, path = own[-1]
        below = [frame for frame in block.frames[at + 1 :] if frame.path.endswith("starlette/websockets.py")]
        call = below[0].function if below else ""
        if _at_start(block):
            return "start"
        if block.rejected or call == "accept" or 'Expected ASGI message "websocket.accept"' in block.message:
            return "handshake"
        http = any(frame.is_http for frame in block.frames)
        left = any(each.name in DISCONNECTS and any(self._own(frame.path) for frame in each.frames) for each in before)
        names = [frame.function for _, frame, _ in own[1:]]
        if not http and (
            left
            or block.header.startswith("ERROR")
            or any(_CLEAN_UP.search(name) for name in names)
            or any(_Look.at(place, frame.line).in_clean_up for _, frame, place in own)
        ):
            return "clean-up"
        if not call and not block.frames[at + 1 :]:
            found = re.search(r"\.(receive|iter|send|close|accept)(?:_\w+)?\(", inner.source)
            call = found[1] if found else ""
        if call.startswith(("receive", "iter")):
            return "receive"
        return "send" if call.startswith(("send", "close")) else "handshake" if call == "accept" else "other"


def _without_margin(line: str) -> tuple[int | None, str]:
    """Return the width of the margin of an exception group's traceback, or None, and the line without it."""
    if found := re.match(r"^( +)\| ?(.*)$", line):
        return len(found[1]), found[2]
    if found := re.match(r"^( +)\+ (Exception Group Traceback .*)$", line):
        return len(found[1]), found[2]
    if found := re.match(r"^( +)\+[-+]{10,}(?: \d+ -+)?$", line):
        return len(found[1]), ""
    return None, line


def _at_start(block: _Block) -> bool:
    if block.started:
        return False
    imports = any(frame.function == "<module>" or "importlib" in frame.path for frame in block.frames)
    return imports or block.header.startswith("ERROR")


def _with_leaving(trouble: Trouble) -> Trouble:
    """Return the error with `about_leaving` set, if a client's disconnect causes it."""
    removed = trouble.kind in ("ValueError", "KeyError") and trouble.own and trouble.phase == "clean-up"
    second = removed and (trouble.kind == "KeyError" or ".remove(x)" in trouble.message)
    state = trouble.kind == "WebSocketDisconnected" or (
        trouble.kind == "RuntimeError" and re.search(r"Unexpected ASGI message 'websocket\.", trouble.message)
    )
    after = state and trouble.phase not in ("handshake", "start") and not trouble.own_close
    return replace(trouble, about_leaving=bool(trouble.kind in DISCONNECTS or second or after))


@dataclass(frozen=True)
class _Look:
    """The code around a line in the learner's file."""

    line: int
    function: ast.AST | None
    in_clean_up: bool

    @staticmethod
    def at(path: Path, line: int) -> "_Look":
        try:
            tree = _parsed(path, path.stat().st_mtime_ns)
        except (OSError, ValueError, SyntaxError, RecursionError):
            return _Look(line, None, False)
        functions = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.lineno <= line <= (node.end_lineno or 0)
        ]
        function = max(functions, key=lambda node: node.lineno, default=None)
        clean_up = any(_covers(part, line) for node in ast.walk(function or tree) for part in _clean_ups(node))
        return _Look(line, function, clean_up)

    @property
    def is_plain_def(self) -> bool:
        return isinstance(self.function, ast.FunctionDef)

    def _walk(self) -> Iterator[ast.AST]:
        return ast.walk(self.function) if self.function else iter(())

    def closes_before(self, source: str) -> bool:
        connection = _connection_in(source)
        return any(
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "close"
            and ast.unparse(node.func.value) == connection
            and node.lineno < self.line
            for node in self._walk()
        )

    def has_parameter(self, source: str) -> bool:
        if not isinstance(self.function, ast.FunctionDef | ast.AsyncFunctionDef):
            return False
        arguments = self.function.args
        return _connection_in(source) in [each.arg for each in [*arguments.args, *arguments.kwonlyargs]]

    def reads_message(self) -> bool:
        names = {
            ast.unparse(target)
            for node in self._walk()
            if isinstance(node, ast.Assign | ast.NamedExpr) and ast.unparse(node.value).endswith(".receive()")
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        }
        return any(
            isinstance(node, ast.Subscript)
            and node.lineno == self.line
            and ast.unparse(node.value).strip("()") in names
            for node in self._walk()
        )


def _connection_in(source: str) -> str | None:
    """Return the name of the connection that a line sends to, reads from or closes."""
    found = re.search(r"(\w+)\.(?:send|receive|close|iter)\w*\(", source)
    return found[1] if found else None


@lru_cache(maxsize=32)
def _parsed(path: Path, changed: int) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def _clean_ups(node: ast.AST) -> list[list[ast.stmt]]:
    if not isinstance(node, ast.Try | ast.TryStar):
        return []
    handlers = [each.body for each in node.handlers if each.type and "Disconnect" in ast.unparse(each.type)]
    return [node.finalbody, *handlers]


def _covers(part: list[ast.stmt], line: int) -> bool:
    return bool(part) and part[0].lineno <= line <= (part[-1].end_lineno or 0)
