"""The documented calls, field by field."""

import json
import re

from .harness import Suite, eventually, expect, expect_same
from .node import JSON

suite = Suite("the documented calls")


@suite.check("health: ok and the role, on every node")
def health(cluster):
    for node in cluster.nodes:
        answer = node.health()
        role = "leader" if node is cluster.leader else "follower"
        expect_same((answer.status, answer.json["status"], answer.json["role"]), (200, "ok", role), f"{node}")
        expect_same(answer.headers["content-type"], "application/json", "content type")


@suite.check("ready: true or false with a reason, on every node, true in the end")
def ready(cluster):
    def probe(node):
        answer = node.request("GET", "/ready")
        expect_same([(name, type(value)) for name, value in answer.json.items()], [("ready", bool), ("detail", str)])
        expect_same(answer.status, 200 if answer.json["ready"] else 503, "status")
        expect(answer.json["ready"], f"{node} is not ready: {answer}")

    for node in cluster.nodes:
        eventually(probe, node)


@suite.check("set: ok, confirmations, required, version, in this order")
def set_fields(cluster):
    answer = cluster.leader.set("reading/a", {"color": "red"})
    expect_same(answer.status, 200, "status")
    fields = [(name, type(value)) for name, value in answer.json.items()]
    expect_same(fields, [("ok", bool), ("confirmations", int), ("required", int), ("version", int)], "fields")
    body = answer.json
    expect_same((body["ok"], body["required"], body["version"]), (True, cluster.quorum, 1))
    expect(cluster.quorum <= body["confirmations"] <= len(cluster.followers), f"{answer}")


@suite.check("set: versions of a key count up from 1, each key for itself")
def versions(cluster):
    given = [cluster.leader.set(key, 0).json["version"] for key in ("reading/v", "reading/v", "reading/w", "reading/v")]
    expect_same(given, [1, 2, 1, 3], "versions")


@suite.check("set on a follower: 403 and exactly the documented detail, and a header that says where the leader is")
def set_on_followers(cluster):
    for follower in cluster.followers:
        answer = follower.set("reading/refused", 1)
        expect_same((answer.status, answer.text), (403, '{"detail":"Only leader accepts writes"}'), f"{follower}")
        expect(answer.headers.get("semisync-leader", "").endswith(f":{cluster.leader.port}"), f"{follower}: {answer.headers}")
    expect_same(cluster.leader.get("reading/refused").status, 404, "status on the leader")


@suite.check("get: key, value, version, on the leader at once and on every follower soon")
def get_everywhere(cluster):
    cluster.leader.set("reading/get", [1, "two", None])
    expected = (200, '{"key":"reading/get","value":[1, "two", null],"version":1}')

    def probe(node):
        answer = node.get("reading/get")
        expect_same((answer.status, answer.text), expected, f"{node}")

    probe(cluster.leader)
    for follower in cluster.followers:
        eventually(probe, follower)


@suite.check("get of an unknown key: 404 and exactly the documented detail, on every node")
def get_unknown(cluster):
    for node in cluster.nodes:
        answer = node.get("reading/unknown")
        expect_same((answer.status, answer.text), (404, '{"detail":"Not found"}'), f"{node}")


@suite.check("replicate by hand on a follower: applied if newer, exactly the documented answers")
def replicate_by_hand(cluster):
    follower = cluster.followers[0]
    applied = '{"ok":true,"applied":true}'
    stale = '{"ok":true,"applied":false,"reason":"stale_version"}'
    for version, expected in [(5, applied), (5, stale), (4, stale), (6, applied), (1, stale), (2**53, applied)]:
        answer = follower.replicate("reading/by hand", version, version)
        expect_same((answer.status, answer.text), (200, expected), f"answer to version {version}")
    expect_same(follower.get("reading/by hand").json, {"key": "reading/by hand", "value": 2**53, "version": 2**53})
    expect_same(cluster.leader.get("reading/by hand").status, 404, "status on the leader")


@suite.check("replicate on the leader: 403 with a detail")
def replicate_on_the_leader(cluster):
    answer = cluster.leader.replicate("reading/x", 1, 1)
    expect_same((answer.status, list(answer.json)), (403, ["detail"]))
    expect_same(cluster.leader.get("reading/x").status, 404, "status of a get afterwards")


