"""The container image, and what only the compose file does."""

import json
import subprocess

from . import race
from .clusters import run
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


@suite.check("every container is healthy, by the binary's own health command")
def healthy(cluster):
    def probe(node):
        container = inspect(cluster.container(node))
        expect_same(container["Config"]["Healthcheck"]["Test"], ["CMD", "semisync", "health"], "the health check")
        expect_same(container["State"]["Health"]["Status"], "healthy", f"{node}'s health")

    for node in cluster.nodes:
        eventually(probe, node, seconds=60)


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
