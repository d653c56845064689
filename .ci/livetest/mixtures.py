"""Failures of every kind at random, one upon the other, but never more than a quorum of 3 of 5 allows for."""

import collections
import http.client
import random
import time

from .harness import Suite
from .kills import SEED
from .loads import expect_nothing_lost, load

suite = Suite("a mixture of failures under load")

STEPS = 40
# The longest pause between one and the next.
PAUSE = 0.4
# A quorum of 3 of 5 survives that so many followers have lost their memory when the leader starts anew.
FORGETFUL = 2
# With more that hang no write would be acknowledged meanwhile, and time would pass in vain.
HANGING = 2


class Fate:
    """What befalls a cluster. Nodes are killed and at once started again; nobody waits until they are ready."""

    def __init__(self, cluster, seed):
        self.cluster = cluster
        self.draw = random.Random(seed)
        self.hanging = []
        self.told = collections.Counter()

    def step(self):
        kinds = [self.kill_leader, self.kill_followers, self.kill_followers, self.kill_leader_and_follower, self.hang, self.go_on]
        kind = self.draw.choice(kinds)
        if kind():
            self.told[kind.__name__.replace("_", " ")] += 1

    def end(self):
        for follower in self.hanging:
            self.cluster.resume(follower)

    def kill_leader(self):
        self.kill([self.cluster.leader])
        return True

    def kill_followers(self):
        return self.kill_some(self.draw.randint(1, FORGETFUL))

    def kill_leader_and_follower(self):
        return self.kill_some(1, [self.cluster.leader])

    def kill_some(self, count, others=()):
        """Kills so many followers that are ready, unless too many would then have lost their memory at once."""
        awake = [follower for follower in self.cluster.followers if follower not in self.hanging]
        ready = [follower for follower in awake if is_ready(follower)]
        if len(awake) - len(ready) + count > FORGETFUL or len(ready) < count:
            return False
        self.kill([*others, *self.draw.sample(ready, count)])
        return True

    def kill(self, nodes):
        for node in nodes:
            self.cluster.kill(node)
        time.sleep(self.draw.uniform(0, PAUSE))
        for node in nodes:
            self.cluster.bring_back(node)

    def hang(self):
        """Only one that is ready hangs: it remembers, whatever happens to the others meanwhile."""
        awake = [follower for follower in self.cluster.followers if follower not in self.hanging and is_ready(follower)]
        if len(self.hanging) == HANGING or not awake:
            return False
        self.hanging.append(self.draw.choice(awake))
        self.cluster.pause(self.hanging[-1])
        return True

    def go_on(self):
        if not self.hanging:
            return False
        self.cluster.resume(self.hanging.pop(self.draw.randrange(len(self.hanging))))
        return True


def is_ready(follower):
    try:
        return follower.request("GET", "/ready").status == 200
    except (OSError, http.client.HTTPException):
        return False


@suite.check(f"{STEPS} of them, one upon the other (seed {SEED}): no acknowledged write is lost")
def mixture(cluster, binary):
    fate = Fate(cluster, SEED)
    with load(cluster, binary) as under_way:
        under_way.go_on(1000, under_way.acknowledged())
        try:
            for _ in range(STEPS):
                time.sleep(fate.draw.uniform(0, PAUSE))
                fate.step()
        finally:
            fate.end()
        cluster.wait_until_ready(*cluster.nodes)
        under_way.go_on(1000)
        history = under_way.finish()
        expect_nothing_lost(cluster, binary, history)
    befell = ", ".join(f"{count} × {what}" for what, count in sorted(fate.told.items()))
    return f"{befell}; {history}, {len(history.by_epoch)} leaders"
