"""JupyterLab as the course uses it: jupyter lab --config=jupyter_config.py"""

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
sys.path.append(str(ROOT / "notebooks"))

from workshop.record import current_step  # noqa: E402


def without_news(handler: object, page_config: dict[str, Any]) -> dict[str, Any]:
    """Leave out the part of JupyterLab that asks whether you want its news."""
    page_config["disabledExtensions"].append("@jupyterlab/apputils-extension:announcements")
    return page_config


c = get_config()  # noqa: F821

# Every file of the course can be opened, whichever folder the command was given in.
c.ServerApp.root_dir = str(ROOT)
# The first page: the workspace of the step to continue with.
c.LabApp.default_url = f"/lab/tree/{current_step().workspace.relative_to(ROOT).as_posix()}"
# The results of a check ask JupyterLab whether their kernel was restarted; see workshop/old_results.js.
c.LabApp.expose_app_in_browser = True
# A terminal with the name of a step runs the exercise of that step.
c.TerminalsExtensionApp.terminal_manager_class = "workshop.terminals.StepTerminals"
# No question about news, and no requests for them: a classroom may have no network.
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.ServerApp.tornado_settings = {"page_config_hook": without_news}
