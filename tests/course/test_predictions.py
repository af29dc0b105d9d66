"""Guesses before a run: `predict` and `reveal`, the questions of each step, and the cells that use them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness.kernels import code_of
from workshop import CourseError, event_log, predict, predictions, reveal
from workshop.course import ROOT, Step, steps
from workshop.predictions import Choice, Question, find_question, questions, tally

EVERY = [question for step in steps() for question in questions(step).values()]


class Shown:
    """Replaces the output of a cell, and stores the Markdown that was shown last."""

    text = ""

    def __init__(self, html: str | None, text: str) -> None:
        assert html is None
        Shown.text = text


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Store the guesses in an empty folder, and capture the shown Markdown."""
    monkeypatch.setattr(event_log, "ROOT", tmp_path)
    monkeypatch.setattr(predictions, "Output", Shown)
    monkeypatch.setattr(predictions, "GUESSES", event_log.EventLog(".predictions.jsonl"))
    return tmp_path


def stored(folder: Path) -> list[dict[str, str]]:
    """Return the stored events."""
    return [json.loads(line) for line in (folder / ".predictions.jsonl").read_text("utf-8").splitlines()]


def figure_for(question: Question, letter: str) -> Any:
    """Return a figure of a run that makes this choice right."""
    conditions = question.choice(letter).conditions
    bounds = [value for other in question.choices for key, value in other.conditions.items() if key != "equals"]
    candidates = [conditions.get("equals"), *bounds, *(bound - 1 for bound in bounds), *(bound + 1 for bound in bounds)]
    candidates = [value for value in candidates if value is not None] or ["another figure"]
    return next(value for value in candidates if question.outcome(value).letter == letter)


class TestPredict:
    def test_empty(self, folder: Path) -> None:
        """Without a letter, the question and its choices are shown, and nothing is stored."""
        for guess in ("", "  "):
            predict("07.1", guess)
            question = find_question("07.1")
            assert question.text in Shown.text
            for choice in question.choices:
                assert f"- **{choice.letter}**. {choice.text}" in Shown.text
            assert Shown.text.endswith("Choose a letter and run the cell again.")
        assert not (folder / ".predictions.jsonl").exists()

    @pytest.mark.parametrize("guess", ["D", "AB", "yes", "`" * 30])
    def test_no_choice(self, folder: Path, guess: str) -> None:
        """Any other text gets one sentence, and isn't stored."""
        predict("07.1", guess)
        assert Shown.text.endswith("isn't one of the choices. Write A, B or C.")
        assert not (folder / ".predictions.jsonl").exists()

    def test_stored_once(self, folder: Path) -> None:
        """The first guess is stored with its time, in upper case, and a second run of the cell changes nothing."""
        for guess in ("b", " B ", "B"):
            predict("07.1", guess)
            assert "Your guess is **B**." in Shown.text
        (event,) = stored(folder)
        assert (event["question"], event["guess"]) == ("07.1", "B")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", event["time"])

    def test_unknown(self) -> None:
        """An unknown question gets one sentence."""
        for name in ("07.99", "99.1", ""):
            with pytest.raises(CourseError, match=r"no (question|step)"):
                predict(name, "A")

    def test_read_only(self, folder: Path) -> None:
        """If the file can't be written, the guess is kept until the kernel ends."""
        (folder / ".predictions.jsonl").mkdir()
        predict("07.1", "A")
        reveal("07.1", figure_for(find_question("07.1"), "B"))
        assert "You guessed **A**." in Shown.text

    def test_damaged(self, folder: Path) -> None:
        """A damaged line is ignored, and the guess after it is accepted."""
        (folder / ".predictions.jsonl").write_bytes(b'{"question": "07.1", "gu\n\xff\n[]\n7\n')
        predict("07.1", "C")
        reveal("07.1", figure_for(find_question("07.1"), "B"))
        assert "You guessed **C**." in Shown.text

    def test_two_kernels(self, folder: Path) -> None:
        """Two kernels can store guesses at the same time, and no line is lost or damaged."""
        code = (
            "import sys; from pathlib import Path; from workshop import event_log, predictions\n"
            "event_log.ROOT = Path(sys.argv[1])\n"
            "for number in range(200): predictions.GUESSES.append(question=sys.argv[2], guess=str(number))\n"
        )
        environment = os.environ | {"PYTHONPATH": str(ROOT / "notebooks")}
        command = [sys.executable, "-c", code, str(folder)]
        kernels = [subprocess.Popen([*command, name], env=environment) for name in ("07.1", "07.2")]
        assert [each.wait(60) for each in kernels] == [0, 0]
        for name in ("07.1", "07.2"):
            guesses = [event["guess"] for event in stored(folder) if event["question"] == name]
            assert guesses == [str(number) for number in range(200)]


