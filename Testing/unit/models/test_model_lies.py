"""Fetching the published weights from a server that lies: nothing is stored, nothing is left."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest
from modelfiles import write_locked_zip
from recordserver import fetched, refused, waiting

from BATNetLib.errors import InputRefused, NoModel, UsageError
from BATNetLib.models import download
from BATNetLib.models.fetching import plan_fetch, to_fetch

# --- lies


def test_a_wrong_md5_is_refused_and_the_file_thrown_away(serve, own_home: Path) -> None:
    server = serve()
    server.md5 = "0" * 32
    error = refused(server)
    assert error.code == "download-checksum"
    assert waiting(own_home) == []
    assert len(server.file_requests()) == 1


def test_more_than_the_record_states_is_refused(serve) -> None:
    server = serve()
    server.too_much = bytes(200_000)
    error = refused(server)
    assert "sends more than the record states" in error.found


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "other.zip"},
        {"checksum": "sha1:abc"},
        {"checksum": None},
        {"size": "12"},
        {"size": -1},
        {"size": 1 << 40},
        {"size": True},
        {"links": {}},
        {"links": {"self": "file:///etc/passwd"}},
        {"links": {"self": "ftp://example.org/x"}},
        {"links": {"self": 7}},
    ],
)
def test_a_record_of_another_form_is_refused(serve, changes: dict) -> None:
    server = serve()
    server.changes = changes
    error = refused(server)
    assert error.code == "record-unreadable"
    assert server.file_requests() == []


@pytest.mark.parametrize(
    "text", [b"", b"<html>", b"[]", b"{}", b'{"files": 3}', b'{"files": [3]}', b"[" * 100_000]
)
def test_an_answer_that_is_no_record_is_refused(serve, text: bytes) -> None:
    server = serve()
    server.record_text = text
    assert refused(server).code == "record-unreadable"


def test_an_endless_record_is_refused(serve) -> None:
    server = serve()
    server.record_text = b" " * (5 << 20)
    assert "absurdly large" in refused(server).found


def test_a_missing_record_is_refused(serve) -> None:
    server = serve()
    server.record = "1"
    assert refused(server).code == "download-refused"


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,x"])
def test_a_redirect_to_anything_but_http_is_refused(serve, target: str) -> None:
    server = serve()
    server.redirect = target
    assert refused(server).code == "download-redirect"


def test_a_redirect_to_http_is_followed_with_the_range(serve) -> None:
    server = serve()
    server.redirect = server.base.replace("/api", "/moved/content")
    server.cut_after = [10_000]
    assert len(fetched(server)) == 2
    assert server.requests[-1] == ("/moved/content", "bytes=10000-")


def test_a_redirect_from_https_back_to_http_is_refused() -> None:
    request = urllib.request.Request("https://zenodo.org/api/x")
    with pytest.raises(NoModel) as caught:
        download._Redirects().redirect_request(request, None, 302, "", {}, "http://zenodo.org/api/x")
    assert caught.value.code == "download-redirect"


def test_redirects_in_circles_are_refused(serve) -> None:
    server = serve()
    server.redirect = f"{server.base}/again/content"
    assert refused(server).code == "download-redirect"


@pytest.mark.parametrize("base", ["file:///tmp", "ftp://x", "zenodo.org", "http://", "javascript:alert(1)"])
def test_an_address_that_is_not_http_is_wrong_usage(serve, base: str) -> None:
    with pytest.raises(UsageError) as caught:
        plan_fetch("batnet", to_fetch("batnet"), base)
    assert caught.value.code == "url-refused"


def archive_of(tmp_path: Path, members: dict[str, bytes], **options: object) -> bytes:
    return write_locked_zip(tmp_path / "lie.zip", members, **options).read_bytes()


def test_archives_that_lie_are_refused_and_nothing_is_left(
    serve, members, own_home: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.txt"
    lies = {
        "archive-path-escapes": archive_of(tmp_path, {**members, f"../../../..{outside}": b"x"}),
        "archive-member-missing": archive_of(tmp_path, dict(list(members.items())[:1])),
        "archive-password": archive_of(tmp_path, members, password=b"other"),
        "archive-bomb": archive_of(tmp_path, {**members, "zeros": bytes(2_000_000)}),
        "archive-broken": b"PK\x03\x04 not an archive",
    }
    for code, content in lies.items():
        assert refused(serve(content), InputRefused).code == code
        assert waiting(own_home) == []
        folder = own_home / "models"
        assert not folder.exists() or list(folder.iterdir()) == []
    assert not outside.exists()


def test_an_archive_with_a_hostile_checkpoint_stores_neither_model(
    serve, members, own_home: Path, tmp_path: Path
) -> None:
    import pickle

    canary = tmp_path / "canary"

    class Bites:
        def __reduce__(self):
            return eval, (f"open({str(canary)!r}, 'w')",)

    from modelfiles import write_torch_zip

    bad = write_torch_zip(tmp_path / "bad.pth", pickle.dumps(Bites(), 2), {}).read_bytes()
    content = archive_of(tmp_path, {**members, "model_weights/ce_batcis_model.pth": bad})
    assert refused(serve(content), InputRefused).code == "checkpoint-runs-code"
    assert not canary.exists()
    assert waiting(own_home) == []


def test_models_of_swapped_stages_are_refused(serve, members, tmp_path: Path) -> None:
    swapped = dict(zip(members, reversed(list(members.values())), strict=True))
    assert refused(serve(archive_of(tmp_path, swapped)), InputRefused).code == "wrong-stage"
