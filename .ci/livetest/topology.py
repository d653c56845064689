"""Clusters of any size whose nodes start and stop one by one, each with its own log file."""

import itertools
import pathlib
import subprocess
import tempfile
import threading

from .clusters import end, environment, expect_free
from .harness import eventually, expect_same
from .node import Node

HOST = "127.0.0.1"
# A node or a command that does not finish within this many seconds is a failure.
PATIENCE = 40


class Ground:
    """Starts topologies on disjoint port ranges, so that several can run at a time."""

    PORTS_EACH = 10

    def __init__(self, binary, port):
        self.binary = binary
        self._ports = itertools.count(port, self.PORTS_EACH)
        self._lock = threading.Lock()

    def __str__(self):
        return "clusters of several sizes"

    def topology(self, followers, quorum, **settings):
        with self._lock:
            port = next(self._ports)
        return Topology(self.binary, port, followers, WRITE_QUORUM=str(quorum), **settings)


class Topology:
    """A leader at `port` and followers at the ports after it. Nothing runs until it is started.

    `settings` are environment variables of the leader. As a context manager it kills all nodes on
    exit.
    """

    def __init__(self, binary, port, followers, **settings):
        self.binary = binary
        self.settings = {"MAX_DELAY": "0", "REPL_TIMEOUT": "1.5", **settings}
        self.leader = Node("leader", port)
        self.followers = [Node(f"follower{i}", port + i) for i in range(1, followers + 1)]
        self.running = {}

    def __enter__(self):
        expect_free(range(self.leader.port, self.leader.port + Ground.PORTS_EACH))
        self.directory = tempfile.TemporaryDirectory(prefix="semisync-live-test-")
        return self

    def __exit__(self, *_):
        self.kill(*self.running)
        self.directory.cleanup()

    @property
    def free_port(self):
        """A port of this topology's range that no node uses."""
        return self.leader.port + Ground.PORTS_EACH - 1

    def start(self, *nodes, address_space=None, **settings):
        """Starts nodes with these environment variables besides HOST and PORT.

        `address_space` limits what each can allocate, in bytes.
        """
        command = [self.binary, "serve"]
        if address_space:
            command = ["sh", "-c", f'ulimit -v {address_space // 1024}; exec "$@"', "sh", *command]
        for node in nodes:
            own = {"HOST": HOST, "PORT": str(node.port), "RUST_LOG": "info", **settings}
            with open(self.log_file(node), "ab") as log:
                process = subprocess.Popen(command, env=environment(own), stdout=log, stderr=log)
            self.running[node] = process

    def start_leader(self, node=None, followers=None):
        """Starts a leader with these follower addresses; by default `leader` with all followers."""
        node = node or self.leader
        followers = followers or [address_of(follower) for follower in self.followers]
        own = {"ROLE": "leader", "FOLLOWERS": ",".join(followers), "ADVERTISE": address_of(node)}
        self.start(node, **own, **self.settings)

    def kill(self, *nodes):
        """Kills nodes, which lose what they held in memory."""
        processes = [self.running.pop(node) for node in nodes]
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()

    def restart_leader(self):
        """Stops the leader and starts it again with the same settings."""
        expect_same(end(self.running.pop(self.leader), PATIENCE), 0, "the exit status of the leader")
        self.start_leader()

    def wait_until_ready(self, *nodes):
        def probe(node):
            answer = node.request("GET", "/ready")
            expect_same(answer.status, 200, f"the readiness of {node} ({answer})")

        for node in nodes or [self.leader]:
            eventually(probe, node, seconds=PATIENCE)

    def wait_until_alive(self, *nodes):
        for node in nodes:
            eventually(node.health, seconds=PATIENCE)

    def log_file(self, node):
        return pathlib.Path(self.directory.name) / f"{node}.log"

    def log(self, node):
        """Returns everything that the node has logged, over all its restarts."""
        return self.log_file(node).read_text(errors="replace")

    def command(self, *arguments):
        """Runs a command of the program. Returns its exit status and its output."""
        command = [self.binary, *arguments]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        done = subprocess.run(command, env=environment({}), text=True, timeout=PATIENCE, **pipes)
        return done.returncode, done.stdout


def address_of(node):
    return f"{HOST}:{node.port}"
