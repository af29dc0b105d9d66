"""The helpers of the notebooks: servers that never outlive their kernel, errors in one sentence, the recorder."""

import asyncio
import base64
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import xml.etree.ElementTree
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest
from harness.kernels import Kernel, copy_of_the_course, kernel
from harness.verdicts import green
from websockets import ConnectionClosed, connect
from workshop import (
    ROOT,
    CourseError,
    Processes,
    Server,
    StartupError,
    Wire,
    close_codes,
    find_step,
    run_exercise,
    variant,
)
from workshop import preflight as preflight_module
from workshop.ports import free_port
from workshop.server import PortInUse
from workshop.serving import PORT, Screen

SERVE = "from workshop import serve\nserver = serve('02_echo')\nprint('pid', server.pid, 'at', server.url)"

SLOW_TO_LISTEN = """
import os, pathlib, socket, time
from fastapi import FastAPI

app = FastAPI()
folder, bind = pathlib.Path(os.environ["FOLDER"]), socket.socket.bind

def bind_and_wait(self, address):
    bind(self, address)
    (folder / "bound").touch()
    while not (folder / "go on").exists():
        time.sleep(0.01)

socket.socket.bind = bind_and_wait
"""


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> bool:
    """Wait until a condition holds, and return whether it does.

    Args:
        holds: the condition.
        seconds: the longest wait, in seconds.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.02)
    return holds()


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all its children."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def all_gone(processes: list[psutil.Process]) -> bool:
    """Return whether none of these processes still runs."""
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def answers(url: str) -> bool:
    """Return whether a server answers at this URL with status 200."""
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def started(running: Kernel, source: str = SERVE) -> tuple[int, str]:
    """Run a cell that starts a server, and return the server's process id and URL."""
    (cell,) = running.run([source])
    assert cell.status == "ok", cell.text
    found = re.search(r"pid (\d+) at (\S+)", cell.text)
    return int(found[1]), found[2]


