"""Fetching the published weights over lines and from servers as they are: slow, broken, changing."""

from __future__ import annotations

import socket
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from modelfiles import arrays_of, write_locked_zip
from recordserver import fetched, refused, waiting

from BATNetLib.errors import Cancelled, NoModel, OutputRefused, UsageError
from BATNetLib.events import Events
from BATNetLib.models import download
from BATNetLib.models.fetching import fetch, plan_fetch, to_fetch
from BATNetLib.models.store import stored_models
from BATNetLib.models.weights import read_safetensors

# --- an honest server


def test_both_models_arrive_number_for_number_and_nothing_else_is_left(serve, own_home: Path) -> None:
    server = serve()
    stored = fetched(server)
    assert [m.entry.name for m in stored] == ["batnet-adipose", "batnet-brown"]
    for model, architecture in zip(stored, ("MAMUNet", "CEBATCls"), strict=True):
        found, wanted = read_safetensors(model.path.read_bytes()), arrays_of(architecture)
        assert all(np.array_equal(found[key], wanted[key]) for key in wanted)
        assert model.entry.licence == "cc-by-4.0"
        assert server.md5 in model.entry.source.text
    assert waiting(own_home) == []
    assert sorted(p.suffix for p in (own_home / "models").iterdir()) == [
        ".json",
        ".json",
        ".safetensors",
        ".safetensors",
    ]
    assert to_fetch("batnet") == ()


def test_the_plan_says_what_from_where_how_much_and_under_which_licence(serve) -> None:
    server = serve()
    plan = plan_fetch("batnet", to_fetch("batnet"), server.base).as_dict()
    assert plan["models"] == ["batnet-adipose", "batnet-brown"]
    assert (plan["file"], plan["bytes"], plan["licence"]) == ("model_weights.zip", server.size, "cc-by-4.0")
    assert plan["from"].startswith("127.0.0.1:")
    assert any("CN116993666B" in patent for patent in plan["patents"])
    assert server.file_requests() == []


def test_one_model_of_the_set_can_be_fetched_alone(serve) -> None:
    assert [m.entry.name for m in fetched(serve(), "batnet-brown")] == ["batnet-brown"]
    assert [entry.name for entry in to_fetch("batnet")] == ["batnet-adipose"]


def test_the_mirror_can_be_named_in_the_environment(serve, monkeypatch) -> None:
    server = serve()
    monkeypatch.setenv("BATNET_RECORD_URL", server.base + "/")
    assert plan_fetch("batnet", to_fetch("batnet")).remote.size == server.size


def test_progress_is_told_in_bytes(serve) -> None:
    told: list[tuple[str, int, int | None]] = []

    class Listens(Events):
        def on_stage(self, stage, finished):
            told.append((stage.name, stage.done, stage.total))

    server = serve()
    fetched(server, events=Listens())
    loading = [
        done for name, done, total in told if name == "download model_weights.zip" and total == server.size
    ]
    assert loading[0] == 0
    assert loading == sorted(loading)
    assert loading[-1] == server.size
    assert len(loading) > 4
    assert {"ask the record", "check download", "unpack", "read weights", "store model"} <= {
        n for n, _, _ in told
    }


# --- a bad line


def test_a_download_that_breaks_off_goes_on_where_it_stopped(serve) -> None:
    server = serve()
    server.cut_after = [10_000, 7_000]
    fetched(server)
    assert server.file_requests() == [None, "bytes=10000-", "bytes=17000-"]


def test_a_broken_download_is_resumed_by_the_next_fetch(serve, own_home: Path, monkeypatch) -> None:
    monkeypatch.setattr(download, "TRIES", 1)
    server = serve()
    server.cut_after = [12_345]
    error = refused(server)
    assert error.code == "download-no-connection"
    assert "broke off" in error.found
    assert "browser" in error.remedy
    assert "https://zenodo.org/records/17540420" in error.remedy
    assert waiting(own_home) == ["model_weights.zip.part", "model_weights.zip.part.json"]
    assert len(fetched(server)) == 2
    assert server.file_requests() == [None, "bytes=12345-"]


