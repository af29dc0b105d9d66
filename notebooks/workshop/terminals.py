"""Terminals of JupyterLab that are named after a step: they run its exercise."""

import sys
from pathlib import Path
from typing import Any

from jupyter_server_terminals.terminalmanager import TerminalManager

from .course import ROOT, steps

RUN = Path(__file__).with_name("run_exercise.py")


class StepTerminals(TerminalManager):
    """Gives every terminal its shell, and a terminal named `02_echo` the exercise of that step first."""

    def create(self, **kwargs: Any) -> dict[str, Any]:
        """Create a terminal.

        Args:
            kwargs: `name` and `cwd`, as JupyterLab sends them.
        """
        name = kwargs.get("name")
        if name in {step.name for step in steps()}:
            shell = self.shell_command
            kwargs |= {"cwd": str(ROOT), "shell_command": [sys.executable, str(RUN), name, *shell]}
        return super().create(**kwargs)
