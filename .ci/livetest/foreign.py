"""Programs that listen on a follower's port and are no followers."""

import contextlib
import http.server
import socket
import threading

from .topology import HOST


@contextlib.contextmanager
def web_server(port, status):
    """A web server that answers every request with this status and an HTML page."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            self.rfile.read(int(self.headers.get("content-length", 0)))
            page = b"<html>welcome</html>"
            self.send_response(status)
            self.send_header("content-length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        do_GET = do_POST = answer

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer((HOST, port), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def mail_server(port):
    """A program that does not speak HTTP: it answers the first bytes with a greeting and closes."""

    def greet(connection):
        with contextlib.suppress(OSError), connection:
            connection.recv(4096)
            connection.sendall(b"220 mail.example ESMTP\r\n")

    with accepting(port, greet):
        yield


@contextlib.contextmanager
def silent_server(port):
    """A program that accepts connections and never answers."""
    held = []
    try:
        with accepting(port, held.append):
            yield
    finally:
        for connection in held:
            connection.close()


@contextlib.contextmanager
def accepting(port, handle):
    """Calls `handle` with each connection, one after another."""
    listener = socket.create_server((HOST, port), backlog=100)

    def accept():
        with contextlib.suppress(OSError):  # the listener was shut down
            while True:
                handle(listener.accept()[0])

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
