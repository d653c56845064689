"""A cluster with a PEER_TOKEN: the leader replicates, and nobody else does."""

from .harness import Suite, eventually, expect, expect_same

suite = Suite("peers with a token")

TOKEN = "live-test-s3cret"
# What is forged is the greatest version, which would freeze the key for ever.
FORGED = 1 << 53


@suite.check("a write reaches every node")
def replicates(cluster):
    expect_same(cluster.leader.set("peers/a", 1).json["ok"], True, "ok")
    for node in cluster.nodes:
        eventually(lambda node=node: expect_same(node.get("peers/a").json["value"], 1, f"the value on {node}"))


@suite.check_each(
    "a replicate made by hand gets 401 and stores nothing",
    [
        ("no token", {}),
        ("a wrong one", {"authorization": f"Bearer {TOKEN[:-1]}T"}),
        ("a part of it", {"authorization": f"Bearer {TOKEN[:-1]}"}),
        ("another scheme", {"authorization": f"Basic {TOKEN}"}),
        ("only the scheme", {"authorization": "Bearer"}),
    ],
)
def strangers(cluster, headers):
    for follower in cluster.followers:
        answer = follower.replicate("peers/forged", 1, FORGED, headers)
        expect_same((answer.status, list(answer.json)), (401, ["detail"]), "status and fields")
        expect_same(answer.headers.get("www-authenticate"), "Bearer", "www-authenticate")
        expect(TOKEN not in answer.text + str(answer.headers), f"{answer} shows the token")
        expect_same(follower.get("peers/forged").status, 404, "status of the key")


@suite.check("a replicate made by hand with the token is taken")
def by_hand(cluster):
    answer = cluster.followers[0].replicate("peers/by hand", 1, 1, {"authorization": f"Bearer {TOKEN}"})
    expect_same((answer.status, answer.json), (200, {"ok": True, "applied": True}))


@suite.check("reading and writing need no token")
def clients(cluster):
    for node in cluster.nodes:
        for path in ("/get/peers%2Fa", "/dump", "/health", "/ready", "/metrics"):
            expect_same(node.request("GET", path).status, 200, f"status of {path} on {node}")
