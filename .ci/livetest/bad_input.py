"""Bad input: each is answered as documented, and the node goes on."""

import json
import socket

from .harness import Suite, expect, expect_same
from .node import answer_on, set_head
from .values import nested

suite = Suite("bad input")


def with_value(text):
    return b'{"key":"bad","value":' + text.encode() + b"}"


def expect_refused(answer, names=None, statuses=(400, 422)):
    """A refusal is JSON with a `detail` and nothing else, and the detail names the field at fault."""
    expect(answer.status in statuses, f"{answer} instead of a status of {statuses}")
    expect_same(list(answer.json), ["detail"], "fields")
    expect_same(type(answer.json["detail"]), str, "type of detail")
    if names:
        expect(names in answer.json["detail"], f"{answer} does not name {names}")


def expect_no_effect(node, action):
    """Every bad write here is one to the same key."""
    before = node.get("bad").text
    action()
    expect_same(node.get("bad").text, before, f"what {node} then answers")


@suite.check_each(
    "a set that is refused",
    [
        ("no body", b""),
        ("not JSON", b"hello"),
        ("cut off", b'{"key":"bad","value":1'),
        ("something behind it", b'{"key":"bad","value":1} x'),
        ("a byte order mark", b'\xef\xbb\xbf{"key":"bad","value":1}'),
        ("single quotes", b"{'key':'bad','value':1}"),
        ("a trailing comma", b'{"key":"bad","value":1,}'),
        ("a comment", b'{"key":"bad","value":1/* one */}'),
        ("NaN", with_value("NaN")),
        ("Infinity", with_value("Infinity")),
        ("-Infinity", with_value("-Infinity")),
        ("a number with a leading zero", with_value("01")),
        ("a raw control character in a string", with_value('"\n"')),
        ("not UTF-8 in the value", b'{"key":"bad","value":"\xff"}'),
        ("not UTF-8 in the key", b'{"key":"bad\xff","value":1}'),
        ("a lone surrogate in the key", b'{"key":"bad\\ud800","value":1}'),
        ("an array of the fields", b'["bad",1]', "an object"),
        ("null", b"null", "an object"),
        ("no key", b'{"value":1}', "`key`"),
        ("no value", b'{"key":"bad"}', "`value`"),
        ("a number as the key", b'{"key":5,"value":1}', "`key`"),
        ("null as the key", b'{"key":null,"value":1}', "`key`"),
        ("an object as the key", b'{"key":{},"value":1}', "`key`"),
        ("an empty key", b'{"key":"","value":1}', "`key`"),
        ("a key of 1,025 bytes", json.dumps({"key": "k" * 1025, "value": 1}).encode(), "`key`"),
        ("a key of 513 characters and 1,026 bytes", json.dumps({"key": "é" * 513, "value": 1}).encode(), "`key`"),
        ("two keys", b'{"key":"bad","key":"worse","value":1}', "`key`"),
        ("129 levels", with_value(nested(129)), "`value`"),
        ("129 levels of objects", with_value('{"a":' * 129 + "0" + "}" * 129), "`value`"),
        ("a million levels", with_value(nested(1_000_000)), "`value`"),
        ("a million levels, cut off", with_value("[" * 1_000_000)),
    ],
)
def refused_sets(cluster, body, names=None):
    expect_no_effect(cluster.leader, lambda: expect_refused(cluster.leader.post("/set", body), names))


@suite.check_each(
    "a replicate that is refused",
    [
        ("no version", b'{"key":"bad","value":1}', "`version`"),
        ("no key", b'{"value":1,"version":1}', "`key`"),
        ("no value", b'{"key":"bad","version":1}', "`value`"),
        ("an empty key", b'{"key":"","value":1,"version":1}', "`key`"),
        ("version 0", b'{"key":"bad","value":1,"version":0}', "`version`"),
        ("a negative version", b'{"key":"bad","value":1,"version":-1}', "`version`"),
        ("a version above 2^53", b'{"key":"bad","value":1,"version":9007199254740993}', "`version`"),
        ("a version above 2^64", b'{"key":"bad","value":1,"version":18446744073709551617}', "`version`"),
        ("a fractional version", b'{"key":"bad","value":1,"version":1.5}', "`version`"),
        ("a version in quotes", b'{"key":"bad","value":1,"version":"1"}', "`version`"),
        ("null as the version", b'{"key":"bad","value":1,"version":null}', "`version`"),
        ("an array of the fields", b'[["bad",1,1]]', "an object"),
        ("129 levels", b'{"key":"bad","version":1,"value":' + nested(129).encode() + b"}", "`value`"),
    ],
)
def refused_replicates(cluster, body, names):
    follower = cluster.followers[2]
    expect_no_effect(follower, lambda: expect_refused(follower.post("/replicate", body), names))


