"""Write the diffs in tests/answers/, lay out the files of one, and carry all of them over to a changed solution.

    python tests/tools/answers.py show 02_echo/wrong_receive_text FOLDER
    python tests/tools/answers.py judge FOLDER 02_echo
    python tests/tools/answers.py write FOLDER 02_echo/wrong_new --title "..." --refused-by test_echo --says "..."
    python tests/tools/answers.py carry
    python tests/tools/answers.py seeds 02_echo

`show` accepts `02_echo/solution` too: copy it, edit the copy, judge it, and write the difference.
"""

import argparse
import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / "notebooks")]

from harness.answers import (  # noqa: E402
    HARD,
    LABELS,
    RINGS,
    Answer,
    Files,
    answers,
    apply_diff,
    diff_of,
    read_files,
    solution_files,
    write_files,
)
from workshop.course import ROOT, CourseError, Step, find_step  # noqa: E402

SEEDS = 10
"""The number of fixed seeds: a mistake must be rejected with the same phrase under each."""


def find(name: str) -> Answer:
    """Return the answer with this name, such as `02_echo/wrong_receive_text`. It may not exist yet.

    Raises:
        CourseError: the name isn't that of an answer.
    """
    number, _, stem = name.partition("/")
    if not re.fullmatch(r"(right|wrong)_\w+", stem):
        raise CourseError(f"An answer has a name such as 02_echo/wrong_receive_text, and not {name}.")
    step = find_step(number)
    found = [answer for answer in answers() if answer.name == f"{step.name}/{stem}"]
    return found[0] if found else Answer(step, ROOT / "tests" / "answers" / step.name / f"{stem}.diff")


def read_answer(folder: Path) -> Files:
    """Return the files of the answer in a folder.

    Raises:
        CourseError: there's none, or it contains a file that a diff can't.
    """
    if not (folder / "exercise").is_dir() and not (folder / "exercise.py").is_file():
        raise CourseError(f"{folder} holds no answer: neither exercise.py nor the package exercise.")
    try:
        files = read_files(folder)
    except UnicodeDecodeError as error:
        raise CourseError(f"A file in {folder} isn't UTF-8: {error}") from error
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        hidden = any(part.startswith((".", "__pycache__")) for part in name.parts)
        if path.is_file() and not hidden and name.as_posix() not in files:
            raise CourseError(f"{path} can't be part of an answer: only exercise.py, or Python files in exercise, can.")
    for name, text in files.items():
        if re.search(r"^(<{7}|>{7}) ", text, re.MULTILINE):
            raise CourseError(f"{folder / name} still has conflict marks.")
    return files


def show(name: str, folder: Path) -> None:
    """Write the files of an answer, or of a worked solution such as `02_echo/solution`, into a folder.

    Raises:
        CourseError: there's no such answer, or the folder already contains one.
    """
    if any((folder / name).exists() for name in ("exercise", "exercise.py")):
        raise CourseError(f"{folder} holds an answer already: choose another folder.")
    step, _, stem = name.partition("/")
    if stem == "solution":
        write_files(solution_files(find_step(step)), folder)
    elif (answer := find(name)).path.exists():
        answer.put_into(folder)
    else:
        raise CourseError(f"There is no answer {answer.name}.")


def bases_of(step: Step) -> dict[str, Files]:
    """Return the possible bases of a diff: the worked solution, with an empty name, and the right answers."""
    bases = {"": solution_files(step)}
    for answer in answers():
        if answer.step == step and answer.right:
            # An answer that doesn't fit its own base, after a change of the solution, can't be another one's base.
            with contextlib.suppress(CourseError):
                bases[answer.path.stem] = answer.files()
    return bases


def shortest(answer: Answer, files: Files, bases: dict[str, Files]) -> tuple[str, str]:
    """Return the base with which a diff is shortest, and that diff.

    Args:
        answer: the answer of the diff; the base of a right answer is always the solution.
        files: all its files.
        bases: the possible bases, by name.

    Returns:
        The name of the base, empty for the worked solution, and the diff.
    """
    diffs = {name: diff_of(base, files) for name, base in bases.items() if not (name and answer.right)}
    name = min(diffs, key=lambda name: diffs[name].count("\n"))
    return name, diffs[name]


def header_of(title: str, claims: dict[str, str]) -> str:
    """Return the text above a diff: the title, an empty line, and a line for each label that has a text."""
    return "\n".join([title, "", *(f"{label}: {claims[label]}" for label in LABELS if claims.get(label))])


