"""A stranger's checkpoint runs nothing, whatever it says. Each attack is proved to bite elsewhere."""

from __future__ import annotations

import ast
import importlib
import os
import pickle
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from modelfiles import arrays_of, as_tensors, torch_pickle, write_torch_zip

from BATNetLib.errors import InputRefused
from BATNetLib.models import import_file, inert, pickles, read_weights
from BATNetLib.models.inert import Inert
from BATNetLib.models.pickles import PickleReader
from BATNetLib.models.store import stored_models


class Calls:
    """Pickles as a call of ``function`` with ``arguments``."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def touch(canary: Path) -> str:
    return f"open({str(canary)!r}, 'w').close()"


def attacks(canary: Path) -> dict[str, bytes]:
    """Pickles that make the file ``canary`` when Python's own unpickler reads them."""
    command = f'{sys.executable} -c "{touch(canary)}"'
    # Not __import__: PySide puts a function of its own there that cannot be pickled by name.
    chain = Calls(getattr, Calls(importlib.import_module, "os"), "system")
    deep: object = Calls(os.system, command)
    for _ in range(50):
        deep = {"state_dict": [deep]}
    made = {
        "system": Calls(os.system, command),
        "eval": Calls(eval, touch(canary)),
        "exec": Calls(exec, touch(canary)),
        "popen": Calls(subprocess.Popen, command, -1, None, None, None, None, None, True, True),
        "open": Calls(open, str(canary), "w"),
        "map": Calls(list, Calls(map, os.system, [command])),
        "nested": deep,
    }
    pickles = {name: pickle.dumps(value, 2) for name, value in made.items()}
    pickles["protocol 4"] = pickle.dumps(Calls(os.system, command), 4)
    pickles["after a proper state dict"] = pickle.dumps([{"a": 1}, Calls(eval, touch(canary))], 2)
    # A call of what another call returned: the unpickler calls whatever stands on its stack.
    text = command.encode()
    pickles["call of a call"] = (
        pickle.dumps(chain, 2)[:-1] + b"X" + struct.pack("<I", len(text)) + text + b"\x85R."
    )
    # BUILD with a state goes through __setstate__ or sets attributes; here it stands on a function.
    pickles["build"] = b"\x80\x02" + b"c__builtin__\neval\n" + b"X" + _text(touch(canary)) + b"\x85R}b."
    # OBJ and INST are calls in other words.
    pickles["inst"] = b"(X" + _text(touch(canary)) + b"i__builtin__\neval\n."
    pickles["obj"] = b"\x80\x02(c__builtin__\neval\nX" + _text(touch(canary)) + b"o."
    return pickles


