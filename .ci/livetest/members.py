"""The members are changed by starting the leader with other FOLLOWERS, and a change can be undone."""

import time

from .harness import Suite, eventually, expect, expect_same

suite = Suite("other members by starting the leader with other FOLLOWERS")

KEY = "members/kept"
# How long to see that a leader goes on waiting.
PATIENCE = 2.0


def serves(cluster):
    cluster.wait_until_ready(cluster.leader)
    expect_same(cluster.leader.get(KEY).json["value"], 1, "what was acknowledged before")


@suite.check("a follower is replaced by another one at a quorum of 1: the leader waits for the first; going back works")
def swap_and_back(cluster):
    kept, spare = cluster.followers[:3], cluster.followers[3]
    cluster.lead(kept, 1)
    cluster.wait_until_ready(cluster.leader)
    expect_same(cluster.leader.set(KEY, 1).json["ok"], True, "ok")
    cluster.lead([*kept[:2], spare], 1)
    deadline = time.monotonic() + PATIENCE
    eventually(expect_waits_for, cluster, kept[2])
    while time.monotonic() < deadline:
        expect_waits_for(cluster, kept[2])
        time.sleep(0.1)
    cluster.lead(kept, 1)
    serves(cluster)


@suite.check("a follower joins, and leaves by way of a quorum of 2, as the README says")
def join_and_leave(cluster):
    three, four = cluster.followers[:3], cluster.followers[:4]
    for followers, quorum in [(four, 1), (four, 2), (three, 2), (three, 1)]:
        cluster.lead(followers, quorum)
        serves(cluster)
        answer = cluster.leader.set("members/more", quorum)
        expect_same((answer.json["ok"], answer.json["required"]), (True, quorum), "ok and required")
    cluster.lead(cluster.followers, 3)
    serves(cluster)


def expect_waits_for(cluster, follower):
    answer = cluster.leader.request("GET", "/ready")
    expect_same(answer.status, 503, "the leader's readiness")
    detail = answer.json["detail"]
    gone, _, remedy = detail.partition("counted before under names that are none of the followers' now: ")[2].partition("; ")
    expect(gone == cluster.names_of([follower])[0], f"it does not name {follower}: {detail}")
    expect(f"put {gone} back into FOLLOWERS" in remedy, f"it does not say what to do: {detail}")
