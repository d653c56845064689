"""Failures that are more than a quorum of 1 allows for: what is lost is lost, and whoever looks is told."""

import json
import subprocess
import tempfile
import time

from .harness import Suite, eventually, expect, expect_same
from .loads import expect_judged, load
from .tools import TIMEOUT, semisync

suite = Suite("more failures than a quorum of 1 allows for")

# Long delays: what is acknowledged is for a while with a single follower. The first message to a follower arrives long before
# the second with this seed.
SLOW = {"WRITE_QUORUM": "1", "MIN_DELAY": "0", "MAX_DELAY": "10000", "REPL_TIMEOUT": "15", "SEED": "7"}
# Shorter ones, so that a load has enough in every state that a write can be in.
QUICKER = {**SLOW, "MAX_DELAY": "1000", "REPL_TIMEOUT": "5"}
# How long to see that a leader goes on waiting.
PATIENCE = 3.0


def holders(cluster, key):
    return [follower for follower in cluster.followers if follower.get(key).status == 200]


def check_calls(binary, calls):
    """What `semisync check` says of calls at the leader, each (kind, key, value, version), one after the other."""
    lines, time_ns = [], 0
    for kind, key, value, version in calls:
        for word in ("invoke", "ok"):
            time_ns += 1_000_000
            told = {} if version is None or word == "invoke" else {"version": version}
            shown = value if kind == "write" or word == "ok" else None
            lines.append({"type": word, "f": kind, "process": 0, "key": key, "value": shown, "time": time_ns, **told})
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
        file.flush()
        done = subprocess.run([binary, "check", file.name], capture_output=True, text=True, timeout=TIMEOUT)
    return done.returncode, done.stdout + done.stderr


@suite.check("the first write, its leader and the followers that have it are killed: the others remember that there was a leader, so it waits for accept-loss")
def first_write(cluster, binary):
    key = "losses/first"
    answer = cluster.leader.set(key, "kept?")
    expect_same((answer.json["ok"], answer.json["version"]), (True, 1), "ok and version")
    cluster.kill(cluster.leader)
    gone = holders(cluster, key)
    expect(1 <= len(gone) <= 2, f"{len(gone)} followers have it")
    for follower in gone:
        cluster.kill(follower)
    for node in [cluster.leader, *gone]:
        cluster.bring_back(node)
    # No follower that is left stores a key, and yet this is no first start.
    eventually(expect_first_write_is_missed, cluster, gone)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        expect_first_write_is_missed(cluster, gone)
        time.sleep(0.1)
    refused = cluster.leader.set(key, "again")
    expect_same(refused.status, 503, "status of a set meanwhile")
    semisync(cluster, binary, "admin", "accept-loss", f"127.0.0.1:{cluster.leader.port}", addressed=False)
    cluster.wait_until_ready(*cluster.nodes)
    found = cluster.leader.get(key)
    expect_same(found.status, 404, "status of the acknowledged key")
    calls = [("write", key, "kept?", 1), ("read", key, None, None)]
    status, output = check_calls(binary, calls)
    expect_same(status, 1, f"the exit status of `semisync check` ({output})")
    expect_judged(output, "linearizability", "VIOLATED")
    return f"{len(gone)} of 5 followers had it"


def expect_first_write_is_missed(cluster, gone):
    """The leader does not serve, and names the followers that have restarted."""
    answer = cluster.leader.request("GET", "/ready")
    expect_same(answer.status, 503, "the leader's readiness")
    expect_names(answer.json["detail"], cluster.names_of(gone))


def expect_names(detail, gone):
    """It names the followers that have forgotten, and the command with which it goes on."""
    _, _, rest = detail.partition("; are new, or restarted empty: ")
    forgetful, _, remedy = rest.partition("; ")
    expect_same(sorted(forgetful.split(", ")), sorted(gone), f"whom it names in {detail!r}")
    expect("semisync admin accept-loss " in remedy, f"{detail!r} does not say what to do")


@suite.check("the leader and two followers killed under load: it waits and says for whom, until an operator accepts the loss; the check finds it")
def accepted(cluster, binary):
    gone = cluster.followers[:2]
    kept = "losses/kept"
    cluster.change(QUICKER)
    expect_same(cluster.leader.set(kept, 1).json["ok"], True, "ok")
    for node in cluster.nodes:
        eventually(lambda node=node: expect_same(node.get(kept).status, 200, f"status on {node}"))
    with load(cluster, binary) as under_way:
        under_way.go_on(500)
        for node in [cluster.leader, *gone]:
            cluster.kill(node)
        for node in [cluster.leader, *gone]:
            cluster.bring_back(node)
        told = eventually(expect_waits, cluster, gone)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            expect_waits(cluster, gone)
            time.sleep(0.1)
        refused = cluster.leader.set(kept, 2)
        expect_same(refused.status, 503, "status of a set meanwhile")
        expect("recovering" in refused.json["detail"], f"{refused} does not say why")
        semisync(cluster, binary, "admin", "accept-loss", f"127.0.0.1:{cluster.leader.port}", addressed=False)
        cluster.wait_until_ready(*cluster.nodes)
        under_way.go_on(500)
        history = under_way.finish()
        semisync(cluster, binary, "verify", "--watch", "--deadline", "60")
        lost = history.lost(cluster.leader.dump().json)
        status, output = history.check(binary)
    expect_same(cluster.leader.get(kept).json["version"], 1, "the version of what every follower had")
    expect(lost, f"nothing was lost: {history}")
    expect_same(status, 1, f"the exit status of `semisync check` ({output})")
    expect_judged(output, "linearizability", "VIOLATED")
    return f"{history}; {len(lost)} found lost; it said {told!r}"


def expect_waits(cluster, gone):
    """The leader does not serve, and says that these followers have forgotten."""
    answer = cluster.leader.request("GET", "/ready")
    expect_same(answer.status, 503, "the leader's readiness")
    detail = answer.json["detail"]
    expect(detail.startswith("recovering: 3 of the 5 followers"), f"it waits for something else: {detail}")
    expect_names(detail, cluster.names_of(gone))
    return detail


@suite.check("there is no loss to accept where nothing is waited for: the command says so, with exit status 1")
def nothing_to_accept(cluster, binary):
    semisync(cluster, binary, "admin", "accept-loss", f"127.0.0.1:{cluster.leader.port}", addressed=False, status=1)
