"""Check whether this Python can run the course, and print one sentence with the fix if it can't.

The README's commands run this file before anything is installed, and `import workshop` runs the check
again. So an old Python must be able to parse it.
"""

import importlib.util
import sys

OLDEST = (3, 11)
NEEDED = ("fastapi", "httpx", "pytest", "uvicorn", "websockets")


def problem(packages=NEEDED):
    """Return one sentence with the problem of this Python and its fix, or None if there's no problem.

    Args:
        packages: the names of modules that must be installed.
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