def test_a_server_that_ignores_the_range_sends_all_again(serve) -> None:
    server = serve()
    server.ranges = False
    server.cut_after = [10_000]
    assert len(fetched(server)) == 2
    assert server.file_requests() == [None, "bytes=10000-"]


def test_a_server_that_continues_at_the_wrong_place_is_asked_for_all(serve) -> None:
    server = serve()
    server.wrong_range = True
    server.cut_after = [10_000]
    assert len(fetched(server)) == 2
    assert server.file_requests() == [None, "bytes=10000-", None]


def test_a_file_that_changed_meanwhile_is_taken_from_its_start(
    serve, members, own_home: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(download, "TRIES", 1)
    server = serve()
    server.cut_after = [10_000]
    refused(server)
    other = {f"w/{k.split('/')[1]}": v for k, v in members.items()}
    new = serve(write_locked_zip(tmp_path / "new.zip", other).read_bytes())
    assert new.content != server.content
    assert len(fetched(new)) == 2
    assert new.file_requests() == [None]


def test_a_part_that_was_spoilt_is_found_out_and_taken_again(serve, own_home: Path, monkeypatch) -> None:
    monkeypatch.setattr(download, "TRIES", 1)
    server = serve()
    server.cut_after = [10_000]
    refused(server)
    part = own_home / "downloads" / "model_weights.zip.part"
    part.write_bytes(bytes(10_000))
    assert len(fetched(server)) == 2
    assert server.file_requests() == [None, "bytes=10000-", None]


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"file": 3}'])
def test_a_part_of_who_knows_what_is_thrown_away(serve, own_home: Path, note: str) -> None:
    server = serve()
    folder = own_home / "downloads"
    folder.mkdir(parents=True)
    (folder / "model_weights.zip.part").write_bytes(b"x" * 500)
    (folder / "model_weights.zip.part.json").write_text(note)
    assert len(fetched(server)) == 2
    assert server.file_requests() == [None]


def test_a_server_that_stumbles_is_asked_again(serve) -> None:
    server = serve()
    server.record_failures = [503]
    server.failures = [500, 502, 429]
    assert len(fetched(server)) == 2
    assert len(server.file_requests()) == 4


def test_a_server_that_keeps_failing_is_given_up_in_words(serve) -> None:
    server = serve()
    server.failures = [500] * 50
    error = refused(server)
    assert (error.code, error.exit_code) == ("download-no-connection", 5)
    assert "failed 5 times: the server answers 500" in error.found


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_of_the_server_is_final(serve, status: int) -> None:
    server = serve()
    server.failures = [status] * 5
    error = refused(server)
    assert error.code == "download-refused"
    assert str(status) in error.found
    assert len(server.file_requests()) == 1


def test_nobody_listening_is_said_at_once(serve) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = time.perf_counter()
    with pytest.raises(NoModel) as caught:
        plan_fetch("batnet", to_fetch("batnet"), f"http://127.0.0.1:{port}/api")
    assert "the connection is refused" in caught.value.found
    assert "batnet models import model_weights.zip" in caught.value.remedy
    assert time.perf_counter() - start < 5


