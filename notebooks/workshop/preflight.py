"""Looks whether this Python can run the course, and says in one sentence what to do if it cannot.

The README's commands run this file before anything is installed, and `import workshop` asks it
again. So it must be readable by an old Python.
"""

import importlib.util
import sys

OLDEST = (3, 11)
NEEDED = ("fastapi", "httpx", "pytest", "uvicorn", "websockets")


def problem(packages=NEEDED):
    """What is wrong with this Python, as one sentence, or None.

    Args:
        packages: names of modules that must be installed.
    """
    if sys.version_info < OLDEST:
        return (
            "This is Python {}.{}, and the course needs {}.{} or newer: run the same command with a newer one.".format(
                *sys.version_info[:2] + OLDEST
            )
        )
    for name in packages:
        if importlib.util.find_spec(name) is None:
            return (
                f"The package {name} is missing in {sys.executable}: activate the environment of the course, with "
                ". .venv/bin/activate, or on Windows with .venv\\Scripts\\activate. If there is none yet, start with "
                "the first command in README.md, which installs what the course needs."
            )
    return None


if __name__ == "__main__":
    sys.exit(problem(packages=()))
