"""Configuration by environment variables: what is wrong is said in one line, with exit status 2."""

import signal
import socket
import subprocess
import time

from . import clusters
from .harness import Suite, eventually, expect, expect_same
from .node import Node

suite = Suite("configuration")

LEADER = {"ROLE": "leader", "FOLLOWERS": "a:1,b:2"}


class Binary:
    """The program, run in an environment of our choice."""

    def __init__(self, path, port):
        self.path = path
        self.port = port

    def __str__(self):
        return "the binary"

    def start(self, settings, *arguments):
        settings = {"HOST": "127.0.0.1", "PORT": str(self.port), **settings}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([self.path, "serve", *arguments], env=clusters.environment(settings), **pipes)

    def run(self, settings, *arguments):
        """Runs the program to its end: exit status, standard output, standard error."""
        process = self.start(settings, *arguments)
        try:
            output, errors = process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise AssertionError(f"it runs with {settings}") from None
        return process.returncode, output, errors


def expect_one_line(result, *words):
    status, output, errors = result
    expect_same((status, output), (2, ""), f"exit status and output (with {errors!r})")
    expect_same(errors.count("\n"), 1, f"the number of lines in {errors!r}")
    for word in words:
        expect(word in errors, f"{errors!r} does not say {word}")


@suite.check_each(
    "exit status 2 and one line that names it",
    [
        (f"{variable}={value!r}", variable, value)
        for variable, values in {
            "ROLE": ["boss", "Leader", " "],
            "PORT": ["http", "-1", "65536", "80.5", "0x50"],
            # The last one is an address for documentation, which no machine has.
            "HOST": ["somewhere", "1.2.3", "127.0.0.1:80", "192.0.2.1"],
            "FOLLOWERS": ["a", "a:b", "a:0", "a:65536", "a:1;b:2", "https://a:1", "a:1/x", "a:1,A:1", "::1:1"],
            "WRITE_QUORUM": ["0", "3", "-1", "two", "1.5"],
            "MIN_DELAY": ["1001", "-1", "1s", "0.5"],
            "MAX_DELAY": ["-1", "1s", "3600001"],
            "REPL_TIMEOUT": ["0", "-1", "NaN", "inf", "5s", "1e999", "3601"],
            "MAX_BODY": ["lots", "0", "-1", "2GiB", "16 XiB"],
            "PEER_TOKEN": [" ", "two words", "tab\t", "two\nlines", "schlüssel", "k" * 257],
            "SEED": ["abc", "-1", "1.5", "18446744073709551616", "1\n2"],
            "RUST_LOG": ["semisync=loud"],
        }.items()
        for value in values
    ],
)
def malformed(binary, variable, value):
    expect_one_line(binary.run({**LEADER, variable: value}), variable)


@suite.check("a PEER_TOKEN that cannot be used is not shown, nor is one that can in --help")
def token_not_shown(binary):
    for name, arguments in (("PEER_TOKEN=", ()), ("--peer-token ", ("--peer-token", "another s3cret"))):
        status, output, errors = binary.run({"PEER_TOKEN": "a s3cret"}, *arguments)
        expect_same((status, output, name in errors, "s3cret" in errors), (2, "", True, False), f"result ({errors!r})")
    status, output, errors = binary.run({"PEER_TOKEN": "s3cret"}, "--help")
    expect_same((status, "--peer-token" in output, "s3cret" in output + errors), (0, True, False), "what --help says")


@suite.check("MIN_DELAY above MAX_DELAY: the line names both")
def delays_crossed(binary):
    expect_one_line(binary.run({**LEADER, "MIN_DELAY": "20", "MAX_DELAY": "10"}), "MIN_DELAY", "MAX_DELAY", "20", "10")


@suite.check("WRITE_QUORUM without FOLLOWERS: the line names both")
def quorum_of_nobody(binary):
    expect_one_line(binary.run({"ROLE": "leader", "WRITE_QUORUM": "1"}), "WRITE_QUORUM", "FOLLOWERS")


@suite.check("a leader that is its own follower: the line says so")
def own_follower(binary):
    followers = f"a:1,127.0.0.1:{binary.port}"
    expect_one_line(binary.run({"ROLE": "leader", "FOLLOWERS": followers}), "FOLLOWERS", str(binary.port))


@suite.check_each(
    "a follower that is listed twice: the line says so",
    [(f"{followers!r}", followers) for followers in ("a:1,b:2,a:1", "a:1,http://a:1/", "localhost:1,127.0.0.1:1")],
)
def listed_twice(binary, followers):
    expect_one_line(binary.run({"ROLE": "leader", "FOLLOWERS": followers}), "FOLLOWERS", "twice")


@suite.check("PORT in use: the line names it")
def port_in_use(binary):
    with socket.create_server(("127.0.0.1", binary.port)):
        expect_one_line(binary.run({}), f"PORT={binary.port}")


