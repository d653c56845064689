"""What becomes of the log does not matter to the node: it answers and stops as always."""

import os
import re
import signal
import subprocess
import time

from . import clusters
from .harness import Suite, eventually, expect, expect_same
from .node import Node

suite = Suite("log")

# More lines than wait to be written, and than a pipe holds.
BAD_REQUESTS = 7000


def start(binary, stderr):
    settings = {"HOST": "127.0.0.1", "PORT": str(binary.port), "RUST_LOG": "debug"}
    process = subprocess.Popen([binary.path, "serve"], env=clusters.environment(settings), stderr=stderr)
    node = Node("node", binary.port)
    eventually(lambda: expect_same(node.health().status, 200, "status"))
    return process, node


def annoy(node):
    """Each of these requests makes a line in the log."""
    for _ in range(BAD_REQUESTS):
        with node.open() as connection:
            connection.sendall(b"x\r\n\r\n")


def end(process):
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    try:
        expect_same(process.wait(10), 0, "exit status")
    except subprocess.TimeoutExpired:
        raise AssertionError("it is still there 10 s after SIGTERM") from None
    finally:
        process.kill()
        process.wait()
    return time.monotonic() - began


def dropped(node):
    text = node.request("GET", "/metrics").text
    return int(re.search(r"^semisync_log_lines_dropped_total (\d+)$", text, re.MULTILINE)[1])


class Log:
    """What has come through a pipe."""

    def __init__(self, reading):
        os.set_blocking(reading, False)
        self.reading = reading
        self.text = b""


def note_in(log):
    """How many lines were dropped, as the log says."""
    log.text += os.read(log.reading, 1 << 20)
    return int(re.search(rb"WARN (\d+) lines of the log were dropped", log.text)[1])


@suite.check("a standard error that is not read holds nothing up; the lines that are dropped are counted, and told of when it is read")
def unread(binary):
    reading, writing = os.pipe()
    process, node = start(binary, writing)
    os.close(writing)
    try:
        annoy(node)
        expect_same(node.health().status, 200, "status")
        count = dropped(node)
        expect(count > 0, "no line was dropped")
        told = eventually(note_in, Log(reading))
        expect(0 < told <= dropped(node), f"{told} lines were told of, and {dropped(node)} counted")
    finally:
        seconds = end(process)
        os.close(reading)
    return f"{count} lines were dropped; it stopped in {seconds:.1f} s"


@suite.check("SIGTERM ends a node whose standard error is full and not read; exit status 0")
def unread_to_the_end(binary):
    reading, writing = os.pipe()
    process, node = start(binary, writing)
    os.close(writing)
    try:
        annoy(node)
    finally:
        seconds = end(process)
        os.close(reading)
    expect(seconds < 8, f"it took {seconds:.1f} s")


@suite.check_each("a node answers and stops", [("its standard error is closed", "closed"), ("it is a full disk", "full")])
def unwritable(binary, what):
    if what == "closed":
        reading, writing = os.pipe()
        os.close(reading)
    else:
        writing = os.open("/dev/full", os.O_WRONLY)
    process, node = start(binary, writing)
    os.close(writing)
    try:
        expect_same(node.send(b"x\r\n\r\n").status, 400, "status")
        expect_same(node.health().status, 200, "status")
    finally:
        end(process)
