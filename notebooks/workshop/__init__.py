"""The helpers of the notebooks: serve a step, check your answer, and see the traffic on the wire."""

from .preflight import problem

if sentence := problem():
    raise ImportError(sentence)

from .checking import check, progress
from .comparing import compare
from .course import ROOT, CourseError, find_step, steps
from .network import Network
from .page import page
from .redis_server import redis_server
from .server import Server, StartupError
from .serving import serve
from .timeline import Timeline
from .wire import Wire

__all__ = [
    "ROOT",
    "CourseError",
    "Network",
    "Server",
    "StartupError",
    "Timeline",
    "Wire",
    "check",
    "compare",
    "find_step",
    "page",
    "progress",
    "redis_server",
    "serve",
    "steps",
]
