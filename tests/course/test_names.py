"""The code keeps the field's names: if an old name is defined again, a test fails and states its replacement."""

import ast
import re
from collections.abc import Iterator

import nbformat
import pytest
from workshop.course import ROOT

CHAT = {
    # 03 to 06
    "GONE": "DISCONNECT_ERRORS",
    "everybody": "all_tabs",
    "but": "exclude",
    "to_tell": "recipients",
    "EXPECTED": "EXPECTED_FORMAT",
    "reader": "client_message_adapter",
    "Request": "ClientMessage",
    "Direct": "DirectMessage",
    "Manager": "ManagerDep",
    "NOBODYS_HASH": "DUMMY_HASH",
    "rights": "permissions",
    "Grant": "Principal",
    "grant": "principal",
    "get_grant": "get_current_principal",
    "get_room_grant": "get_room_principal",
    "get_visitor": "authenticate_socket",
    "Holder": "CurrentPrincipal",
    "RoomHolder": "RoomPrincipal",
    "Visitor": "SocketPrincipal",
    "visitor": "principal",
    "is_good": "is_valid",
    "bearer": "oauth2_scheme",
    "Bearer": "BearerToken",
    "Form": "LoginForm",
    "hashing": "hash_limiter",
    "Principal.issued": "issued_at",
    "Principal.expires": "expires_at",
    "sell": "issue",
    "use": "redeem",
    "buy_ticket": "create_ticket",
    "refused": "unauthorized",
    "not_stored": "no_store",
    "AFTER": "EXPIRY_MARGIN",
    "limits": "session_timeouts",
    # 07
    "MOST_WAITING": "MAX_QUEUED_FRAMES",
    "BEHIND": "HIGH_WATER",
    "CAUGHT_UP": "LOW_WATER",
    "MOMENT": "DRAIN_TIMEOUT",
    "PATIENCE": "CLOSE_TIMEOUT",
    "HEARTBEAT": "HEARTBEAT_INTERVAL",
    "put": "try_put",
    "_wait": "_enqueue",
    "waiting": "send_queue",
    "behind_since": "congested_since",
    "unanswered": "unanswered_pings",
    "catch_up": "drain",
    "begin_with": "enqueue_replay",
    "replaying": "replay_left",
    "takes_more": "is_writable",
    "WithConnection": "TransportMiddleware",
    "uvicorns": "protocol",
    "at_once": "run_nowait",
    "full": "overflowed",
    "beat": "ping_tabs",
    "heart": "heartbeat_task",
    # 08 and 09
    "KEPT_MESSAGES": "HISTORY_SIZE",
    "KEPT_KEYS": "DEDUP_WINDOW",
    "STOPPING_CODES": "FATAL_CLOSE_CODES",
    "STOPPING_STATUSES": "FATAL_STATUSES",
    "_stay": "_run",
    "_tell": "_notify",
    "_hand_on": "_deliver",
    "_tries": "_attempt",
    "_sent": "_in_flight",
    "_send_again": "_requeue",
    "_must_wait": "_must_back_off",
    "longest": "max_delay",
    "_address": "_resume_url",
    "frame": "event, or data for what a client receives",
    "frames": "events",
    "send_frame": "send_event",
    "text_frame": "text_event",
    # 10 and 11
    "LEASE": "LEASE_TTL",
    "RENEWAL": "LEASE_RENEW_INTERVAL",
    "Away": "BrokerUnavailable",
    "Said": "StoredMessage",
    "said": "messages",
    "Page": "HistoryPage",
    "present": "update_presence",
    "Hear": "EventHandler",
    "hear": "on_event",
    "_hear": "_dispatch",
    "heard": "subscribed",
    "resume": "resync",
    "tell_all": "refresh_presence",
    "tell": "sync_presence",
    "tell_if_there": "try_sync_presence",
    "telling": "presence_locks",
    "untold": "unsynced_rooms",
    "see": "apply_presence",
    "whole": "snapshot",
    "miss": "report_gap",
    "pass_on": "deliver_message",
    "fill": "load_history",
    "View": "RoomPresence",
    "views": "room_presences",
    "has_list": "snapshot_sent",
    "is_there": "connected",
    "back_since": "grace_started",
    "late": "expired_processes",
    "known_by": "dedup_key",
    "_asking": "_require_redis",
    "_back": "_on_connected",
    "_know": "_note_last_id",
    "_has": "_run_presence_script",
    "OUTAGES": "OUTAGE_ERRORS",
    "PROCESSES": "LEASES_KEY",
    "new_id": "assign_id",
    "RAISE": "ENSURE_LAST_ID",
    "PRESENT": "UPDATE_PRESENCE",
    "RENEW": "RENEW_LEASE",
    "was_there": "was_removed",
    # Names of one class or module each: elsewhere, they're good names.
    "ConnectionManager.message": "post_message",
    "Broker.read": "read_history",
    "Broker.members": "get_presence",
    "Broker.send": "publish_transient",
    "messages.read": "parse",
    "tokens.read": "decode",
    "ways": "token_transports",
}
"""Names of lessons, starter code and solutions, each with its replacement."""
NOTEBOOKS = {
    "hear": "receive_all",
    "heard": "received",
    "knock": "try_handshake",
    "say": "send_and_wait",
    "lose": "drop_connection",
    "believe": "track_presence",
    "first_words": "first_reply",
    "waits": "delays",
}
"""Names of code cells."""
JUDGE = {
    "Stage": "FakeServer",
    "stage": "fake_server",
    "Visit": "ConnectionAttempt",
    "visits": "attempts",
    "Ear": "MemberLog",
    "ear": "log",
    "ears": "logs",
    "Door": "AuthClient",
    "door": "auth",
    "holders": "auth",
    "Hosts": "Cluster",
    "hosts": "cluster",
    "own_hosts": "own_cluster",
    "shared_hosts": "shared_cluster",
    "separate_hosts": "separate_cluster",
    "narrow": "small_buffers",
    "held_up": "suspended",
    "at_once": "simultaneously",
    "clients_at_once": "simultaneous_clients",
    "becomes": "eventually",
    "come_to": "eventually_has",
    "come_to_nothing": "eventually_empty",
    "comes_to_answer": "eventually_answers",
    "comes_to_be_idle": "eventually_idle",
    "overhears": "ignored",
}
"""Names of the judge and the checks."""
FOLDERS = {"steps": CHAT, "solutions": CHAT, "tests/judge": JUDGE, "tests/checks": JUDGE}


