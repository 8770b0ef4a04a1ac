"""Downloads one file over http(s): resumed where it broke off, checked against its MD5, cancellable at once.

Only the standard library; the proxy comes from the environment, as urllib reads it. What has arrived lies
in ``<name>.part`` with a note beside it of what it is a part of; a part of anything else is thrown away.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.client
import json
import queue
import socket
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from email.message import Message
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import NoModel, OutputRefused, UsageError
from ..events import Events
from .printable import printable

#: Seconds without a byte after which a connection is given up and tried again.
TIMEOUT = 30.0
#: Tries in a row that bring nothing; a try that brings bytes starts the count again. A machine that is not
#: connected at all is found out sooner.
TRIES = 5
TRIES_UNCONNECTED = 2
_MOST_TRIES = 60
#: Seconds before the second try; doubled for each further one.
FIRST_WAIT = 1.0
_LONGEST_WAIT = 60.0
_CHUNK = 1 << 18
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class RemoteFile:
    """A file to download; ``md5`` in hexadecimal and ``size`` in bytes as its record states them."""

    name: str
    url: str
    size: int
    md5: str


def check_url(url: str) -> str:
    """``url`` if it is an http or https address of a host. Raises ``UsageError``."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            "url-refused",
            "The address is not one of http or https.",
            "An address such as https://zenodo.org/api is wanted.",
            "Give another with --url, or import a file on this machine with: batnet models import FILE",
        )
    return url


class _TryAgain(Exception):
    """This try failed in a way that may pass.

    ``wait``: seconds wished by the server; ``afresh``: what has arrived is of no use to the next try.
    """

    def __init__(self, why: str, wait: float = 0.0, tries: int | None = None, afresh: bool = False) -> None:
        super().__init__(why)
        self.why, self.wait, self.tries, self.afresh = why, wait, tries or TRIES, afresh


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to http(s) only, and never from https back to http."""

    max_redirections = 5

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        old, new = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme == "http"):
            raise _failed(
                "download-redirect", "The server sends the download on to an address that is not safe."
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@functools.lru_cache(maxsize=1)
def _certificates() -> ssl.SSLContext:
    """What tells trusted servers; reading the machine's certificates takes longer than a small answer."""
    return ssl.create_default_context()


def _opener() -> urllib.request.OpenerDirector:
    # Put together by hand: the usual one also opens file:, ftp: and data: addresses.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=_certificates()),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


