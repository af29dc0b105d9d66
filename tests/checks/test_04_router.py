"""Step 04: the checks of the exercise."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from judge import listeners, pool, rooms, routing
from judge.announced_together import announced_together
from judge.clients import Client
from judge.listeners import Chat, Listener, announcement, facts_of, listen
from judge.messages import parsed, show
from judge.model import Failure, Likely, check
from judge.subject import Subject

NO_NAMES = ("", "?name=", f"?name={'x' * 21}", f"?name={quote('한' * 21)}", f"?name={'a' * 200}", "?nickname=Ada")
LOOKALIKES = (
    "announcements-old",
    "announcements2",
    "Announcements",
    "announcement",
    " announcements",
    "announcements%",
)
"""Rooms whose names are similar to the path of the listeners."""
WAYS = (*rooms.ENDS, "binary")
SILENCE = 60.0
"""Seconds of the fast clock without a message."""
FAST = 20
"""Speed of the clock in loop/fast.py, as a multiple of real time."""
LISTENER_COUNTED = (
    'A listener is a member of a room called announcements. Declare @router.websocket("/ws/announcements") above '
    "the route with {room_id}."
)
LATE = (
    "A listener gets nothing for some time after its handshake. Add it to the listeners right after accept(), before "
    "anything that waits."
)
LISTENER_ANNOUNCED = "A listener is announced like a member. Announce in the endpoint of the rooms only."
REFUSED_ANNOUNCED = (
    "A client that was refused is announced. Let the dependency raise WebSocketException(1008), so that the endpoint "
    "doesn't run."
)
TEXTS = "The texts of a room are sent to listeners too. Send them to the members of the room only."
LAST = "The last member of a room isn't announced as left. Announce each member, after you remove the empty room."
REPLAYED = "A listener gets announcements from before its handshake. Don't replay them."
OWN = (
    "A listener gets no announcement about a member of its own name. Two connections may have one name: send every "
    "announcement to every listener."
)
SECOND_OF_A_NAME = (
    "A second member of the same name isn't announced. Announce every member that joins and leaves, also two with one "
    "name."
)
REJOINED = (
    "A member that rejoins soon after it left isn't announced. Announce each join and each leave when it happens, "
    "without waiting for what follows."
)
ALL_ENDS = "The member isn't announced as left after this end. Announce it in finally, after you remove it."
STUCK = (
    "The close waits for a member that doesn't read, and the member stays in the room. Remove and announce it first, "
    "and call close(1003) after that."
)
LEFT_BEHIND = (
    "Your code still holds connections that have ended. Remove each listener and each member from every collection in "
    "finally."
)


def joined(room: str, name: str) -> str:
    """Return the description of a member's handshake for a failure."""
    return f"a handshake for the room {show(room).removeprefix('the text ')} as {name!r}"