def defined(source: str, module: str = "") -> Iterator[tuple[str, int]]:
    """Find the names that a module defines, and the environment variables that it reads.

    Args:
        source: the text of the module, in which `await` may be at the top level.
        module: its name, which it defines too; empty for a code cell.

    Yields:
        Each name with its line. Methods and fields are also yielded as `Class.name`, with the last word of the class's
        name, such as `Broker` for `RedisBroker`. Functions of the module are also yielded as `module.function`.
    """
    if module:
        yield module, 1
    tree = compile(source, module or "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for owner in ast.walk(tree):
        if isinstance(owner, ast.ClassDef | ast.Module):
            prefixes = (
                [module] if isinstance(owner, ast.Module) else [owner.name, *re.findall("[A-Z][a-z]+$", owner.name)]
            )
            for node in owner.body:
                match node:
                    case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                        yield from ((f"{prefix}.{name}", node.lineno) for prefix in prefixes)
                    case ast.AnnAssign(target=ast.Name(id=name)):
                        yield from ((f"{prefix}.{name}", node.lineno) for prefix in prefixes)
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node.lineno
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, node.lineno
            case ast.alias(asname=str(name)) | ast.MatchAs(name=str(name)) | ast.ExceptHandler(name=str(name)):
                yield name, node.lineno
            case ast.Call(
                func=ast.Attribute(attr="get") | ast.Name(id="setting"), args=[ast.Constant(value=str(name)), *_]
            ):
                if name.isupper():
                    yield name, node.lineno


@pytest.mark.parametrize("folder", FOLDERS)
def test_code(folder: str) -> None:
    """No module defines an old name."""
    found = [
        f"{path.relative_to(ROOT).as_posix()}:{line}: {name} is an old name; write {FOLDERS[folder][name]}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name, line in defined(path.read_text("utf-8"), path.stem)
        if name in FOLDERS[folder]
    ]
    assert not found, "\n".join(found)


def test_notebooks() -> None:
    """No code cell defines an old name."""
    found = [
        f"{path.name}, {cell.id}: {name} is an old name; write {NOTEBOOKS[name]}"
        for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "code"
        for name, _ in defined(cell.source)
        if name in NOTEBOOKS
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("GONE = (OSError,)", "GONE"),
        ("class RedisBroker:\n    async def read(self): ...", "Broker.read"),
        ("class Broker:\n    async def read(self): ...", "Broker.read"),
        ("def read(event): ...", "messages.read"),
        ("class Principal:\n    expires: float", "Principal.expires"),
        ("def all_tabs(self, but=None): ...", "but"),
        ("self.late = []", "late"),
        ("with suppress(OSError) as hear: ...", "hear"),
        ("match event:\n    case {'from': sender, **rest} as said: ...", "said"),
        ("LIMIT = float(os.environ.get('HEARTBEAT', '10'))", "HEARTBEAT"),
        ("LIMIT = setting('LEASE', '6')", "LEASE"),
        ("import tokens as visitor", "visitor"),
        ("for beat in await beats(): ...", "beat"),
    ],
)
def test_definitions(source: str, name: str) -> None:
    """Every kind of definition is found."""
    assert name in dict(defined(source, "messages"))


def test_other_use() -> None:
    """A name that another library defines isn't found: only a definition matters."""
    source = "page.fill('late')\ntask.resume()\nclass Journal:\n    def read(self): ...\nimport hosts\nf(but=1)"
    assert not {"fill", "late", "resume", "Broker.read", "messages.read", "hosts", "but"} & {
        name for name, _ in defined(source, "messages")
    }
