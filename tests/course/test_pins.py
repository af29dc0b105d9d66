"""Every dependency is pinned, and the pins match the systems and the Python versions that the course runs on."""

import importlib.metadata
import json
import re
import tomllib
from collections import Counter

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from workshop.course import ROOT
from workshop.preflight import OLDEST

OLDEST_PATCH = "{}.{}.0".format(*OLDEST)
CONSTRAINTS = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
PINS = [Requirement(line) for line in CONSTRAINTS if not line.startswith("#")]
DIRECT = {
    Requirement(line): comment
    for line, _, comment in (
        line.partition("#") for line in (ROOT / "requirements.in").read_text("utf-8").splitlines() if line[:1].isalpha()
    )
}
SYSTEMS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["uv"]["required-environments"]


def applies(pin: Requirement, python: str | None = None, system: str = "") -> bool:
    """Return whether pip applies a pin.

    Args:
        pin: a line of constraints.txt.
        python: the full version of a Python, or None for this one.
        system: a marker that names sys_platform and platform_machine, or "" for this system.
    """
    if pin.marker is None:
        return True
    environment = dict(re.findall(r"(sys_platform|platform_machine) == '(\w+)'", system))
    if system:
        environment["os_name"] = "nt" if environment["sys_platform"] == "win32" else "posix"
    if python:
        environment |= {"python_full_version": python, "python_version": ".".join(python.split(".")[:2])}
    return pin.marker.evaluate(environment)


class TestRequirements:
    here = {canonicalize_name(pin.name): pin.specifier for pin in PINS if applies(pin)}

    def test_files(self) -> None:
        """The file that pip installs from includes the direct dependencies and the pins."""
        lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
        assert [line for line in lines if not line.startswith("#")] == ["-r requirements.in", "-c constraints.txt"]

    def test_direct(self) -> None:
        """Each direct dependency has a comment with its purpose, and is pinned."""
        assert len(DIRECT) > 10
        for direct, comment in DIRECT.items():
            assert re.match(r" \w+", comment), f"{direct.name} has no comment with its purpose"
            assert canonicalize_name(direct.name) in self.here, f"{direct.name} is not pinned"

    def test_installed(self) -> None:
        """Every pin that applies here is installed in that version."""
        for name, pinned in self.here.items():
            try:
                assert importlib.metadata.version(name) in pinned, f"{name} must be {pinned}"
            except importlib.metadata.PackageNotFoundError:
                pytest.fail(f"{name} is not installed: python -m pip install -r requirements.txt", pytrace=False)

    def test_whole_tree(self) -> None:
        """Every dependency of a direct dependency is pinned too, and nothing else is."""
        seen: set[tuple[str, str]] = set()
        waiting = [(canonicalize_name(need.name), extra) for need in DIRECT for extra in ("", *need.extras)]
        while waiting:
            name, extra = waiting.pop()
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            assert name in self.here, f"{name} is not pinned"
            for text in importlib.metadata.requires(name) or []:
                need = Requirement(text)
                if need.marker is None or need.marker.evaluate({"extra": extra}):
                    waiting += [(canonicalize_name(need.name), each) for each in ("", *need.extras)]
        assert {name for name, _ in seen} == set(self.here)


class TestPins:
    def test_command(self) -> None:
        """The header has the command that generates the file, for the oldest Python that preflight accepts."""
        command = f"uv pip compile --universal --python-version {OLDEST_PATCH} --only-binary :all: --no-annotate"
        header = [line.strip("# ") for line in CONSTRAINTS if line.startswith("#")]
        assert header[-1] == f"{command} requirements.in -o constraints.txt"

    def test_oldest_python(self) -> None:
        """Every pin that applies to the oldest Python supports it. This covers the pins that are installed here."""
        for pin in PINS:
            if applies(pin) and applies(pin, OLDEST_PATCH):
                supported = importlib.metadata.metadata(pin.name)["Requires-Python"]
                assert OLDEST_PATCH in SpecifierSet(supported or ""), f"{pin} needs Python {supported}"

    @pytest.mark.parametrize("system", SYSTEMS)
    def test_single(self, system: str) -> None:
        """If a package has several pins, exactly one applies to each Python, because pip fails on two."""
        # The result can change only at a version in a marker.
        pythons = {OLDEST_PATCH, *re.findall(r"python_full_version \S+ '([\d.]+)'", "\n".join(CONSTRAINTS))}
        names = Counter(canonicalize_name(pin.name) for pin in PINS)
        for name in (name for name, count in names.items() if count > 1):
            pins = [pin for pin in PINS if canonicalize_name(pin.name) == name]
            for python in pythons:
                applying = [str(pin) for pin in pins if applies(pin, python, system)]
                assert len(applying) == 1, f"Python {python}: {applying or name}"

    def test_pythons(self) -> None:
        """The workflow and the search for wheels cover every Python, from preflight's oldest on."""
        workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text("utf-8")
        pythons = json.loads(re.search(r"^ +python: (\[.+\])$", workflow, re.MULTILINE)[1])
        minors = [int(python.removeprefix(f"{OLDEST[0]}.")) for python in pythons]
        assert minors == list(range(OLDEST[1], OLDEST[1] + len(minors)))
        wheels = (ROOT / ".ci" / "wheels").read_text("utf-8")
        assert re.search(r"^for python in (.+); do$", wheels, re.MULTILINE)[1] == " ".join(f"{p}.0" for p in pythons)
        for system in SYSTEMS:
            assert f"python_full_version < '{OLDEST[0]}.{minors[-1] + 1}'" in system