def _text(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode()


NAMES = list(attacks(Path("x")))


def test_the_attacks_work_on_the_ordinary_unpickler(tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        (tmp_path / f"{number}.pkl").write_bytes(attacks(tmp_path / f"{number}.canary")[name])
    code = (
        "import pickle, sys, time\nfrom pathlib import Path\nfolder = Path(sys.argv[1])\n"
        "for path in sorted(folder.glob('*.pkl')):\n"
        "    try: print(path.name, pickle.loads(path.read_bytes()))\n"
        "    except Exception as error: print(path.name, repr(error))\n"
        "deadline = time.time() + 20\n"
        "def missing(): return len(list(folder.glob('*.pkl'))) - len(list(folder.glob('*.canary')))\n"
        "while missing() and time.time() < deadline: time.sleep(0.02)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True
    )
    silent = [name for number, name in enumerate(NAMES) if not (tmp_path / f"{number}.canary").exists()]
    assert silent == [], done.stdout + done.stderr


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory):
    """Notes every evaluation, process and import that happens while a file is read."""
    happened: list[str] = []
    watching = [False]
    wanted = (
        "exec",
        "compile",
        "os.system",
        "subprocess.Popen",
        "os.exec",
        "os.posix_spawn",
        "import",
        "pickle.find_class",
    )

    def hook(event: str, _arguments: tuple) -> None:
        if watching[0] and event in wanted:
            happened.append(event)

    sys.addaudithook(hook)  # it cannot be taken away again, so there is one
    tensors, data = as_tensors(arrays_of("MAMUNet"))
    folder = tmp_path_factory.mktemp("honest")
    # So that lazy imports of the library itself are done.
    read_weights(write_torch_zip(folder / "honest.pth", torch_pickle(tensors), data))
    yield happened, watching
    watching[0] = False


@pytest.mark.parametrize("container", ["zip", "old"])
@pytest.mark.parametrize("name", NAMES)
def test_the_attack_runs_nothing_here_and_is_refused(
    tmp_path: Path, watched, name: str, container: str
) -> None:
    happened, watching = watched
    canary = tmp_path / "canary"
    pickled = attacks(canary)[name]
    path = tmp_path / "w.pth"
    if container == "zip":
        write_torch_zip(path, pickled, {})
    else:
        head = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
        path.write_bytes(head + pickled + pickle.dumps([], 2))
    watching[0] = True
    try:
        with pytest.raises(InputRefused) as caught:
            import_file(path)
    finally:
        watching[0] = False
    assert happened == []
    assert caught.value.code in ("checkpoint-runs-code", "checkpoint-unreadable")
    if name not in ("inst", "obj"):
        assert caught.value.code == "checkpoint-runs-code"
        assert "Nothing of it was run" in caught.value.found
    assert not canary.exists()
    assert stored_models() == []


def test_an_attack_hidden_in_a_whole_state_dict_makes_the_file_refused(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    tensors, data = as_tensors(arrays_of("MAMUNet"))
    honest = torch_pickle({"state_dict": tensors})
    assert honest.endswith(b"s.")
    hidden = (
        honest[:-2] + b"s" + b"X" + _text("x") + b"c__builtin__\neval\nX" + _text(touch(canary)) + b"\x85Rs."
    )
    path = write_torch_zip(tmp_path / "w.pth", hidden, data)
    with pytest.raises(InputRefused) as caught:
        import_file(path)
    assert caught.value.code == "checkpoint-runs-code"
    assert not canary.exists()


def test_a_class_of_the_authors_stays_a_record(tmp_path: Path) -> None:
    # A module model.unet_mam that would bite when imported lies in the way.
    package = tmp_path / "model"
    package.mkdir()
    canary = tmp_path / "canary"
    (package / "__init__.py").write_text(touch(canary))
    (package / "unet_mam.py").write_text("class MAMUnet: pass")
    pickled = b"\x80\x02cmodel.unet_mam\nMAMUnet\n)\x81}X" + _text("training") + b"\x89sb."
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from BATNetLib.models.pickles import PickleReader\n"
        f"found = PickleReader({pickled!r}).read()\n"
        "assert (str(found.of), found.state) == ('model.unet_mam.MAMUnet', {'training': False})\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parents[3])
    assert not canary.exists()


def test_the_reader_is_written_without_any_means_to_call_import_or_set() -> None:
    means = {
        "eval",
        "exec",
        "compile",
        "__import__",
        "getattr",
        "setattr",
        "import_module",
        "globals",
        "vars",
    }
    for module in (pickles, inert):
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not names & (means | {"pickle", "importlib", "find_class", "__setstate__", "__reduce__"})


def test_a_state_that_would_replace_what_an_object_is_stays_data() -> None:
    pickled = b"\x80\x02cx\nY\n)\x81}X" + _text("__class__") + b"K\x01sX" + _text("state") + b"K\x02sb."
    found = PickleReader(pickled).read()
    assert type(found) is Inert
    assert found.state == {"__class__": 1, "state": 2}


# --- exhaustion: memory, time, the C stack


def read_quickly(pickled: bytes) -> str:
    """The code of the refusal; fails where reading takes long or much memory."""
    import tracemalloc

    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(InputRefused) as caught:
            PickleReader(pickled).read()
        assert time.perf_counter() - start < 20
        assert tracemalloc.get_traced_memory()[1] < 500e6
    finally:
        tracemalloc.stop()
    return caught.value.code


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02B" + struct.pack("<I", 2**32 - 1) + b"x",
        b"\x80\x04\x8e" + struct.pack("<Q", 2**63) + b"x",
        b"\x80\x02X" + struct.pack("<I", 2**31) + b"x",
        b"\x80\x02\x8b" + struct.pack("<i", 2**30) + b"x",
        b"\x80\x02\x8b" + struct.pack("<i", -5) + b"x",
        b"\x80\x05\x96" + struct.pack("<Q", 2**62),
        b"\x80\x02cos",
        b"\x80\x02" + b"c" + b"a" * 100_000 + b"\n",
        b"\x80\x02R.",
        b"\x80\x02(((.",
        b"\x80\x02h\x05.",
        b"\x80\x02K\x01K\x02R.X",
        b"\x80\x02t.",
        b"\x80\x02}(K\x01u.",
        b"\x80\x02X\x02\x00\x00\x00\xff\xfe.",
        b"I" + b"9" * 100_000 + b"\n.",
        b"\x80\x02",
        b"",
    ],
)
def test_a_broken_pickle_is_refused_at_once(pickled: bytes) -> None:
    if pickled == b"\x80\x02K\x01K\x02R.X":  # calling a number gives a record of nothing, not an error
        assert isinstance(PickleReader(pickled).read(), Inert)
        return
    assert read_quickly(pickled) == "checkpoint-unreadable"


