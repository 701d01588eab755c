"""A web server for tests: files of a folder, by ranges, with a log of requests and with faults on demand.

It runs in a process of its own: GDAL asks for some files while it holds Python's lock, and would wait for ever for an
answer from a thread.

The first part of a URL decides the answers: `good`, `status-500` (always that), `drop` (hang up), and `later-3-500` or
`later-3-drop` (the fault from the 4th request for bytes on). Each name, such as `good2`, is a new site to GDAL.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True)
class Request:
    """One request, and how many bytes were sent for it."""

    method: str
    path: str
    status: int
    sent: int


@dataclass(frozen=True)
class Site:
    """A running server: `url` ends with a slash."""

    url: str
    log: Path

    def requests(self) -> list[Request]:
        """All that was asked so far."""
        return [Request(*json.loads(line)) for line in self.log.read_text().splitlines()]


@contextmanager
def serving(folder: Path, log: Path) -> Iterator[Site]:
    """Serve the files of a folder."""
    log.touch()
    command = [sys.executable, __file__, str(folder), str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield Site(f"http://127.0.0.1:{int(server.stdout.readline())}/", log)
        finally:
            server.kill()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path
    log: Path
    seen: ClassVar[Counter[str]] = Counter()

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        way, _, name = self.path.split("?")[0].lstrip("/").partition("/")
        fault = self._fault(way)
        if fault == "drop":
            self.close_connection = True
            self._note(0, 0)
            return
        file = self.folder / name
        if fault or not file.is_file():
            self._send(int(fault or 404), b"", {})
            return
        content = file.read_bytes()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            self._send(200, content, {}, with_body=with_body)
            return
        first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
        header = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
        self._send(206, content[first : last + 1], header, with_body=with_body)

    def _fault(self, way: str) -> str | None:
        self.seen[way] += self.command == "GET"
        kind, _, rest = way.partition("-")
        if kind == "later":
            count, _, rest = rest.partition("-")
            return rest if self.seen[way] > int(count) else None
        return {"drop": "drop", "status": rest}.get(kind)

    def _send(self, status: int, content: bytes, headers: dict[str, str], *, with_body: bool = True) -> None:
        self.send_response(status)
        for name, value in {"Accept-Ranges": "bytes", "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(content)
        self._note(status, len(content) if with_body else 0)

    def _note(self, status: int, sent: int) -> None:
        with self.log.open("a") as log:
            log.write(json.dumps([self.command, self.path, status, sent]) + "\n")


if __name__ == "__main__":
    _Handler.folder, _Handler.log = Path(sys.argv[1]), Path(sys.argv[2])
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
