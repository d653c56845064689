"""Nodes that are killed in the middle of a load, again and again. The cluster's quorum is 3 of 5."""

import os
import random
import time

from .harness import Suite, expect, expect_same
from .loads import expect_nothing_lost, load

suite = Suite("nodes that are killed under load")

# How often a node is killed; LIVE_TEST_KILLS=… for more.
KILLS = int(os.environ.get("LIVE_TEST_KILLS") or 5)
# How many writes are acknowledged between one kill and the next, at least.
BETWEEN = 1000
# Which followers are killed is drawn from this; LIVE_TEST_SEED=… repeats it.
SEED = int(os.environ.get("LIVE_TEST_SEED") or random.SystemRandom().randrange(1 << 32))


@suite.check(f"the leader, {KILLS} times, with {BETWEEN} acknowledged writes between: none of them is lost")
def leader(cluster, binary):
    away = []
    with load(cluster, binary) as under_way:
        under_way.go_on(BETWEEN, under_way.acknowledged())
        for _ in range(KILLS):
            began = time.monotonic()
            cluster.restart(cluster.leader)
            cluster.wait_until_ready(cluster.leader)
            away.append(time.monotonic() - began)
            under_way.go_on(BETWEEN)
        history = under_way.finish()
        # Each life of a leader has an epoch of its own, and every answer tells it.
        lives = [writes for writes in history.by_epoch.values() if writes >= BETWEEN]
        expect(len(lives) == KILLS + 1, f"acknowledged writes by epoch: {dict(history.by_epoch)}")
        expect(history.unknown, "no write was under way when its leader was killed")
        expect_nothing_lost(cluster, binary, history)
    return f"{history}; the leader was away for {min(away):.1f} to {max(away):.1f} s"


@suite.check(f"random followers (seed {SEED}), {KILLS} times, the next once the last is ready, and then the leader: no acknowledged write is lost")
def followers(cluster, binary):
    draw = random.Random(SEED)
    away = []
    with load(cluster, binary) as under_way:
        done = under_way.go_on(BETWEEN, under_way.acknowledged())
        for _ in range(KILLS):
            follower = draw.choice(cluster.followers)
            began = time.monotonic()
            cluster.restart(follower)
            cluster.wait_until_ready(follower)
            away.append(time.monotonic() - began)
            done = under_way.go_on(BETWEEN, done)
        # A leader that goes on has everything. The next one has what the followers have.
        cluster.restart(cluster.leader)
        cluster.wait_until_ready(cluster.leader)
        under_way.go_on(BETWEEN)
        history = under_way.finish()
        expect_same(len(history.by_epoch), 2, "the number of leaders that acknowledged something")
        expect_nothing_lost(cluster, binary, history)
    return f"{history}; a follower was away for {min(away):.1f} to {max(away):.1f} s"


@suite.check("the leader and two followers at once, as many as a quorum of 3 allows for: no acknowledged write is lost")
def leader_and_two(cluster, binary):
    gone = [cluster.leader, *cluster.followers[:2]]
    with load(cluster, binary) as under_way:
        under_way.go_on(BETWEEN, under_way.acknowledged())
        for node in gone:
            cluster.kill(node)
        began = time.monotonic()
        for node in gone:
            cluster.bring_back(node)
        cluster.wait_until_ready(*gone)
        seconds = time.monotonic() - began
        under_way.go_on(BETWEEN)
        history = under_way.finish()
        expect_nothing_lost(cluster, binary, history)
    return f"{history}; all were ready {seconds:.1f} s after they were started again"
