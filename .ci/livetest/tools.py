"""The commands for a running cluster, as the README types them, on the cluster at hand."""

import json
import os
import pathlib
import subprocess
import tempfile

from .clusters import ROOT, environment
from .harness import Suite, expect, expect_same

suite = Suite("the tools")
compose_suite = Suite("the analysis through Compose")

# Far beyond what any of them takes; whoever hangs is ended.
TIMEOUT = 300


def addresses(cluster):
    """The options that name the cluster."""
    followers = ",".join(f"127.0.0.1:{node.port}" for node in cluster.followers)
    return ["--leader", f"127.0.0.1:{cluster.leader.port}", "--followers", followers]


def semisync(cluster, binary, *arguments, status=0, addressed=True, settings=None):
    """Runs the binary to its end and returns its standard output."""
    where = addresses(cluster) if addressed else []
    command = [os.path.abspath(binary), *arguments, *where]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(settings or {}), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT
    )
    expect_same(done.returncode, status, f"the exit status of {arguments} ({done.stdout}{done.stderr})")
    return done.stdout


@suite.check("race: three stories pass")
def race(cluster, binary):
    output = semisync(cluster, binary, "race")
    expect("3 of 3 stories passed" in output, output)


@suite.check("load: nothing fails, and the history has every operation")
def load(cluster, binary):
    with tempfile.TemporaryDirectory() as directory:
        history = pathlib.Path(directory) / "history.jsonl"
        output = semisync(cluster, binary, "load", "--count", "300", "--zipf", "0.99", "--history", str(history))
        expect("300 operations in " in output and "; 0 failed" in output, output)
        expect_same(len(history.read_text().splitlines()), 300, "the lines of the history")


@suite.check("verify --watch: the followers become equal to the leader")
def verify(cluster, binary):
    output = semisync(cluster, binary, "verify", "--watch", "--deadline", "30", "--limit", "0")
    expect("EQUAL" in output, output)


@suite.check("analyze --fixed: the results and the figures")
def analyze(cluster, binary):
    with tempfile.TemporaryDirectory() as directory:
        semisync(cluster, binary, "analyze", "--fixed", "--writes", "100", "--staleness", "10", "--delay-ms", "0..50", "--out", directory)
        check_results(pathlib.Path(directory), [cluster.quorum], 100)


@compose_suite.check("analyze --compose: every quorum is measured, and the followers hold what was written in this run")
def analyze_compose(cluster, binary):
    with tempfile.TemporaryDirectory() as directory:
        # The addresses are those of the compose file, which are the command's own.
        semisync(
            cluster, binary, "analyze", "--compose", "--writes", "100", "--clients", "20", "--staleness", "10", "--out", directory,
            addressed=False, settings={**cluster.settings, "COMPOSE_PROJECT_NAME": cluster.PROJECT},
        )  # fmt: skip
        return check_results(pathlib.Path(directory), [1, 2, 3, 4, 5], 100)


def check_results(directory, quorums, writes):
    results = json.loads((directory / "quorum_results.json").read_text())
    expect_same([result["quorum"] for result in results], quorums, "the quorums")
    for result in results:
        expect_same(result["count"], writes, f"the writes of quorum {result['quorum']}")
        expect_same(len(result["latencies"]), writes, "the latencies")
        expect_same(result["consistency"], {"consistent": True, "inconsistent_followers": []}, "the consistency")
    names = ["latency_vs_quorum", "staleness", *(f"latency_distribution_q{quorum}" for quorum in quorums)]
    for name in names:
        expect((directory / f"{name}.png").read_bytes().startswith(b"\x89PNG"), f"{name}.png is no picture")
        expect("<svg" in (directory / f"{name}.svg").read_text()[:500], f"{name}.svg is no picture")
    means = ", ".join(f"{result['avg_latency'] * 1000:.0f}" for result in results)
    return f"means of {means} ms"
