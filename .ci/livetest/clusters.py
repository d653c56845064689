"""The three ways to run six nodes. Each is a context manager that leaves nothing behind."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess

from .harness import eventually, expect, expect_same
from .node import Node

FOLLOWERS = 5
ROOT = pathlib.Path(__file__).resolve().parents[2]
# For a start, a stop or another command that only has to happen some time.
COMMAND_TIMEOUT = 120

VARIABLES = [
    "ROLE", "PORT", "HOST", "FOLLOWERS", "ADVERTISE", "WRITE_QUORUM", "MIN_DELAY", "MAX_DELAY", "REPL_TIMEOUT", "MAX_BODY", "PEER_TOKEN",
    "SEED",
]  # fmt: skip


def environment(settings):
    """This process's environment with these settings, and no others of ours."""
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return {**inherited, **settings}


class Cluster:
    """A leader and its followers. `settings` are environment variables of the nodes."""

    def __init__(self, port, settings):
        self.settings = settings
        self.leader = Node("leader", port)
        self.followers = [Node(f"follower{i}", port + i) for i in range(1, FOLLOWERS + 1)]

    @property
    def nodes(self):
        return [self.leader, *self.followers]

    @property
    def quorum(self):
        return int(self.settings["WRITE_QUORUM"])

    @property
    def repl_timeout(self):
        return float(self.settings["REPL_TIMEOUT"])

    def __exit__(self, *_):
        self.stop()

    def restart(self, node):
        """Kills a node and starts it again, with nothing in its memory."""
        self.kill(node)
        self.bring_back(node)

    def wait_until_ready(self, *nodes):
        """A leader: it knows what was written before it. A follower: it is up to date."""

        def probe(node):
            answer = node.request("GET", "/ready")
            expect(answer.status == 200, f"{node} is not ready: {answer}")

        for node in nodes:
            eventually(probe, node, seconds=60)

    def wait_until_healthy(self):
        """All answer, and then all are ready."""

        def probe(node):
            expect_same(node.health().status, 200, f"{node}'s health")

        for node in self.nodes:
            eventually(probe, node, seconds=60)
        self.wait_until_ready(*self.nodes)


def expect_free(ports):
    """A port that somebody else has would make every check test that somebody."""
    for port in ports:
        with socket.socket() as probe:
            expect(probe.connect_ex(("127.0.0.1", port)) != 0, f"port {port} is in use; stop what listens there")


