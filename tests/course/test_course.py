"""The course is complete: every step has its parts, and the same facts in two places agree."""

import ast
import difflib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from harness.answers import answers
from harness.shipped import TODO, changed_by_reader, must_be_as_shipped
from judge.model import checks_of
from tools.desks import desk, first_file
from workshop.course import ROOT, WORKSPACES, Step, exercise_files, steps

HEADINGS = ["Goal", "Picture", "Predict", "Run", "Investigate", "Make", "Check", "Recap", "What is still wrong"]
BANNED = re.compile(r"\b(simply|just|obviously|easily|of course)\b", re.IGNORECASE)
LONGEST_LESSON = 60


def each_step() -> pytest.MarkDecorator:
    """Parametrize a test over every step."""
    return pytest.mark.parametrize("step", steps(), ids=lambda step: step.name)


def text_of(cell: dict) -> str:
    """Return the source of a cell."""
    return "".join(cell["source"])


def cells_of(step: Step, kind: str) -> list[str]:
    """Return the markdown or code cells of a step's notebook.

    Args:
        step: the step.
        kind: `markdown` or `code`.
    """
    notebook = json.loads(step.notebook.read_text("utf-8"))
    return [text_of(cell) for cell in notebook["cells"] if cell["cell_type"] == kind]


def python_in(folder: Path) -> list[Path]:
    """Return the Python files in a folder and its subfolders."""
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def missing_parts(step: Step, root: Path = ROOT) -> list[str]:
    """Return one sentence for each part that a step lacks."""
    package = (root / "steps" / step.name / "app").is_dir()
    parts = {
        f"steps/{step.name}/" + ("app/main.py" if package else "main.py"): "its lesson",
        f"steps/{step.name}/" + ("exercise/main.py" if package else "exercise.py"): "its exercise",
        f"solutions/{step.name}/" + ("exercise/main.py" if package else "exercise.py"): "its worked solution",
        f"notebooks/{step.name}.ipynb": "its notebook",
        f"notebooks/{WORKSPACES}/{step.name}.jupyterlab-workspace": "its workspace",
        f"tests/lessons/test_{step.name}.py": "the tests of its lesson",
        f"tests/checks/test_{step.name}.py": "its checks",
        f"tests/answers/{step.name}": "its right and wrong answers",
    }
    return [f"Step {step.name} lacks {what}: {path}." for path, what in parts.items() if not (root / path).exists()]


def new_lines(step: Step, path: Path) -> int:
    """Return the number of lines of a lesson's file that aren't in a file of the same name in an earlier solution."""
    lines = path.read_text("utf-8").splitlines()
    counts = [len(lines)]
    for earlier in steps()[: step.number - 1]:
        before = earlier.solution / "exercise" / path.name
        if before.exists():
            same = difflib.SequenceMatcher(None, before.read_text("utf-8").splitlines(), lines, autojunk=False)
            counts.append(len(lines) - sum(block.size for block in same.get_matching_blocks()))
    return min(counts)


