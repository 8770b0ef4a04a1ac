"""A small HTTP server that answers like the record API of Zenodo, and lies on request."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from BATNetLib.errors import BATNetError, NoModel
from BATNetLib.events import Events
from BATNetLib.models.fetching import fetch, plan_fetch, to_fetch
from BATNetLib.models.store import StoredModel, stored_models


class RecordServer:
    """Serves one record with one file. The attributes say how it misbehaves; ``requests`` is its diary."""

    def __init__(self, content: bytes, key: str = "model_weights.zip", record: str = "17540420") -> None:
        self.content, self.key, self.record = content, key, record
        self.md5 = hashlib.md5(content).hexdigest()
        self.size = len(content)
        self.tag = '"one"'
        self.ranges = True
        self.cut_after: list[int] = []  # bytes after which the next answers break off
        self.failures: list[int] = []  # status codes of the next answers for the file
        self.record_failures: list[int] = []
        self.record_text: bytes | None = None
        self.redirect: str | None = None
        self.wrong_range = False
        self.too_much = b""
        self.pause = 0.0
        self.file_url: str | None = None
        self.changes: dict[str, Any] = {}
        self.requests: list[tuple[str, str | None]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/api"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def json(self) -> bytes:
        file = {
            "id": "5f0d",
            "key": self.key,
            "size": self.size,
            "checksum": f"md5:{self.md5}",
            "links": {"self": self.file_url or f"{self.base}/records/{self.record}/files/{self.key}/content"},
            **self.changes,
        }
        metadata = {
            "title": "Weights of BATNet",
            "license": {"id": "cc-by-4.0"},
            "publication_date": "2025-11-06",
        }
        return json.dumps({"id": int(self.record), "metadata": metadata, "files": [file]}).encode()

    def file_requests(self) -> list[str | None]:
        """The Range header of each request for the file."""
        return [wanted for path, wanted in self.requests if path.endswith("/content")]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_arguments: object) -> None: ...

            def do_GET(self) -> None:
                server.requests.append((self.path, self.headers.get("Range")))
                try:
                    if self.path == f"/api/records/{server.record}":
                        self._record()
                    elif self.path.endswith("/content"):
                        self._file()
                    else:
                        self._status(404)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                self.close_connection = True

            def _status(self, code: int, **headers: str) -> None:
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def _record(self) -> None:
                if server.record_failures:
                    self._status(server.record_failures.pop(0))
                    return
                body = server.json() if server.record_text is None else server.record_text
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _file(self) -> None:
                if server.failures:
                    self._status(server.failures.pop(0))
                    return
                if server.redirect and not self.path.startswith("/moved"):
                    self._status(302, Location=server.redirect)
                    return
                start, status, total = 0, 200, len(server.content)
                wanted = self.headers.get("Range")
                unchanged = self.headers.get("If-Range", server.tag) == server.tag
                if wanted and server.ranges and unchanged:
                    start, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
                    if start >= total:
                        self._status(416)
                        return
                body = server.content[start:] + server.too_much
                self.send_response(status)
                self.send_header("ETag", server.tag)
                self.send_header("Content-Length", str(len(body)))
                if status == 206:
                    first = 0 if server.wrong_range else start
                    self.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
                self.end_headers()
                if server.cut_after:
                    body = body[: server.cut_after.pop(0)]
                for place in range(0, len(body), 4096):
                    self.wfile.write(body[place : place + 4096])
                    if server.pause:
                        self.wfile.flush()
                        time.sleep(server.pause)

        return Handler


def fetched(server: RecordServer, name: str = "batnet", events: Events | None = None) -> list[StoredModel]:
    entries = to_fetch(name)
    return fetch(plan_fetch(name, entries, server.base, events), events=events)


def refused(server: RecordServer, kind: type[BATNetError] = NoModel) -> BATNetError:
    with pytest.raises(kind) as caught:
        fetched(server)
    assert stored_models() == []
    return caught.value


def waiting(own_home: Path) -> list[str]:
    folder = own_home / "downloads"
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []
