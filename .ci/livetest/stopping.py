"""How a node stops. Each check brings back what it stopped."""

import threading
import time

from .harness import Suite, eventually, expect, expect_same

suite = Suite("stopping")


@suite.check("SIGTERM: a set that is under way gets its answer and its write reaches every follower; exit status 0")
def drain(cluster):
    for follower in cluster.followers[:3]:
        cluster.pause(follower)  # so that the write has to wait
    answers = []
    client = threading.Thread(target=lambda: answers.append(cluster.leader.set("stopping/under way", 1)))
    client.start()
    # On the leader it is visible as soon as it is accepted.
    eventually(lambda: expect_same(cluster.leader.get("stopping/under way").status, 200, "status on the leader"))
    resume = threading.Timer(0.5, lambda: [cluster.resume(follower) for follower in cluster.followers[:3]])
    resume.start()
    began = time.monotonic()
    status = cluster.end(cluster.leader)
    seconds = time.monotonic() - began
    client.join(10)
    resume.join(10)
    expect_same(status, 0, "exit status")
    expect_same([answer.json["ok"] for answer in answers], [True], "the answers")
    for follower in cluster.followers:
        expect_same(follower.get("stopping/under way").status, 200, f"status on {follower}")
    cluster.start(cluster.leader)
    cluster.wait_until_healthy()
    return f"the leader stopped in {seconds:.1f} s"


@suite.check("SIGTERM: an idle connection and a header that never ends do not keep a node; exit status 0")
def idle_clients(cluster):
    follower = cluster.followers[0]
    with follower.open(), follower.open() as unfinished:
        unfinished.sendall(b"GET /health HTTP/1.1\r\n")
        time.sleep(0.2)
        began = time.monotonic()
        status = cluster.end(follower)
        seconds = time.monotonic() - began
    cluster.start(follower)
    cluster.wait_until_healthy()
    expect_same(status, 0, "exit status")
    expect(seconds < 8, f"it took {seconds:.1f} s")
    return f"it stopped in {seconds:.1f} s"
