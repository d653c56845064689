"""The container image, and what only the compose file does."""

import json
import re
import subprocess
import tempfile

from . import race
from .clusters import environment, run
from .harness import Suite, eventually, expect, expect_same

suite = Suite("the image")
quorum_suite = Suite("the documented command for quorum")

IMAGE = "semisync"


def inspect(name):
    return json.loads(run(["docker", "inspect", name]))[0]


def in_container(*arguments):
    """Runs a container to its end: exit status and both outputs."""
    command = ["docker", "run", "--rm", "--network", "none", *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def health_of(cluster, node):
    return inspect(cluster.container(node))["State"]["Health"]["Status"]


@suite.check("every container is healthy, by the binary's own health command")
def healthy(cluster):
    def probe(node):
        check = inspect(cluster.container(node))["Config"]["Healthcheck"]["Test"]
        expect_same(check, ["CMD", "semisync", "health", "--ready"], "the health check")
        expect_same(health_of(cluster, node), "healthy", f"{node}'s health")

    for node in cluster.nodes:
        eventually(probe, node, seconds=60)


@suite.check("the image's own health check does not depend on other nodes")
def lives_alone(_):
    expect_same(inspect(IMAGE)["Config"]["Healthcheck"]["Test"], ["CMD", "semisync", "health"], "the health check")


@suite.check("a follower without a leader is unhealthy, keeps running, and is healthy again with one")
def waits(cluster):
    follower = cluster.followers[0]
    started = inspect(cluster.container(follower))["State"]["StartedAt"]

    def expect_health(status):
        expect_same(health_of(cluster, follower), status, f"{follower}'s health")

    cluster.compose("stop", cluster.leader.name)
    try:
        eventually(expect_health, "unhealthy", seconds=60)
    finally:
        cluster.bring_back(cluster.leader)
    eventually(expect_health, "healthy", seconds=60)
    cluster.wait_until_healthy()
    expect_same(inspect(cluster.container(follower))["State"]["StartedAt"], started, "when the follower was started")


def configured_quorum(cluster, *options):
    """The quorum that Compose would give the leader, without a variable in the shell."""
    config = run([*cluster.command, *options, "config"], environment({}))
    return re.search(r"WRITE_QUORUM: [\"']?(\d+)", config)[1]


@suite.check("the quorum of the file .env needs no variable in the shell")
def settings_of_file(cluster):
    expect_same(configured_quorum(cluster), "1", "the quorum of .env")
    with tempfile.NamedTemporaryFile("w", suffix=".env") as file:
        file.write("WRITE_QUORUM=4\n")
        file.flush()
        expect_same(configured_quorum(cluster, "--env-file", file.name), "4", "the quorum of another file")


@suite.check("it does not run as root")
def no_root(_):
    expect(inspect(IMAGE)["Config"]["User"].split(":")[0] not in ("", "0", "root"), "it runs as root")


@suite.check("it holds no simulator: `semisync sim` is an unknown command")
def no_simulator(_):
    status, _, errors = in_container(IMAGE, "sim")
    expect_same(status, 2, "exit status")
    expect("unrecognized subcommand" in errors, errors)


@suite.check("it holds no download tool, compiler or source")
def nothing_else(_):
    tools = "for tool in curl wget gcc cargo; do command -v $tool; done; ls -d /build; true"
    status, output, _ = in_container("--entrypoint", "sh", IMAGE, "-c", tools)
    expect_same((status, output), (0, ""))


@suite.check("bad configuration: exit status 2 and one line that names the variable")
def bad_configuration(_):
    for variable, value in [("PORT", "http"), ("ROLE", "boss"), ("WRITE_QUORUM", "1"), ("REPL_TIMEOUT", "0")]:
        status, output, errors = in_container("-e", "ROLE=leader", "-e", f"{variable}={value}", IMAGE)
        expect_same((status, output, errors.count("\n")), (2, "", 1), f"result ({errors!r})")
        expect(variable in errors, f"{errors!r} does not name {variable}")


@suite.check("`docker-compose stop` drains: exit status 0")
def stops_cleanly(cluster):
    follower = cluster.followers[0]
    cluster.take_down(follower)
    state = inspect(cluster.container(follower))["State"]
    cluster.bring_back(follower)
    expect_same((state["Status"], state["ExitCode"]), ("exited", 0), "state")


@quorum_suite.check("only the leader is made anew, with that quorum, and the followers keep what they hold")
def change_quorum(cluster, quorum):
    def lives():
        states = {node.name: inspect(cluster.container(node)) for node in cluster.nodes}
        return {name: (state["Id"], state["State"]["StartedAt"]) for name, state in states.items()}

    before, keys = lives(), set(cluster.followers[0].dump().json)
    cluster.change(race.settings(quorum))
    after = lives()
    changed = [name for name in before if before[name] != after[name]]
    expect_same(changed, ["leader"], "what was made anew")
    expect(keys and keys <= set(cluster.followers[0].dump().json), "a follower has lost keys")
    expect_same(cluster.leader.set(f"image/quorum {quorum}", 1).json["required"], quorum, "required")
