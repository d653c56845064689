"""What a node reports about itself and its cluster, in every place where an operator looks."""

import re
import time

from .harness import eventually, expect, expect_same
from .topology import address_of

# How long a node may take to report a condition, in seconds, and how often it is asked.
BOUND = 15
PAUSE = 0.2

# A duration: since when the condition lasts.
SINCE = r"\b\d+ s\b"
# The start of what is reported about one node.
ADDRESS = re.compile(r"(?=127\.0\.0\.1:\d+: )")


class Sources:
    """The places where `node` reports its state. Each method returns the lines that stand there."""

    def __init__(self, topology, node):
        self.topology = topology
        self.node = node

    def ready(self):
        return [self.node.request("GET", "/ready").json["detail"]]

    def health(self):
        return self.topology.command("health", "--ready", address_of(self.node))[1].splitlines()

    def table(self):
        return self.topology.command("status", address_of(self.node))[1].splitlines()

    def log(self):
        return self.topology.log(self.node).splitlines()

    def all(self):
        """Returns the method for each place by the place's name."""
        return {
            "GET /ready": self.ready,
            "semisync health --ready": self.health,
            "semisync status": self.table,
            "the log": self.log,
        }


def about(address, lines):
    """Returns for each line what it says about this address.

    That is what stands between `address: ` and the next address, or the whole line if it names the
    address in another way.
    """
    for line in lines:
        parts = ADDRESS.split(line)
        of_address = [part for part in parts if part.startswith(f"{address}: ")]
        if of_address:
            yield "".join(of_address)
        elif len(parts) == 1 and address in line:
            yield line


def missing(patterns, texts):
    """Returns the patterns that the best of these texts does not have, and that text."""
    unmatched = ([[pattern for pattern in patterns if not re.search(pattern, text)], text] for text in texts)
    return min(unmatched, key=lambda pair: len(pair[0]), default=[list(patterns), "nothing"])


def expect_reported(sources, patterns, address=None):
    """Every source has all patterns in one line; with `address`, in what the line says about it.

    Polls each source until it has. A failure names every source that never did, and quotes the line
    that lacked least.
    """
    eventually(sources.node.health)
    deadline = time.monotonic() + BOUND
    open_sources, faults = sources.all(), {}
    while True:
        for name, read in list(open_sources.items()):
            lines = read()
            lacking, text = missing(patterns, about(address, lines) if address else lines)
            if not lacking:
                del open_sources[name]
                faults.pop(name, None)
            elif name not in faults or len(lacking) <= len(faults[name][0]):
                faults[name] = (lacking, text)
        if not open_sources:
            return
        said = " | ".join(f"{name} lacks {lacking} in {quote(text)}" for name, (lacking, text) in faults.items())
        expect(time.monotonic() < deadline, f"about {address or sources.node}: {said}")
        time.sleep(PAUSE)


def expect_explained(answer, patterns, address=None):
    """The `detail` of an answer has all patterns; with `address`, in what it says about it."""
    detail = answer.json.get("detail", "")
    lacking, _ = missing(patterns, about(address, [detail]) if address else [detail])
    expect(not lacking, f"the answer to a write lacks {lacking}: {answer.status} {answer.text.strip()}")


def serving(topology):
    """Starts all nodes and writes a key that a restarted follower lacks."""
    topology.start(*topology.followers)
    topology.start_leader()
    topology.wait_until_ready()
    expect_same(topology.leader.set("first", 1).json["ok"], True, "ok of the first write")


def expect_leader_reports(topology, patterns, *nodes):
    """The leader reports these patterns about each of these nodes, wherever an operator looks."""
    for node in nodes:
        expect_reported(Sources(topology, topology.leader), patterns, address_of(node))


def expect_logged(topology, pattern, node):
    """The lines of the leader's log that name this node have this pattern, which may span lines."""
    lines = "\n".join(line for line in topology.log(topology.leader).splitlines() if address_of(node) in line)
    expect(re.search(pattern, lines), f"the leader's log lacks {pattern!r} about {address_of(node)}: {quote(lines)}")


def expect_write_missed(topology, patterns, *nodes):
    """A write misses its quorum, and its answer has these patterns about each of these nodes."""
    answer = topology.leader.set("missed", 1)
    expect_same(answer.json.get("ok"), False, f"ok of {answer}")
    expect_not_ready(topology)
    for node in nodes:
        expect_explained(answer, patterns, address_of(node))


def expect_write_refused(topology, patterns, *nodes):
    """A write is refused with 503, and the answer has these patterns about each of these nodes."""
    answer = topology.leader.set("refused", 1)
    expect_same(answer.status, 503, f"the status of {answer}")
    expect_not_ready(topology)
    for node in nodes:
        expect_explained(answer, patterns, address_of(node))


def expect_not_ready(topology):
    """Scripts see that the leader is not ready, too."""
    expect_same(topology.leader.request("GET", "/ready").status, 503, "the status of GET /ready")
    for command in (["health", "--ready"], ["status"]):
        expect_same(topology.command(*command, address_of(topology.leader))[0], 1, f"the exit status of {command}")


def expect_follower_reports(topology, patterns, follower):
    """A follower reports these patterns about itself."""
    expect_reported(Sources(topology, follower), patterns)


def quote(text):
    text = text.strip()
    return repr(text if len(text) <= 700 else f"…{text[-700:]}")