def write(answer: Answer, files: Files, title: str = "", claims: dict[str, str] | None = None) -> str:
    """Write an answer as a diff against the base that makes it shortest.

    Args:
        answer: the answer; the present texts of its header are kept unless they're given here.
        files: all its files.
        title: the mistake, or the special property of a right answer, in a sentence.
        claims: the texts of the header, by their labels.

    Returns:
        The diff.

    Raises:
        CourseError: the answer is the same as its base, lacks a title, or isn't stored as a diff.
    """
    if answer.path.exists() and not answer.is_diff:
        raise CourseError(f"{answer.name} isn't a diff: edit {answer.path.relative_to(ROOT).as_posix()} itself.")
    bases = bases_of(answer.step)
    base, diff = shortest(answer, files, bases)
    if not diff:
        raise CourseError(f"{answer.name} is the same as {base or 'the worked solution'}.")
    assert apply_diff(diff, bases[base]) == files, f"{answer.name}: the diff doesn't give the files back"
    claims = claims or {}
    if answer.path.exists():
        title = title or answer.title
        # A mistake is refused by a required check or by a hard case.
        given = next((label for label in RINGS if label in claims), None)
        outdated = set(RINGS) - {given} if given else set()
        claims = {label: text for label, text in answer.claims.items() if label not in outdated} | claims
    if not title:
        raise CourseError(f"{answer.name} is new: say what is wrong with it, with --title.")
    header = header_of(title, claims | {"Base": base})
    answer.path.parent.mkdir(parents=True, exist_ok=True)
    answer.path.write_text(f"{header.rstrip()}\n\n{diff}", "utf-8", newline="\n")
    return diff


def course_at(commit: str, folder: Path) -> Path:
    """Unpack the solutions and answers of a commit into a folder.

    Raises:
        CourseError: git doesn't have them.
    """
    command = ["git", "archive", "--format=zip", commit, "solutions", "tests/answers"]
    try:
        packed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", b"").decode(errors="replace").strip() or error
        raise CourseError(f"To carry the answers over, git must show the course as of {commit}: {reason}") from error
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        archive.extractall(folder)
    return folder