class TestSteps:
    @each_step()
    def test_is_complete(self, step: Step) -> None:
        """Every numbered folder in steps/ has all the parts of a step."""
        assert not missing_parts(step), "\n".join(missing_parts(step))

    def test_says_what_is_missing(self, tmp_path: Path) -> None:
        """A folder without other parts gets a sentence for each part that it lacks."""
        (tmp_path / "steps" / "99_new").mkdir(parents=True)
        sentences = missing_parts(Step(99, "99_new"), tmp_path)
        assert sentences[0] == "Step 99_new lacks its lesson: steps/99_new/main.py."
        assert len(sentences) == 8

    def test_numbers(self) -> None:
        """The steps are numbered from 1 without a gap."""
        assert [step.number for step in steps()] == list(range(1, len(steps()) + 1))

    def test_no_strays(self) -> None:
        """Notebooks, solutions, checks and answers belong to a step."""
        names = {step.name for step in steps()}
        assert {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} == names
        assert {path.stem for path in (ROOT / "notebooks" / WORKSPACES).glob("*.jupyterlab-workspace")} == names
        assert {path.name for path in (ROOT / "solutions").iterdir()} == names
        for folder in ("lessons", "checks"):
            files = (ROOT / "tests" / folder).glob("test_*.py")
            assert {path.stem.removeprefix("test_") for path in files} == names
        assert {path.name for path in (ROOT / "tests" / "answers").iterdir()} == names

    @each_step()
    def test_lesson_is_short(self, step: Step) -> None:
        """The new lines in the longest file of a lesson fit on a screen or two."""
        must_be_as_shipped(step)
        package = step.folder / "app"
        for path in python_in(package) or [step.folder / "main.py"]:
            assert new_lines(step, path) <= LONGEST_LESSON, path

    @each_step()
    def test_shape(self, step: Step) -> None:
        """The solution has the files of the starter, and only the starter has TODO marks."""
        must_be_as_shipped(step)
        starter = {path.relative_to(step.folder) for path in exercise_files(step.folder)}
        solution = {path.relative_to(step.solution) for path in exercise_files(step.solution)}
        assert starter <= solution
        assert not TODO.search("".join(path.read_text("utf-8") for path in exercise_files(step.solution)))

    @each_step()
    def test_numbers_of_todos(self, step: Step) -> None:
        """TODO marks, checks and the list in the notebook have the same numbers, in the same order."""
        must_be_as_shipped(step)
        text = "".join(path.read_text("utf-8") for path in exercise_files(step.folder))
        marks = list(dict.fromkeys(int(number) for number in TODO.findall(text)))
        done = [int(number) for number in re.findall(r"^# (\d+) is done", text, re.MULTILINE)]
        checks = checks_of(importlib.import_module(f"checks.test_{step.name}").TestExercise)
        make = next(cell for cell in cells_of(step, "markdown") if cell.startswith("## Make"))
        listed = [int(number) for number in re.findall(r"^(\d+)\. ", make, re.MULTILINE)]
        hinted = [int(number) for number in re.findall(r"<summary>TODO (\d+): hint 1</summary>", make)]
        assert sorted(done + marks) == sorted({check.number for check in checks}) == listed
        has_line = re.search(r"^Hard cases, ", make, re.MULTILINE) is not None
        assert has_line == any(check.hard for check in checks), (
            "Make names the hard cases in one line, if there are any"
        )
        assert hinted == sorted(marks)

    @each_step()
    def test_answers(self, step: Step) -> None:
        """There are enough right and wrong answers, and the header of each wrong one names its check and the phrase."""
        mine = [answer for answer in answers() if answer.step == step]
        wrong = [answer for answer in mine if not answer.right]
        assert len(wrong) >= (4 if step.number == 1 else 8 if step.number < 8 else 12)
        assert len(mine) - len(wrong) >= (2 if step.number == 1 else 3)
        all_checks = checks_of(importlib.import_module(f"checks.test_{step.name}").TestExercise)
        for answer in wrong:
            required = {check.name for check in all_checks if not check.hard} | {"starts"}
            hard = {check.name for check in all_checks if check.hard}
            assert bool(answer.refused_by) != bool(answer.hard_cases), answer.path
            assert set(answer.refused_by) <= required and set(answer.hard_cases) <= hard, answer.path
            assert len(answer.claim("Says")) > 10, answer.path
        files = {path.name for path in (ROOT / "tests" / "answers" / step.name).iterdir()} - {"__pycache__"}
        assert files == {answer.path.name for answer in mine}


class TestDesks:
    @each_step()
    def test_as_written(self, step: Step) -> None:
        """The workspace of a step is the output of python tests/tools/desks.py."""
        must_be_as_shipped(step)
        assert step.workspace.read_text("utf-8") == desk(step), "run python tests/tools/desks.py"

    @each_step()
    def test_reached(self, step: Step) -> None:
        """The first page links to every workspace, and each notebook to its own one and the next."""
        own = f"]({WORKSPACES}/{step.workspace.name})"
        assert own in cells_of(steps()[0], "markdown")[0]
        assert own in cells_of(step, "markdown")[0]
        if step.number > 1:
            assert own in cells_of(steps()[step.number - 2], "markdown")[-1]


