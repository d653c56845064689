"""Clusters with two leaders, or with none."""

from .diagnostics import SINCE, Sources, expect_explained, expect_follower_reports, expect_reported, serving
from .harness import Suite, eventually, expect, expect_same
from .node import Node
from .topology import address_of

suite = Suite("diagnosis of leaders")


# 9. Two leaders have the same followers.


@suite.check("two leaders with the same followers: each names the other, and says to stop one")
def two_leaders(ground):
    with ground.topology(4, quorum=3) as topology:
        serving(topology)
        first, second = topology.leader, Node("second", topology.free_port)
        topology.start_leader(second)
        topology.wait_until_alive(second)
        # They depose each other in turn, so each must report the other also while it serves.
        for leader, other in ((first, second), (second, first)):
            patterns = ["another leader", "stop", address_of(other), r"\d+ s ago|for \d+ s"]
            expect_reported(Sources(topology, leader), patterns)
            eventually(expect_reported_while_ready, leader, other, pause=0.01)
        answer = eventually(refused_write, first, second, pause=0)
        expect_explained(answer, ["another leader", "stop", f"{address_of(first)}|{address_of(second)}"])
        table = topology.command("status", address_of(first), address_of(second))[1]
        lines = [line for line in table.splitlines() if address_of(first) in line and address_of(second) in line]
        expect(any("leaders" in line and "stop" in line for line in lines), f"the status of both does not say what to do: {table}")
        topology.kill(second)
        topology.wait_until_ready(first)


def expect_reported_while_ready(leader, other):
    """A leader that serves at the moment warns of the other one all the same."""
    answer = leader.request("GET", "/ready")
    expect_same(answer.status, 200, f"the readiness of {leader}")
    expect(address_of(other) in answer.json["detail"], f"{leader}, which is ready, does not name {other}: {answer}")


def refused_write(*leaders):
    """The answer to a write that one of them does not acknowledge."""
    for leader in leaders:
        answer = leader.set("contended", 1)
        if not answer.json.get("ok"):
            return answer
    raise AssertionError("both leaders acknowledge all writes")


# 10. There is no leader.


@suite.check("followers that no leader has reached: each says what to look for, and the status that none of them leads")
def no_leader_yet(ground):
    with ground.topology(3, quorum=1) as topology:
        topology.start(*topology.followers)
        topology.wait_until_alive(*topology.followers)
        expect_no_leader(topology, ["no leader", "FOLLOWERS", SINCE])


@suite.check("the leader is gone: its followers name it, and say since when it is silent")
def leader_gone(ground):
    with ground.topology(2, quorum=2) as topology:
        serving(topology)
        gone = topology.leader
        topology.kill(gone)
        expect_no_leader(topology, [f"leader.*{address_of(gone)}", "FOLLOWERS", SINCE])
        answer = topology.followers[0].set("no leader", 1)
        expect_same(answer.headers.get("semisync-leader"), address_of(gone), "the header semisync-leader")
        for command in (("health", "--ready"), ("status",)):
            status, output = topology.command(*command, address_of(gone))
            expect_same(status, 1, f"the exit status of {command}")
            expect(f"{address_of(gone)}: cannot connect" in output, f"{command} says {output!r}")


@suite.check("a follower restarts empty while there is no leader: it says that it waits for one, and so does a read")
def restarts_without_leader(ground):
    with ground.topology(2, quorum=1) as topology:
        serving(topology)
        topology.kill(topology.leader)
        empty = topology.followers[0]
        topology.kill(empty)
        topology.start(empty)
        topology.wait_until_alive(empty)
        expect_follower_reports(topology, ["nothing|empty", "no leader", "FOLLOWERS"], empty)
        answer = empty.get("first")
        expect_same(answer.status, 503, "the status of a read")
        expect_explained(answer, ["leader", "restarted|started"])


def expect_no_leader(topology, patterns):
    """Every follower reports these patterns and refuses a write.

    The status of all followers says that none of them leads.
    """
    for follower in topology.followers:
        expect_reported(Sources(topology, follower), patterns)
        answer = follower.set("no leader", 1)
        expect_same((answer.status, answer.json), (403, {"detail": "Only leader accepts writes"}))
    status, table = topology.command("status", *map(address_of, topology.followers))
    expect_same(status, 1, "the exit status of `semisync status`")
    expect("none of these nodes" in table or "no leader among" in table, f"the status does not say that there is no leader: {table}")