@suite.check("a flag overrides the variable, and an error names which of the two was given")
def flags(binary):
    result = binary.run({**LEADER, "WRITE_QUORUM": "1"}, "--write-quorum", "9")
    expect_one_line(result, '--write-quorum "9"', "FOLLOWERS")
    expect("WRITE_QUORUM" not in result[2], f"{result[2]!r} names the variable")
    result = binary.run({**LEADER, "PORT": "x"})
    expect_one_line(result, 'PORT="x"', "0 to 65535")
    expect("--port" not in result[2], f"{result[2]!r} names the flag")


@suite.check("a follower refuses the flags of a leader and ignores its variables")
def flags_of_a_leader(binary):
    expect_one_line(binary.run({}, "--write-quorum", "2"), "--write-quorum", "default role", "--role leader")
    expect_one_line(binary.run({"ROLE": "follower"}, "--seed", "2"), "--seed", "ROLE=follower")
    serves(binary, {"WRITE_QUORUM": "2", "SEED": "2"})


def serves(binary, settings, port=None):
    """Starts a node and sees it serve. Returns its log after it has stopped."""
    process = binary.start(settings)
    try:
        node = Node("the node", port or binary.port)
        role = settings.get("ROLE") or "follower"
        eventually(lambda: expect_same(node.health().json["role"], role, "role"))
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
        expect_same(process.returncode, 0, "exit status after SIGTERM")
        return log
    finally:
        process.kill()
        process.wait()


@suite.check("`semisync health` asks the node at PORT: exit status 0 while it serves, 1 and one line when it does not")
def health(binary):
    command = [binary.path, "health"]
    env = clusters.environment({"PORT": str(binary.port)})
    process = binary.start({})
    try:
        eventually(clusters.run, command, env)
    finally:
        clusters.end(process, 20)
        process.communicate()
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=20)
    expect_same((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1), f"result ({done.stderr!r})")


@suite.check("variables that are set but empty count as not set")
def empty(binary):
    serves(binary, {name: "" for name in clusters.VARIABLES if name not in ("HOST", "PORT")})


@suite.check("FOLLOWERS: http://, spaces and empty items are taken")
def lenient_followers(binary):
    serves(binary, {"ROLE": "leader", "FOLLOWERS": " http://127.0.0.1:1 , ,127.0.0.1:2/,", "WRITE_QUORUM": "2"})


@suite.check("a leader without followers is alone on purpose, and its writes are ok at once")
def alone(binary):
    process = binary.start({"ROLE": "leader"})
    try:
        node = Node("the node", binary.port)
        eventually(node.health)
        began = time.monotonic()
        expect_same(node.set("a", 1).json, {"ok": True, "confirmations": 0, "required": 0, "version": 1})
        expect(time.monotonic() - began < 1, "a write took more than a second")
    finally:
        clusters.end(process, 20)
        process.communicate()


@suite.check("MAX_BODY is obeyed, and SEED is printed at the start")
def settings_arrive(binary):
    process = binary.start({"ROLE": "leader", "MAX_BODY": "2KiB", "SEED": "4242"})
    try:
        node = Node("the node", binary.port)
        eventually(node.health)
        expect_same(node.set("a", "x" * 1000).status, 200, "status of a small body")
        expect_same(node.set("a", "x" * 2100).status, 413, "status of a large body")
    finally:
        clusters.end(process, 20)
        _, log = process.communicate()
    expect("4242" in log, f"no seed in {log!r}")


@suite.check("the nodes of `semisync cluster` end with it, even if it is killed")
def killed_cluster(binary):
    process, nodes = start_cluster(binary)
    eventually(lambda: [expect_same(node.request("GET", "/ready").status, 200, f"readiness of {node}") for node in nodes])
    process.kill()
    process.wait()
    eventually(lambda: clusters.expect_free(node.port for node in nodes))


@suite.check("`semisync cluster --peer-token auto` prints a token, and only who has it can take part")
def drawn_token(binary):
    process, nodes = start_cluster(binary, "--peer-token", "auto")
    try:
        line = process.stdout.readline().strip()
        token = line.removeprefix("PEER_TOKEN=")
        expect(len(token) == 32 and token != line, f"{line!r} is no token")
        eventually(lambda: expect_same(nodes[0].set("token/a", 1).json["ok"], True, "ok"))
        expect_same(nodes[1].replicate("token/b", 1, 1).status, 401, "status without it")
        headers = {"authorization": f"Bearer {token}"}
        expect_same(nodes[1].replicate("token/b", 1, 1, headers).status, 200, "status with it")
    finally:
        expect_same(clusters.end(process, 60), 0, "exit status")


def start_cluster(binary, *arguments):
    nodes = [Node("leader", binary.port), Node("follower", binary.port + 1)]
    clusters.expect_free(node.port for node in nodes)
    command = [binary.path, "cluster", "--port", str(binary.port), "--followers", "1", "--max-delay", "0", *arguments]
    settings = clusters.environment({"WRITE_QUORUM": "1"})
    return subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True), nodes