def test_a_silent_server_is_given_up_after_its_time(serve, monkeypatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.1)
    monkeypatch.setattr(download, "TRIES", 2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(NoModel) as caught:
            plan_fetch("batnet", to_fetch("batnet"), f"http://127.0.0.1:{silent.getsockname()[1]}/api")
    assert "does not answer in time" in caught.value.found


def test_a_proxy_of_the_environment_is_used(serve, monkeypatch) -> None:
    server = serve()
    asked: list[str] = []
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()

    def proxy() -> None:
        connection, _ = listening.accept()
        asked.append(connection.recv(4096).decode().splitlines()[0])
        body = server.json()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        connection.close()

    threading.Thread(target=proxy, daemon=True).start()
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{listening.getsockname()[1]}")
    monkeypatch.setenv("no_proxy", "")
    plan = plan_fetch("batnet", to_fetch("batnet"), "http://zenodo.invalid/api")
    listening.close()
    assert asked == ["GET http://zenodo.invalid/api/records/17540420 HTTP/1.1"]
    assert plan.remote.size == server.size


# --- cancelling


def test_cancelling_stops_within_a_second_and_keeps_what_has_arrived(serve, own_home: Path) -> None:
    class StopsOnTheWay(Events):
        asked = 0.0

        def on_stage(self, stage, finished):
            if stage.name.startswith("download") and stage.done and not self.asked:
                self.asked = time.perf_counter()
                self.cancel()

    server = serve()
    server.pause = 0.05
    events = StopsOnTheWay()
    with pytest.raises(Cancelled):
        fetched(server, events=events)
    assert time.perf_counter() - events.asked < 1
    kept = (own_home / "downloads" / "model_weights.zip.part").stat().st_size
    assert 0 < kept < server.size
    assert stored_models() == []
    server.pause = 0
    assert len(fetched(server)) == 2
    assert server.file_requests() == [None, f"bytes={kept}-"]


def test_cancelling_reaches_a_server_that_says_nothing(serve) -> None:
    events = Events()
    threading.Timer(0.2, events.cancel).start()
    start = time.perf_counter()
    with socket.socket() as silent, pytest.raises(Cancelled):
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        plan_fetch("batnet", to_fetch("batnet"), f"http://127.0.0.1:{silent.getsockname()[1]}/api", events)
    assert time.perf_counter() - start < 1.2


def test_cancelling_while_unpacking_keeps_the_download(serve, own_home: Path) -> None:
    class StopsInUnpacking(Events):
        def on_stage(self, stage, finished):
            if stage.name == "unpack":
                self.cancel()

    server = serve()
    with pytest.raises(Cancelled):
        fetched(server, events=StopsInUnpacking())
    assert stored_models() == []
    assert list((own_home / "models").iterdir()) == []
    assert len(fetched(server)) == 2
    assert len(server.file_requests()) == 1


def test_a_download_that_needs_pyzipper_waits_for_it(serve, own_home: Path, monkeypatch) -> None:
    server = serve()
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pyzipper", None)
        assert refused(server).code == "pyzipper-missing"
    assert "model_weights.zip.part" in waiting(own_home)
    assert len(fetched(server)) == 2
    assert len(server.file_requests()) == 1


# --- room and rights


def test_a_full_disk_is_told_before_anything_is_downloaded(serve, monkeypatch) -> None:
    import shutil

    server = serve()
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: usage._replace(free=1000))
    assert refused(server, OutputRefused).code == "disk-full"
    assert server.file_requests() == []


def test_a_folder_that_cannot_be_written_is_refused_in_words(serve, own_home: Path) -> None:
    server = serve()
    own_home.mkdir()
    (own_home / "downloads").write_text("a file where the folder should be")
    error = refused(server, OutputRefused)
    assert error.code == "download-unwritable"
    assert str(own_home) not in str(error)


@pytest.mark.parametrize("name", ["demo", "demo-brown", "nothing"])
def test_what_is_not_published_cannot_be_fetched(serve, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        to_fetch(name)
    assert "batnet" in caught.value.wanted


def test_fetching_again_needs_a_word(serve, tmp_path: Path) -> None:
    server = serve()
    fetched(server)
    assert to_fetch("batnet") == ()
    assert len(to_fetch("batnet", replace_existing=True)) == 2
    entries = to_fetch("batnet", replace_existing=True)
    again = fetch(plan_fetch("batnet", entries, server.base), replace_existing=True)
    assert [m.entry.name for m in again] == ["batnet-adipose", "batnet-brown"]
    assert len(stored_models()) == 2