class TestExercise:
    @check(1, "is two routers that main.py includes", quiet=False)
    async def test_routers(self, subject: Subject) -> None:
        asks = "GET / asks for something. A dependency belongs to one router, not to the app."
        root = await subject.get_json("/", likely=asks)
        if root != {"message": "Hello World"}:
            raise Failure(
                sent="GET /",
                got=show(root),
                expect='{"message": "Hello World"}',
                likely="The endpoint of GET / was changed. Keep it in main.py as it was.",
            )
        facts = await facts_of(subject)
        for name in ("chat", "lobby"):
            expect = f"exercise.{name}.router is an APIRouter, and exercise/main.py includes it"
            if problem := facts[name]:
                likely = f"Create exercise/{name}.py with router = APIRouter(), and declare its routes on that router."
                raise Failure(got=str(problem), expect=expect, likely=likely)
            if facts["probe_socket" if name == "chat" else "probe_lobby"] is None:
                raise Failure(
                    got=f"a route on exercise.{name}.router isn't part of the app",
                    expect=expect,
                    likely=routing.not_included(name, (subject.folder / "exercise" / "main.py").read_text("utf-8")),
                )
        if facts["in_main"]:
            raise Failure(
                got=f"the app itself has {', '.join(map(str, facts['in_main']))} too",
                expect="exercise/main.py defines GET / and no other route",
                likely="A route was copied to its module and not taken out of main.py. Delete it there.",
            )

    @check(2, "broadcasts texts at /api/chat/ws/{room_id}")
    async def test_broadcast(self, subject: Subject) -> None:
        await rooms.reaches_the_room(Chat(subject))

    @check(2, "delivers a burst of texts, and a sender's last one")
    async def test_burst(self, subject: Subject) -> None:
        await rooms.delivers_a_burst(Chat(subject))

    @check(2, "loses no message to a member that disconnects")
    async def test_vanished(self, subject: Subject) -> None:
        await rooms.survives_disconnects(Chat(subject))

    @check(2, "closes the sender of a binary message, and no other member, with 1003")
    async def test_binary(self, subject: Subject) -> None:
        await rooms.refuses_binary(Chat(subject))

    @check(3, "counts the members at /api/lobby/rooms, and only there")
    async def test_counts(self, subject: Subject) -> None:
        place = Chat(subject, explains=True)
        await place.answers()
        room = place.name()
        async with place.member(room):
            await place.has({room: 1}, after=f"a handshake for {room}", likely="A member isn't counted.")
        await rooms.counts_members(place)
        old = await subject.get("/rooms", likely="GET /rooms waits for something.")
        if old.status_code != 404:
            likely = "The old route is still there: its router has no prefix, or it's included twice. Remove it."
            raise Failure(sent="GET /rooms", got=f"status {old.status_code}", expect="status 404", likely=likely)

    @check(3, "keeps rooms with similar names apart")
    async def test_similar_rooms(self, subject: Subject) -> None:
        # Kinds of names that a path could change. Step 03 checks the others.
        kinds = ("upper case", "blanks", "a dot", "characters of URLs")
        await rooms.keeps_rooms_apart(Chat(subject, explains=True), kinds)

    @check(3, "skips no member when another one leaves during a broadcast", pauses=True)
    async def test_skip(self, subject: Subject) -> None:
        await rooms.skips_no_member(Chat(subject))

    @check(3, "delivers the text of a sender that leaves during its broadcast")
    async def test_sender_leaves(self, subject: Subject) -> None:
        await rooms.sender_may_leave(Chat(subject))

    @check(3, "removes a member however its connection ended")
    async def test_gone(self, subject: Subject) -> None:
        await rooms.forgets_the_disconnected(Chat(subject))

    @check(4, "asks every connection for a name, by a dependency on the router")
    async def test_names(self, subject: Subject) -> None:
        place = Chat(subject)
        room = place.path(place.name()).partition("?")[0]
        nothing = (
            "No dependency asks for name, or it doesn't check the length. Declare name: Annotated[str, "
            "Query(min_length=1, max_length=20)] in it."
        )
        await _asks_for_a_name(subject, room, likely=nothing)
        # Only refused handshakes have been sent, so no endpoint should have run.
        if "Traceback" in await subject.settle():
            raise Failure(
                sent=f"handshakes for {room} without a valid name",
                got="HTTP 403, and a traceback in the log: the endpoint ran all the same",
                expect="HTTP 403, and nothing in the log",
                likely="Your dependency calls close() and returns, and FastAPI calls the endpoint after that. Raise "
                "WebSocketException(1008) in it instead, or declare the length with Query.",
            )
        likely = "This route doesn't ask for a name. Put the dependency on the router: dependencies=[Depends(...)]."
        await _asks_for_a_name(subject, f"{listeners.ROOT}/announcements", likely=likely)
        facts = await facts_of(subject)
        likely = (
            "The dependency is on single routes, and a route that's added later doesn't ask. Put it on the router: "
            "dependencies=[Depends(...)]."
        )
        await _asks_for_a_name(await subject.probe("router_probe"), str(facts["probe_socket"]), likely=likely)

    @check(4, "accepts every name of 1 to 20 characters")
    async def test_accepted_names(self, subject: Subject) -> None:
        place = Chat(subject)
        for kind, name in pool.names().items():
            try:
                async with subject.client(listen(name)):
                    pass
            except Failure as failure:
                refused = f"{failure.likely} A name of this kind is refused: {kind}."
                failure.likely = refused if name.strip() else await _why_blank(subject, place)
                raise

    @check(5, "announces who joined and who left")
    async def test_announcements(self, subject: Subject) -> None:
        place = Chat(subject)
        room = place.name("lab 한글")
        async with (
            subject.client(listen("Linus"), who="the listener Linus") as linus,
            subject.client(listen("Ada"), who="the listener Ada") as ada,
        ):
            both = [Listener(place, linus, room), Listener(place, ada, room)]

            async def get(event: str, name: str, after: str, **causes: str) -> None:
                silence = causes.get("silence", f'Your code announces some members as "{event}" and not this one.')
                for each in both:
                    likely = Likely(
                        silence=OWN if name == "Ada" and each is both[1] else silence,
                        surplus=causes.get("surplus", listeners.ALREADY_SENT),
                        closed="The connection of the listener ends. Stay in its endpoint until it sends something.",
                        elsewhere=listeners.ONE_LISTENER,
                        keys={"name": listeners.OTHER_NAME, "room": listeners.OTHER_ROOM},
                    )
                    await each.gets(event, room, name, after=after, likely=likely)

            await place.has({"announcements": None}, after=f"two handshakes for {listen()}", likely=LISTENER_COUNTED)
            async with place.named(room, "Grace") as grace:
                await get("joined", "Grace", joined(room, "Grace"), silence=LATE, surplus=LISTENER_ANNOUNCED)
                await place.has({room: 1}, after='"joined" was received', likely=listeners.COUNTED)
                for query in NO_NAMES[:3]:
                    await subject.handshake(place.path(room).partition("?")[0] + query)
                both[0].client.did = both[1].client.did = "three handshakes without a valid name"
                for end in WAYS:
                    async with place.named(room, "Ada") as one:
                        again = {} if end == WAYS[0] else {"silence": REJOINED}
                        await get("joined", "Ada", joined(room, "Ada"), surplus=REFUSED_ANNOUNCED, **again)
                        await place.has({room: 2}, after='"joined" was received', likely=listeners.COUNTED)
                        await (one.send(b"\x00") if end == "binary" else getattr(one, end)())
                        await get("left", "Ada", one.did, silence=ALL_ENDS)
                        await place.has({room: 1}, after='"left" was received', likely=listeners.COUNTED)
                await grace.send("hello")
                await grace.gets("hello", likely="A member of the room gets no text.")
                linus.did = ada.did = 'the text "hello" from Grace, to the room'
                async with place.named(room, "Ada") as one:
                    await get("joined", "Ada", joined(room, "Ada"), surplus=TEXTS)
                    async with place.named(room, "Ada") as other:
                        after = f"a second handshake for the room as {'Ada'!r}"
                        await get("joined", "Ada", after, silence=SECOND_OF_A_NAME)
                        await place.has({room: 3}, after='"joined" was received', likely=listeners.COUNTED)
                        await other.leave()
                        await get("left", "Ada", "a close frame of the second Ada", silence=SECOND_OF_A_NAME)
                        await place.has({room: 2}, after='"left" was received', likely=listeners.COUNTED)
                    await one.leave()
                    await get("left", "Ada", "a close frame of the first Ada", silence=SECOND_OF_A_NAME)
                await self._rejoins(place, room, both)
                await self._disconnects_in_mid_send(place, room, grace, get)
                async with subject.client(listen("Zoe"), who="a later listener") as later:
                    after = "a close frame of Grace"
                    await grace.leave()
                    await get("left", "Grace", after, silence=LAST)
                    await Listener(place, later, room).gets(
                        "left",
                        room,
                        "Grace",
                        after=f"{after}, who had joined before this listener",
                        likely=Likely(silence=LATE, surplus=REPLAYED, keys={"name": listeners.OTHER_NAME}),
                    )
            for each in both:
                await each.has_nothing_more()

    @staticmethod
    async def _rejoins(place: Chat, room: str, both: Sequence[Listener]) -> None:
        """Check the announcements of a member that leaves and rejoins in quick succession."""
        likely = Likely(silence=REJOINED, wrong=REJOINED, order=listeners.ORDER, surplus=listeners.ALREADY_SENT)
        for _ in range(3):
            async with place.named(room, "Hedy") as hedy:
                await hedy.leave()
        for each in both:
            for number in range(1, 4):
                for event in ("joined", "left"):
                    after = f"Hedy joined and left three times in quick succession; {event!r}, number {number}"
                    await each.gets(event, room, "Hedy", after=after, likely=likely)

    @staticmethod
    async def _disconnects_in_mid_send(place: Chat, room: str, grace: Client, get: Any) -> None:
        """Check that a slow member is removed if it disconnects or sends a binary message during a send."""
        for end in ("reset", "binary"):
            async with place.named(room, "Ada", small_buffers=True) as ada:
                await get("joined", "Ada", joined(room, "Ada"))
                ada.stop_reading()
                flood = await place.flood(grace, {"the sender": grace})
                if end == "reset":
                    await ada.reset()
                else:
                    await ada.send(b"\x00\x01")
                after = f"{ada.did}, from a member that doesn't read, while a send to it waited"
                await get("left", "Ada", after, silence=ALL_ENDS if end == "reset" else STUCK)
                await place.eventually_has({room: 1}, after=after, likely=STUCK)
                await ada.reset()
                await flood.arrives(after=after, likely=rooms.EACH_SEND)

    @check(5, "takes rooms with similar names for rooms")
    async def test_lookalikes(self, subject: Subject) -> None:
        place = Chat(subject)
        async with subject.client(listen(), who="the listener") as linus:
            listener = Listener(place, linus, *LOOKALIKES)
            for room in LOOKALIKES:
                taken = (
                    f"The room {room!r} isn't treated like other rooms: a route or a condition takes it for the "
                    'listeners\' path. Use the exact path "/ws/announcements" for listeners.'
                )
                async with place.named(room, "Ada") as ada, place.named(room, "Grace") as grace:
                    for name in ("Ada", "Grace"):
                        await listener.gets("joined", room, name, after=joined(room, name), likely=Likely(taken))
                    await place.has({room: 2}, after=f"two handshakes for the room {room!r}", likely=taken)
                    await ada.send("hello")
                    for member in (ada, grace):
                        member.did = "a text from Ada"
                        await member.gets("hello", likely=Likely(taken, surplus=taken))
                    for member in (ada, grace):
                        await member.leave()
                        who = member.who
                        await listener.gets("left", room, who, after=f"a close frame of {who}", likely=Likely(taken))
            await listener.has_nothing_more()

    @check(5, "announces every name and every room as it is")
    async def test_announced_values(self, subject: Subject) -> None:
        place = Chat(subject)
        lobby = place.name()
        members = [(kind, lobby, name) for kind, name in pool.names().items()]
        members += [(kind, room, "Ada") for kind, room in pool.rooms().items()]
        async with subject.client(listen(), who="the listener") as linus:
            listener = Listener(place, linus, *(room for _, room, _ in members))
            for kind, room, name in members:
                async with place.named(room, name) as member:
                    for event in ("joined", "left"):
                        what = f'A name or a room of this kind isn\'t announced as "{event}": {kind}.'
                        after = joined(room, name) if event == "joined" else f"a close frame of {name!r}"
                        likely = Likely(
                            silence=f"{what} Announce every member.",
                            wrong=f"A name or a room of this kind is changed: {kind}. Put both into a dict as they "
                            "are, and send it with send_json().",
                        )
                        if event == "left":
                            await member.leave()
                        await listener.gets(event, room, name, after=after, likely=likely)
                        after = f'"{event}" was received'
                        one = 1 if event == "joined" else None
                        await place.has({room: one}, after=after, likely=f"The room isn't counted as it is: {kind}.")
            await listener.has_nothing_more()

    @check(5, "announces members that join and leave together, each once")
    async def test_joined_together(self, subject: Subject) -> None:
        await announced_together(subject, leaving_listeners=0)

    @check(6, "closes a listener that sends anything, with 1008")
    async def test_listeners(self, subject: Subject) -> None:
        place = Chat(subject)
        room = place.name()
        async with subject.client(listen(), who="the listener") as linus:
            listener = Listener(place, linus, room)
            for frame in ("hello", "", b"\x00\x01", b"", '{"type": "ping"}', "x" * pool.LONG):
                async with subject.client(listen("Zoe"), who="the listener that sends") as talker:
                    Listener(place, talker)
                    await talker.send(frame)
                    likely = (
                        f"Your code doesn't close a listener that sends {show(frame)}. Read with receive(), and call "
                        "close(1008) whatever was received."
                    )
                    await talker.is_closed(1008, likely=likely)
            async with subject.client(listen("Zoe"), who="the listener that sends") as talker:
                Listener(place, talker)
                await talker.send_burst("one", b"two", "three")
                await talker.is_closed(1008, likely="Several messages together don't close the listener. Close it.")
            for end in ("both", *rooms.ENDS):
                async with subject.client(listen("Zoe")) as gone:
                    if end == "both":
                        await gone.send_burst("bye", close=True)
                        await gone.is_gone()
                    else:
                        await getattr(gone, end)()
            async with place.named(room, "Ada") as ada:
                await listener.gets(
                    "joined",
                    room,
                    "Ada",
                    after=f"other listeners disconnected, and {joined(room, 'Ada')}",
                    likely=Likely(
                        silence=listeners.EACH_LISTENER, closed="The messages of one listener close another one."
                    ),
                )
                await ada.send("hello")
                await ada.gets("hello", likely=listeners.EACH_LISTENER)
                await ada.leave()
            await listener.gets(
                "left", room, "Ada", after="a close frame of Ada", likely=Likely(listeners.EACH_LISTENER)
            )
            await listener.has_nothing_more()

    @check(6, "announces to forty listeners, also if some disconnect meanwhile")
    async def test_slow_listeners(self, subject: Subject) -> None:
        # This server suspends sends to a listener named Before or After on that side of the send, until it's released.
        probe = await subject.probe("router_probe")
        place = Chat(probe)
        async with contextlib.AsyncExitStack() as stack:
            crowd = [await listeners.opened(stack, place, f"Linus {number}") for number in range(1, 40)]
            await listeners.reaches_all(place, crowd)
            for number, end in enumerate((*rooms.ENDS, "text"), start=1):
                dying = await listeners.opened(stack, place, "Before")
                # Add a later listener, because the loop may run in the order of the handshakes.
                crowd.append(await listeners.opened(stack, place, f"a later listener {number}"))
                await listeners.dies_in_mid_announcement(place, dying.client, crowd, end)
            for each in crowd[:-2]:
                await each.client.end()
            await listeners.leaves_in_mid_announcement(place, stack)

    @check(6, "announces members that leave together with listeners")
    async def test_left_together(self, subject: Subject) -> None:
        await announced_together(subject, leaving_listeners=3)

    @check(6, "loses no announcement to a listener that pauses", pauses=True)
    async def test_pause(self, subject: Subject) -> None:
        # Use another server, because a full connection may make all members wait.
        probe = await subject.probe("router_probe", PURPOSE="pauses")
        async with contextlib.AsyncExitStack() as stack:
            await listeners.pauses(Chat(probe), stack)

    @check(3, "counts sixty rooms, and fifty members in one room", hard=True)
    async def test_many(self, subject: Subject) -> None:
        place = Chat(subject)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(12):
                await stack.enter_async_context(place.member(place.name("more")))
            try:
                await rooms.keeps_fifty_rooms(place)
            except Failure as failure:
                if "Members are missing" in failure.likely:
                    failure.likely = "Your code limits the number of members in a room. Make doesn't ask for a limit."
                raise

    @check(4, "takes the name from the query alone", hard=True)
    async def test_other_ways(self, subject: Subject) -> None:
        place = Chat(subject)
        room = place.path(place.name()).partition("?")[0]
        ways: dict[str, dict[str, str]] = {
            "a cookie": {"Cookie": "name=Ada; username=Ada"},
            "a header": {"name": "Ada", "X-Name": "Ada", "X-User": "Ada"},
            "a subprotocol": {"Sec-WebSocket-Protocol": "Ada"},
            "the Authorization header": {"Authorization": "Basic QWRhOg=="},
        }
        for query in ("", "?name=", f"?name={'x' * 21}"):
            for what, headers in ways.items():
                for path in (room, f"{listeners.ROOT}/announcements"):
                    answer = await subject.handshake(path + query, headers=headers)
                    if answer != 403:
                        if not isinstance(answer, int):
                            await answer.close()
                        raise Failure(
                            sent=f"a handshake for {path}{query}, with a name in {what}",
                            got=f"HTTP {answer}" if isinstance(answer, int) else "the connection accepted",
                            expect="HTTP 403",
                            likely=f"Your dependency takes the name from {what} too, where its length isn't checked. "
                            "Read it from the query alone.",
                        )

    @check(4, "announces no name that it didn't check", hard=True)
    async def test_two_names(self, subject: Subject) -> None:
        place = Chat(subject)
        room = place.name()
        long = "x" * 21
        async with subject.client(listen(), who="the listener") as linus:
            Listener(place, linus, room)
            for names in (("Ada", "Grace"), (long, "Ada"), ("Ada", long), ("", "Ada"), ("Ada", "")):
                query = "&".join(f"name={name}" for name in names)
                path = f"{place.path(room).partition('?')[0]}?{query}"
                answer = await subject.handshake(path)
                if isinstance(answer, int):
                    continue
                linus.did = f"a handshake for {path}"
                value = parsed(await linus.next(expect="an announcement", likely="This member isn't announced."))
                name = value.get("name") if isinstance(value, dict) else None
                if name not in names or not 1 <= len(name) <= 20:
                    raise Failure(
                        sent=linus.did,
                        got=f"the connection accepted, and then {show(value)}",
                        expect="HTTP 403, or a name of 1 to 20 characters announced",
                        likely="Your code checks one parameter name and uses another one. Use the value that the "
                        "dependency returns: name: Annotated[str, Depends(member_name)].",
                    )
                await answer.close()
                await linus.gets(
                    announcement("left", room, str(name)), likely=Likely("The member is announced with two names.")
                )

    @check(6, "keeps a listener that's silent for a minute", hard=True)
    async def test_silence(self, subject: Subject) -> None:
        # Use a server whose clock runs fast.
        async with subject.another(fast=True) as own:
            place = Chat(own)
            quiet, room = place.name(), place.name()
            async with (
                place.named(quiet, "Grace") as grace,
                own.client(listen(), who="the listener") as linus,
            ):
                listener = Listener(place, linus, room, quiet)
                await asyncio.sleep(SILENCE / FAST)
                idle = (
                    "A connection without messages is closed or forgotten after some time. A listener never sends, so "
                    "its silence means nothing: remove the limit."
                )
                linus.after = f"{SILENCE:g} s of silence"
                async with place.named(room, "Ada"):
                    after = joined(room, "Ada")
                    causes = Likely(silence=idle, wrong=idle, closed=idle, surplus=idle)
                    await listener.gets("joined", room, "Ada", after=after, likely=causes)
                await grace.send("still here")
                await grace.gets("still here", likely=Likely(silence=idle, closed=idle))

    @check(6, "holds no connection that has ended", hard=True)
    async def test_left_behind(self, subject: Subject) -> None:
        probe = await subject.probe("router_probe", PURPOSE="connections")
        place = Chat(probe)
        room = place.name()
        ends = 0
        for end in (*rooms.ENDS, "text", "binary"):
            for path in (listen(), place.path(room)):
                for _ in range(3):
                    async with probe.client(path) as client:
                        ends += 1
                        if end in ("text", "binary"):
                            await client.send("text" if end == "text" else b"\x00")
                        else:
                            await getattr(client, end)()
        await probe.eventually(
            "/judge-facts",
            lambda facts: facts["connections"] == 0,
            after=f"{ends} connections ended, in every way",
            expect="no connection is left in the server's memory",
            likely=LEFT_BEHIND,
            shown=lambda facts: {"connections": facts["connections"]},
        )


