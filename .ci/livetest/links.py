"""A TCP proxy that makes the link to a node slow."""

import contextlib
import queue
import socket
import threading
import time

from .foreign import accepting
from .topology import HOST

# Sizes of a read and of the kernel's receive buffer, in bytes.
PIECE = 16 << 10
BUFFER = 64 << 10


class SlowLink:
    """A context manager that forwards connections from `port` to `target`.

    `rate` is in bytes per second, for both directions together; `latency` is in seconds, each way.
    Both can be changed while it runs.
    """

    def __init__(self, port, target, rate=None, latency=0.0):
        self.port = port
        self.target = target
        self.rate = rate
        self.latency = latency
        self._free_at = 0.0
        self._lock = threading.Lock()
        self._sockets = []

    @property
    def address(self):
        return f"{HOST}:{self.port}"

    def __enter__(self):
        self._accepting = accepting(self.port, self._connect)
        self._accepting.__enter__()
        return self

    def __exit__(self, *error):
        self._accepting.__exit__(*error)
        for end in self._sockets:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _connect(self, client):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        try:
            server = socket.create_connection((HOST, self.target))
        except OSError:
            client.close()
            return
        self._sockets += [client, server]
        for source, sink in ((client, server), (server, client)):
            pieces = queue.Queue()
            for run, end in ((self._read, source), (self._write, sink)):
                threading.Thread(target=run, args=(end, pieces), daemon=True).start()

    def _read(self, source, pieces):
        piece = True
        while piece:
            try:
                piece = source.recv(PIECE)
            except OSError:
                piece = b""
            time.sleep(self._wait(len(piece)))
            pieces.put((time.monotonic() + self.latency, piece))

    def _wait(self, size):
        """Reserves the link for this many bytes. Returns the seconds until they have passed."""
        if not self.rate:
            return 0.0
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + size / self.rate
            return self._free_at - now

    def _write(self, sink, pieces):
        piece = True
        with contextlib.suppress(OSError):
            while piece:
                due, piece = pieces.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if piece:
                    sink.sendall(piece)
                else:
                    sink.shutdown(socket.SHUT_WR)