@suite.check_each(
    "a get that is refused",
    [
        ("no key", "/get/", 404),
        ("a key of 1,025 bytes", "/get/" + "k" * 1025, 422),
        ("bytes that are not UTF-8", "/get/%ff%fe", 400),
    ],
)
def refused_gets(cluster, path, status):
    expect_refused(cluster.leader.request("GET", path), statuses=(status,))


@suite.check_each(
    "a content type that is not JSON: 415",
    [("text/plain", "text/plain"), ("a form, curl's default", "application/x-www-form-urlencoded"), ("none", None)],
)
def content_types(cluster, content_type):
    headers = {"content-type": content_type} if content_type else {}
    expect_refused(cluster.leader.request("POST", "/set", with_value("1"), headers), statuses=(415,))


@suite.check_each(
    "a method that a path does not have: 405",
    [
        ("GET /set", "GET", "/set"),
        ("PUT /set", "PUT", "/set"),
        ("DELETE /get/bad", "DELETE", "/get/bad"),
        ("POST /get/bad", "POST", "/get/bad"),
        ("POST /dump", "POST", "/dump"),
        ("GET /replicate", "GET", "/replicate"),
        ("POST /health", "POST", "/health"),
    ],
)
def methods(cluster, method, path):
    for node in (cluster.leader, cluster.followers[0]):
        answer = node.request(method, path)
        expect_refused(answer, statuses=(405,))
        expect("allow" in answer.headers, "no Allow header")


@suite.check_each(
    "a path that does not exist: 404",
    [(path, path) for path in ("/", "/get", "/set/", "/SET", "/dump/", "/health/x", "//set", "/get%2Fbad")],
)
def paths(cluster, path):
    for method in ("GET", "POST"):
        answer = cluster.leader.request(method, path)
        expect_same((answer.status, answer.text), (404, '{"detail":"Not found"}'), f"{method} {path}")


LIMIT = 16 << 20


@suite.check("a body over 16 MiB: 413, before any of it was sent")
def announced_too_large(cluster):
    expect_refused(cluster.leader.send(set_head(LIMIT + 1)), "MAX_BODY", (413,))


@suite.check("a body over 16 MiB that does not say its length: 413")
def found_too_large(cluster):
    head = b"POST /set HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    piece = b"x" * (1 << 20)
    with cluster.leader.open() as connection:
        connection.sendall(head)
        for _ in range(LIMIT // len(piece)):
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        connection.sendall(b"1\r\nx\r\n")
        expect_refused(answer_on(connection), "MAX_BODY", (413,))


@suite.check("a client that asks before it sends a body (Expect: 100-continue) is told to go on")
def expect_continue(cluster):
    body = with_value("1").replace(b"bad", b"continued")
    with cluster.leader.open() as connection:
        connection.sendall(set_head(len(body), "expect: 100-continue\r\n"))
        interim = connection.recv(4096)
        expect(interim.startswith(b"HTTP/1.1 100 "), interim)
        connection.sendall(body)
        expect_same(answer_on(connection).json["ok"], True, "ok")


@suite.check_each(
    "a body that does not have the length that it says",
    [("longer", 5), ("shorter, and breaking off", 500)],
)
def wrong_length(cluster, announced):
    def send():
        with cluster.leader.open() as connection:
            connection.sendall(set_head(announced) + with_value("1"))
            connection.shutdown(socket.SHUT_WR)
            connection.recv(4096)  # the refusal, or nothing: the connection is closed

    expect_no_effect(cluster.leader, send)


@suite.check_each(
    "what is not HTTP",
    [
        ("a word", b"hello\r\n\r\n", (400,)),
        ("a TLS handshake", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64, (400,)),
        ("a header without end", b"GET /health HTTP/1.1\r\nx: " + b"y" * 1_000_000 + b"\r\n\r\n", (400, 431)),
        ("a thousand header fields", b"GET /health HTTP/1.1\r\n" + b"x: y\r\n" * 1000 + b"\r\n", (400, 431)),
        ("a length that is no number", b"POST /set HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n", (400,)),
    ],
)
def not_http(cluster, text, statuses):
    try:
        answer = cluster.leader.send(text)
    except (ConnectionResetError, BrokenPipeError):
        pass  # closing the connection is an answer too
    else:
        expect(answer.status in statuses, f"{answer}")


@suite.check("after all that every node still works")
def still_works(cluster):
    expect_same(cluster.leader.set("good", 1).json["ok"], True, "ok")
    for node in cluster.nodes:
        expect_same(node.health().status, 200, f"{node}'s health")
