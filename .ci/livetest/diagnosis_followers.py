"""Followers that do not count: down, restarted empty, with another token, or another program."""

import re

from .diagnostics import (
    SINCE, expect_explained, expect_follower_reports, expect_leader_reports, expect_logged, expect_write_missed,
    expect_write_refused, serving,
)  # fmt: skip
from .foreign import mail_server, silent_server, web_server
from .harness import Suite, eventually, expect, expect_same
from .topology import address_of

suite = Suite("diagnosis of followers")

DOWN = ["cannot connect", "start it", "FOLLOWERS", SINCE]
NEVER_UP = [*DOWN, "never did"]
OTHER_PROGRAM = ["another program", r"correct .*FOLLOWERS", SINCE]


# 1. One follower is down.


@suite.check_each("one follower down", [("1 of 1", 1), ("1 of 2", 2), ("1 of 7", 7)])
def one_down(ground, count):
    with ground.topology(count, quorum=count) as topology:
        serving(topology)
        gone = topology.followers[-1]
        topology.kill(gone)
        expect_leader_reports(topology, DOWN, gone)
        expect_write_missed(topology, DOWN, gone)


# 2. Two followers are down, one of which never was up.


@suite.check("two of four down, one never up while this leader runs: a quorum of 3 is missed")
def two_down(ground):
    with ground.topology(4, quorum=3) as topology:
        gone, never = two_of_four_down(topology)
        expect_leader_reports(topology, DOWN, gone)
        expect_leader_reports(topology, NEVER_UP, never)
        expect_write_missed(topology, DOWN, gone, never)


@suite.check("two of four down, one never up while this leader runs: a quorum of 2 is reached, and the leader reports both all the same")
def two_down_ready(ground):
    with ground.topology(4, quorum=2) as topology:
        gone, never = two_of_four_down(topology)
        expect_leader_reports(topology, DOWN, gone)
        expect_leader_reports(topology, NEVER_UP, never)
        expect_same(topology.leader.set("reached", 1).json["ok"], True, "ok")
        expect_same(topology.leader.request("GET", "/ready").status, 200, "the leader's readiness")


def two_of_four_down(topology):
    serving(topology)
    never, gone = topology.followers[1], topology.followers[3]
    topology.kill(never)
    topology.restart_leader()
    topology.wait_until_ready()
    topology.kill(gone)
    return gone, never


@suite.check("two of three down at the first start: the leader names both, and says that the others are new")
def first_start(ground):
    with ground.topology(3, quorum=1) as topology:
        up, *down = topology.followers
        topology.start_leader()
        topology.start(up)
        expect_leader_reports(topology, NEVER_UP, *down)
        expect_write_refused(topology, NEVER_UP, *down)
        detail = topology.leader.request("GET", "/ready").json["detail"]
        expect(re.search(r"first start|\bnew\b", detail), f"{detail!r} does not say that {address_of(up)} may be new")
        expect(f"accept-loss {address_of(topology.leader)}" in detail, f"{detail!r} has no command that can be typed")
        expect_follower_reports(topology, ["leader's /ready"], up)


# 3. A follower restarts empty.


@suite.check_each(
    "one of three restarts empty and one is down, so that it cannot catch up",
    [("a quorum of 2 is missed", 2), ("a quorum of 1 is reached", 1)],
)
def blocked(ground, quorum):
    with ground.topology(3, quorum) as topology:
        serving(topology)
        empty, _, gone = topology.followers
        topology.kill(gone, empty)
        topology.start(empty)
        patterns = ["restarted|empty", f"start {address_of(gone)}", "gone for good", SINCE]
        expect_leader_reports(topology, patterns, empty)
        expect_leader_reports(topology, DOWN, gone)
        expect_follower_reports(topology, ["leader's /ready"], empty)
        answer = topology.leader.set("blocked", 1)
        expect_same(answer.json["ok"], quorum == 1, "ok")
        if quorum == 2:
            expect_explained(answer, patterns, address_of(empty))
        topology.start(gone)
        topology.wait_until_ready(empty, gone)


@suite.check("one of four restarts empty and one is down, and it catches up: the log says both, and only the other one is reported")
def catches_up(ground):
    with ground.topology(4, quorum=3) as topology:
        serving(topology)
        empty, _, _, gone = topology.followers
        topology.kill(gone, empty)
        topology.start(empty)
        topology.wait_until_ready(empty)
        expect_same(topology.leader.set("caught up", 1).json["ok"], True, "ok")
        expect_leader_reports(topology, DOWN, gone)
        expect_logged(topology, r"(empty|without its memory).*\n(.*\n)*.*(up to date|counts)", empty)
        table = topology.command("status", address_of(topology.leader))[1]
        expect(f"{address_of(empty)}: " not in table, f"{table} reports a follower that has caught up")


# 4. The tokens differ.


