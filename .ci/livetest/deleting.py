"""Deleting keys. Comes last: new keys go on after the versions that deletions have had."""

import re

from .harness import Suite, eventually, expect, expect_same

suite = Suite("deleting")

NOT_FOUND = (404, '{"detail":"Not found"}')


def tombstones(node):
    text = node.request("GET", "/metrics").text
    return int(re.search(r"^semisync_tombstones (\d+)$", text, re.MULTILINE)[1])


@suite.check("a deleted key is gone from every node, and its next version is a greater one")
def gone(cluster):
    first = cluster.leader.set("deleting/x", {"a": None}).json["version"]
    answer = cluster.leader.post("/delete", {"key": "deleting/x"})
    fields = ("ok", "confirmations", "required", "version")
    expect_same((answer.status, tuple(answer.json), answer.json["ok"]), (200, fields, True), "answer")
    expect_same(answer.json["version"], first + 1, "version of the deletion")

    def probe(node):
        answer = node.get("deleting/x")
        expect_same((answer.status, answer.text), NOT_FOUND, f"{node}")
        expect("deleting/x" not in node.dump().json, f"{node} has it in its dump")

    for node in cluster.nodes:
        eventually(probe, node)
    again = cluster.leader.set("deleting/x", 2).json["version"]
    expect(again > first + 1, f"version {again} after a deletion as {first + 1}")


@suite.check("a key that is not there can be deleted, again and again, each time as a version of its own")
def not_there(cluster):
    versions = [cluster.leader.post("/delete", {"key": "deleting/none"}).json["version"] for _ in range(3)]
    expect_same(versions, [versions[0] + n for n in range(3)], "versions")


@suite.check("if_version: 409 with the version that the key has, 0 once it is deleted")
def if_version(cluster):
    def delete(version):
        return cluster.leader.post("/delete", {"key": "deleting/if", "if_version": version})

    expect_same((delete(1).status, delete(1).json["version"]), (409, 0), "of a key that is not there")
    version = cluster.leader.set("deleting/if", 1).json["version"]
    expect_same((delete(0).status, delete(0).json["version"]), (409, version), "of a key that is there")
    expect_same(delete(version).status, 200, "status")
    expect_same((delete(version).status, delete(version).json["version"]), (409, 0), "of a key that was deleted")
    answer = cluster.leader.post("/set", {"key": "deleting/if", "value": 1, "if_version": 0})
    expect_same(answer.status, 200, "status of a set of what was deleted")


@suite.check("min_version: a node that knows of the deletion answers 404 at once")
def min_version(cluster):
    cluster.leader.set("deleting/min", 1)
    version = cluster.leader.post("/delete", {"key": "deleting/min"}).json["version"]
    for node in cluster.nodes:
        answer = node.request("GET", f"/get/deleting%2Fmin?min_version={version}")
        expect_same((answer.status, answer.text), NOT_FOUND, f"{node}")


@suite.check("delete on a follower: 403 and exactly the documented detail")
def on_followers(cluster):
    for follower in cluster.followers:
        answer = follower.post("/delete", {"key": "deleting/refused"})
        expect_same((answer.status, answer.text), (403, '{"detail":"Only leader accepts writes"}'), f"{follower}")


@suite.check_each(
    "a delete that is refused",
    [
        ("no body", b"", "JSON"),
        ("no key", b"{}", "`key`"),
        ("an array", b'["x"]', "an object"),
        ("a key that is a number", b'{"key":5}', "`key`"),
        ("an empty key", b'{"key":""}', "`key`"),
        ("a key of 1,025 bytes", b'{"key":"' + b"k" * 1025 + b'"}', "`key`"),
        ("a version that is a text", b'{"key":"x","if_version":"1"}', "`if_version`"),
        ("a version below 0", b'{"key":"x","if_version":-1}', "`if_version`"),
    ],
)
def refused(cluster, body, names):
    answer = cluster.leader.post("/delete", body)
    expect(answer.status in (400, 422), f"{answer}")
    expect_same(list(answer.json), ["detail"], "fields")
    expect(names in answer.json["detail"], f"{answer} does not name {names}")


@suite.check("replicate by hand: a deletion, which has the value null")
def by_hand(cluster):
    follower = cluster.followers[0]
    follower.replicate("deleting/by hand", 1, 5)
    body = {"key": "deleting/by hand", "value": None, "deleted": True, "version": 6}
    expect_same(follower.post("/replicate", body).text, '{"ok":true,"applied":true}')
    expect_same(follower.get("deleting/by hand").status, 404, "status")
    expect_same(follower.post("/replicate", {**body, "value": 1, "version": 7}).status, 422, "status with a value")


@suite.check("deletions are forgotten once every follower has them")
def forgotten(cluster):
    def probe(node):
        expect_same(tombstones(node), 0, f"deletions that {node} remembers")

    for node in cluster.nodes:
        eventually(probe, node)