class TestNotebooks:
    @each_step()
    def test_headings(self, step: Step) -> None:
        """Every notebook has the same headings in the same order, so no learner gets lost."""
        text = "\n".join(cells_of(step, "markdown"))
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
        assert len(re.findall(r"^# Step (\d\d): ", text, re.MULTILINE)) == 1

    @each_step()
    def test_no_outputs(self, step: Step) -> None:
        """Notebooks are committed without outputs."""
        for cell in json.loads(step.notebook.read_text("utf-8"))["cells"]:
            assert not cell.get("outputs")
            assert not cell.get("execution_count")

    @each_step()
    def test_parts(self, step: Step) -> None:
        """A goal with minutes, a diagram with its text, a question with answers, three hints, three bullets."""
        cells = {
            found[1]: cell
            for cell in cells_of(step, "markdown")
            if (found := re.search(r"^## (.+)$", cell, re.MULTILINE))
        }
        assert re.search(r"\*\*Minutes\*\*: \d+\. \*\*You need\*\*: ", cells["Goal"])
        assert "```mermaid\nsequenceDiagram\n" in cells["Picture"]
        assert re.search(r"```\n\n\w.+\.", cells["Picture"])
        ladders = cells["Make"].count(": hint 1</summary>")
        assert (
            ladders
            == cells["Make"].count("<summary>Hint 2</summary>")
            == cells["Make"].count("<summary>Hint 3</summary>")
        )
        assert not re.search(r"</summary>\s*<", cells["Make"]), "an empty hint"
        assert len(re.findall(r"^- ", cells["Recap"], re.MULTILINE)) == 3

    @each_step()
    def test_html_is_closed(self, step: Step) -> None:
        """Every <details> and <div> of a cell is closed in the same cell."""
        for cell in cells_of(step, "markdown"):
            for tag in ("details", "summary", "div"):
                assert cell.count(f"<{tag}") == cell.count(f"</{tag}>"), cell

    @each_step()
    def test_links(self, step: Step) -> None:
        """Every link to a file points to an existing one."""
        for cell in cells_of(step, "markdown"):
            for target in re.findall(r"\]\(([^)#]+)", cell):
                if not target.startswith("http"):
                    assert (step.notebook.parent / target).exists(), target

    @each_step()
    def test_prose(self, step: Step) -> None:
        """No word makes a learner feel slow, and no cell uses nest_asyncio in the learner's kernel."""
        for cell in cells_of(step, "markdown"):
            assert not BANNED.search(cell), BANNED.search(cell)
        for cell in cells_of(step, "code"):
            assert not re.search(r"^\s*(import|from) nest_asyncio", re.sub(r'"""(.|\n)*?"""', "", cell), re.MULTILINE)

    @each_step()
    def test_commands(self, step: Step) -> None:
        """The commands that a notebook and a starter print name their step."""
        must_be_as_shipped(step)
        make = next(cell for cell in cells_of(step, "markdown") if cell.startswith("## Make"))
        assert f"\n    {step.command}\n" in make
        docstring = ast.get_docstring(ast.parse(first_file(step).read_text("utf-8")))
        # The tests of a suite run in the step's folder.
        between = "\n\nIn the folder of the course:\n\n" if step.is_suite else "\n"
        assert f"Run it:    {step.command}{between}Judge it:  pytest --exercise {step.number}" in docstring
        assert any(cell == f"from workshop import check\n\ncheck({step.number})" for cell in cells_of(step, "code"))


