"""The helpers of the notebooks: serve a step, predict a run, see the traffic on the wire, check your answer."""

from .preflight import problem

if sentence := problem():
    raise ImportError(sentence)

from .checking import check, progress
from .comparing import compare
from .course import ROOT, CourseError, find_step, steps
from .graphs import draw_topology, plot_ages, plot_attempts, plot_delays
from .network import Network
from .page import page
from .predictions import predict, reveal
from .processes import Processes
from .redis_server import redis_server
from .server import Server, StartupError
from .serving import serve
from .tables import Table
from .timeline import Timeline
from .trying import SuiteResult, try_suite
from .variants import lesson_variant, variant
from .wire import Wire

__all__ = [
    "ROOT",
    "CourseError",
    "Network",
    "Processes",
    "Server",
    "StartupError",
    "SuiteResult",
    "Table",
    "Timeline",
    "Wire",
    "check",
    "compare",
    "draw_topology",
    "find_step",
    "lesson_variant",
    "page",
    "plot_ages",
    "plot_attempts",
    "plot_delays",
    "predict",
    "progress",
    "redis_server",
    "reveal",
    "serve",
    "steps",
    "try_suite",
    "variant",
]
