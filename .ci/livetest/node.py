"""A node as its clients see it: an address that answers HTTP."""

import http.client
import json
import socket
from dataclasses import dataclass
from urllib.parse import quote

# Longer than any documented call may take here.
TIMEOUT = 20.0
JSON = {"content-type": "application/json"}


@dataclass
class Answer:
    status: int
    headers: dict  # names in lower case
    body: bytes

    @property
    def text(self):
        """The body; of JSON without the newline at its end, which answers of other programs do not have."""
        text = self.body.decode()
        return text.removesuffix("\n") if self.headers.get("content-type") == JSON["content-type"] else text

    @property
    def json(self):
        return json.loads(self.body)

    def __str__(self):
        return f"{self.status} {self.text[:300]}"


class Node:
    def __init__(self, name, port):
        self.name = name
        self.port = port

    def __str__(self):
        return self.name

    def request(self, method, path, body=None, headers=None):
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            connection.request(method, path, body, headers or {})
            return read_answer(connection.getresponse())
        finally:
            connection.close()

    def post(self, path, body):
        """Posts a JSON text, or a value as JSON."""
        return self.request("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode(), JSON)

    def set(self, key, value):
        return self.post("/set", {"key": key, "value": value})

    def set_text(self, key, value):
        """Sets a value given as the JSON text that goes over the wire."""
        return self.post("/set", b'{"key":' + json.dumps(key).encode() + b',"value":' + value.encode() + b"}")

    def replicate(self, key, value, version, headers=None):
        body = json.dumps({"key": key, "value": value, "version": version}).encode()
        return self.request("POST", "/replicate", body, {**JSON, **(headers or {})})

    def get(self, key):
        return self.request("GET", "/get/" + quote(key, safe=""))

    def dump(self):
        return self.request("GET", "/dump")

    def health(self):
        return self.request("GET", "/health")

    def open(self):
        """A bare TCP connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT)

    def send(self, text):
        """Sends these bytes, whatever they are, and reads the answer if one comes."""
        with self.open() as connection:
            connection.sendall(text)
            return answer_on(connection)


def set_head(length, extra=""):
    """The header of a set with a body of this length, for a client that sends it in a way of its own."""
    fields = f"host: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{extra}"
    return f"POST /set HTTP/1.1\r\n{fields}\r\n".encode()


def answer_on(connection):
    """The next answer on a bare connection."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return read_answer(response)


def read_answer(response):
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())
