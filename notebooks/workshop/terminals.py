"""JupyterLab terminals that run the exercise of a step if they're named after it."""

import sys
from pathlib import Path
from typing import Any

from jupyter_server_terminals.terminalmanager import TerminalManager

from .course import ROOT, steps

RUN = Path(__file__).with_name("run_exercise.py")


class StepTerminals(TerminalManager):
    """A terminal manager that runs the exercise of a step before the shell, in a terminal named like `02_echo`."""

    def create(self, **kwargs: Any) -> dict[str, Any]:
        """Create a terminal.

        Args:
            kwargs: `name` and `cwd`, from JupyterLab.

        Returns:
            The model of the terminal.
        """
        name = kwargs.get("name")
        if name in {step.name for step in steps()}:
            shell = self.shell_command
            kwargs |= {"cwd": str(ROOT), "shell_command": [sys.executable, str(RUN), name, *shell]}
        return super().create(**kwargs)
