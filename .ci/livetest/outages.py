"""Followers that are gone for a while. The cluster's quorum is 3 of 5."""

import time

from .harness import Suite, eventually, expect, expect_same

suite = Suite("followers that are down")


def timed_set(cluster, key, value):
    began = time.monotonic()
    answer = cluster.leader.set(key, value)
    return answer, time.monotonic() - began


def expect_value(node, key, value, version=1):
    answer = node.get(key)
    expect_same((answer.status, answer.json), (200, {"key": key, "value": value, "version": version}), f"{node}")


def missed_keys(cluster):
    """What the leader says its followers have missed, summed over them."""
    lines = cluster.leader.request("GET", "/metrics").text.splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("semisync_follower_lag_keys{"))


def expect_missed(answer, confirmations):
    """The answer to a set that missed its quorum, which says how the followers are."""
    said = answer.json
    expect("followers count, 3 must for a write" in said.pop("detail"), f"{answer} does not say how the followers are")
    expect_same(said, {"ok": False, "confirmations": confirmations, "required": 3, "version": 1, "indeterminate": True})


def expect_names(cluster, down):
    """The leader is not ready, and says of each of these followers what is wrong with it."""
    answer = cluster.leader.request("GET", "/ready")
    expect_same(answer.status, 503, "the leader's readiness")
    for name in cluster.names_of(down):
        expect(f"; {name}: " in answer.json["detail"], f"{answer} does not name {name}")


def set_without_quorum(cluster, down, key):
    """A set while these followers are down; they get it, without a client's help, when they are back."""
    up = [follower for follower in cluster.followers if follower not in down]
    for follower in down:
        cluster.take_down(follower)
    answer, seconds = timed_set(cluster, key, "kept")
    expect_same(answer.status, 200, "status")
    expect_missed(answer, len(up))
    timeout = cluster.repl_timeout
    expect(timeout - 0.05 < seconds < timeout + 2, f"the answer took {seconds:.2f} s, not REPL_TIMEOUT")
    for node in [cluster.leader, *up]:
        expect_value(node, key, "kept")
    eventually(lambda: expect_same(missed_keys(cluster) >= len(down), True, "that the leader counts missed keys"))
    expect_same(cluster.leader.health().status, 200, "the leader's health")
    eventually(expect_names, cluster, down)
    return came_back(cluster, down, key)


def came_back(cluster, down, key):
    began = time.monotonic()
    for follower in down:
        cluster.bring_back(follower)
    for follower in down:
        eventually(expect_value, follower, key, "kept")
    seconds = time.monotonic() - began
    eventually(lambda: expect_same(missed_keys(cluster), 0, "the number of missed keys"))
    eventually(lambda: expect_same(cluster.leader.request("GET", "/ready").status, 200, "the leader's readiness"))
    return f"all have it {seconds:.1f} s after the followers were started again"


@suite.check("two of five down: a set still has its three confirmations, soon")
def two_down(cluster):
    down = cluster.followers[:2]
    for follower in down:
        cluster.take_down(follower)
    answer, seconds = timed_set(cluster, "outages/two", "kept")
    expect_same(answer.json, {"ok": True, "confirmations": 3, "required": 3, "version": 1})
    expect(seconds < cluster.repl_timeout, f"it took {seconds:.2f} s")
    return came_back(cluster, down, "outages/two")


@suite.check("three of five down: ok is false with two confirmations, and the value stays and spreads by itself")
def three_down(cluster):
    return set_without_quorum(cluster, cluster.followers[:3], "outages/three")


@suite.check("all five down: ok is false with none, and the value stays and spreads by itself")
def all_down(cluster):
    return set_without_quorum(cluster, cluster.followers, "outages/five")


@suite.check("a follower that was down gets the newest write of each key that it missed")
def newest_of_many(cluster):
    gone = cluster.followers[4]
    cluster.take_down(gone)
    keys = [f"outages/many/{i}" for i in range(5)]
    for version in (1, 2, 3):
        for key in keys:
            expect_same(cluster.leader.set(key, version).json["version"], version, "version")
    cluster.bring_back(gone)
    for key in keys:
        eventually(expect_value, gone, key, 3, 3)


@suite.check("a follower that hangs: the others confirm, and it gets the value when it goes on")
def paused(cluster):
    hanging = cluster.followers[0]
    cluster.pause(hanging)
    try:
        answer, seconds = timed_set(cluster, "outages/paused", "kept")
        expect_same(answer.json["ok"], True, "ok")
        expect(seconds < cluster.repl_timeout, f"it took {seconds:.2f} s")
        # Past the request's deadline, so that it is the resend that arrives.
        time.sleep(cluster.repl_timeout + 0.5)
    finally:
        cluster.resume(hanging)
    eventually(expect_value, hanging, "outages/paused", "kept")


@suite.check("three followers that hang: ok is false with two confirmations after REPL_TIMEOUT")
def three_paused(cluster):
    hanging = cluster.followers[:3]
    for follower in hanging:
        cluster.pause(follower)
    try:
        answer, seconds = timed_set(cluster, "outages/three paused", "kept")
        expect_missed(answer, 2)
        timeout = cluster.repl_timeout
        expect(timeout - 0.05 < seconds < timeout + 2, f"the answer took {seconds:.2f} s, not REPL_TIMEOUT")
    finally:
        for follower in hanging:
            cluster.resume(follower)
    for follower in hanging:
        eventually(expect_value, follower, "outages/three paused", "kept")


def keys_of(cluster, prefix, count):
    return [f"{prefix}/{number}" for number in range(count)]


@suite.check("a leader that is killed and started again has every acknowledged write, counts on, and so do its followers")
def leader_killed(cluster):
    keys = keys_of(cluster, "outages/leader", 40)
    for key in keys:
        expect_same(cluster.leader.set(key, "kept").json["ok"], True, f"ok of {key}")
    began = time.monotonic()
    for _ in range(3):
        cluster.take_down(cluster.leader)
        cluster.bring_back(cluster.leader)
        eventually(lambda: expect_same(cluster.leader.request("GET", "/ready").status, 200, "the leader's readiness"))
    seconds = (time.monotonic() - began) / 3
    for key in keys:
        expect_value(cluster.leader, key, "kept")
    expect_same(cluster.leader.set(keys[0], "again").json["version"], 2, "the version of the next write")
    for follower in cluster.followers:
        eventually(expect_value, follower, keys[0], "again", 2)
        eventually(expect_value, follower, keys[-1], "kept")
    return f"ready again {seconds:.1f} s after it was killed"


@suite.check("a follower that is killed and started again answers 503 until it has everything, and then has it")
def follower_killed(cluster):
    keys = keys_of(cluster, "outages/follower", 40)
    for key in keys:
        expect_same(cluster.leader.set(key, "kept").json["ok"], True, f"ok of {key}")
    gone = cluster.followers[2]
    cluster.take_down(gone)
    cluster.bring_back(gone)

    def has_all():
        for key in keys:
            answer = gone.get(key)
            expect(answer.status in (200, 503), f"{key}: {answer}")
            expect_same(answer.status, 200, f"status of {key}")

    eventually(has_all)
    expect_same(gone.request("GET", "/ready").status, 200, "its readiness")
