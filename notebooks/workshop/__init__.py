"""The helpers of the notebooks: serve a step, check your answer, and see what goes over the wire."""

from .preflight import problem

if sentence := problem():
    raise ImportError(sentence)

from .checking import Report, check
from .course import ROOT, CourseError, find_step, steps
from .server import Server, StartupError
from .serving import serve
from .wire import Wire

__all__ = ["ROOT", "CourseError", "Report", "Server", "StartupError", "Wire", "check", "find_step", "serve", "steps"]
