"""Predictions: `predict` asks a question before a run and stores the guess; `reveal` compares it with the run's figure.

The questions of a step are in `steps/NN_name/predictions.toml`. Guesses are appended to `.predictions.jsonl` in the
folder of the course, which git ignores.
"""

import tomllib
from dataclasses import dataclass
from typing import Any

from .course import CourseError, Step, find_step
from .event_log import EventLog
from .output import Output

GUESSES = EventLog(".predictions.jsonl")
"""The guesses, and the choices that runs have made right."""


@dataclass(frozen=True)
class Choice:
    """One choice of a question."""

    letter: str
    text: str
    reason: str
    """Why this choice is right, or why it's a common mistake."""
    conditions: dict[str, Any]
    """The figures of a run that make this choice right: `equals`, or a range from `at_least` to `below`."""

    def fits(self, measured: Any) -> bool:
        """Return whether this figure makes the choice right. A choice without conditions fits every figure.

        Args:
            measured: the figure of a run.
        """
        return (
            ("equals" not in self.conditions or measured == self.conditions["equals"])
            and ("at_least" not in self.conditions or measured >= self.conditions["at_least"])
            and ("below" not in self.conditions or measured < self.conditions["below"])
        )


@dataclass(frozen=True)
class Question:
    """A question about what a run will show."""

    name: str
    """The step and a number, such as `07.1`."""
    text: str
    figure: str
    """A sentence for the figure of a run, which replaces the braces in it."""
    right: str
    """The letter that every run makes right on the pinned versions; the tests verify it."""
    choices: list[Choice]

    def choice(self, letter: str) -> Choice | None:
        """Return the choice with this letter, or None."""
        return next((choice for choice in self.choices if choice.letter == letter), None)

    def outcome(self, measured: Any) -> Choice | None:
        """Return the first choice that this figure makes right, or None.

        Args:
            measured: the figure of a run.
        """
        return next((choice for choice in self.choices if choice.fits(measured)), None)


def questions(step: Step) -> dict[str, Question]:
    """Return the questions of a step by their names.

    Args:
        step: the step.
    """
    path = step.folder / "predictions.toml"
    if not path.exists():
        return {}
    found = {}
    for name, entry in tomllib.loads(path.read_text("utf-8")).items():
        choices = [
            Choice(letter, value.pop("text"), value.pop("reason"), value)
            for letter, value in sorted(entry.items())
            if isinstance(value, dict)
        ]
        found[name] = Question(name, entry["question"], entry["figure"], entry["right"], choices)
    return found


def find_question(name: str) -> Question:
    """Return the question with this name.

    Args:
        name: the step and a number, such as `07.1`.

    Raises:
        CourseError: there's no such question.
    """
    step, _, _ = name.partition(".")
    if found := questions(find_step(step)).get(name):
        return found
    raise CourseError(f"The notebooks have no question {name!r}.")


def predict(name: str, guess: str) -> None:
    """Show a question with its choices, and store your guess.

    Args:
        name: the name of the question, such as `07.1`.
        guess: the letter of your choice. An empty string only shows the question.

    Raises:
        CourseError: there's no such question.
    """
    question = find_question(name)
    letter = str(guess).strip().upper()
    letters = [choice.letter for choice in question.choices]
    if question.choice(letter):
        if letter != Guesses(name).last:
            GUESSES.append(question=name, guess=letter)
        note = f"Your guess is **{letter}**. Now go on."
    elif letter:
        note = f"`{letter[:20]}` isn't one of the choices. Write {', '.join(letters[:-1])} or {letters[-1]}."
    else:
        note = "Choose a letter and run the cell again."
    listed = "\n".join(f"- **{choice.letter}**. {choice.text}" for choice in question.choices)
    Output(None, f"**{question.text}**\n\n{listed}\n\n{note}")


def reveal(name: str, measured: Any) -> None:
    """Compare your guess with what the run measured, and show the reasons for your choice and for the right one.

    The reasons for the other choices are folded.

    Args:
        name: the name of the question, such as `07.1`.
        measured: the figure of this run.

    Raises:
        CourseError: there's no such question.
    """
    question = find_question(name)
    guesses = Guesses(name)
    figure = f"This run: {question.figure.format(measured)}"
    outcome = question.outcome(measured)
    if outcome is None:
        Output(None, f"{figure} That fits none of the choices. Run the cells of this section again.")
        return
    if outcome.letter != guesses.outcome:
        GUESSES.append(question=name, outcome=outcome.letter)
    says = f"the run says **{outcome.letter}**: {outcome.text}"
    guess = question.choice(guesses.first) if guesses.first else None
    if guess is None:
        parts, shown = [figure, f"You didn't guess; {says}", outcome.reason], [outcome]
    else:
        right = "You're right" if guess == outcome else "That's another choice than yours"
        parts, shown = [guesses.sentence(), figure, f"So {says} {right}.", guess.reason], [guess, outcome]
        if guess != outcome:
            parts.append(f"**{outcome.letter}**: {outcome.reason}")
    if outcome.letter != question.right:
        parts.append(
            f"On most machines, the run says {question.right}, and the reasons are written for that. "
            "A busy machine can change a figure: run the cells of this section again."
        )
    parts += [
        f"<details><summary>{choice.letter}. {choice.text}</summary>\n\n{choice.reason}\n\n</details>"
        for choice in question.choices
        if choice not in shown
    ]
    Output(None, "\n\n".join(parts))


class Guesses:
    """What you guessed for a question, in the order of your guesses.

    Args:
        name: the name of the question.
    """

    def __init__(self, name: str) -> None:
        self.first = ""
        """The first letter; empty if there's none."""
        self.last = ""
        """The last letter."""
        self.outcome = ""
        """The letter that the last run made right; empty if there was no run."""
        self._late = self._changed_late = False
        for event in GUESSES.events():
            if event.get("question") != name:
                continue
            if outcome := event.get("outcome"):
                self.outcome = outcome
            elif guess := event.get("guess"):
                self._late = self._late or (not self.first and bool(self.outcome))
                self._changed_late = bool(self.outcome)
                self.first, self.last = self.first or guess, guess

    def sentence(self) -> str:
        """Return a sentence about the guess, and whether you changed it."""
        sentence = f"You guessed **{self.first}**" + (" after a run." if self._late else ".")
        if self.last != self.first:
            when = "after" if self._changed_late else "before"
            sentence += f" You changed it to **{self.last}** {when} the run."
        return sentence


def tally(step: Step) -> str:
    """Return how many of your guesses in a step were right, such as `1 of 2 guesses right`; empty without guesses.

    Args:
        step: the step.
    """
    made = [guesses for name in questions(step) if (guesses := Guesses(name)).first and guesses.outcome]
    right = sum(guesses.first == guesses.outcome for guesses in made)
    return f"{right} of {len(made)} guesses right" if made else ""
