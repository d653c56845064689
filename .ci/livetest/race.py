"""The race: clients that write to few keys at once, while each replication message takes up to a second.

The confirmation that completes a write at quorum k of 5 comes after the k-th smallest of five delays, each uniform on
0 to 1000 ms. The mean of that is k/6 s.
"""

import http.client
import json
import statistics
import threading
import time
from collections import defaultdict

from .harness import Suite, eventually, expect, expect_same
from .node import JSON, TIMEOUT, read_answer

suite = Suite("the race at quorum")

QUORUMS = [1, 2, 3, 4, 5]
WRITES, CLIENTS, KEYS = 200, 10, 4
# How far the mean of 200 writes may be from the law, in ms; it is farther in 1 case of 1,000. With the seed that is set
# here the delays are the same ones in every run, so that this is no matter of luck.
BOUNDS = {1: 33, 2: 42, 3: 44, 4: 42, 5: 33}
# What a loaded machine may add.
OVERHEAD = 60


def settings(quorum):
    return {"WRITE_QUORUM": str(quorum), "MIN_DELAY": "0", "MAX_DELAY": "1000", "SEED": "7"}


class Client(threading.Thread):
    """Writes one value after another over one connection, and notes each answer and how long it took."""

    def __init__(self, cluster, quorum, name, writes):
        super().__init__(daemon=True)
        self.port = cluster.leader.port
        self.bodies = [{"key": key(quorum, i), "value": f"{name}/{i}"} for i in range(writes)]
        self.results = []  # (request, answer, milliseconds)
        self.error = None

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            for body in self.bodies:
                text = json.dumps(body)
                began = time.monotonic()
                connection.request("POST", "/set", text, JSON)
                answer = read_answer(connection.getresponse())
                self.results.append((body, answer, (time.monotonic() - began) * 1000))
        except Exception as error:
            self.error = error
        finally:
            connection.close()


def key(quorum, i):
    """A leader that was restarted counts versions from 1 again, so every quorum has keys of its own."""
    return f"race/{quorum}/{i % KEYS}"


def run_clients(cluster, quorum):
    clients = [Client(cluster, quorum, f"client {c}", WRITES // CLIENTS) for c in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(WRITES // CLIENTS * TIMEOUT)
        expect(client.error is None, f"a client failed: {client.error!r}")
    return [result for client in clients for result in client.results]


@suite.check("200 writes by 10 clients: all ok, versions without gap, mean latency k/6 s, then all replicas equal")
def race(cluster, quorum):
    results = run_clients(cluster, quorum)
    expect_same(len(results), WRITES, "the number of answers")
    newest = check_answers(results, quorum)
    mean = check_latency([milliseconds for _, _, milliseconds in results], quorum)
    began = time.monotonic()
    for node in cluster.nodes:
        eventually(check_replica, node, quorum, newest)
    converged = time.monotonic() - began
    return f"{mean}; all replicas equal after {converged:.1f} s more"


def check_answers(results, quorum):
    """Every write is ok and the versions of a key are 1, 2, 3 … Returns what each key must hold in the end."""
    by_key = defaultdict(dict)
    for request, answer, _ in results:
        body = answer.json
        expect_same((answer.status, body["ok"], body["required"]), (200, True, quorum))
        expect(quorum <= body["confirmations"] <= 5, f"{answer}")
        versions = by_key[request["key"]]
        expect(body["version"] not in versions, f"two writes of {request['key']} have version {body['version']}")
        versions[body["version"]] = request["value"]
    for name, versions in by_key.items():
        expect_same(sorted(versions), list(range(1, len(versions) + 1)), f"the versions of {name}")
    return {name: {"value": versions[len(versions)], "version": len(versions)} for name, versions in by_key.items()}


def check_latency(latencies, quorum):
    mean, law = statistics.fmean(latencies), quorum * 1000 / 6
    low, high = law - BOUNDS[quorum], law + BOUNDS[quorum] + OVERHEAD
    expect(low <= mean <= high, f"the mean is {mean:.0f} ms, not {low:.0f} to {high:.0f} ms")
    median = statistics.median(latencies)
    return f"mean {mean:.0f} ms ({law:.0f} expected, {low:.0f} to {high:.0f} allowed), median {median:.0f} ms"


def check_replica(node, quorum, newest):
    found = {name: entry for name, entry in node.dump().json.items() if name.startswith(f"race/{quorum}/")}
    expect_same(found, dict(sorted(newest.items())), f"what {node} holds")
