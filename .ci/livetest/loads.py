"""A load that goes on while something is done to the cluster, and what its record says of it."""

import collections
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import tempfile

from .clusters import ROOT, environment
from .harness import clip, eventually, expect, expect_same
from .tools import addresses, semisync

CLIENTS = 64
# Few enough that each is written again and again, and that a read soon comes by where a write was lost.
KEYS = 500
# Linearizable, at the leader: these must show every write that was acknowledged before them.
READS = ["--reads", "0.3", "--read-from", "leader", "--read", "linearizable"]
# Far beyond what it takes to end 64 operations that are under way.
STOP = 60


class Load:
    """`semisync load` in the background. Its clients try again when the leader is away."""

    def __init__(self, cluster, process, record):
        self.cluster = cluster
        self.process = process
        self.record = record

    def acknowledged(self):
        """How many writes the leader has acknowledged in its present life."""
        lines = self.cluster.leader.request("GET", "/metrics").text.splitlines()
        ok = [line.split()[1] for line in lines if line.startswith('semisync_writes_total{outcome="ok"}')]
        return int(ok[0]) if ok else 0

    def go_on(self, writes, since=0):
        """Waits until clients have heard of so many acknowledgements more than `since`, in this life of the leader."""
        # The leader counts what it answers; of each client one answer may still be on its way.
        wanted = since + writes + CLIENTS

        def probe():
            expect_same(self.process.poll(), None, "the exit status of the load, which is to go on,")
            done = self.acknowledged()
            expect(done >= wanted, f"{done} writes acknowledged, not {wanted}")
            return done

        return eventually(probe)

    def finish(self):
        """Ends it as Ctrl-C does, and returns what it has recorded."""
        self.process.send_signal(signal.SIGINT)
        output, errors = self.process.communicate(timeout=STOP)
        expect_same(self.process.returncode, 130, f"the exit status of the load ({errors})")
        return History(self.record, output)


@contextlib.contextmanager
def load(cluster, binary):
    """A load on the cluster for as long as the block lasts."""
    with tempfile.TemporaryDirectory() as directory:
        record = pathlib.Path(directory) / "history.jsonl"
        amount = ["--clients", str(CLIENTS), "--keys", str(KEYS), "--value-size", "1", "--duration", "600"]
        command = [os.path.abspath(binary), "load", *amount, *READS, "--history", str(record), *addresses(cluster)]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(command, cwd=ROOT, env=environment({}), **pipes)
        try:
            yield Load(cluster, process, record)
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()


class History:
    """What the clients of a load did and were told."""

    def __init__(self, record, summary):
        self.record = record
        self.summary = summary
        operations = [json.loads(line) for line in record.read_text().splitlines()]
        writes = [operation for operation in operations if operation["kind"] == "set"]
        self.unknown = sum(1 for write in writes if write["outcome"] == "unknown")
        self.reads = sum(1 for operation in operations if operation["kind"] == "get" and operation["outcome"] in ("ok", "absent"))
        self.by_key = collections.defaultdict(list)  # the acknowledged writes
        self.by_epoch = collections.Counter()  # how many there are
        for write in writes:
            if write["outcome"] == "ok":
                self.by_key[write["key"]].append(write)
                self.by_epoch[write["stamp"]["epoch"]] += 1

    def __str__(self):
        return f"{self.by_epoch.total()} writes acknowledged, {self.unknown} left open, {self.reads} reads"

    def lost(self, dump):
        """What was acknowledged and is neither in this dump nor was written over, in words."""
        problems = []
        for key, writes in self.by_key.items():
            by_version = collections.defaultdict(list)
            for write in writes:
                by_version[write["stamp"]["version"]].append(write["value"])
            # Versions go up by one for ever, so a second write with one of them took the place of the first.
            problems += [f"{key} v{version} was acknowledged for {clip(values)}" for version, values in by_version.items() if len(values) > 1]
            newest = max(by_version)
            found = dump.get(key, {"version": 0, "value": None})
            if found["version"] < newest:
                problems.append(f"{key} is at v{found['version']}, and v{newest} was acknowledged")
            elif found["version"] == newest and found["value"] not in by_version[newest]:
                problems.append(f"{key} v{newest} is {clip(found['value'])}, acknowledged for {clip(by_version[newest])}")
        return problems

    def check(self, binary):
        """What `semisync check` says of it: exit status and output."""
        done = subprocess.run([os.path.abspath(binary), "check", str(self.record)], capture_output=True, text=True, timeout=STOP)
        return done.returncode, done.stdout + done.stderr


def expect_nothing_lost(cluster, binary, history):
    """Every acknowledged write is there or was written over, on every node, and no client has seen otherwise."""
    expect(history.by_key and history.reads, f"the load came to nothing: {history.summary}")
    semisync(cluster, binary, "verify", "--watch", "--deadline", "60")
    for node in cluster.nodes:
        lost = history.lost(node.dump().json)
        expect(not lost, f"{node} has lost {len(lost)} acknowledged writes: {'; '.join(lost[:5])}")
    status, output = history.check(binary)
    violated = [line.strip() for line in output.splitlines() if "VIOLATED" in line]
    expect(status == 0, f"`semisync check` ended with {status}: {'; '.join(violated) or output}")
    expect_judged(output, "linearizability", "holds")


def expect_judged(output, prop, verdict):
    lines = [line for line in output.splitlines() if line.split()[:1] == [prop]]
    expect(lines and verdict in lines[0], f"`semisync check` does not say that {prop} {verdict}: {output}")