async def _asks_for_a_name(subject: Subject, path: str, *, likely: str) -> None:
    for query in NO_NAMES:
        answer = await subject.handshake(path + query)
        if answer == 403:
            continue
        if not isinstance(answer, int):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await answer.wait_closed()
            # 1006 is expected from the judge's own route, which returns after accept.
            if answer.close_code not in (None, 1006):
                likely = (
                    "The connection is accepted and then closed. Refuse it in the dependency, before accept(): declare "
                    "the length with Query, or raise WebSocketException(1008)."
                )
            await answer.close()
        got = f"HTTP {answer}" if isinstance(answer, int) else "the connection accepted"
        raise Failure(
            sent=f"a handshake for {path}{query}",
            got=got,
            expect="HTTP 403",
            likely=likely,
            broken=answer == 500,
        )


async def _why_blank(subject: Subject, place: Chat) -> str:
    """Return why a blank name is refused: try a name of 21 characters whose first is a space."""
    answer = await subject.handshake(place.path(place.name(), f" {'x' * 20}"))
    if isinstance(answer, int):
        return "Your code refuses a name of nothing but white space. A space is a character like another: accept it."
    await answer.close()
    return (
        "Your code strips white space from the name before it checks the length. A space is a character: use the name "
        "as it is."
    )
