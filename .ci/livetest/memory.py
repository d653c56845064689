"""What a follower that never answers costs the leader: memory for the keys, and not for the writes. The cluster is of processes."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess

from .clusters import ROOT, environment
from .disturbances import expect_given_up
from .harness import Suite, eventually, expect
from .loads import STOP, Load
from .tools import addresses

suite = Suite("a follower that never answers")

KEYS = 500
VALUE = 1024
# What is written before the memory is looked at, and how often so much after that.
WRITES = 10_000
ROUNDS = 6


def resident(process):
    """The memory that a process has, in bytes."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)[1]) * 1024


@contextlib.contextmanager
def writing(cluster, binary):
    """Clients that write as fast as they can, for as long as the block lasts."""
    amount = ["--clients", "64", "--keys", str(KEYS), "--value-size", str(VALUE), "--reads", "0", "--duration", "600"]
    command = [os.path.abspath(binary), "load", *amount, *addresses(cluster)]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=ROOT, env=environment({}), **pipes)
    try:
        yield Load(cluster, process, None)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(STOP)


@suite.check("its leader's memory stays as it is however much is written, and the follower catches up when it goes on")
def stays_flat(cluster, binary):
    silent, leader = cluster.followers[4], cluster.running[cluster.leader]
    with writing(cluster, binary) as under_way:
        done = under_way.go_on(1000, under_way.acknowledged())
        cluster.pause(silent)
        try:
            eventually(expect_given_up, cluster, [silent])
            done = under_way.go_on(WRITES, done)
            before, since = resident(leader), done
            for _ in range(ROUNDS):
                done = under_way.go_on(WRITES, done)
            grown, written = resident(leader) - before, (done - since) * VALUE
        finally:
            cluster.resume(silent)
    mib = 1 << 20
    told = f"{written / mib:.0f} MiB written; {before / mib:.0f} MiB before, and {grown / mib:+.1f} MiB after"
    expect(grown < written / 10, told)
    eventually(lambda: expect(silent.dump().json == cluster.leader.dump().json, "the dumps differ"))
    return told