def merged(ours: str, base: str, theirs: str) -> tuple[str, bool]:
    """Merge two changes of one text.

    Returns:
        The text, and whether it has conflicts, between git's markers.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("solution", "before", "answer")]
        for path, text in zip(paths, (ours, base, theirs), strict=True):
            path.write_text(text, "utf-8", newline="\n")
        names = [argument for path in paths for argument in ("-L", path.name)]
        done = subprocess.run(["git", "merge-file", "-p", "--diff3", *names, *map(str, paths)], capture_output=True)
        return done.stdout.decode("utf-8"), done.returncode != 0


def merged_files(ours: Files, base: Files, theirs: Files) -> tuple[Files, list[str]]:
    """Merge two changes of the same files.

    Returns:
        The files, and the names of those with conflicts.
    """
    files, conflicts = {}, []
    for name in sorted(ours.keys() | base.keys() | theirs.keys()):
        one, before, other = ours.get(name), base.get(name), theirs.get(name)
        if other in (before, one):
            text = one
        elif one == before:
            text = other
        else:
            text, in_conflict = merged(one or "", before or "", other or "")
            conflicts += [name] if in_conflict else []
        if text is not None:
            files[name] = text
    return files, conflicts


def carry_one(answer: Answer, before: Answer | None, place: Path) -> str:
    """Make an answer fit its changed base.

    Args:
        answer: the answer.
        before: the same answer at the commit where it fitted its base; None if it's newer.
        place: the folder to lay it out in if it no longer fits.

    Returns:
        A sentence about what a maintainer must check; empty if there's nothing to check.

    Raises:
        CourseError: it's newer, and doesn't fit.
    """
    base = answer.base_files()
    if before is None or before.diff != answer.diff:
        files, conflicts = answer.files(), []
    else:
        files, conflicts = merged_files(base, before.base_files(), before.files())
    if conflicts:
        write_files(files, place)
        return (
            f"{answer.name} no longer fits {' and '.join(conflicts)}: resolve the conflicts in {place}, and write it."
        )
    if files == base:
        return f"{answer.name} changes nothing any longer: its base makes the same mistake, or lacks what it changed."
    lines = changed_lines(answer.diff)
    if changed_lines(write(answer, files)) != lines:
        return f"{answer.name} fits, and adds or removes other lines than before: look at its diff."
    return ""


def changed_lines(diff: str) -> list[str]:
    """Return the lines that a diff adds and removes."""
    return sorted(line for line in diff.splitlines() if re.match(r"[-+](?!--|\+\+ )", line))


def carry(since: str, conflicts: Path) -> list[str]:
    """Carry all diffs over to the solutions and right answers as they are now.

    Args:
        since: a commit at which every diff fitted its base.
        conflicts: the folder for answers that no longer fit.

    Returns:
        A sentence for each answer that a maintainer must check.

    Raises:
        CourseError: git doesn't have the commit, or the folder isn't empty.
    """
    if conflicts.exists() and any(conflicts.iterdir()):
        raise CourseError(f"{conflicts} isn't empty: choose another folder, so that nothing in it is lost.")
    notes, waiting = [], Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        root = course_at(since, Path(folder))
        old = {answer.name: answer for answer in answers(root)}
        # Carry right answers first, because they're the bases of others.
        for answer in sorted(answers(), key=lambda answer: not answer.right):
            if not answer.is_diff:
                if answer.path.is_dir() and solution_files(answer.step) != solution_files(answer.step, root):
                    notes.append(f"{answer.name} stands whole: see whether it still fits the solution.")
                continue
            try:
                answer.base_files()
            except CourseError:
                waiting[f"{answer.step.name}/{answer.claim('Base')}"] += 1
                continue
            try:
                before = old.get(answer.name)
                note = carry_one(answer, before if before and before.is_diff else None, conflicts / answer.name)
            except CourseError as error:
                note = f"{error} If it fitted another commit than {since}, name that one with --since."
            notes += [note] if note else []
    return notes + [f"{count} answers wait for {base}, their base." for base, count in waiting.items()]


def judge(folder: Path, step: str, seed: int | None = None) -> str:
    """Judge the answer in a folder, and return the verdict and the name of the check that rejects it.

    Args:
        folder: the folder of the answer.
        step: the step's number or folder name.
        seed: the seed of the run; by default, a random one.
    """
    from judge.judges import judge_of

    read_answer(folder)
    verdict = judge_of(find_step(step), folder, seed=seed).run()
    if verdict.failed:
        return f"{verdict}\n\nRefused by: {verdict.failed.name}"
    if verdict.hard and (first := verdict.hard.first_failed):
        return f"{verdict}\n{verdict.hard}\n\n{HARD}: {first.name}"
    return f"{verdict}\n{verdict.hard}" if verdict.hard else str(verdict)


def under_seeds(answer: Answer) -> tuple[int, list[str]]:
    """Judge a wrong answer under ten fixed seeds, 0 to 9, or once if its failure doesn't depend on drawn values.

    Args:
        answer: the answer.

    Returns:
        The number of verdicts, and a sentence for each seed with which the claim of its header is wrong.
    """
    from judge.judges import judge_of

    sentences = []
    with tempfile.TemporaryDirectory() as folder:
        answer.put_into(Path(folder))
        for seed in range(SEEDS):
            verdict = judge_of(
                answer.step, Path(folder), seed=seed, through=answer.refused_by + answer.hard_cases
            ).run()
            part = verdict if verdict.failed or not verdict.hard else verdict.hard
            failed = verdict.failed or (verdict.hard.first_failed if verdict.hard else None)
            message = "\n".join(text for _, text in part.explanation)
            if failed is None or failed.name not in answer.refused_by + answer.hard_cases:
                found = f"{failed.name} refuses it" if failed else "it passes"
                sentences.append(f"{answer.name}, seed {seed}: {found}.")
            elif answer.claim("Says") not in message:
                sentences.append(f"{answer.name}, seed {seed}: the message lacks {answer.claim('Says')!r}.")
            if failed and "Seed" not in dict(part.explanation):
                return seed + 1, sentences
    return SEEDS, sentences


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    one = commands.add_parser("show", help="lay an answer, or a solution, out whole in a folder")
    one.add_argument("name", help="02_echo/wrong_receive_text, or 02_echo/solution")
    one.add_argument("folder", type=Path)
    one = commands.add_parser("judge", help="print what the checks say about the answer in a folder")
    one.add_argument("folder", type=Path)
    one.add_argument("step", help="2, or 02_echo")
    one.add_argument("--seed", type=int, help="draw the same values as an earlier run")
    one = commands.add_parser("seeds", help="judge the wrong answers of a step under ten seeds")
    one.add_argument("step", help="2, or 02_echo")
    one = commands.add_parser("write", help="write the answer in a folder as a diff; its header is kept")
    one.add_argument("folder", type=Path)
    one.add_argument("name", help="02_echo/wrong_receive_text")
    one.add_argument("--title", default="", help="what is wrong, in a sentence")
    for label in LABELS[1:]:
        one.add_argument(f"--{label.lower().replace(' ', '-')}", dest=label, default="", help=f"the line {label!r}")
    one = commands.add_parser("carry", help="make every diff fit the solutions as they are now")
    one.add_argument("--since", default="HEAD", metavar="COMMIT", help="when every diff fitted; by default HEAD")
    one.add_argument("--conflicts", type=Path, metavar="FOLDER", help="for what no longer fits; by default a new one")
    options = parser.parse_args(arguments)
    try:
        if options.command == "show":
            show(options.name, options.folder)
        elif options.command == "judge":
            print(judge(options.folder, options.step, options.seed))
        elif options.command == "seeds":
            step = find_step(options.step)
            failures = 0
            for answer in answers():
                if answer.step == step and not answer.right:
                    count, sentences = under_seeds(answer)
                    failures += len(sentences)
                    print(
                        "\n".join(sentences or [f"{answer.name}: refused under {count} of {count} seeds."]), flush=True
                    )
            return 1 if failures else 0
        elif options.command == "write":
            claims = {label: text for label in LABELS[1:] if (text := vars(options)[label])}
            print(write(find(options.name), read_answer(options.folder), options.title, claims), end="")
        else:
            notes = carry(options.since, options.conflicts or Path(tempfile.gettempdir()) / f"answers-{os.getpid()}")
            print("\n".join(notes or ["Every diff fits."]))
            print("Run the answers of each step that has changed: pytest tests/course/test_answers.py -k 02_echo")
            return 1 if notes else 0
    except (CourseError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
