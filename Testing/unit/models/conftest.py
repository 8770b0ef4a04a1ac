"""Every test of models works in a folder of models of its own, and reaches no network but its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from modelfiles import WIDTH, narrow_registry, published_members, write_locked_zip
from recordserver import RecordServer

from BATNetLib.models import download


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("BATNET_HOME", str(home))
    for name in (
        "BATNET_RESOURCES",
        "BATNET_RECORD_URL",
        "http_proxy",
        "https_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    return home


@pytest.fixture(scope="session")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The two published checkpoints at the width of these tests, by their names in the archive."""
    return published_members(tmp_path_factory.mktemp("members"), WIDTH)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory, members: dict[str, bytes]) -> bytes:
    return write_locked_zip(tmp_path_factory.mktemp("published") / "a.zip", members).read_bytes()


@pytest.fixture
def serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: bytes
) -> Iterator[Callable[..., RecordServer]]:
    narrow_registry(tmp_path, monkeypatch)
    monkeypatch.setattr(download, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(download, "_CHUNK", 8192)
    servers: list[RecordServer] = []

    def start(content: bytes = archive) -> RecordServer:
        servers.append(RecordServer(content))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