class TestLife:
    """The lifetime of a server."""

    def test_interrupt(self, tmp_path: Path) -> None:
        """If you interrupt a cell, the cell ends, and the server doesn't."""
        course = copy_of_the_course(tmp_path, solved=False)
        with kernel(course / "notebooks") as running:
            pid, url = started(running)
            identity = running.client.execute("print('asleep', flush=True)\nimport time\ntime.sleep(600)")
            wait_until(lambda: running.client.get_iopub_msg(timeout=20)["content"].get("text", "").startswith("asleep"))
            running.manager.interrupt_kernel()
            reply = running.client.get_shell_msg(timeout=20)
            assert reply["parent_header"]["msg_id"] == identity
            assert reply["content"]["ename"] == "KeyboardInterrupt"
            assert psutil.pid_exists(pid)
            assert answers(url)

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
    def test_terminal_ends(self, tmp_path: Path) -> None:
        """If the workspace's terminal closes, its server ends, even if JupyterLab runs under nohup."""
        import pty

        course = copy_of_the_course(tmp_path, solved=False)
        pid, terminal = pty.fork()
        if pid == 0:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
            script = str(course / "notebooks" / "workshop" / "run_exercise.py")
            os.execv(sys.executable, [sys.executable, script, "02_echo", "sh"])
        printed = b""
        while b"Application startup complete" not in printed:
            printed += os.read(terminal, 4096)
        everybody = family(pid)
        assert len(everybody) >= 3
        os.close(terminal)
        try:
            assert wait_until(lambda: all_gone(everybody))
        finally:
            for process in everybody:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            os.waitpid(pid, 0)

    def test_two_desks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two terminals never get the same port, although neither server listens yet. Later, it's free again."""
        ports = [free_port(), free_port()]
        monkeypatch.setattr(run_exercise, "PORTS", ports)
        with run_exercise.claimed() as one, run_exercise.claimed() as two, run_exercise.claimed() as three:
            assert [one, two, three] == [*ports, 0]
        with run_exercise.claimed() as again:
            assert again == one

    def test_taken_meanwhile(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """If another program binds the port first, a terminal takes the next one."""
        with contextlib.ExitStack() as stack:
            tried = []

            def uvicorn(command: list[str]) -> subprocess.CompletedProcess:
                tried.append(port := int(command[-1]))
                if len(tried) == 1:
                    stack.enter_context(socket.create_server(("127.0.0.1", port)))
                return subprocess.CompletedProcess(command, 3)

            monkeypatch.setattr(subprocess, "run", uvicorn)
            run_exercise.run("exercise:app", "steps/02_echo")
        assert len(tried) == 2
        assert tried[0] != tried[1]

    @pytest.mark.thorough("helpers that are killed, suspended, or run many at a time")
    @pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot suspend a process with a signal")
    def test_suspended(self, tmp_path: Path) -> None:
        """A closed lid suspends the kernel, the server and the card's process; afterwards, all of them continue."""
        course = copy_of_the_course(tmp_path, solved=False)
        with kernel(course / "notebooks") as running:
            pid, url = started(running)
            running.run(["from workshop import check\ncheck(2)"])
            everybody = family(running.manager.provisioner.pid)
            assert pid in {process.pid for process in everybody}
            assert len(everybody) >= 3
            for process in everybody:
                process.suspend()
            assert wait_until(lambda: all(process.status() == psutil.STATUS_STOPPED for process in everybody))
            for process in everybody:
                process.resume()
            assert answers(url)
            solution = find_step(2).solution / "exercise.py"
            (course / "steps" / "02_echo" / "exercise.py").write_text(solution.read_text("utf-8"), "utf-8")
            deadline = time.monotonic() + 60
            while green(2) not in str(
                running.client.get_iopub_msg(timeout=deadline - time.monotonic())["content"].get("data")
            ):
                pass

    @pytest.mark.thorough("helpers that are killed, suspended, or run many at a time")
    def test_two_steps_at_once(self, tmp_path: Path) -> None:
        """Two notebooks serve and run checks at the same time, each at a separate address."""
        course = copy_of_the_course(tmp_path, solved=True)
        with kernel(course / "notebooks") as one, kernel(course / "notebooks") as two:
            # Start both before waiting for either.
            for running in (one, two):
                running.client.execute(f"{SERVE}\nfrom workshop import check\ncheck(2)")
            urls = set()
            for running in (one, two):
                (cell,) = running.run([f"{SERVE}\nfrom workshop import check\ncheck(3)"])
                assert cell.status == "ok", cell.text
                assert re.search(r"(\d+) of \1 checks", cell.text)
                urls.add(re.search(r"pid \d+ at (\S+)", cell.text)[1])
            assert len(urls) == 2

    @pytest.mark.parametrize("end", ["kill", "restart", "shutdown"])
    def test_kernel_ends(self, tmp_path: Path, end: str) -> None:
        """If the kernel ends in any way, the server ends too."""
        course = copy_of_the_course(tmp_path, solved=False)
        with kernel(course / "notebooks") as running:
            pid, _ = started(running)
            processes = family(pid)
            if end == "kill":
                running.manager.provisioner.process.kill()
            elif end == "restart":
                running.manager.restart_kernel(now=True)
            else:
                running.client.shutdown()
            assert wait_until(lambda: all_gone(processes))

    def test_reload(self, tmp_path: Path) -> None:
        """With reload, there are more processes, and none is left when the kernel is killed."""
        course = copy_of_the_course(tmp_path, solved=False)
        with kernel(course / "notebooks") as running:
            pid, _ = started(running, SERVE.replace("'02_echo'", "'02_echo', reload=True"))
            processes = family(pid)
            assert len(processes) > 1
            running.manager.provisioner.process.kill()
            assert wait_until(lambda: all_gone(processes))

    def test_check_in_progress(self, tmp_path: Path) -> None:
        """If a kernel is killed during a check, it leaves neither pytest nor a server behind."""
        course = copy_of_the_course(tmp_path, solved=False)
        exercise = course / "steps" / "02_echo" / "exercise.py"
        exercise.write_text("import time\ntime.sleep(600)\n", "utf-8")
        with kernel(course / "notebooks") as running:
            running.client.execute("from workshop import check\ncheck(2)")
            process = psutil.Process(running.manager.provisioner.process.pid)
            # These are pytest, and its child uvicorn.
            assert wait_until(lambda: len(process.children(recursive=True)) >= 2)
            children = process.children(recursive=True)
            running.manager.provisioner.process.kill()
            assert wait_until(lambda: all_gone(children))

    def test_again(self, tmp_path: Path) -> None:
        """If the cell runs again, the server restarts at the same address; another step gets another port."""
        course = copy_of_the_course(tmp_path, solved=False)
        with contextlib.ExitStack() as stack:
            # Another test may take the usual port between two starts, but not a free one.
            with contextlib.suppress(OSError):
                stack.enter_context(socket.create_server(("127.0.0.1", PORT)))
            running = stack.enter_context(kernel(course / "notebooks"))
            first, url = started(running)
            second, same_url = started(running)
            assert first != second
            assert not psutil.pid_exists(first)
            assert same_url == url
            _, other_url = started(running, SERVE.replace("02_echo", "03_rooms"))
            assert other_url != same_url
            assert answers(same_url)
            assert answers(other_url)


def test_screen(capsys: pytest.CaptureFixture[str]) -> None:
    """The learner's own lines of a traceback and its error are printed, and lines inside libraries are left out."""
    screen = Screen()
    for line in (
        "ERROR:    Exception in ASGI application",
        "Traceback (most recent call last):",
        '  File ".venv/lib/python3.11/site-packages/fastapi/routing.py", line 866, in app',
        "    await dependant.call(**solved_result.values)",
        '  File ".venv/lib/python3.11/site-packages/starlette/routing.py", line 1, in app',
        '  File "steps/02_echo/main.py", line 17, in echo',
        "    text = await websocket.receive_text()",
        "           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
        '  File ".venv/lib/python3.11/site-packages/starlette/websockets.py", line 127, in receive_text',
        '    return cast(str, message["text"])',
        "KeyError: 'text'",
        "INFO:     connection open",
    ):
        screen(line)
    assert capsys.readouterr().out.splitlines() == [
        "server │ ERROR:    Exception in ASGI application",
        "server │ Traceback (most recent call last):",
        "server │   ... (inside libraries)",
        'server │   File "steps/02_echo/main.py", line 17, in echo',
        "server │     text = await websocket.receive_text()",
        "server │            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
        "server │   ... (inside libraries)",
        "server │ KeyError: 'text'",
        "server │ INFO:     connection open",
    ]


class TestStart:
    """If a server doesn't start, one sentence states the reason."""

    def start(self, folder: Path, source: str, **options: object) -> str:
        """Write an exercise, start it, and return the sentence."""
        (folder / "exercise.py").write_text(source, "utf-8")
        server = Server("exercise:app", folder, **options)
        with pytest.raises(StartupError) as caught:
            server.wait_until_ready(5)
        assert server.exit_code is not None
        assert caught.value._render_traceback_() == [str(caught.value)]
        return str(caught.value)

    def test_does_not_parse(self, tmp_path: Path) -> None:
        """A syntax error is explained with its line."""
        assert "exercise.py:1 SyntaxError" in self.start(tmp_path, "def app(:\n")

    def test_raises(self, tmp_path: Path) -> None:
        """An error during the import of the file is explained with its line."""
        assert "exercise.py:2 NameError: name 'appp' is not defined" in self.start(tmp_path, "\nappp\n")

    def test_exits(self, tmp_path: Path) -> None:
        """A call of sys.exit() is named."""
        assert "take out the call of sys.exit()" in self.start(tmp_path, "import sys\nsys.exit()\n")

    def test_no_app(self, tmp_path: Path) -> None:
        """A file without an app gets a sentence."""
        assert "The module has no app" in self.start(tmp_path, "")

    def test_no_file(self, tmp_path: Path) -> None:
        """A missing file gets a sentence."""
        with pytest.raises(StartupError, match="There is no module for nothing:app"):
            Server("nothing:app", tmp_path).wait_until_ready()

    def test_hangs(self, tmp_path: Path) -> None:
        """If an endless loop is outside every function, the deadline ends it."""
        assert "look for an endless loop" in self.start(tmp_path, "while True:\n    pass\n")

    def test_asks(self, tmp_path: Path) -> None:
        """input() can't wait indefinitely, because the server's standard input isn't a keyboard."""
        assert "take out the call of input()" in self.start(tmp_path, "input()\n")

    def test_port_in_use(self, tmp_path: Path) -> None:
        """If a port is in use, the error names it, and another one to try."""
        folder = find_step(2).folder
        with Server("main:app", folder) as first:
            second = Server("main:app", folder, port=first.port)
            with pytest.raises(StartupError, match=f"Port {first.port} is in use: .* such as {first.port + 1}"):
                second.wait_until_ready()
            assert answers(first.url)

    @pytest.mark.skipif(sys.platform == "win32", reason="there two programs can't bind one port")
    def test_port_taken_meanwhile(self, tmp_path: Path) -> None:
        """If another program listens on the port first, the server still logs that it runs; the helper detects it."""
        port = free_port()
        (tmp_path / "exercise.py").write_text(SLOW_TO_LISTEN, "utf-8")
        server = Server("exercise:app", tmp_path, port=port, environment={"FOLDER": str(tmp_path)})
        assert wait_until((tmp_path / "bound").exists)
        with socket.create_server(("127.0.0.1", port)):
            (tmp_path / "go on").touch()
            with pytest.raises(PortInUse, match=f"Port {port} is in use"):
                server.wait_until_ready()
        assert any("Uvicorn running" in line for line in server.log)

    def test_no_such_step(self) -> None:
        """If a step doesn't exist, the error lists the existing ones."""
        with pytest.raises(CourseError, match="There is no step '12_chess'. The steps are 01_hello_world, 02_echo"):
            find_step("12_chess")

    def test_command(self) -> None:
        """The printed command is equivalent."""
        with Server("main:app", find_step(2).folder) as server:
            assert server.command == f"uvicorn main:app --app-dir steps/02_echo --port {server.port}"


class TestProcesses:
    def test_replaced(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The command is printed with its settings, and a second object kills the servers of the first."""
        first = Processes("10_scale_out")
        server = first.start(BROKER="memory://", HEARTBEAT_INTERVAL="5")
        assert capsys.readouterr().out == f"BROKER=memory:// HEARTBEAT_INTERVAL=5 {server.command}\n"
        assert httpx.get(server.url, trust_env=False).status_code == 200
        begun = first.begin()
        Processes(10)
        assert server.exit_code is not None and begun.exit_code is not None

    def test_workers(self) -> None:
        """All workers respond when the server is returned."""
        processes = Processes(10)
        server = processes.start(workers=2)
        assert server.command.endswith("--workers 2")
        assert sum("startup complete" in line for line in server.log) == 2
        server.kill()

    def test_fails(self) -> None:
        """A server that can't start raises the reason, and so does an unknown step."""
        with pytest.raises(StartupError):
            Processes(10).start(HEARTBEAT_INTERVAL="often")
        with pytest.raises(CourseError):
            Processes(99)


class TestPreflight:
    """The message for a Python that can't run the course."""

    def test_old_python(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """For an old Python, the message names the required version."""
        monkeypatch.setattr(preflight_module.sys, "version_info", (3, 10, 4, "final", 0))
        assert preflight_module.problem() == (
            "This is Python 3.10, and the course needs 3.11 or newer: run the same command with a newer one."
        )

    def test_missing_package(self) -> None:
        """For a missing package, the message names it, and the fix."""
        assert "The package no_such_package is missing" in preflight_module.problem(("no_such_package",))

    def test_this_python(self) -> None:
        """For this Python, there's no message."""
        assert preflight_module.problem() is None


@pytest.mark.anyio
class TestWire:
    """The recorder shows the traffic on the wire."""

    async def test_record(self) -> None:
        """Frames, closes with their codes, and a connection that ended without a close frame."""
        wire = Wire()
        with Server("main:app", find_step(2).folder) as server:
            async with connect(server.ws(), logger=wire.client("Ada")) as ada:
                await ada.send("hello")
                await ada.recv()
                await ada.close(4000, "lunch")
            async with connect(server.ws(), logger=wire.client("Grace")) as grace:
                await grace.send(b"\x00\x01")
                with pytest.raises(ConnectionClosed):
                    async with asyncio.timeout(2):
                        await grace.recv()
        lunch = '4000 "lunch", private use, the application says what it means'
        seen = [(event.who, event.direction, event.kind, event.text) for event in wire.events]
        assert seen == [
            ("Ada", "to server", "http", "GET /ws"),
            ("Ada", "from server", "http", "101 Switching Protocols"),
            ("Ada", "to server", "text", "hello"),
            ("Ada", "from server", "text", "Message text was: hello"),
            ("Ada", "to server", "close", lunch),
            ("Ada", "from server", "close", lunch),
            ("Grace", "to server", "http", "GET /ws"),
            ("Grace", "from server", "http", "101 Switching Protocols"),
            ("Grace", "to server", "binary", "00 01"),
            ("Grace", "lost", "end", "1006, abnormal closure, no close frame came"),
        ]
        assert [event.milliseconds for event in wire.events] == sorted(event.milliseconds for event in wire.events)

    def test_hostile_text(self) -> None:
        """Text from the wire is text in the table and in the diagram, never markup."""
        wire = Wire()
        wire.add("<b>Ada</b>", "to server", "text", '<script>alert(1)</script> & "quotes" \' ')
        assert "<script>" not in wire._repr_html_()
        assert "<b>" not in wire._repr_html_()
        picture = xml.etree.ElementTree.fromstring(wire.diagram())
        assert "<script>alert(1)</script>" in "".join(picture.itertext())

    def test_empty(self) -> None:
        """A recording without events states that it's empty, and clear() empties it."""
        wire = Wire()
        wire.add("Ada", "to server", "text", "hello")
        wire.clear()
        assert "Nothing has been recorded yet" in wire._repr_html_()
        assert "Nothing has been recorded yet" in repr(wire)

    def test_stop(self) -> None:
        """After stop(), no event is recorded until clear()."""
        wire = Wire()
        wire.add("Ada", "to server", "text", "hello")
        wire.stop()
        wire.add("Ada", "to server", "text", "unheard")
        assert [event.text for event in wire.events] == ["hello"]
        assert "The recording is stopped" in wire._repr_html_()
        wire.clear()
        wire.add("Ada", "to server", "text", "again")
        assert [event.text for event in wire.events] == ["again"]

    def test_save(self, tmp_path: Path) -> None:
        """save() writes a self-contained picture of all events, on white; so does the link below the diagram."""
        wire = Wire()
        for number in range(300):
            wire.add("안녕", "to server", "text", f"{number} <&>")
        wire.save(tmp_path / "wire.svg")
        text = (tmp_path / "wire.svg").read_text("utf-8")
        words = "".join(xml.etree.ElementTree.fromstring(text).itertext())
        assert "0 <&>" in words
        assert "299 <&>" in words
        assert 'fill="white"' in text
        link = re.search(r'<a download="wire.svg" href="data:image/svg\+xml;base64,([^"]+)"', wire._repr_html_())
        assert "299 <&>" in "".join(xml.etree.ElementTree.fromstring(base64.b64decode(link[1])).itertext())

    def test_save_nowhere(self, tmp_path: Path) -> None:
        """If the file can't be written, the error is one sentence."""
        with pytest.raises(CourseError, match=r"^The diagram was not saved as .+: No such file or directory\.$"):
            Wire().save(tmp_path / "nowhere" / "wire.svg")

    def test_kinds_without_colour(self) -> None:
        """Text, binary, close and other frames have different lines; directions have arrows and words."""
        lines = set()
        for kind in ("text", "binary", "close", "ping"):
            wire = Wire()
            wire.add("Ada", "to server", kind, "x")
            lines.add(re.search(r'<g>.*?<line [^>]*stroke="currentColor"([^>]*)/>', wire.diagram())[1])
        assert len(lines) == 4
        wire.add("Ada", "from server", "text", "x")
        assert "→ to server" in wire.table()
        assert "← from server" in wire.table()

    def test_flood(self) -> None:
        """Of many events, only the last ones are shown."""
        wire = Wire()
        for number in range(1000):
            wire.add("Ada", "to server", "text", f"number {number}")
        assert wire.table().count("<tr>") == 201
        assert "1000 events. These are the last 200." in wire._repr_html_()

    def test_close_codes(self) -> None:
        """The recorder explains close codes in the same words as the browser page."""
        script = (ROOT / "steps" / "page" / "page.js").read_text("utf-8")
        listed = re.search(r"const MEANINGS = \{(.+?)\n\};", script, re.DOTALL)[1]
        assert {int(code): text for code, text in re.findall(r'(\d+): "(.+)",', listed)} == close_codes.MEANINGS
        for code in (2999, 3000, 4000):
            assert f'"{close_codes.meaning(code)}"' in script


def test_nested_loop() -> None:
    """As notebook 01 shows, a loop runs inside a running one only with the patch."""
    command = [sys.executable, str(ROOT / "notebooks" / "workshop" / "nested_loop.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == (
        "without the patch: asyncio.run() cannot be called from a running event loop\n"
        "with the patch: the inner loop ran\n"
    )
    assert done.stderr == ""


def test_variant() -> None:
    """A copy of a solution ends with the code, and is deleted in the end."""
    with variant(5, "manager.py", "\nADDED = 1\n") as folder:
        text = (folder / "exercise" / "manager.py").read_text("utf-8")
        solution = find_step(5).solution / "exercise" / "manager.py"
        assert text == solution.read_text("utf-8") + "\nADDED = 1\n"
    assert not folder.exists()
    with variant(8, "main.py", "ADDED = 1\n", part="app", tab="ADDED = 2\n") as folder:
        for name, end in (("main.py", "ADDED = 1\n"), ("tab.py", "ADDED = 2\n")):
            lesson = find_step(8).folder / "app" / name
            assert (folder / "app" / name).read_text("utf-8") == lesson.read_text("utf-8") + end
    with pytest.raises(CourseError, match="exercise"), variant(8, "main.py", "", part="solution"):
        pass