@suite.check_each(
    "a follower refuses its leader's PEER_TOKEN",
    [
        ("another one, at the first start", "leader's", "its own", True),
        ("another one, after a restart", "leader's", "its own", False),
        ("the leader has none, after a restart", "", "its own", False),
    ],
)
def wrong_token(ground, leader_token, follower_token, is_first_start):
    leader_token, follower_token = leader_token.replace(" ", "-"), follower_token.replace(" ", "-")
    with ground.topology(2, quorum=2, PEER_TOKEN=leader_token) as topology:
        right, wrong = topology.followers
        topology.start(right, PEER_TOKEN=leader_token)
        topology.start(wrong, PEER_TOKEN=follower_token if is_first_start else leader_token)
        topology.start_leader()
        if not is_first_start:
            topology.wait_until_ready()
            topology.kill(wrong)
            topology.start(wrong, PEER_TOKEN=follower_token)
        patterns = ["401", "same PEER_TOKEN", SINCE]
        expect_leader_reports(topology, patterns, wrong)
        expect_write = expect_write_refused if is_first_start else expect_write_missed
        expect_write(topology, patterns, wrong)
        expect_follower_reports(topology, ["401", "same PEER_TOKEN"], wrong)


@suite.check("a follower without a PEER_TOKEN takes part under a leader with one: its log says that it is open to others")
def unprotected(ground):
    with ground.topology(2, quorum=2, PEER_TOKEN="secret") as topology:
        closed, open_to_all = topology.followers
        topology.start(closed, PEER_TOKEN="secret")
        topology.start(open_to_all)
        topology.start_leader()
        topology.wait_until_ready(topology.leader, closed, open_to_all)
        expect_same(topology.leader.set("confirmed", 1).json["ok"], True, "ok")
        warnings = [line for line in topology.log(open_to_all).splitlines() if "PEER_TOKEN" in line]
        expect(any("same PEER_TOKEN" in line for line in warnings), f"its log says of tokens only {warnings}")
        expect_same("PEER_TOKEN" in topology.log(closed), False, "that the protected follower warns, too")


# 5. What listens on a follower's port is no follower.


@suite.check_each(
    "another program on a follower's port, in a cluster that served",
    [
        ("a web server that answers 404", lambda port: web_server(port, 404), OTHER_PROGRAM),
        ("a web server that answers 200", lambda port: web_server(port, 200), OTHER_PROGRAM),
        ("it does not speak HTTP", mail_server, OTHER_PROGRAM),
        ("it never answers", silent_server, ["no answer in", "stopped|overloaded|cut off", SINCE]),
    ],
)
def replaced(ground, listen, patterns):
    with ground.topology(3, quorum=3) as topology:
        serving(topology)
        gone = topology.followers[1]
        topology.kill(gone)
        with listen(gone.port):
            expect_leader_reports(topology, patterns, gone)
            expect_write_missed(topology, patterns, gone)


@suite.check("a program that never answers on a follower's port, at the first start: the address may be wrong")
def never_answers(ground):
    with ground.topology(2, quorum=1) as topology:
        other = topology.followers[0]
        with silent_server(other.port):
            topology.start(topology.followers[1])
            topology.start_leader()
            patterns = ["no answer in", "never did", r"correct .*FOLLOWERS", SINCE]
            expect_leader_reports(topology, patterns, other)
            expect_write_refused(topology, patterns, other)


@suite.check("another cluster's leader listed as a follower: it is named as a leader, and nothing says to stop it")
def leader_as_follower(ground):
    with ground.topology(1, quorum=1) as good, ground.topology(2, quorum=2) as bad:
        serving(good)
        bad.start(*bad.followers)
        bad.start_leader(followers=[*map(address_of, bad.followers), address_of(good.leader)])
        patterns = ["is (a|itself a|another cluster's) leader", "correct .*FOLLOWERS", SINCE]
        expect_leader_reports(bad, patterns, good.leader)
        expect_write_refused(bad, patterns, good.leader)
        table = bad.command("status", address_of(bad.leader))[1]
        expect("stop all but one" not in table, f"the status says to stop a leader of another cluster: {table}")
        expect_same(good.leader.set("unharmed", 1).json["ok"], True, "ok of the other cluster")


@suite.check("the status shows how a follower fares in words that need no knowledge of the protocol")
def plain_words(ground):
    with ground.topology(3, quorum=2) as topology:
        serving(topology)
        empty, down, never = topology.followers
        topology.kill(never)
        topology.restart_leader()
        topology.wait_until_ready()
        topology.kill(empty)
        topology.start(empty)
        expect_leader_reports(topology, ["restarted|empty"], empty)
        topology.kill(down)
        eventually(expect_row, topology, down, "no")
        for follower in (empty, down, never):
            row = expect_row(topology, follower, "no")
            terms = [term for term in ("unpromised", "unconfirmed", "doubted", "elsewhere", "legacy") if term in row]
            expect(not terms, f"{row!r} has the protocol's terms {terms}")


def expect_row(topology, follower, counts):
    """Returns what `semisync status` shows of a follower; fails unless that says `counts`."""
    table = topology.command("status", address_of(topology.leader))[1]
    rows = [line for line in table.splitlines() if re.match(rf" +f\d+ +{re.escape(address_of(follower))} ", line)]
    expect_same([row.split()[2] for row in rows], [counts], f"the column `counts` of {address_of(follower)}")
    return rows[0]