class _Transfer:
    """One request, read in a thread of its own so that the caller can stop within a fraction of a second."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        agent = {"User-Agent": f"BATNet-for-Slicer/{__version__}", **headers}
        self._request = urllib.request.Request(check_url(url), headers=agent)
        self._items: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=8)
        self._stopped = threading.Event()
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        try:
            with _opener().open(self._request, timeout=TIMEOUT) as response:
                self._put("head", (response.status, response.headers))
                while not self._stopped.is_set() and (data := response.read(_CHUNK)):
                    self._put("data", data)
            self._put("end", None)
        except Exception as error:
            self._put("error", error)

    def _put(self, kind: str, value: Any) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                self._items.put((kind, value), timeout=0.2)
                return

    def _get(self, events: Events) -> tuple[str, Any]:
        while True:
            events.check()
            with contextlib.suppress(queue.Empty):
                return self._items.get(timeout=0.2)

    def head(self, events: Events) -> tuple[int, Message]:
        kind, value = self._get(events)
        if kind == "error":
            raise _explained(value)
        return value

    def chunks(self, events: Events) -> Iterator[bytes]:
        while True:
            kind, value = self._get(events)
            if kind == "end":
                return
            if kind == "error":
                raise _explained(value)
            yield value

    def close(self) -> None:
        self._stopped.set()


def _explained(error: Exception) -> Exception:
    """What a failed request means: worth another try, or final in words."""
    if isinstance(error, NoModel):
        return error
    if isinstance(error, urllib.error.HTTPError):
        if error.code in _PASSING:
            return _TryAgain(f"the server answers {error.code}", _wished_wait(error.headers))
        if error.code == 416:
            return _TryAgain("the server does not have the rest of the file", afresh=True)
        if 300 <= error.code < 400:
            return _failed(
                "download-redirect", "The server sends the download on to where it cannot be followed."
            )
        return _failed(
            "download-refused", f"The server answers {error.code} ({printable(error.reason, 60)})."
        )
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return _failed(
            "download-certificate",
            "The server's certificate is not trusted; a proxy that inspects connections can be the cause.",
            "Ask your computer department for its certificate file and set SSL_CERT_FILE to it.",
        )
    if isinstance(error, (urllib.error.URLError, OSError, http.client.HTTPException)):
        unconnected = isinstance(reason, (socket.gaierror, ConnectionRefusedError))
        return _TryAgain(_in_words(reason), tries=TRIES_UNCONNECTED if unconnected else TRIES)
    return error


def _in_words(reason: Any) -> str:
    if isinstance(reason, TimeoutError):
        return "the server does not answer in time"
    if isinstance(reason, ConnectionRefusedError):
        return "the connection is refused"
    if isinstance(reason, (http.client.IncompleteRead, ConnectionError)):
        return "the connection broke off"
    if isinstance(reason, socket.gaierror):
        return "the name of the server cannot be found"
    return "the connection failed"


def _wished_wait(headers: Message | None) -> float:
    value = headers.get("Retry-After", "") if headers else ""
    return min(float(value), _LONGEST_WAIT) if value.isdigit() else 0.0


def _failed(code: str, found: str, remedy: str | None = None) -> NoModel:
    return NoModel(
        code,
        found,
        "The download is wanted from the place that the record names.",
        remedy
        or "Try again later. Or download the file in a browser, on any machine, and give it to: "
        "batnet models import FILE",
    )


def _tries(events: Events) -> Iterator[_Tries]:
    counter = _Tries(events)
    while counter.total < _MOST_TRIES:
        counter.total += 1
        yield counter


class _Tries:
    """Counts failed tries and waits between them."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self.total = 0
        self.in_vain = 0

    def failed(self, error: _TryAgain, brought_bytes: bool) -> None:
        self.in_vain = 1 if brought_bytes else self.in_vain + 1
        if self.in_vain >= error.tries or self.total >= _MOST_TRIES:
            raise _failed(
                "download-no-connection", f"The download failed {self.total} times: {error.why}."
            ) from error
        until = time.monotonic() + max(error.wait, FIRST_WAIT * 2 ** (self.in_vain - 1))
        while (left := until - time.monotonic()) > 0:
            self._events.check()
            time.sleep(min(left, 0.2))


def get_json(url: str, events: Events, limit: int = 4 << 20) -> Any:
    """A JSON answer. Raises ``NoModel``: ``download-*`` as ``download`` does, ``record-unreadable``."""
    for attempt in _tries(events):
        transfer = _Transfer(url, {"Accept": "application/json"})
        try:
            transfer.head(events)
            data = b""
            for chunk in transfer.chunks(events):
                data += chunk
                if len(data) > limit:
                    raise _failed("record-unreadable", "The answer of the server is absurdly large.")
            return json.loads(data.decode("utf-8"))
        except _TryAgain as error:
            attempt.failed(error, brought_bytes=False)
        except (ValueError, RecursionError) as error:
            raise _failed(
                "record-unreadable", "The server's answer is not the record that was asked for."
            ) from error
        finally:
            transfer.close()
    raise AssertionError("a failed try either waits or raises")


