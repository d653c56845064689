"""The quorum is changed by starting the leader anew, and nothing else is: it finds its data on the followers."""

from .harness import Suite, eventually, expect, expect_same

suite = Suite("another quorum by starting the leader anew, at quorum")

KEYS = [f"quorums/{i}" for i in range(20)]
# Down, up and to both ends; the cluster begins with 3.
QUORUMS = [1, 5, 2, 4, 3]


@suite.check("it has every write, versions go on, that many confirm what follows, and every follower applies it")
def change(cluster, quorum):
    for key in KEYS:
        expect_same(cluster.leader.set(key, f"before {quorum}").json["ok"], True, f"ok of {key}")
    before = entries(cluster.leader)
    cluster.change({**cluster.settings, "WRITE_QUORUM": str(quorum)})
    expect_same(entries(cluster.leader), before, "what the leader has after its restart")
    for key in KEYS:
        answer = cluster.leader.set(key, f"after {quorum}")
        confirmations = answer.json.pop("confirmations")
        expect(confirmations >= quorum, f"{answer} at quorum {quorum}")
        expected = (True, quorum, before[key]["version"] + 1)
        expect_same((answer.json["ok"], answer.json["required"], answer.json["version"]), expected, f"the answer to {key}")
    after = entries(cluster.leader)
    for follower in cluster.followers:
        eventually(lambda follower=follower: expect_same(entries(follower), after, f"what {follower} has"))


def entries(node):
    return {key: entry for key, entry in node.dump().json.items() if key in KEYS}
