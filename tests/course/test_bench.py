"""The benchmark runs. What it measures needs an idle machine, and isn't tested."""

import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

import pytest
from workshop.course import ROOT

pytestmark = pytest.mark.thorough("the benchmark")
LABELS = (
    "websockets.broadcast",
    "FastAPI's documentation",
    "03 rooms, lesson",
    "07 backpressure",
    "07 faster",
    "10 over Redis",
    "python-socketio",
)


def test_fanout(tmp_path: Path) -> None:
    """It prints its tables with every server in them, and writes the picture."""
    picture = tmp_path / "fanout.svg"
    little = ("--members", "4", "--rounds", "1", "--deliveries", "80")
    command = [sys.executable, "tests/bench/fanout.py", *little, "--picture", str(picture)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 members; the load was busy" in done.stdout
    assert "4 members, with permessage-deflate" in done.stdout
    drawn = "".join(xml.etree.ElementTree.parse(picture).getroot().itertext())
    for label in LABELS:
        assert done.stdout.count(f"\n{label}") == 3, label
        assert label in drawn
