"""Step 11, TODO 5: the client of step 09 at two processes, while their Redis is killed and restarted."""

import asyncio
import random

from judge.cluster import NO_REDIS, own_cluster
from judge.fake_server import fake_server
from judge.model import check
from judge.subject import Subject
from judge.tasks import running, together

from ..client.kills import NAMES, Talk, agree
from ..scale_out.every_process import UNJUDGED
from .outages import MISSED_OR_TWICE

RESTARTS = 4
"""The number of times that Redis is killed."""


class Restarts:
    @check(5, "serves clients that reconnect while Redis is restarted repeatedly" + UNJUDGED)
    async def test_clients(self, subject: Subject) -> None:
        if NO_REDIS:
            return
        chance = random.Random(9)
        async with own_cluster(subject, 2, real=True) as cluster, fake_server(subject, patience=10) as play:
            talks = [Talk(play, number) for number in range(len(NAMES))]
            for number, name in enumerate(NAMES):
                url = cluster[number % 2].server.ws(f"/ws/lobby?name={name}")
                await play.begin(number, url=url, base=0.02, cap=0.1)
            async with running(together(*(talk.go_on() for talk in talks))) as (talking,):
                for _ in range(RESTARTS):
                    for talk in talks:
                        await talk.said_more(talking)
                    await asyncio.sleep(chance.uniform(0, 0.1))
                    await asyncio.to_thread(cluster.redis.kill)
                    await asyncio.to_thread(cluster.redis.start)
                for talk in talks:
                    await talk.said_more(talking)
                    talk.enough = True
                await talking
            after = f"three clients sent messages at two processes; Redis was killed and restarted {RESTARTS} times"
            await agree(talks, after=after, likely=MISSED_OR_TWICE)