@suite.check("dump: every key with value and version, sorted by key, on every node")
def dump(cluster):
    keys = [f"reading/dump/{suffix}" for suffix in ("z", "a", "é", "Z", "10", "9", "")]
    for key in keys:
        cluster.leader.set(key, {"of": key})

    def probe(node):
        answer = node.dump()
        entries = list(json.loads(answer.body, object_pairs_hook=list))
        names = [name for name, _ in entries]
        # By code point, which for UTF-8 is the order of the bytes too.
        expect_same(names, sorted(set(names)), f"the order on {node}")
        ours = {name: entry for name, entry in answer.json.items() if name in keys}
        expect_same(ours, {key: {"value": {"of": key}, "version": 1} for key in sorted(keys)}, f"the dump of {node}")
        expect_same((answer.status, answer.headers["content-type"]), (200, "application/json"))

    for node in cluster.nodes:
        eventually(probe, node)


METRIC = re.compile(r"^[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^}]*\})? [-+0-9.eE]+(Inf|NaN)?$")


@suite.check("metrics: every line is Prometheus text, on every node")
def metrics(cluster):
    for node in cluster.nodes:
        answer = node.request("GET", "/metrics")
        expect_same(answer.status, 200, f"status of {node}")
        expect("text" in answer.headers["content-type"], answer.headers["content-type"])
        for line in answer.text.splitlines():
            expect(line.startswith("#") or METRIC.match(line), f"{node} says {line!r}")
        expect("\nsemisync_keys " in answer.text, f"{node} does not count its keys")
    text = cluster.leader.request("GET", "/metrics").text
    expect('\nsemisync_writes_total{outcome="ok"} ' in text, "the leader does not count its writes")


@suite.check_each(
    "keys are kept byte for byte and read by a percent-encoded path",
    [
        ("a slash", "keys/a/b//c/"),
        ("a space", "keys a b"),
        ("what means something in a URL", "keys?a=b&c#d;e:f@g"),
        ("a percent sign", "keys %41 100%"),
        ("a plus sign", "keys+a+b"),
        ("dots", "../keys/./.."),
        ("quotes and backslashes", "keys\"\\'"),
        ("control characters", "keys\x00\x1f\x7f\n"),
        ("composed é", "keys \u00e9"),
        ("decomposed é, another key", "keys e\u0301"),
        ("beyond the basic plane", "keys 🦀𝄞"),
        ("1,024 bytes", "k" * 1024),
        ("1,024 bytes in 512 characters", "é" * 512),
    ],
)
def keys(cluster, key):
    def probe(node):
        expect_same(node.get(key).json, {"key": key, "value": key, "version": 1}, f"{node}'s answer")
        expect_same(node.dump().json[key], {"value": key, "version": 1}, f"{node}'s dump")

    expect_same(cluster.leader.set(key, key).json["version"], 1, "version")
    probe(cluster.leader)
    eventually(probe, cluster.followers[-1])


@suite.check("a path with raw '/' and raw UTF-8, as curl sends it, names the same key")
def raw_paths(cluster):
    cluster.leader.set("raw/é/🦀", 1)
    answer = cluster.leader.send("GET /get/raw/é/🦀 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    expect_same((answer.status, answer.json["key"]), (200, "raw/é/🦀"))


@suite.check("content types: parameters, capitals and +json are JSON too")
def content_types(cluster):
    for content_type in ("application/json; charset=utf-8", "Application/JSON", "application/vnd.api+json"):
        headers = {"content-type": content_type}
        answer = cluster.leader.request("POST", "/set", b'{"key":"reading/types","value":1}', headers)
        expect_same(answer.status, 200, f"status for {content_type}")


@suite.check("one connection carries many requests, and HTTP/1.0 is answered")
def connections(cluster):
    get = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
    with cluster.leader.open() as connection:
        for _ in range(3):
            connection.sendall(get)
            received = b""
            while not received.endswith(b"}\n"):
                received += connection.recv(4096) or b"}\n"
            expect(received.startswith(b"HTTP/1.1 200"), received)
    expect_same(cluster.leader.send(b"GET /health HTTP/1.0\r\n\r\n").status, 200, "status for HTTP/1.0")


@suite.check("answers in JSON end with a newline")
def newlines(cluster):
    for node in [cluster.leader, cluster.followers[0]]:
        for path in ["/health", "/ready", "/status", "/dump", "/get/nothing", "/nowhere"]:
            body = node.request("GET", path).body
            expect(body.endswith(b"}\n") and not body.endswith(b"\n\n"), f"{node} answers {body[-40:]!r} to {path}")


@suite.check("unknown fields are ignored")
def unknown_fields(cluster):
    body = b'{"ttl":{"a":[1]},"key":"reading/unknown fields","value":7,"if_absent":null}'
    expect_same(cluster.leader.request("POST", "/set", body, JSON).status, 200, "status")
    expect_same(cluster.leader.get("reading/unknown fields").json["value"], 7, "value")
