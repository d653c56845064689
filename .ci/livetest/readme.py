"""The curl lines of README.md: whoever types one gets the answer that is printed below it."""

import os
import re
import subprocess
import tempfile

from .clusters import ROOT
from .harness import Suite, eventually, expect, expect_same

suite = Suite("README.md")

# What a reader does not see of curl here: no progress meter, no waiting for ever, and the status behind the answer.
CURLRC = 'silent\nshow-error\nmax-time = 20\nwrite-out = "\\n%{http_code}"\n'


def curl_lines():
    """Each curl command with its answer: the line in the same place of the block behind it, if there is one."""
    readme = ROOT / "README.md"
    text = readme.read_text() if readme.exists() else ""
    blocks = re.findall(r"```(\w*)\n(.*?)```", text.replace("\\\n", " "), re.DOTALL)
    for (_, block), (kind, answers) in zip(blocks, [*blocks[1:], ("", "")]):
        commands = [line for line in block.splitlines() if line.startswith("curl ")]
        answers = answers.splitlines() if kind == "json" else []
        yield from zip(commands, answers + [None] * len(commands))


@suite.check_each("works as typed", [(command, command, answer) for command, answer in curl_lines()])
def as_typed(cluster, command, answer):
    # The documented ports, unless the nodes listen on others.
    command = re.sub(r":800([0-5])\b", lambda port: f":{cluster.leader.port + int(port[1])}", command)
    if "-X POST" in command:
        expect_answer(command, answer)
    else:
        eventually(expect_answer, command, answer)  # what was written may still be on its way to this node


def expect_answer(command, answer):
    with tempfile.TemporaryDirectory() as home:
        with open(os.path.join(home, ".curlrc"), "w") as curlrc:
            curlrc.write(CURLRC)
        environment = {**os.environ, "CURL_HOME": home}
        done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=30)
    expect_same(done.returncode, 0, f"curl's exit status ({done.stderr.strip()})")
    body, _, status = done.stdout.rpartition("\n")
    if answer is None:
        expect(status == "200", f"status {status}, and the answer is {body[:200]}")
    else:
        expect_same(body.removesuffix("\n"), answer)