class TestReadme:
    readme = (ROOT / "README.md").read_text("utf-8") if (ROOT / "README.md").exists() else ""

    def test_map(self) -> None:
        """The table lists every step, with the minutes and the goal of its notebook, and the total is right."""
        total = 0
        for step in steps():
            goal = cells_of(step, "markdown")[0]
            minutes = re.search(r"\*\*Minutes\*\*: (\d+)", goal)[1]
            sentence = re.search(r"^By the end of this step, you can (.+)\.$", goal, re.MULTILINE)[1]
            row = f"| [{step.name}](notebooks/{step.name}.ipynb) | {sentence} | {minutes} |"
            assert row in self.readme, row
            total += int(minutes)
        assert f"All steps together take about {round(total / 60)} hours." in self.readme

    def test_builds_on(self) -> None:
        """For each step, the diagram shows the step that its notebook needs."""
        needed = {}
        for line in re.search(r"flowchart LR\n(.+?)```", self.readme, re.DOTALL)[1].splitlines():
            numbers = [int(number) for number in line.split("-->")]
            needed |= dict(zip(numbers[1:], numbers, strict=False))
        for step in steps()[1:]:
            goal = re.search(r"\*\*You need\*\*: (.+)", cells_of(step, "markdown")[0])[1]
            named = [int(number) for number in re.findall(r"\[(\d\d)\]\(", goal)]
            assert needed[step.number] in named, f"{step.name} needs {named}"

    def test_links(self) -> None:
        """Every link and picture points to an existing file, and every anchor to a heading."""
        anchors = {
            re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")
            for heading in re.findall(r"^#+ (.+)$", self.readme, re.MULTILINE)
        }
        for target in re.findall(r"\]\(([^)]+)\)", self.readme):
            if target.startswith("#"):
                assert target[1:] in anchors, target
            elif not target.startswith("http"):
                assert (ROOT / target).exists(), target

    def test_example(self) -> None:
        """The wrong answer in it is the one in tests/answers."""
        name, text = re.search(r"`(tests/answers/\S+\.diff)`:\n\n```diff\n(.+?)```\n", self.readme, re.DOTALL).groups()
        assert (ROOT / name).read_text("utf-8") == text

    def test_prose(self) -> None:
        """No word makes a learner feel slow."""
        assert not BANNED.search(self.readme), BANNED.search(self.readme)

    def test_commands(self) -> None:
        """Each kind of system has two commands; `pytest --all` is a third one."""
        shared = "python3 notebooks/workshop/preflight.py && python3 -m venv .venv && . .venv/bin/activate && "
        shared += "python -m pip install -q -r requirements.txt && "
        for ending in ("jupyter lab --config=jupyter_config.py", "pytest", "pytest --all"):
            assert f"\n{shared}{ending}\n" in self.readme
        # PowerShell 5.1 has no &&, and refuses the script that activates an environment.
        shared = "py -3 notebooks\\workshop\\preflight.py\npy -3 -m venv .venv\n"
        shared += ".venv\\Scripts\\python -m pip install -q -r requirements.txt\n.venv\\Scripts\\python -m "
        for ending in ("jupyter lab --config=jupyter_config.py", "pytest"):
            assert f"```bat\n{shared}{ending}\n```" in self.readme

    @pytest.mark.skipif(sys.platform == "win32", reason="CI runs on Linux")
    def test_ci(self, tmp_path: Path) -> None:
        """CI runs the line that README.md marks for it, and fails if there's none or more than one."""
        (tmp_path / ".ci").mkdir()
        shutil.copy(ROOT / ".ci" / "command", tmp_path / ".ci")
        mark = "<!-- CI runs this line. -->"
        for text, command in (
            (self.readme, re.search(rf"{mark}\n```sh\n(.+)\n```", self.readme)[1]),
            (self.readme.replace(mark, ""), None),
            (f"{self.readme}\n{mark}\n```sh\necho\n```\n", None),
            (f"{mark}\n\nno block\n", None),
        ):
            (tmp_path / "README.md").write_text(text, "utf-8")
            done = subprocess.run(["bash", ".ci/command"], cwd=tmp_path, capture_output=True, text=True)
            assert (done.returncode == 0) == bool(command), done.stderr
            assert done.stdout == (f"{command}\n" if command else "")
            assert command or "README.md" in done.stderr
        assert "command=$(bash .ci/command)" in (ROOT / ".ci" / "run").read_text("utf-8")


class TestElsewhere:
    def test_dev_container(self) -> None:
        """A dev container starts JupyterLab as README.md does, on the port that it forwards, behind its proxy."""
        text = (ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8")
        settings = json.loads(re.sub(r"^ *//.*$", "", text, flags=re.MULTILINE))
        start = re.search(r"&& (jupyter lab .+)$", TestReadme.readme, re.MULTILINE)[1]
        assert settings["postAttachCommand"].startswith(start)
        assert f"--port={settings['forwardPorts'][0]}" in settings["postAttachCommand"]
        assert settings["containerEnv"] == {"WORKSHOP_PROXY": "/"}
        assert settings["postCreateCommand"].endswith("pip install -q -r requirements.txt")

    def test_binder(self) -> None:
        """Binder installs the same packages as every other setup."""
        assert (ROOT / ".binder" / "requirements.txt").read_text("utf-8") == "-r ../requirements.txt\n"


@pytest.mark.xdist_group("together")
def test_groups(request: pytest.FixtureRequest) -> None:
    """Tests that must not run side by side don't: pytest-xdist finds the group in the name of a test."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        assert request.node.nodeid.endswith("@together")


class TestStyle:
    def test_ruff(self) -> None:
        """ruff finds nothing, in files and in the code cells of notebooks."""
        mine = [argument for path in changed_by_reader() for argument in ("--exclude", path)]
        for command in (["check", "--no-cache", ".", *mine], ["format", "--no-cache", "--check", ".", *mine]):
            done = subprocess.run([sys.executable, "-m", "ruff", *command], cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
