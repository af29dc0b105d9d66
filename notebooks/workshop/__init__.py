"""The helpers of the notebooks: serve a step, check your answer, and see what goes over the wire."""

from .preflight import problem

if sentence := problem():
    raise ImportError(sentence)

from .checking import Report, check  # noqa: E402
from .course import ROOT, CourseError, find_step, steps  # noqa: E402
from .server import Server, StartupError  # noqa: E402
from .serving import serve  # noqa: E402
from .wire import Wire  # noqa: E402

__all__ = ["ROOT", "CourseError", "Report", "Server", "StartupError", "Wire", "check", "find_step", "serve", "steps"]
