"""The diffs in tests/answers/ fit, are short and differ from each other; and the tool that writes them."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from harness.answers import RINGS, Answer, Files, answers, diff_of, solution_files
from tools.answers import bases_of, header_of, shortest
from workshop.course import ROOT, Step, steps

NOT_AS_WRITTEN = "{} isn't as the tool writes it: run python tests/tools/answers.py carry"
LONGEST = 60
"""The maximum number of lines of a diff whose header doesn't state a reason for its length."""


def each_step() -> pytest.MarkDecorator:
    """Parametrize a test over every step."""
    return pytest.mark.parametrize("step", steps(), ids=lambda step: step.name)


def diffs(step: Step) -> list[Answer]:
    """Return the answers to a step that are diffs."""
    return [answer for answer in answers() if answer.step == step and answer.is_diff]


def code_of(files: Files) -> str:
    """Return the code of files without comments, docstrings and layout; the text of a file that doesn't parse."""
    parts = []
    for name, text in sorted(files.items()):
        try:
            tree = ast.parse(text)
        except SyntaxError:
            parts += [name, text]
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                node.body = node.body[ast.get_docstring(node) is not None :] or [ast.Pass()]
        parts += [name, ast.unparse(tree)]
    return "\n".join(parts)


class TestDiffs:
    @each_step()
    def test_as_written(self, step: Step) -> None:
        """A diff is as the tool writes it: it fits its base exactly, with three lines of context."""
        bases = bases_of(step)
        for answer in diffs(step):
            header = header_of(answer.title, answer.claims).rstrip()
            assert answer.header == header, NOT_AS_WRITTEN.format(answer.name)
            marks = [label for label in RINGS if answer.claim(label)]
            assert len(marks) == (not answer.right), f"{answer.name} has the labels {marks}: a wrong answer has one"
            diff = diff_of(bases[answer.claim("Base")], answer.files())
            assert diff == answer.diff, NOT_AS_WRITTEN.format(answer.name)

    @pytest.mark.thorough("the tool that writes answers")
    @each_step()
    def test_shortest_base(self, step: Step) -> None:
        """No other base makes a diff shorter."""
        bases = bases_of(step)
        for answer in diffs(step):
            base, diff = shortest(answer, answer.files(), bases)
            assert (base, diff) == (answer.claim("Base"), answer.diff), NOT_AS_WRITTEN.format(answer.name)

    @each_step()
    def test_changes_something(self, step: Step) -> None:
        """An answer differs from its base and from every other answer, and not only in comments."""
        seen = {code_of(solution_files(step)): "the worked solution"}
        for answer in [answer for answer in answers() if answer.step == step]:
            code = code_of(answer.files())
            assert code not in seen, f"{answer.name} has the same code as {seen[code]}."
            seen[code] = answer.name

    @each_step()
    def test_short(self, step: Step) -> None:
        """The header of a diff that's longer than a screen states the reason."""
        for answer in diffs(step):
            lines = answer.diff.count("\n")
            assert lines <= LONGEST or answer.claim("Long because"), (
                f"{answer.name} has {lines} lines, and {LONGEST} is the limit: change less, "
                "say why not in its header, after Long because:, or store a right answer as a whole"
            )

    @each_step()
    def test_whole(self, step: Step) -> None:
        """An answer that's stored whole doesn't include an unchanged file of the solution."""
        solution = solution_files(step)
        for answer in answers():
            if answer.step == step and answer.path.is_dir():
                for path in answer.path.rglob("*.py"):
                    name = f"exercise/{path.relative_to(answer.path).as_posix()}"
                    if path.name != "__init__.py":
                        assert solution.get(name) != path.read_text("utf-8"), f"{answer.name}: {path.name} is unchanged"


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """Create a copy of the files that the tool needs, with three steps, in a separate repository."""
    leave_out = shutil.ignore_patterns("__pycache__")
    names = ["notebooks/workshop", "tests/harness", "tests/tools", "tests/judge", "tests/checks"]
    for step in ("01_hello_world", "02_echo", "05_sessions"):
        names += [f"steps/{step}", f"solutions/{step}", f"tests/answers/{step}"]
    for name in names:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=leave_out)
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def git(course: Path, *arguments: str) -> None:
    """Run git in a copy of the course."""
    subprocess.run(["git", *arguments], cwd=course, check=True)


