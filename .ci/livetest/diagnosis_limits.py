"""Followers that run and cannot take everything: small limits, slow links, too little memory."""

import re
import threading
import time

from .diagnostics import (
    SINCE, Sources, about, expect_explained, expect_follower_reports, expect_leader_reports, expect_logged, expect_reported,
    expect_write_missed, serving,
)  # fmt: skip
from .harness import Suite, eventually, expect, expect_same
from .links import SlowLink
from .topology import address_of

suite = Suite("diagnosis of limits")

MIB = 1 << 20
# A follower takes MAX_BODY + 8 MiB from its leader, so this one refuses a value of 9 MiB.
SMALL = {"MAX_BODY": "64KiB"}
TOO_LARGE = "v" * (9 * MIB)
# Enough for a node to start, also with a thread for each of many cores.
LITTLE_MEMORY = 320 * MIB
SMALL_BODY = [r"MAX_BODY=64", "start it with a (larger )?MAX_BODY"]


def start_with_small_limit(topology):
    """Starts all nodes, the first follower with a smaller MAX_BODY. Returns that one."""
    small, *others = topology.followers
    topology.start_leader()
    topology.start(*others)
    topology.start(small, **SMALL)
    topology.wait_until_ready()
    return small


# 6. A follower takes smaller bodies than its leader.


@suite.check("a follower's MAX_BODY is too small, and its confirmation is needed: 413, and everything names it")
def too_large(ground):
    with ground.topology(3, quorum=3) as topology:
        small = start_with_small_limit(topology)
        expect_leader_reports(topology, SMALL_BODY, small)
        answer = topology.leader.set("large", TOO_LARGE)
        expect_same(answer.status, 413, "status")
        detail = answer.json["detail"]
        for pattern in (re.escape(address_of(small)), r"MAX_BODY=64", "with a MAX_BODY"):
            expect(re.search(pattern, detail), f"{detail!r} lacks {pattern}")
        expect_same(topology.leader.set("small", 1).json["ok"], True, "ok of a small write")


@suite.check("a follower's MAX_BODY is too small, and its confirmation is not needed: written, and everything says what it lacks")
def lacks_large(ground):
    with ground.topology(4, quorum=3) as topology:
        small = start_with_small_limit(topology)
        expect_same(topology.leader.set("large", TOO_LARGE).json["ok"], True, "ok")
        expect_leader_reports(topology, [*SMALL_BODY, r"\b1 key\b"], small)
        expect_same(topology.leader.set("small", 1).json["confirmations"] >= 3, True, "that a small write is confirmed")


@suite.check("a follower restarts with a MAX_BODY too small for what its leader stores: both say so")
def restarts_with_small_limit(ground):
    with ground.topology(2, quorum=2) as topology:
        serving(topology)
        expect_same(topology.leader.set("large", TOO_LARGE).json["ok"], True, "ok")
        small = topology.followers[0]
        topology.kill(small)
        topology.start(small, **SMALL)
        expect_leader_reports(topology, [*SMALL_BODY, "413", SINCE], small)
        expect_write_missed(topology, [*SMALL_BODY, "413"], small)
        expect_follower_reports(topology, ["413", *SMALL_BODY], small)


# 7. The link to a follower is slow.


@suite.check("12 MiB over a link of 1 MB/s: everything names the transfer and its rate, small writes go on, and it arrives")
def slow_transfer(ground):
    with ground.topology(2, quorum=2) as topology:
        near, far = topology.followers
        with SlowLink(topology.free_port, far.port, rate=1_000_000) as link:
            topology.start(near, far)
            topology.wait_until_alive(near, far)
            topology.start_leader(followers=[address_of(near), link.address])
            topology.wait_until_ready()
            answers = []
            value = "v" * (12 * MIB)
            writer = threading.Thread(target=lambda: answers.append(topology.leader.set("large", value)))
            writer.start()
            patterns = [r"12\.6 MB", r"\d\.\d MB/s", "to go|arrive", SINCE]
            eventually(expect_sending, topology, link)
            small = [topology.leader.set(f"small/{number}", 1).json["ok"] for number in range(5)]
            expect(far.get("large").status == 404, "the transfer was over before the small writes were")
            expect_same(small, [True] * 5, "ok of small writes meanwhile")
            expect_reported(Sources(topology, topology.leader), patterns, link.address)
            writer.join()
            expect_same(answers[0].json["ok"], False, "ok of the large write")
            expect_explained(answers[0], patterns, link.address)
            eventually(lambda: expect_same(far.get("large").status, 200, "the status of the large value"))


def expect_sending(topology, link):
    """The leader reports that something is being sent over this link."""
    detail = topology.leader.request("GET", "/ready").json["detail"]
    expect(any("12.6 MB" in text for text in about(link.address, [detail])), f"no transfer to {link.address} in {detail!r}")


@suite.check("a link with a latency of 6 s each way: no answer in time, and the link or REPL_TIMEOUT may be the reason")
def high_latency(ground):
    with ground.topology(3, quorum=3) as topology:
        *near, far = topology.followers
        with SlowLink(topology.free_port, far.port) as link:
            topology.start(*topology.followers)
            topology.wait_until_alive(far)
            topology.start_leader(followers=[*map(address_of, near), link.address])
            topology.wait_until_ready()
            link.latency = 6.0
            patterns = ["no answer in", "REPL_TIMEOUT|slow|latency", SINCE]
            expect_reported(Sources(topology, topology.leader), patterns, link.address)
            answer = topology.leader.set("missed", 1)
            expect_same(answer.json["ok"], False, "ok")
            expect_explained(answer, patterns, link.address)
            link.latency = 0.0
            topology.wait_until_ready()


# 8. A follower has too little memory.


@suite.check("a follower runs out of memory: it is down, its log says why, and once restarted it is brought up to date")
def out_of_memory(ground):
    with ground.topology(2, quorum=2) as topology:
        large, small = topology.followers
        topology.start(large)
        topology.start(small, address_space=LITTLE_MEMORY)
        topology.start_leader()
        topology.wait_until_ready()
        fill(topology, small)
        expect_leader_reports(topology, ["cannot connect", "start it", SINCE], small)
        expect_write_missed(topology, ["cannot connect", "start it", SINCE], small)
        log = topology.log(small)
        expect("memory" in log, f"the follower's log does not say that memory was short: {log[-300:]!r}")
        topology.kill(small)
        topology.start(small)
        topology.wait_until_ready(small)
        expect_same(small.get("filled/0").status, 200, "the status of a key from before")
        expect_logged(topology, "empty|without its memory", small)


def fill(topology, follower):
    """Writes until this follower's process has ended."""
    process = topology.running[follower]
    deadline = time.monotonic() + 20
    for number in range(LITTLE_MEMORY // (8 * MIB)):
        topology.leader.set(f"filled/{number}", "v" * (8 * MIB))
        if process.poll() is not None:
            return
        expect(time.monotonic() < deadline, "writing takes too long")
    raise AssertionError("the follower did not run out of memory")