class TestReveal:
    def test_wrong(self) -> None:
        """A wrong guess gets the figure, the outcome, and the reasons for both choices; the other one is folded."""
        question = find_question("07.1")
        predict("07.1", "A")
        reveal("07.1", 46)
        open_part, *folded = re.split(r"<details>", Shown.text)
        assert "You guessed **A**." in open_part
        assert question.figure.format(46) in open_part
        assert "the run says **B**" in open_part
        assert question.choice("A").reason in open_part
        assert question.choice("B").reason in open_part
        assert [re.match(r"<summary>(.)", part)[1] for part in folded] == ["C"]

    def test_right(self) -> None:
        """The reveal states that a right guess is right."""
        predict("07.1", "B")
        reveal("07.1", 46)
        assert "You're right" in Shown.text

    def test_other_figure(self) -> None:
        """The figure of the run decides, and a run with an unusual result is described as such."""
        predict("07.1", "A")
        reveal("07.1", 200)
        assert "the run says **A**" in Shown.text and "You're right" in Shown.text
        assert "On most machines, the run says B" in Shown.text

    def test_no_guess(self, folder: Path) -> None:
        """Without a guess, the outcome and its reason are shown; a later guess was made after a run."""
        reveal("07.1", 46)
        assert "You didn't guess; the run says **B**" in Shown.text
        assert find_question("07.1").choice("B").reason in Shown.text.split("<details>")[0]
        predict("07.1", "B")
        reveal("07.1", 46)
        assert "You guessed **B** after a run." in Shown.text

    def test_changed(self) -> None:
        """A changed letter is shown as changed, before or after the run. The first one decides."""
        predict("07.1", "A")
        predict("07.1", "C")
        reveal("07.1", 46)
        assert "You guessed **A**. You changed it to **C** before the run." in Shown.text
        predict("07.1", "B")
        reveal("07.1", 46)
        assert "You guessed **A**. You changed it to **B** after the run." in Shown.text
        assert "You're right" not in Shown.text

    def test_fits_nothing(self) -> None:
        """A figure that fits no choice gets one sentence."""
        reveal("07.2", "something else")
        assert "fits none of the choices" in Shown.text

    def test_tally(self) -> None:
        """progress() has the number of right guesses, for questions whose run you have seen."""
        step = next(step for step in steps() if step.number == 7)
        assert tally(step) == ""
        predict("07.1", "A")
        assert tally(step) == ""
        reveal("07.1", 46)
        predict("07.3", "C")
        reveal("07.3", 2)
        assert tally(step) == "1 of 2 guesses right"


@pytest.mark.parametrize("question", EVERY, ids=lambda question: question.name)
def test_question(question: Question) -> None:
    """Each choice has a text, a reason, and a figure that makes it right; the last one needs no condition."""
    assert [choice.letter for choice in question.choices] == list("ABCD"[: len(question.choices)])
    assert len(question.choices) >= 3
    assert question.choice(question.right)
    assert question.text.endswith("?")
    assert "{" in question.figure
    for choice in question.choices:
        assert choice.text.endswith(".") and choice.reason.endswith(".")
        assert set(choice.conditions) <= {"equals", "at_least", "below"}
        assert question.outcome(figure_for(question, choice.letter)) == choice


def test_conditions() -> None:
    """A range includes its lower bound and excludes its upper one."""
    choice = Choice("A", "", "", {"at_least": 1, "below": 2})
    assert [choice.fits(figure) for figure in (0.9, 1, 1.9, 2)] == [False, True, True, False]


@pytest.mark.parametrize("step", steps(), ids=lambda step: step.name)
def test_cells(step: Step) -> None:
    """A notebook has two or three questions, each asked in a cell of its own before the cell that reveals it."""
    names = list(questions(step))
    assert names == [f"{step.number:02}.{number}" for number in range(1, len(names) + 1)]
    assert 2 <= len(names) <= 3
    cells = code_of(step.notebook)
    for name in names:
        letters = [choice.letter for choice in find_question(name).choices]
        listed = f"{', '.join(letters[:-1])} or {letters[-1]}"
        asked = cells.index(f'guess = ""  # {listed}, then run this cell\npredict("{name}", guess)')
        (shown,) = (number for number, cell in enumerate(cells) if f'reveal("{name}", ' in cell)
        assert asked < shown
    assert len(re.findall(r"\bpredict\(", "\n".join(cells))) == len(names)
    assert len(re.findall(r"\breveal\(", "\n".join(cells))) == len(names)
    lesson = (Path(__file__).parents[1] / "lessons" / f"test_{step.name}.py").read_text("utf-8")
    for name in names:
        assert f'assert_right("{name}", ' in lesson, f"no test of the lesson proves the right choice of {name}"