def commit(course: Path) -> None:
    """Commit all changes."""
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    git(course, "add", "--all")
    git(course, *identity, "commit", "--quiet", "--message", "as it is")


def tool(course: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run tests/tools/answers.py in a copy of the course."""
    command = [sys.executable, "tests/tools/answers.py", *map(str, arguments)]
    return subprocess.run(command, cwd=course, capture_output=True, text=True, encoding="utf-8", timeout=60)


def change(file: Path, old: str, new: str) -> None:
    """Replace a string that's in the file exactly once."""
    text = file.read_text("utf-8")
    assert text.count(old) == 1, f"{file.name} has {old} {text.count(old)} times"
    file.write_text(text.replace(old, new), "utf-8")


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
@pytest.mark.thorough("the tool that writes answers")
class TestTool:
    ANSWERS = "tests/answers/02_echo"
    SOLUTION = "solutions/02_echo/exercise.py"

    def test_write(self, course: Path, tmp_path: Path) -> None:
        """An edited copy of the solution is written; show lays it out again, and writing it again keeps its header."""
        copy = tmp_path / "copy"
        assert tool(course, "show", "02_echo/solution", copy).returncode == 0
        change(copy / "exercise.py", '"count": count', '"count": 1')
        claims = ("--title", "Each echo is the first one.", "--refused-by", "test_echo", "--says", "count")
        done = tool(course, "write", copy, "02_echo/wrong_first", *claims)
        judged = tool(course, "judge", copy, "02_echo").stdout
        assert "  ✗ 2  echoes" in judged and judged.endswith("\nRefused by: test_echo\n")
        text = (course / self.ANSWERS / "wrong_first.diff").read_text("utf-8")
        header = "Each echo is the first one.\n\nRefused by: test_echo\nSays: count\n\n--- a/exercise.py\n"
        assert text.startswith(header), done.stderr
        assert text.endswith(done.stdout)
        assert [line for line in text.splitlines() if line.startswith(("-  ", "+  "))][1].count('"count": 1')
        change(copy / "exercise.py", '"count": 1', '"count": 2')
        assert tool(course, "write", copy, "02_echo/wrong_first", "--says", "number").returncode == 0
        again = tmp_path / "again"
        assert tool(course, "show", "02_echo/wrong_first", again).returncode == 0
        assert (again / "exercise.py").read_text("utf-8") == (copy / "exercise.py").read_text("utf-8")
        written = (course / self.ANSWERS / "wrong_first.diff").read_text("utf-8")
        assert written.startswith(header.replace("Says: count", "Says: number"))
        assert tool(course, "write", copy, "2/wrong_first", "--hard-case", "test_many").returncode == 0
        written = (course / self.ANSWERS / "wrong_first.diff").read_text("utf-8")
        assert written.startswith("Each echo is the first one.\n\nHard case: test_many\nSays: number\n\n---")

    def test_seeds(self, course: Path) -> None:
        """A mistake is judged under ten seeds if its failure shows a drawn value, and otherwise once."""
        for path in (course / "tests/answers/01_hello_world").glob("wrong_*"):
            if path.stem not in ("wrong_name_in_query", "wrong_any_language"):
                path.unlink()
        done = tool(course, "seeds", "1")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "01_hello_world/wrong_name_in_query: refused under 10 of 10 seeds." in done.stdout
        assert "01_hello_world/wrong_any_language: refused under 1 of 1 seeds." in done.stdout
        name = "wrong_name_in_query.diff"
        change(course / "tests/answers/01_hello_world" / name, "\nSays: ", "\nSays: another phrase, and not ")
        done = tool(course, "seeds", "1")
        assert done.returncode == 1
        assert "seed 9: the message lacks 'another phrase" in done.stdout

    def test_shortest_base(self, course: Path, tmp_path: Path) -> None:
        """An answer that's closer to a right answer becomes a diff against it, and its header names that base."""
        copy = tmp_path / "copy"
        tool(course, "show", "02_echo/right_match", copy)
        change(copy / "exercise.py", "itertools.count(1)", "itertools.count(2)")
        tool(course, "write", copy, "02_echo/wrong_second", "--title", "Counts from 2.")
        text = (course / self.ANSWERS / "wrong_second.diff").read_text("utf-8")
        assert text.startswith("Counts from 2.\n\nBase: right_match\n\n--- a/exercise.py\n")
        assert tool(course, "show", "02_echo/wrong_second", tmp_path / "again").returncode == 0
        assert (tmp_path / "again" / "exercise.py").read_bytes() == (copy / "exercise.py").read_bytes()

    def test_one_sentence(self, course: Path, tmp_path: Path) -> None:
        """If an answer can't be written, you get one sentence, and no file changes."""
        copy = tmp_path / "copy"
        tool(course, "show", "02_echo/solution", copy)
        change(copy / "exercise.py", "count = 0", "count = 0  # mine")
        empty = tmp_path / "empty"
        empty.mkdir()
        before = sorted((course / self.ANSWERS).iterdir())
        for arguments, words in (
            (
                ("write", copy, "02_echo/wrong_new"),
                "02_echo/wrong_new is new: say what is wrong with it, with --title.",
            ),
            (("write", copy, "02_echo/same"), "An answer has a name such as 02_echo/wrong_receive_text"),
            (("write", copy, "99_none/wrong_x"), "There is no step '99_none'."),
            (("write", copy, "02_echo/right_match"), "isn't a diff: edit tests/answers/02_echo/right_match.py itself."),
            (("write", empty, "02_echo/wrong_new"), "holds no answer: neither exercise.py nor the package exercise."),
            (("judge", empty, "2"), "holds no answer"),
            (("judge", copy, "99"), "There is no step '99'."),
            (("show", "02_echo/wrong_none", empty), "There is no answer 02_echo/wrong_none."),
            (("show", "2/solution", copy), "holds an answer already: choose another folder."),
        ):
            done = tool(course, *arguments)
            assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
            assert words in done.stderr
        assert "count = 0  # mine" in (copy / "exercise.py").read_text("utf-8")
        tool(course, "show", "2/solution", empty)
        done = tool(course, "write", empty, "2/wrong_same", "--title", "Nothing.")
        assert done.stderr == "02_echo/wrong_same is the same as the worked solution.\n"
        assert sorted((course / self.ANSWERS).iterdir()) == before

    def test_carry(self, course: Path, tmp_path: Path) -> None:
        """After a change of the solution, answers are carried over; those that no longer fit are named and laid out."""
        copy, conflicts = tmp_path / "copy", tmp_path / "conflicts"
        tool(course, "show", "02_echo/solution", copy)
        change(copy / "exercise.py", '"count": count', '"count": 1')
        tool(course, "write", copy, "02_echo/wrong_first", "--title", "Each echo is the first one.")
        for path in (course / self.ANSWERS).glob("*.diff"):
            if path.stem != "wrong_first":
                path.unlink()
        commit(course)
        assert tool(course, "carry").stdout.startswith("Every diff fits.\n")

        solution, answer = course / self.SOLUTION, course / self.ANSWERS / "wrong_first.diff"
        # The first change moves the diff; the second one changes a line of its context.
        change(solution, "app = FastAPI()\n", "app = FastAPI()\nLIMIT = 10\n")
        change(solution, 'close(1000, "bye")', 'close(1000, "bye, bye")')
        done = tool(course, "carry", "--conflicts", conflicts)
        assert (done.returncode, done.stdout.splitlines()[0]) == (0, "Every diff fits.")
        assert '                 await websocket.close(1000, "bye, bye")\n' in answer.read_text("utf-8")
        assert '+            await websocket.send_json({"type": "echo", "text": request.text, "count": 1})\n' in (
            answer.read_text("utf-8")
        )

        commit(course)
        before = answer.read_text("utf-8")
        change(solution, '"text": request.text, "count": count', '"count": count, "text": request.text')
        done = tool(course, "carry", "--conflicts", conflicts)
        place = conflicts / "02_echo" / "wrong_first"
        assert done.returncode == 1
        assert done.stdout.startswith("02_echo/wrong_first no longer fits exercise.py: ")
        assert str(place) in done.stdout.splitlines()[0]
        assert done.stdout.splitlines()[1].endswith("pytest tests/course/test_answers.py -k 02_echo")
        assert answer.read_text("utf-8") == before
        laid_out = (place / "exercise.py").read_text("utf-8")
        assert '"count": 1' in laid_out and ">>>>>>>" in laid_out
        for arguments, words in (
            (("write", place, "02_echo/wrong_first"), "still has conflict marks."),
            (("carry", "--conflicts", conflicts), "isn't empty: choose another folder"),
        ):
            done = tool(course, *arguments)
            assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
            assert words in done.stderr
        assert (place / "exercise.py").read_text("utf-8") == laid_out
        resolved = solution.read_text("utf-8").replace('"count": count', '"count": 1')
        (place / "exercise.py").write_text(resolved, "utf-8")
        assert tool(course, "write", place, "02_echo/wrong_first").returncode == 0
        assert tool(course, "carry").stdout.startswith("Every diff fits.\n")

        commit(course)
        change(solution, '"count": count', '"count": 1')
        assert tool(course, "carry").stdout.startswith("02_echo/wrong_first changes nothing any longer")

    def test_carry_bases(self, course: Path, tmp_path: Path) -> None:
        """Answers are carried once their base, a right answer, fits again. Answers that are stored whole are named."""
        conflicts = tmp_path / "conflicts"
        for name, old, new in (
            ("01_hello_world/exercise.py", "GREETINGS", "WORDS"),
            ("05_sessions/exercise/members.py", "    ", "    "),
        ):
            file = course / "solutions" / name
            file.write_text(file.read_text("utf-8").replace(old, new) + "# The end.\n", "utf-8")
        done = tool(course, "carry", "--conflicts", conflicts)
        lines = done.stdout.splitlines()
        assert done.returncode == 1
        waiting = re.findall(
            r"^(\d+) answers wait for (01_hello_world/right_\w+), their base\.$", done.stdout, re.MULTILINE
        )
        assert waiting
        for _, name in waiting:
            assert any(line.startswith(f"{name} no longer fits exercise.py") for line in lines)
        assert len(lines) == len(set(lines))
        assert "05_sessions/right_queues stands whole: see whether it still fits the solution." in lines
        for _, name in waiting:
            place = conflicts / name
            text = (place / "exercise.py").read_text("utf-8")
            # Keep the answer's side of each conflict.
            kept = re.sub(r"^<{7}[^\0]*?^={7}\n([^\0]*?)^>{7} .*\n", r"\1", text, flags=re.MULTILINE)
            (place / "exercise.py").write_text(kept, "utf-8")
            done = tool(course, "write", place, name)
            assert done.returncode == 0, done.stderr
        assert "answers wait" not in tool(course, "carry").stdout

    def test_unknown_label(self, course: Path) -> None:
        """A line that isn't a label is named, and isn't lost."""
        answer = course / self.ANSWERS / "wrong_no_accept.diff"
        change(answer, "Says: ", "Say: ")
        before = answer.read_text("utf-8")
        done = tool(course, "carry")
        assert "02_echo/wrong_no_accept has the line 'Say: " in done.stdout
        assert answer.read_text("utf-8") == before

    def test_other_files(self, course: Path, tmp_path: Path) -> None:
        """A file that a diff can't contain is rejected; hidden files are left out."""
        copy = tmp_path / "copy"
        tool(course, "show", "5/solution", copy)
        change(copy / "exercise" / "main.py", "app = ", "# Mine.\napp = ")
        hidden = copy / "exercise" / ".ipynb_checkpoints" / "main-checkpoint.py"
        hidden.parent.mkdir()
        hidden.write_text("\n", "utf-8")
        done = tool(course, "write", copy, "5/wrong_new", "--title", "A comment.")
        assert done.returncode == 0 and "checkpoint" not in done.stdout
        for name, content, words in (
            ("helper.py", b"", "can't be part of an answer"),
            ("exercise/names.json", b"{}", "can't be part of an answer"),
            ("exercise/latin.py", "# \u00e9\n".encode("latin-1"), "isn't UTF-8"),
            ("exercise/page.py", b"# \x0c page\n", ""),
        ):
            (copy / name).write_bytes(content)
            done = tool(course, "write", copy, "5/wrong_new")
            assert (done.returncode, done.stderr.count("\n")) == ((1, 1) if words else (0, 0)), done.stderr
            assert words in done.stderr
            again = tool(course, "show", "5/wrong_new", tmp_path / f"again-{Path(name).stem}")
            assert again.returncode == 0, again.stderr
            if words:
                (copy / name).unlink()

    def test_carry_without_git(self, course: Path) -> None:
        """If git doesn't track the course, carry reports that in a sentence."""
        (course / ".git").rename(course / "no-git")
        done = tool(course, "carry")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert done.stderr.startswith("To carry the answers over, git must show the course as of HEAD: ")
