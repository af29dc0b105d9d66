"""The servers in tests/servers: right ones, on which every suite must pass, and broken ones, which it must find.

Each is a diff against the server that the step gives, or a whole file. The text above the diff, or the docstring, has
a title and labels:

- `Point`: the number of the TODO to which a broken server belongs.
- `Breaks`: the promise that it breaks.
- `Granted`: what a test takes for granted that fails on this right server, and what to do instead.
- `Likely`: why a suite doesn't find this broken server, and what to do.
- `Environment`: settings for the environment of the run.
- `Full`: `no` if a whole run on it is long. Then it runs only until the second find, if that's enough.

A text goes on in lines that begin with two spaces.
"""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from unipatch import apply_patch
from workshop.course import ROOT, Step

SERVERS = ROOT / "tests" / "servers"
LABELS = ("Point", "Breaks", "Granted", "Likely", "Environment", "Full")


@dataclass(frozen=True)
class TestServer:
    """A server in the place of `main.py`."""

    name: str
    """Its file's name without the ending, such as `broken_twice`."""
    title: str
    code: str
    labels: tuple[tuple[str, str], ...] = ()

    __test__ = False

    def label(self, name: str) -> str:
        """Return the text of a label; empty if the server doesn't have it."""
        return dict(self.labels).get(name, "")

    @property
    def kind(self) -> str:
        """`right`, `broken` or `beyond`."""
        return self.name.partition("_")[0]

    @property
    def point(self) -> int:
        """The number of the TODO to which a broken server belongs; 0 for the others."""
        return int(self.label("Point") or 0)

    @property
    def environment(self) -> dict[str, str]:
        """The settings for the environment of its runs."""
        return dict(word.split("=", 1) for word in self.label("Environment").split())

    @property
    def runs_fully(self) -> bool:
        """Whether a whole run on it is short."""
        return self.label("Full") != "no"

    @property
    def what(self) -> str:
        """The title in the middle of a sentence: "a server that ..." or the broken behavior."""
        # "GET /rooms" keeps its capital letter.
        first = self.title[0] if self.title[1].isupper() else self.title[0].lower()
        return first + self.title[1:].rstrip(".")


def given_server(step: Step) -> TestServer:
    """Return the server that a step gives, as it's in the worked solution: the learner may have changed theirs."""
    code = (step.solution / "exercise" / "main.py").read_text("utf-8")
    return TestServer("right_given", "The given server.", code)


@cache
def servers_of(step: Step) -> tuple[TestServer, ...]:
    """Return the servers of a step, the given one first.

    Raises:
        unipatch.PatchError: a diff doesn't fit the given server.
        ValueError: a header has an unknown label.
    """
    given = given_server(step)
    return given, *(_read(path, given.code) for path in sorted((SERVERS / step.name).glob("*_*.*")))


def _read(path: Path, base: str) -> TestServer:
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        header, code = ast.get_docstring(ast.parse(text)) or "", text
    else:
        header, _, hunks = text.partition("--- a/main.py\n+++ b/main.py\n")
        code = apply_patch(base, hunks)
    title, _, rest = header.strip().partition("\n\n")
    labels = []
    for line in rest.splitlines():
        if found := re.fullmatch(rf"({'|'.join(LABELS)}): (\S.*)", line):
            labels.append((found[1], found[2]))
        elif line.startswith("  ") and labels:
            # The text of a label goes on.
            labels[-1] = (labels[-1][0], f"{labels[-1][1]} {line.strip()}")
        else:
            raise ValueError(f"{path.name} has the line {line!r} in its header; the labels are {', '.join(LABELS)}.")
    return TestServer(path.stem, " ".join(title.split()), code, tuple(labels))
