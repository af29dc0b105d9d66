"""A server that's forked from the template behaves like one in a new Python."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from workshop.course import ROOT
from workshop.server import Server, StartupError
from workshop.warm import POSSIBLE

from .test_workshop import all_gone, wait_until

pytestmark = pytest.mark.skipif(not POSSIBLE, reason="this system can't fork")

FACTS = """
import os, random, signal, subprocess, sys, threading

from fastapi import FastAPI

import helper

print("printed at import")
print("to stderr", file=sys.stderr)
app = FastAPI()


@app.get("/facts")
async def facts() -> dict:
    main = sys.modules["__main__"]
    return {
        "argv": sys.argv,
        "main": [main.__name__, main.__file__, main.__spec__.name],
        "path": sys.path,
        "flags": str(sys.flags),
        "executable": sys.executable,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "group": os.getpgid(0) == os.getpid(),
        "session": os.getsid(0) == os.getpid(),
        "stdin": os.read(0, 10).decode(),
        "files": len(os.listdir("/dev/fd")),
        "streams": [(each.encoding, each.errors, each.line_buffering, each.write_through, each.isatty())
                    for each in (sys.stdin, sys.stdout, sys.stderr)],
        "signals": {each.name: str(signal.getsignal(each)).partition(" at ")[0] for each in signal.Signals
                    if each not in (signal.SIGKILL, signal.SIGSTOP)},
        "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "threads": sorted(type(each).__name__ for each in threading.enumerate() if each.name != "AnyIO worker thread"),
        "helper": helper.VALUE,
    }


@app.get("/random")
async def numbers() -> float:
    return random.random()


@app.get("/child")
async def child() -> int:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid


@app.get("/exit")
async def leave() -> None:
    os._exit(7)


@app.get("/raise")
async def fail() -> None:
    raise ValueError("no")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Create an application that returns facts about its process."""
    (tmp_path / "facts.py").write_text(FACTS, "utf-8")
    (tmp_path / "helper.py").write_text("VALUE = 'as it was'\n", "utf-8")
    return tmp_path


@pytest.fixture
def both(folder: Path) -> Iterator[list[Server]]:
    """Start that application cold and warm."""
    with (
        Server("facts:app", folder, cold=True, environment={"SETTING": "one"}) as cold,
        Server("facts:app", folder, environment={"SETTING": "one"}) as warm,
    ):
        yield [cold, warm]


def get(server: Server, path: str) -> Any:
    """Return the JSON at a path."""
    return httpx.get(f"{server.url}{path}", timeout=20, trust_env=False).json()


def comparable(log: list[str]) -> list[str]:
    """Return a log without process ids and ports, and without the frames of the code that starts a module."""
    text = "\n".join(log)
    text = re.sub(r'  File "[^"]*/(?:launch|template)\.py", line \d+.*\n(?:    .*\n)*', "", text)
    return re.sub(r"(?<=process \[)\d+|(?<=127\.0\.0\.1:)\d+", "N", text).split("\n")


def end_template(server: Server) -> psutil.Process:
    """Kill the process that a server was forked from, and wait for its end."""
    template = psutil.Process(server.pid).parent()
    template.kill()
    psutil.wait_procs([template], timeout=20)
    return template


def gone(pid: int) -> bool:
    """Wait until a process has ended, and return whether it ended in time."""
    _, alive = psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=20)
    return not alive


def test_is_a_fork(both: list[Server]) -> None:
    """The cold server is a child of this process; the warm one is a child of the template, which all servers share."""
    cold, warm = both
    template = psutil.Process(warm.pid).parent()
    assert psutil.Process(cold.pid).ppid() == template.ppid() == os.getpid()
    assert template.cmdline()[-1].endswith("template.py")


def test_sees_the_same(both: list[Server]) -> None:
    """Command line, path, environment, folder, streams, signals, process group and threads are the same."""
    facts = [get(server, "/facts") for server in both]
    for name, value in facts[0].items():
        assert facts[1][name] == value, name
    assert facts[1]["environment"]["SETTING"] == "one"
    assert facts[1]["folder"] == str(ROOT)
    assert facts[1]["group"] and facts[1]["session"]


@pytest.mark.thorough("helpers that are killed, suspended, or run many at a time")
def test_sees_nothing_of_the_template(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The template's working folder, its environment, and its other children don't affect a server."""
    with Server("facts:app", folder) as first:
        end_template(first)
    with monkeypatch.context() as before:
        before.setenv("GONE", "a variable of the template")
        before.setenv("PYTHONPATH", str(folder / "nowhere"))
        before.chdir(folder)
        another = Server("facts:app", folder)
    with another, Server("facts:app", folder, cold=True) as cold, Server("facts:app", folder) as warm:
        assert get(another, "/facts")["environment"]["GONE"]
        assert get(warm, "/facts") == get(cold, "/facts")


def test_same_log(both: list[Server]) -> None:
    """The output and the log are the same, including a traceback, and SIGTERM ends both with the same code."""
    for server in both:
        httpx.get(f"{server.url}/raise", timeout=20, trust_env=False)
        server.stop(20)
    assert comparable(both[0].log) == comparable(both[1].log)
    assert "ValueError: no" in both[1].log
    assert both[0].exit_code == both[1].exit_code == -signal.SIGTERM


