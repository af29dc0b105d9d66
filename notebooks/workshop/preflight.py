"""Check whether this Python can run the course, and print one sentence with the fix if it can't.

The README's commands run this file before anything is installed, and `import workshop` runs the check
again. So an old Python must be able to parse it.
"""

import importlib.util
import os
import sys

OLDEST = (3, 11)
DEEPEST = 90
"""The longest path of the course's folder on Windows, in characters. A path may have 259, and JupyterLab's longest one
has 161 behind that folder, with that of the environment."""
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
    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if sys.platform == "win32" and len(folder) > DEEPEST and not allows_long_paths():
        return (
            f"The path of this folder has {len(folder)} characters, and Windows allows too few behind it: move the "
            "course into a folder with a short path, such as C:\\course, and run the same command there."
        )
    for name in packages:
        if importlib.util.find_spec(name) is None:
            return (
                f"The package {name} is missing in {sys.executable}: activate the environment of the course, with "
                ". .venv/bin/activate, or on Windows run .venv\\Scripts\\python. If there is none yet, start with the "
                "first command in README.md, which installs what the course needs."
            )
    return None


def allows_long_paths():
    """Return whether Windows is set to allow paths of more than 259 characters (LongPathsEnabled)."""
    try:
        import winreg

        place = winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, "SYSTEM\\CurrentControlSet\\Control\\FileSystem")
        return winreg.QueryValueEx(place, "LongPathsEnabled")[0] == 1
    except (ImportError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(problem(packages=()))
