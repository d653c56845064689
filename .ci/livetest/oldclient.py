"""A client that knows the first calls only, `POST /set`, `GET /get/{key}`, `GET /dump` and `GET /health`, while its leader starts anew."""

import http.client
import threading
import time

from .harness import Suite, eventually, expect, expect_same

suite = Suite("a client that knows the first four calls")

KEYS = 10
# How many rounds of calls before and after the leader is killed, at least.
ROUNDS = 50
# How long it goes on trying a call.
PATIENCE = 20.0


class Client(threading.Thread):
    """Writes and reads in turn and believes what it is told. A call is made again where there is no connection, or 503."""

    def __init__(self, leader):
        super().__init__(daemon=True)
        self.leader = leader
        self.stopped = threading.Event()
        self.rounds = 0
        self.known = {}  # what each key must have, as an entry of a dump
        self.longest = 0.0  # that a call has taken, with all its tries
        self.error = None

    def run(self):
        try:
            while not self.stopped.is_set():
                self.round(self.rounds)
                self.rounds += 1
        except Exception as error:
            self.error = error

    def round(self, number):
        key, value = f"old client/{number % KEYS}", {"round": number}
        version = self.known.get(key, {"version": 0})["version"]
        answer, tries = self.call(lambda: self.leader.set(key, value))
        fields = answer.json
        expect_same(list(fields), ["ok", "confirmations", "required", "version"], f"fields of {answer}")
        expect_same(fields["ok"], True, f"ok in {answer}")
        # A try that got no answer may have been a write.
        expect(version < fields["version"] <= version + tries, f"{answer} after version {version} and {tries} tries")
        self.known[key] = {"value": value, "version": fields["version"]}
        answer, _ = self.call(lambda: self.leader.get(key))
        expect_same((answer.status, answer.json), (200, {"key": key, **self.known[key]}), "what it reads")
        if number % 10 == 0:
            answer, _ = self.call(self.leader.dump)
            found = {name: entry for name, entry in answer.json.items() if name in self.known}
            expect_same(found, dict(sorted(self.known.items())), "its keys in the dump")
            answer, _ = self.call(self.leader.health)
            expect_same((answer.status, answer.json), (200, {"status": "ok", "role": "leader"}), "health")

    def call(self, attempt):
        """An answer that is not 503, and the number of tries that it took."""
        began, tries = time.monotonic(), 0
        while True:
            tries += 1
            try:
                answer = attempt()
                if answer.status != 503:
                    self.longest = max(self.longest, time.monotonic() - began)
                    return answer, tries
                problem = str(answer)
            except (OSError, http.client.HTTPException) as error:
                problem = repr(error)
            expect(time.monotonic() - began < PATIENCE, f"no answer in {PATIENCE:g} s: {problem}")
            time.sleep(0.05)


@suite.check("its leader and two of five followers are killed, and the leader started again: it waits a little, and all its data is there")
def leader_restarts(cluster):
    down = cluster.followers[3:]
    client = Client(cluster.leader)

    def expect_rounds(count):
        expect(client.error is None, f"the client failed: {client.error}")
        expect(client.rounds >= count, f"{client.rounds} rounds, not {count}")

    client.start()
    try:
        eventually(expect_rounds, ROUNDS)
        for node in [cluster.leader, *down]:
            cluster.kill(node)
        cluster.bring_back(cluster.leader)
        eventually(expect_rounds, client.rounds + ROUNDS)
    finally:
        client.stopped.set()
        client.join(2 * PATIENCE)
        for node in down:
            cluster.bring_back(node)
    expect(client.error is None, f"the client failed: {client.error}")
    cluster.wait_until_ready(*cluster.nodes)
    for node in cluster.nodes:
        eventually(expect_entries, node, client.known)
    return f"{client.rounds} rounds; the longest call took {client.longest:.1f} s"


def expect_entries(node, known):
    found = {name: entry for name, entry in node.dump().json.items() if name in known}
    expect_same(found, dict(sorted(known.items())), f"its keys on {node}")
