"""Clients that take their time, or leave early."""

import contextlib
import resource
import select
import socket
import threading
import time

from .harness import Suite, eventually, expect, expect_same
from .node import answer_on, set_head

suite = Suite("slow, idle and impatient clients")

IDLE = 2000
# A node gives a client 30 s for the header of a request, and leaves an unused connection open as long.
HEADER_DEADLINE = 30
# It waits as long for a client that takes nothing of its answer.
WRITE_DEADLINE = 30
# How many values of 1 MiB make a dump that does not fit into what is between a node and a client that takes nothing: kernels
# that let a receiver keep 32 MiB, and the proxy of a published port, whose kernel keeps 4 MiB more. 16 did fit now and then.
LARGE = 48
# What a single write or read may take beside them; the emulated delays are far shorter.
AT_ONCE = 3.0


def expect_prompt(cluster, key):
    """The node takes a write and reads it back in no more than the usual time."""
    began = time.monotonic()
    expect_same(cluster.leader.set(key, 1).json["ok"], True, "ok")
    expect_same(cluster.leader.get(key).status, 200, "status")
    seconds = time.monotonic() - began
    expect(seconds < AT_ONCE, f"a write and a read took {seconds:.1f} s")
    return seconds


class Dribbler(threading.Thread):
    """Sends a header one byte a second until the node has had enough of it."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.connection = node.open()
        self.began = time.monotonic()
        self.seconds = None  # how long the node bore it

    def run(self):
        with self.connection:
            for byte in b"GET /health HTTP/1.1\r\nx-slow: " + b"z" * 60:
                try:
                    self.connection.send(bytes([byte]))
                except OSError:
                    break
                if select.select([self.connection], [], [], 1)[0]:
                    break  # an answer or the end
            else:
                return
        self.seconds = time.monotonic() - self.began


@suite.check(f"a header at one byte a second and {IDLE} idle connections hold up nobody, and are cut off in the end")
def slow_and_idle(cluster):
    dribbler = Dribbler(cluster.leader)
    dribbler.start()
    slowest = max(expect_prompt(cluster, "patience/slow") for _ in range(5))
    with contextlib.ExitStack() as opened:
        began = time.monotonic()
        idle = [opened.enter_context(cluster.leader.open()) for _ in range(idle_connections())]
        slowest = max([slowest, *(expect_prompt(cluster, "patience/idle") for _ in range(5))])
        expect(not dribbler.seconds, f"the slow client was cut off after {dribbler.seconds} s already")
        expect(open_connections(cluster.leader) >= len(idle), "the node does not hold the connections")
        dribbler.join(2 * HEADER_DEADLINE)
        expect(dribbler.seconds, "the slow client was never cut off")
        eventually(expect_closed, idle, seconds=2 * HEADER_DEADLINE)
        seconds = time.monotonic() - began
    note = f"slowest write and read {slowest:.2f} s; the slow client was cut off after {dribbler.seconds:.0f} s"
    return f"{note}, {len(idle)} idle ones within {seconds:.0f} s"


def idle_connections():
    """As many as we want, or as this process may open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return IDLE if hard == resource.RLIM_INFINITY else min(IDLE, hard - 100)


def open_connections(node):
    lines = node.request("GET", "/metrics").text.splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("semisync_connections "))


def expect_closed(connections):
    poll = select.poll()
    for connection in connections:
        poll.register(connection, select.POLLIN)
    closed = sum(1 for _ in poll.poll(0))
    expect_same(closed, len(connections), "the number of idle connections that the node closed")


class Reader(threading.Thread):
    """Asks for a dump and takes this many bytes of it a second for a while, then the rest as fast as it comes."""

    def __init__(self, node, rate):
        super().__init__(daemon=True)
        self.connection = node.open()
        self.rate = rate
        self.answer = bytearray()

    def run(self):
        with self.connection:
            self.connection.sendall(b"GET /dump HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            began = time.monotonic()
            while time.monotonic() - began < 1.5 * WRITE_DEADLINE:
                time.sleep(0.1)
                if self.rate:
                    self.answer += self.connection.recv(self.rate // 10)
            while piece := self.connection.recv(1 << 20):
                self.answer += piece

    @property
    def is_complete(self):
        return self.answer.endswith(b"\r\n0\r\n\r\n")


@suite.check("a reader of a dump that takes nothing is cut off, one that takes 150 kB a second is not")
def slow_readers(cluster):
    for i in range(LARGE):
        expect_same(cluster.leader.set(f"patience/large/{i}", "x" * (1 << 20)).json["ok"], True, "ok")
    # Steady enough: a kernel wakes a writer only when a third of what it keeps for the reader is free. The node keeps little,
    # but the proxy of a published port lets it keep 4 MiB, and passes on 1.5 MB at a time: every 10 s at this rate, so that
    # the node sees the reader take something three times within its deadline. (At 50 kB a second it would be once, just.)
    readers = [stalled, steady] = [Reader(cluster.leader, rate) for rate in (0, 150_000)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(4 * WRITE_DEADLINE)
        expect(not reader.is_alive(), f"the reader of {reader.rate} bytes a second does not come to an end")
    expect(not stalled.is_complete, "the node waited for a reader that took nothing")
    expect(steady.is_complete, f"the node cut a steady reader off after {len(steady.answer)} bytes")
    for i in range(LARGE):
        cluster.leader.set(f"patience/large/{i}", None)
    return f"{len(stalled.answer) >> 10} and {len(steady.answer) >> 10} KiB"


@suite.check_each(
    "clients that leave right after their set have not stopped it: each write reaches every node",
    [("200 at once", 200, 0.0), ("20 after 1 ms", 20, 0.001), ("20 after 10 ms", 20, 0.01)],
)
def leaving_clients(cluster, clients, patience):
    keys = [f"patience/left/{patience}/{i}" for i in range(clients)]
    for key in keys:
        body = f'{{"key":"{key}","value":"left"}}'.encode()
        with cluster.leader.open() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(set_head(len(body)) + body)
            time.sleep(patience)

    def probe(node):
        found = set(keys) & set(node.dump().json)
        expect_same(len(found), len(keys), f"the number of these writes on {node}")

    for node in cluster.nodes:
        eventually(probe, node)


@suite.check("a client that has said all it wants to say, and says so (a half-closed connection), gets its answer")
def half_closed(cluster):
    body = b'{"key":"patience/half closed","value":1}'
    with cluster.leader.open() as connection:
        connection.sendall(set_head(len(body)) + body)
        connection.shutdown(socket.SHUT_WR)
        expect_same(answer_on(connection).json["ok"], True, "ok")


@suite.check("clients that left are forgotten")
def forgotten(cluster):
    # Some connections may be those of whoever else watches the node; what must not stay is what the checks above left.
    eventually(lambda: expect(open_connections(cluster.leader) < 10, "the node still holds their connections"))