@pytest.fixture
def few_instructions(monkeypatch: pytest.MonkeyPatch) -> int:
    """The limit at a tenth, so that it is reached sooner."""
    assert pickles.MOST_INSTRUCTIONS == 1_000_000
    monkeypatch.setattr(pickles, "MOST_INSTRUCTIONS", 100_000)
    return 100_000


def test_a_pickle_of_endless_instructions_is_refused(few_instructions: int) -> None:
    assert read_quickly(b"\x80\x02" + b"}0" * few_instructions) == "checkpoint-too-large"


def test_one_list_copied_over_and_over_is_refused(few_instructions: int) -> None:
    pairs = b"](" + b"K\x01K\x02\x86" * 2_000 + b"eq\x00"
    again = b"ccollections\nOrderedDict\nh\x00\x85R0" * 1_000
    assert read_quickly(b"\x80\x02" + pairs + again) == "checkpoint-too-large"
    state = b"}(" + b"".join(b"M" + struct.pack("<H", n) + b"N" for n in range(2_000)) + b"uq\x00"
    assert read_quickly(b"\x80\x02cx\nY\n)\x81" + state + b"b" + b"h\x00b" * 1_000) == "checkpoint-too-large"


def test_numbers_chosen_to_collide_do_not_slow_it_down() -> None:
    prime = 2**61 - 1
    keys = b"".join(b"\x8a\x0b" + (prime * n).to_bytes(11, "little") + b"N" for n in range(1, 60_000))
    start = time.perf_counter()
    assert PickleReader(b"\x80\x02}(" + keys + b"u.").read() == {}
    assert time.perf_counter() - start < 5


def test_deep_nesting_neither_crashes_nor_hangs() -> None:
    # In a process of its own: an exhausted C stack would take the tests with it.
    code = (
        "import sys\nfrom BATNetLib.models.pickles import PickleReader\n"
        "from BATNetLib.models.checkpoints import state_dicts\nfrom BATNetLib.errors import InputRefused\n"
        "steps = (b'\\x85', b']0(h\\x00', b'}0(')\n"
        "nested = [b'\\x80\\x02)q\\x00' + step * 100_000 + b'.' for step in steps]\n"
        "as_key = b'\\x80\\x02})' + b'\\x85' * 100_000 + b'Ns.'\n"
        "for data in (*nested, as_key):\n"
        "    try: assert state_dicts(PickleReader(data).read()) == []\n"
        "    except InputRefused: pass\n"
        "print('alive')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[3],
    )
    assert done.stdout.strip() == "alive", done.stderr[-500:]