def end(process, grace):
    """Ends a process that we started: asks, and kills it if it does not stop in time. Returns its exit status."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None


class ClusterCommand(Cluster):
    """`semisync cluster`: six processes from one command."""

    def __init__(self, binary, port, settings):
        super().__init__(port, settings)
        self.binary = binary
        self.process = None

    def __str__(self):
        return "`semisync cluster`"

    def __enter__(self):
        expect_free(node.port for node in self.nodes)
        command = [self.binary, "cluster", "--port", str(self.leader.port)]
        self.process = subprocess.Popen(command, env=environment(self.settings), stdout=subprocess.DEVNULL)
        try:
            self.wait_until_healthy()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self):
        status = end(self.process, 60)
        expect_same(status, 0, "the exit status of `semisync cluster` after SIGTERM")
        expect_free(node.port for node in self.nodes)


class Processes(Cluster):
    """A `semisync serve` for each node, configured by its environment as a container is, and stopped one by one."""

    def __init__(self, binary, port, settings):
        super().__init__(port, settings)
        self.binary = binary
        self.running = {}
        # The followers that the leader has; the others run all the same.
        self.members = self.followers

    def __str__(self):
        return "six processes"

    def __enter__(self):
        expect_free(node.port for node in self.nodes)
        try:
            for node in self.nodes:
                self.start(node)
            self.wait_until_healthy()
        except BaseException:
            self.stop()
            raise
        return self

    def start(self, node):
        settings = {**self.settings, "HOST": "127.0.0.1", "PORT": str(node.port), "ROLE": "follower"}
        if node is self.leader:
            settings["ROLE"] = "leader"
            settings["ADVERTISE"] = f"localhost:{node.port}"
            settings["FOLLOWERS"] = ",".join(self.names_of(self.members))
        command = [self.binary, "serve"]
        # A leader says on its standard error that followers do not answer, which is what the tests bring about.
        log = {"RUST_LOG": os.environ.get("RUST_LOG", "error")}
        self.running[node] = subprocess.Popen(command, env=environment({**log, **settings}))

    def stop(self):
        for node in list(self.running):
            self.resume(node)
            self.end(node)

    def end(self, node):
        """Stops a node and returns its exit status."""
        return end(self.running.pop(node), 30)

    def names_of(self, followers):
        """By what names the leader knows them."""
        return [f"127.0.0.1:{follower.port}" for follower in followers]

    def change(self, settings):
        """Gives the leader other settings by starting it anew; the followers go on."""
        self.settings = settings
        expect_same(self.end(self.leader), 0, "the exit status of the leader")
        self.start(self.leader)
        self.wait_until_healthy()

    def lead(self, members, quorum):
        """Starts the leader again with these followers and this quorum. Does not wait until it serves."""
        self.members = members
        self.settings = {**self.settings, "WRITE_QUORUM": str(quorum)}
        expect_same(self.end(self.leader), 0, "the exit status of the leader")
        self.start(self.leader)

    def kill(self, node):
        """The node is gone without a word, and with it what it held in memory."""
        process = self.running.pop(node)
        process.kill()
        process.wait()

    def take_down(self, follower):
        self.kill(follower)

    def bring_back(self, follower):
        self.start(follower)

    def pause(self, node):
        self.running[node].send_signal(signal.SIGSTOP)

    def resume(self, node):
        self.running[node].send_signal(signal.SIGCONT)


class Compose(Cluster):
    """Six containers by docker-compose.yml, in a project of our own, on the documented ports."""

    PROJECT = "semisync-ci"

    def __init__(self, settings):
        super().__init__(8000, settings)
        has_v1 = shutil.which("docker-compose")
        command = ["docker-compose"] if has_v1 else ["docker", "compose"]
        self.command = [*command, "-p", self.PROJECT, "-f", str(ROOT / "docker-compose.yml")]

    def __str__(self):
        return "six containers"

    def __enter__(self):
        self.stop()  # what a run that was killed has left
        expect_free(node.port for node in self.nodes)
        try:
            self.compose("up", "-d", "--no-build")
            self.wait_until_healthy()
        except BaseException:
            self.stop()
            raise
        return self

    def compose(self, *arguments):
        run([*self.command, *arguments], environment(self.settings))

    def stop(self):
        self.compose("down", "--timeout", "5", "--remove-orphans")

    def change(self, settings):
        """The documented command to give the leader other settings."""
        self.settings = settings
        self.compose("up", "-d", "--force-recreate", "--no-deps", "leader")
        self.wait_until_healthy()

    def kill(self, node):
        """The node is gone without a word, and with it what it held in memory."""
        run(["docker", "kill", self.container(node)])

    def take_down(self, follower):
        self.compose("stop", follower.name)

    def bring_back(self, node):
        run(["docker", "start", self.container(node)])

    def names_of(self, followers):
        """By what names the leader knows them."""
        return [f"{follower.name}:8000" for follower in followers]

    def disconnect(self, node):
        """The node goes on, but nobody reaches it and it reaches nobody."""
        run(["docker", "network", "disconnect", self.network, self.container(node)])

    def connect(self, node):
        run(["docker", "network", "connect", "--alias", node.name, self.network, self.container(node)])

    @property
    def network(self):
        return f"{self.PROJECT}_default"

    def pause(self, node):
        self.compose("pause", node.name)

    def resume(self, node):
        self.compose("unpause", node.name)

    def container(self, node):
        """The id of a node's container, running or not."""
        labels = {"project": self.PROJECT, "service": node.name}
        filters = [f"--filter=label=com.docker.compose.{label}={value}" for label, value in labels.items()]
        return run(["docker", "ps", "--all", "--quiet", *filters]).strip()


def run(command, env=None):
    """Runs a command to its end and returns its output. A failure tells what it printed."""
    done = subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_TIMEOUT
    )
    expect(done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout
