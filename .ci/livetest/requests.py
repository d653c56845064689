"""Writes that are asked for once more, under their request_id."""

from concurrent.futures import ThreadPoolExecutor

from .harness import Suite, expect, expect_same

suite = Suite("requests")


def ask(cluster, path, **body):
    return cluster.leader.post(path, body)


@suite.check("a retry has the version of the first, and undoes nothing")
def undoes_nothing(cluster):
    first = ask(cluster, "/set", key="requests/x", value=1, request_id="a-1")
    later = ask(cluster, "/set", key="requests/x", value=2)
    again = ask(cluster, "/set", key="requests/x", value=1, request_id="a-1")
    expect_same((again.status, again.text), (200, first.text))
    expect_same(cluster.leader.get("requests/x").json["value"], 2, "value")
    expect_same(cluster.leader.get("requests/x").json["version"], later.json["version"], "version")


@suite.check("of a name's key only, and of deletions too")
def deletions(cluster):
    ask(cluster, "/set", key="requests/d", value=1, request_id="d-1")
    other = ask(cluster, "/set", key="requests/e", value=2, request_id="d-1")
    expect_same(cluster.leader.get("requests/e").json["value"], 2, "value of the other key")
    expect_same(other.status, 200, "status")
    gone = ask(cluster, "/delete", key="requests/d", request_id="d-2")
    back = ask(cluster, "/set", key="requests/d", value=3)
    again = ask(cluster, "/delete", key="requests/d", request_id="d-2")
    expect_same((again.status, again.json["version"]), (200, gone.json["version"]))
    expect_same(cluster.leader.get("requests/d").json["version"], back.json["version"], "version")


@suite.check("something else under the same name: 409 with what is wrong, and no version")
def something_else(cluster):
    version = ask(cluster, "/set", key="requests/o", value=1, request_id="o-1").json["version"]
    for path, body in [("/set", {"value": 2}), ("/set", {"value": 1, "if_version": 1}), ("/delete", {})]:
        answer = ask(cluster, path, key="requests/o", request_id="o-1", **body)
        expect_same((answer.status, list(answer.json)), (409, ["detail"]), f"{path} {body}")
        expect("o-1" in answer.json["detail"] and f"version {version}" in answer.json["detail"], f"{answer}")
    expect_same(cluster.leader.get("requests/o").json["version"], version, "version")


@suite.check("if_version is not asked again of what was done")
def if_version(cluster):
    body = {"key": "requests/i", "value": 1, "if_version": 0, "request_id": "i-1"}
    first, again = ask(cluster, "/set", **body), ask(cluster, "/set", **body)
    expect_same((again.status, again.text), (200, first.text))
    refused = ask(cluster, "/set", **{**body, "request_id": "i-2"})
    expect_same((refused.status, refused.json["version"]), (409, first.json["version"]))


@suite.check("twenty clients that ask for the same at once are told of one write")
def at_once(cluster):
    def one(_):
        return ask(cluster, "/set", key="requests/c", value="c", request_id="c-1").text

    with ThreadPoolExecutor(20) as pool:
        answers = set(pool.map(one, range(20)))
    expect_same(len(answers), 1, f"answers, {answers}")


@suite.check("the last eight of a key are known, and what came before is a new write")
def last_eight(cluster):
    def write(name):
        return ask(cluster, "/set", key="requests/8", value=0, request_id=name).json["version"]

    first = [write(f"8-{n}") for n in range(8)]
    expect_same([write(f"8-{n}") for n in range(8)], first, "versions once more")
    ninth = write("8-8")
    expect_same(write("8-1"), first[1], "version of the second")
    expect_same(write("8-0"), ninth + 1, "version of what is not known any more")


@suite.check_each(
    "a request_id that is none",
    [
        ("empty", '""'),
        ("65 bytes", '"' + "r" * 65 + '"'),
        ("a number", "1"),
        ("an object", "{}"),
    ],
)
def bad(cluster, request_id):
    for path, rest in [("/set", ',"value":1'), ("/delete", "")]:
        answer = cluster.leader.post(path, f'{{"key":"requests/bad","request_id":{request_id}{rest}}}'.encode())
        expect_same((answer.status, list(answer.json)), (422, ["detail"]), f"{path}: {answer}")
        expect("request_id" in answer.json["detail"], f"{answer} does not name it")
    expect_same(cluster.leader.get("requests/bad").status, 404, "status")
