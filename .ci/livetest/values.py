"""Values: any JSON, kept as the text that came in."""

import json

from .harness import Suite, eventually, expect_same

suite = Suite("values")


def nested(depth):
    return "[" * depth + "]" * depth


@suite.check_each(
    "a value comes back byte for byte, from every node and in every dump",
    [
        ("null", "null"),
        ("false", "false"),
        ("an empty string", '""'),
        ("an empty object", "{}"),
        ("2^53 + 1", "9007199254740993"),
        ("400 digits", "1" * 400),
        ("1e400", "1e400"),
        ("minus zero and exponents", "[-0,-0.0,1E+2,1e-400,1.0,1.00]"),
        ("a lone surrogate", r'"\ud800"'),
        ("escapes", r'"\u0041\/\u00e9\ud83e\udd80\n\u0000"'),
        ("Unicode", '"é 🦀 \u2028"'),
        ("an object with a field twice", '{"a":1,"a":2}'),
        ("white space", "[ 1 ,\t2 , {  } ]"),
        ("brackets in a string", '"' + "[{" * 500 + '\\""'),
        ("100 levels", nested(100)),
        ("128 levels, the most", nested(128)),
        ("100 levels of objects", '{"a":' * 100 + "0" + "}" * 100),
    ],
)
def byte_for_byte(cluster, text):
    key = f"values/{text[:40]}/{len(text)}"
    encoded = json.dumps(key, ensure_ascii=False)
    answer = cluster.leader.set_text(key, text)
    expect_same((answer.status, answer.json["ok"], answer.json["version"]), (200, True, 1))

    def probe(node):
        expect_same(node.get(key).text, f'{{"key":{encoded},"value":{text},"version":1}}', f"{node}'s answer")
        dump = node.dump()
        json.loads(dump.body)
        expect_same(f'{encoded}:{{"value":{text},"version":1}}' in dump.text, True, f"that {node}'s dump holds it")

    probe(cluster.leader)
    for follower in cluster.followers:
        eventually(probe, follower)


@suite.check("a dump of many keys is one object, complete and sorted")
def large_dump(cluster):
    follower = cluster.followers[1]
    keys = [f"values/many/{i:03}" for i in range(500)]
    # By hand, because that is quick. 500 KB are several pieces of a stream.
    for key in reversed(keys):
        follower.replicate(key, "x" * 1000, 1)
    found = [key for key in follower.dump().json if key.startswith("values/many/")]
    expect_same(found, keys, "the keys in the dump")


@suite.check("a body of exactly 16 MiB, the limit, is taken and reaches every node")
def as_large_as_may_be(cluster):
    key, limit = "values/largest", 16 << 20
    value = "x" * (limit - len(f'{{"key":"{key}","value":""}}'))
    answer = cluster.leader.set_text(key, f'"{value}"')
    expect_same((answer.status, answer.json["ok"]), (200, True))

    def probe(node):
        expect_same(node.get(key).json["value"] == value, True, f"that {node} has the value")

    for node in cluster.nodes:
        eventually(probe, node)


@suite.check("a large value makes room for the next one")
def overwrite(cluster):
    expect_same(cluster.leader.set("values/largest", None).json["version"], 2, "version")
