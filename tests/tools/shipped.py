"""Write tests/judge/shipped.json, the list of the shipped files in steps/: python tests/tools/shipped.py

Run it after you have changed a lesson or an exercise. The judge reads the list to find code in the wrong place.
"""

import json
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / "notebooks")]

from judge.misplaced import SHIPPED, shipped_now  # noqa: E402


def listing() -> str:
    """Return the content of shipped.json for the files in steps/ as they are now."""
    return json.dumps(shipped_now(), indent=1) + "\n"


if __name__ == "__main__":
    SHIPPED.write_text(listing(), "utf-8", newline="\n")
