"""What a follower that never answers costs the leader: memory for the keys, and not for the writes. The cluster is of processes."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

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


READERS = 500
LARGE = 15 << 20
# How much each reader takes at a time, and for how many rounds of a quarter of a second.
SIP = 4096
SIPS = 24


@suite.check("five hundred slow readers of a value of 15 MiB cost memory for their connections, and small writes do not wait for them")
def slow_readers(cluster, binary):
    leader, process = cluster.leader, cluster.running[cluster.leader]
    expect(leader.set("large", "v" * LARGE).json["ok"], "the value was not acknowledged")
    before = resident(process)
    request = b"GET /get/large HTTP/1.1\r\nhost: x\r\n\r\n"
    with contextlib.ExitStack() as stack:
        readers = []
        for _ in range(READERS):
            reader = stack.enter_context(socket.socket())
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 15)
            reader.connect(("127.0.0.1", leader.port))
            reader.sendall(request)
            reader.setblocking(False)
            readers.append(reader)
        taken, slowest = 0, 0.0
        for _ in range(SIPS):
            for reader in readers:
                with contextlib.suppress(BlockingIOError):
                    taken += len(reader.recv(SIP))
            began = time.monotonic()
            expect(leader.set("small", 1).json["ok"], "a small write was not acknowledged")
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.25)
        grown = resident(process) - before
    mib = 1 << 20
    told = f"{grown / mib:+.0f} MiB for {READERS} readers that took {taken / mib:.0f} MiB; the slowest small write took {slowest * 1000:.0f} ms"
    expect(taken > READERS * SIP, told)
    # What is documented: up to 128 KiB for each, and some room for the kernel's and the allocator's ways.
    expect(grown < READERS * (128 << 10) + (32 << 20), told)
    return told