def test_a_tree_that_refers_to_itself_is_walked_once() -> None:
    from BATNetLib.models.checkpoints import state_dicts

    # Each level holds the one below ten times: 10^60 paths, 60 objects.
    level = b"}q\x00"
    for n in range(1, 60):
        level += (
            b"}("
            + b"".join(b"K" + bytes([i]) + b"h" + bytes([n - 1]) for i in range(10))
            + b"uq"
            + bytes([n])
        )
    start = time.perf_counter()
    assert state_dicts(PickleReader(b"\x80\x02" + level + b".").read()) == []
    loop = b"\x80\x02}q\x00X" + _text("state_dict") + b"h\x00s."
    assert state_dicts(PickleReader(loop).read()) == []
    assert time.perf_counter() - start < 2


# --- tensors that lie about their numbers


def tensor(
    kind: str, numel: int, offset: int, shape: tuple, strides: tuple, data: bytes, path: Path, **zip_options
):
    from modelfiles import _Storage, _Tensor

    tensors, contents = as_tensors(arrays_of("MAMUNet"))
    tensors["conv10.bias"] = _Tensor(_Storage(kind, "lie", numel), offset, shape, strides)
    return write_torch_zip(path, torch_pickle(tensors), {**contents, "lie": data}, **zip_options)


@pytest.mark.parametrize(
    ("kind", "numel", "offset", "shape", "strides", "size"),
    [
        ("FloatStorage", 2, 1, (2,), (1,), 8),  # reaches past the end
        ("FloatStorage", 2, 0, (2,), (5,), 8),  # strides past the end
        ("FloatStorage", 2, 2**60, (2,), (1,), 8),  # far past the end
        ("FloatStorage", 1000, 0, (2,), (1,), 8),  # announces more numbers than it has
        ("FloatStorage", 2, 0, (2,), (1,), 4000),  # has more than it announces
        ("FloatStorage", 2**61, 0, (2,), (1,), 8),  # announces absurdly many
        ("QInt8Storage", 2, 0, (2,), (1,), 2),  # a type of no weights
        ("FloatStorage", 2, 0, (2,), (-1,), 8),  # runs backwards
        ("FloatStorage", -1, 0, (2,), (1,), 8),
    ],
)
def test_a_tensor_that_lies_about_its_numbers_is_refused(
    tmp_path: Path, kind: str, numel: int, offset: int, shape: tuple, strides: tuple, size: int
) -> None:
    path = tensor(kind, numel, offset, shape, strides, bytes(size), tmp_path / "w.pth")
    with pytest.raises(InputRefused) as caught:
        import_file(path)
    assert caught.value.code == "checkpoint-unreadable"


def test_a_tensor_of_absurd_size_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    # A stride of 0 makes any size out of one number.
    path = tensor("FloatStorage", 1, 0, (10**6, 10**6), (0, 0), bytes(4), tmp_path / "w.pth")
    with pytest.raises(InputRefused) as caught:
        import_file(path)
    assert caught.value.code == "weights-differ"


def test_a_bomb_among_the_parts_of_a_checkpoint_is_refused(tmp_path: Path) -> None:
    numel = 10**6
    path = tensor(
        "FloatStorage",
        numel,
        0,
        (2,),
        (1,),
        bytes(4 * numel),
        tmp_path / "w.pth",
        compression=zipfile.ZIP_DEFLATED,
    )
    assert path.stat().st_size < 200_000
    with pytest.raises(InputRefused) as caught:
        import_file(path)
    assert "compressed" in caught.value.found


def test_an_absurd_table_of_contents_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    entry = b"PK\1\2" + bytes(42)
    count = 500_000
    end = struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, count * len(entry), 0, 0)
    path.write_bytes(entry * count + b"PK\5\6" + end)
    with pytest.raises(InputRefused) as caught:
        import_file(path)
    assert caught.value.code in ("archive-too-large", "archive-broken")


def test_numbers_in_place_of_a_safetensors_header_are_refused(tmp_path: Path) -> None:
    header = b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}'
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(InputRefused):
        import_file(tmp_path / "w.safetensors")