def test_same_exit_code(folder: Path, both: list[Server]) -> None:
    """The exit code is the same if a process ends itself, is killed, or ends while it's imported."""
    for server in both:
        with pytest.raises(httpx.HTTPError):
            get(server, "/exit")
        assert server.wait_for(lambda log: False, 20) is False
        server.kill()
        assert server.exit_code == 7
    for source, code in (("import sys\nsys.exit(3)\n", 3), ("1 / 0\n", 1), ("import os, signal\nos.kill(0, 9)\n", -9)):
        (folder / "facts.py").write_text(source, "utf-8")
        ended = [Server("facts:app", folder, cold=cold) for cold in (True, False)]
        for server in ended:
            with pytest.raises(StartupError):
                server.wait_until_ready(20)
            assert server.exit_code == code
        assert comparable(ended[0].log) == comparable(ended[1].log)


def test_interrupted(both: list[Server]) -> None:
    """A server can be suspended and resumed, and SIGINT ends it like any uvicorn."""
    for server in both:
        process = psutil.Process(server.pid)
        process.suspend()
        process.resume()
        assert get(server, "/random") is not None
        os.kill(server.pid, signal.SIGINT)
        server.wait_for(lambda log: False, 20)
        server.kill()
    assert both[0].exit_code == both[1].exit_code


def test_ends_with_its_children(both: list[Server]) -> None:
    """kill() ends a server together with the processes that it has started."""
    for server in both:
        child = get(server, "/child")
        assert psutil.pid_exists(child)
        server.kill()
        assert gone(child)


@pytest.mark.thorough("helpers that are killed, suspended, or run many at a time")
@pytest.mark.parametrize("how", ["cold", "warm", "turned off"])
def test_ends_with_its_starter(folder: Path, how: str) -> None:
    """If the starter is killed, no server, child or template is left. With WORKSHOP_COLD, there's no template."""
    source = f"""
import sys, time
sys.path.insert(0, {str(ROOT / "notebooks")!r})
from pathlib import Path
from workshop.server import Server
server = Server("facts:app", Path({str(folder)!r}), cold={how == "cold"})
server.wait_until_ready()
print(server.url, flush=True)
time.sleep(600)
"""
    environment = os.environ | ({"WORKSHOP_COLD": "1"} if how == "turned off" else {})
    with subprocess.Popen(
        [sys.executable, "-c", source], env=environment, stdout=subprocess.PIPE, text=True
    ) as starter:
        url = starter.stdout.readline().strip()
        httpx.get(f"{url}/child", timeout=20, trust_env=False)
        family = psutil.Process(starter.pid).children(recursive=True)
        assert len(family) == (3 if how == "warm" else 2)
        starter.kill()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive


@pytest.mark.thorough("helpers that are killed, suspended, or run many at a time")
def test_template_killed(folder: Path) -> None:
    """If the template is killed, its children continue, and the next server gets a new template."""
    with Server("facts:app", folder) as first:
        template = end_template(first)
        assert get(first, "/random") is not None
        with Server("facts:app", folder) as second:
            assert get(second, "/random") is not None
            assert psutil.Process(second.pid).parent().pid != template.pid
        forked = psutil.Process(first.pid)
    # The killed template doesn't report the end of its child, so the child may end slightly later.
    assert wait_until(lambda: all_gone([forked]))


def test_imports_anew(folder: Path) -> None:
    """If a helper module has changed since the last start, the new version is imported."""
    with Server("facts:app", folder) as server:
        assert get(server, "/facts")["helper"] == "as it was"
    (folder / "helper.py").write_text("VALUE = 'as it is'\n", "utf-8")
    with Server("facts:app", folder) as server:
        assert get(server, "/facts")["helper"] == "as it is"


def test_chance_differs(folder: Path) -> None:
    """Two forks draw different random numbers."""
    with Server("facts:app", folder) as one, Server("facts:app", folder) as two:
        assert get(one, "/random") != get(two, "/random")


def test_needs_a_new_python(folder: Path) -> None:
    """A module that hides a library, and a setting that Python reads at its start, have the effect of a new Python."""
    with Server("facts:app", folder, environment={"PYTHONHASHSEED": "1"}) as server:
        assert "hash_randomization=0" not in get(server, "/facts")["flags"]
        assert psutil.Process(server.pid).cmdline()[2].endswith("launch.py")
    with Server("facts:app", folder, environment={"PYTHONPATH": str(folder)}) as server:
        assert psutil.Process(server.pid).cmdline()[2].endswith("template.py")
    (folder / "jwt.py").write_text("print('this is no library')\n", "utf-8")
    (folder / "facts.py").write_text(f"import jwt\n{FACTS}", "utf-8")
    with Server("facts:app", folder) as server:
        assert "this is no library" in server.log


def test_imports_nothing_of_the_course() -> None:
    """The template imports the libraries, and no module of the course."""
    loaded = f"import sys\nsys.path[:0] = [{str(ROOT / 'notebooks' / 'workshop')!r}]\nfrom template import *\n"
    loaded += "[importlib.import_module(name) for name in PRELOADED]\n"
    loaded += "import json, threading\nassert threading.active_count() == 1\n"
    loaded += "print(json.dumps([m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)]))"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    files = [Path(file) for file in json.loads(done.stdout)]
    mine = {file.name for file in files if file.is_relative_to(ROOT) and ".venv" not in file.parts}
    assert mine == {"template.py", "launch.py"}
