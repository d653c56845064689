"""Followers that hang or are cut off in the middle of a load, and go on with what they have. The cluster's quorum is 3 of 5."""

import time

from .harness import Suite, eventually, expect
from .loads import expect_nothing_lost, load

suite = Suite("followers that hang under load")
network_suite = Suite("followers that are cut off under load")

# How many writes are acknowledged before, meanwhile and after, at least.
WRITES = 1000


def disturb(cluster, binary, begin, end):
    """Something happens to two followers, one after the other, so that for a while it is both of them."""
    first, second = cluster.followers[1], cluster.followers[3]
    with load(cluster, binary) as under_way:
        done = under_way.go_on(WRITES, under_way.acknowledged())
        began = time.monotonic()
        begin(first)
        try:
            done = under_way.go_on(WRITES, done)
            begin(second)
            try:
                done = under_way.go_on(WRITES, done)
                # Past the deadline of what was under way to them, so that the leader has given them up.
                eventually(expect_given_up, cluster, (first, second))
                done = under_way.go_on(WRITES, done)
            finally:
                end(second)
        finally:
            end(first)
        seconds = time.monotonic() - began
        cluster.wait_until_ready(first, second)
        under_way.go_on(WRITES, done)
        history = under_way.finish()
        expect_nothing_lost(cluster, binary, history)
    return f"{history}; {seconds:.1f} s"


def expect_given_up(cluster, followers):
    lines = cluster.leader.request("GET", "/metrics").text.splitlines()
    for follower in followers:
        number = follower.name.removeprefix("follower")
        start = f'semisync_follower_lag_keys{{follower="f{number}",'
        missed = [int(line.split()[-1]) for line in lines if line.startswith(start)]
        expect(missed and missed[0] > 0, f"the leader says that {follower} has missed {missed} keys")


@suite.check("one, then two of five: no acknowledged write is lost, and they catch up when they go on")
def paused(cluster, binary):
    return disturb(cluster, binary, cluster.pause, cluster.resume)


@network_suite.check("one, then two of five: no acknowledged write is lost, and they catch up when they are reached again")
def cut_off(cluster, binary):
    return disturb(cluster, binary, cluster.disconnect, cluster.connect)