def download(remote: RemoteFile, folder: Path, events: Events) -> Path:
    """Download into ``folder``; returns the path of the whole, checked file (still named ``.part``).

    Raises ``NoModel``: ``download-no-connection``, ``download-refused``, ``download-redirect``,
    ``download-certificate``, ``download-checksum``; ``OutputRefused`` where it cannot be written;
    ``Cancelled``, which keeps what has arrived for the next time.
    """
    try:
        part = _Part(folder, remote)
        for checked_before in (False, True):
            resumed = part.size > 0
            _fill(part, remote, events)
            if part.md5(events) == remote.md5:
                return part.path
            part.discard()
            # An old part may belong to a file that has changed on the server; a fresh one may not.
            if checked_before or not resumed:
                break
    except OSError as error:
        raise OutputRefused(
            "download-unwritable",
            f"{remote.name} cannot be written to this machine's disk.",
            f"Room for {remote.size / 1e6:.0f} MB is wanted.",
            "Free some room or set BATNET_HOME to another folder. What has arrived is kept.",
        ) from error
    raise _failed(
        "download-checksum", f"{remote.name} arrived damaged: its MD5 is not the one its record states."
    )


def _fill(part: _Part, remote: RemoteFile, events: Events) -> None:
    with events.stage(f"download {remote.name}", remote.size) as progress:
        progress.done = part.size
        for attempt in _tries(events):
            before = part.size
            if before == remote.size:
                return
            transfer = _Transfer(remote.url, part.range_headers())
            try:
                part.begin(*transfer.head(events))
                progress.done = part.size
                with part.path.open("ab") as file:
                    for chunk in transfer.chunks(events):
                        file.write(chunk)
                        progress.advance(len(chunk))
                        if progress.done > remote.size:
                            break
                if part.size > remote.size:
                    raise _TryAgain("the server sends more than the record states", afresh=True)
                if part.size < remote.size:
                    raise _TryAgain("the connection broke off")
            except _TryAgain as error:
                if error.afresh:
                    part.discard()
                attempt.failed(error, brought_bytes=part.size > before)
            finally:
                transfer.close()


class _Part:
    """What has arrived of a file, with a note of which file it is."""

    def __init__(self, folder: Path, remote: RemoteFile) -> None:
        self.path = folder / f"{remote.name}.part"
        self._note = folder / f"{remote.name}.part.json"
        self._remote = remote
        self._tag: str | None = None
        noted = {}
        with contextlib.suppress(OSError, ValueError):
            noted = json.loads(self._note.read_text(encoding="utf-8"))
        if isinstance(noted, dict) and noted.get("file") == asdict(remote) and self.size <= remote.size:
            tag = noted.get("tag")
            self._tag = tag if isinstance(tag, str) and tag.isascii() and tag.isprintable() else None
        else:
            self.discard()

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def discard(self) -> None:
        self._tag = None
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def range_headers(self) -> dict[str, str]:
        if not self.size:
            return {}
        headers = {"Range": f"bytes={self.size}-"}
        # The server then sends all of the file where it has changed since.
        return {**headers, "If-Range": self._tag} if self._tag else headers

    def begin(self, status: int, headers: Message) -> None:
        """Keep what is there when the answer continues it, else begin anew; note what file it is."""
        expected = f"bytes {self.size}-{self._remote.size - 1}/{self._remote.size}"
        if self.size and not (status == 206 and headers.get("Content-Range", "") == expected):
            self.discard()
            if status == 206:
                raise _TryAgain("the server does not continue the file where it broke off")
        tag = headers.get("ETag", "")
        self._tag = tag if tag.startswith('"') and tag.isascii() and tag.isprintable() else None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        note = {"file": asdict(self._remote), "tag": self._tag}
        self._note.write_text(json.dumps(note), encoding="utf-8")

    def md5(self, events: Events) -> str:
        # MD5 is what the record gives; it guards against damage, the connection guards the rest.
        digest = hashlib.md5(usedforsecurity=False)
        with events.stage("check download"), self.path.open("rb") as file:
            while block := file.read(1 << 20):
                events.check()
                digest.update(block)
        return digest.hexdigest()
