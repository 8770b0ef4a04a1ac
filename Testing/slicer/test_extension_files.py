"""What Slicer builds, installs and lists: nothing is forgotten, and what is installed runs."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import qt

ROOT = Path(__file__).resolve().parents[2]
EXTENSION = ROOT / "BATNetExtension"
MODULES = sorted(path.parent for path in EXTENSION.glob("*/CMakeLists.txt"))
STANDARD = set(sys.stdlib_module_names) | {"slicer", "vtk", "qt", "ctk", "numpy", "__future__"}
OURS = {"BATNetSlicer", *(path.name for path in EXTENSION.glob("*/*") if path.is_dir())}


def load_tool():
    spec = importlib.util.spec_from_file_location("list_files", EXTENSION / "CMake" / "list_files.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def listed(name):
    """Scripts and resources in ``NAMEFiles.cmake``, as CMake reads them."""
    text = (EXTENSION / "CMake" / f"{name}Files.cmake").read_text(encoding="utf-8")
    found = dict(re.findall(rf"set\({name}_(SCRIPTS|RESOURCES)\n(.*?)\n  \)", text, re.S))
    return {kind: files.split() for kind, files in found.items()}


def test_every_file_is_listed_and_every_listed_file_is_there():
    assert load_tool().differences() == [], "run: python BATNetExtension/CMake/list_files.py"


def test_a_forgotten_file_would_be_found(monkeypatch, tmp_path):
    tool = load_tool()
    shutil.copytree(EXTENSION / "BATNet", tmp_path / "BATNetExtension" / "BATNet")
    shutil.copytree(EXTENSION / "BATNetSlicer", tmp_path / "BATNetExtension" / "BATNetSlicer")
    shutil.copytree(ROOT / "BATNetLib", tmp_path / "BATNetLib")
    shutil.copytree(ROOT / "Resources", tmp_path / "Resources")
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "EXTENSION", tmp_path / "BATNetExtension")
    monkeypatch.setattr(tool, "MODULES", ("BATNet",))
    monkeypatch.setattr(tool, "HERE", tmp_path)
    assert tool.main(["--check"]) == 1, "there are no lists yet"
    tool.main([])
    assert tool.main(["--check"]) == 0
    (tmp_path / "BATNetExtension" / "BATNet" / "BATNetModule" / "new_card.py").write_text("")
    (tmp_path / "BATNetExtension" / "BATNetSlicer" / "jobs.py").unlink()
    found = " ".join(tool.differences())
    assert "BATNetModule/new_card.py" in found and "BATNetSlicer/jobs.py" in found


def test_every_cmake_file_of_the_extension_is_reached():
    """add_subdirectory and include lead to every module and every list."""
    root = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    extension = (EXTENSION / "CMakeLists.txt").read_text(encoding="utf-8")
    assert "add_subdirectory(BATNetExtension)" in root
    assert "BATNetExtension/CMake/BATNetLibFiles.cmake" in root
    for module in MODULES:
        assert f"add_subdirectory({module.name})" in extension
        text = (module / "CMakeLists.txt").read_text(encoding="utf-8")
        assert f"{module.name}Files.cmake" in text and "slicerMacroBuildScriptedModule" in text
    for text in (root, extension):
        assert text.count("(") == text.count(")")


def test_the_catalogue_entry_and_the_project_agree():
    entry = json.loads((ROOT / "BATNet.json").read_text(encoding="utf-8"))
    known = {"$schema", "build_dependencies", "build_subdirectory", "category", "enabled"}
    known |= {"scm_revision", "scm_type", "scm_url"}
    assert {"$schema", "category", "scm_url"} <= set(entry) <= known
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert "project(BATNet)" in cmake, "the project is called as the catalogue entry"
    assert entry["build_dependencies"] == ["PyTorch"] and 'EXTENSION_DEPENDS "PyTorch"' in cmake
    facts = dict(
        line.split(" ", 1)
        for line in (ROOT / "BATNetExtension.s4ext").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    )
    assert facts["scmurl"] == entry["scm_url"] and facts["category"] == entry["category"]
    for name in ("EXTENSION_HOMEPAGE", "EXTENSION_ICONURL", "EXTENSION_SCREENSHOTURLS"):
        value = re.search(rf'{name} "(.*?)"', cmake)[1]
        assert value in facts.values()
        for address in value.split():
            if "/main/" in address:
                assert (ROOT / address.partition("/main/")[2]).is_file(), f"{address} is not there"


@pytest.mark.parametrize(
    ("file", "size"),
    [
        ("BATNetExtension/BATNetExtension.png", (128, 128)),
        ("BATNetExtension/BATNet/Resources/Icons/BATNet.png", (128, 128)),
        ("BATNetExtension/BATNetAnnotate/Resources/Icons/BATNetAnnotate.png", (128, 128)),
        ("BATNetExtension/BATNetTrain/Resources/Icons/BATNetTrain.png", (128, 128)),
        ("BATNetExtension/BATNetSlicer/Icons/BATNetPhantom.png", (260, 280)),
        ("BATNetExtension/BATNetSlicer/Icons/BATNetChest.png", (260, 280)),
    ],
)
def test_icons_and_thumbnails_have_the_size_that_slicer_wants(application, file, size):
    image = qt.QImage(str(ROOT / file))
    assert (image.width(), image.height()) == size


def file_scope_imports(path):
    """Names imported when a file is imported, inside ``if`` and ``try`` too."""
    found, todo = set(), list(ast.parse(path.read_text(encoding="utf-8")).body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.If | ast.Try | ast.With):
            todo += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
            todo += [s for handler in getattr(node, "handlers", []) for s in handler.body]
    return found


@pytest.mark.parametrize(
    "path", sorted(EXTENSION.rglob("*.py")), ids=lambda p: p.relative_to(EXTENSION).as_posix()
)
def test_nothing_but_slicer_and_the_standard_library_is_imported_at_file_scope(path):
    assert file_scope_imports(path) - STANDARD - OURS == set()


@pytest.mark.parametrize("module", MODULES, ids=lambda p: p.name)
def test_a_module_file_is_short(module):
    lines = (module / f"{module.name}.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 120


def install(folder):
    """Lay the extension out as Slicer installs it: all lists into one folder."""
    tool = load_tool()
    for name, (base, _scripts, _resources) in tool.lists().items():
        for files in listed(name).values():
            for file in files:
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                assert not target.exists(), f"two modules install {file}"
                shutil.copy(base / file, target)


def test_the_installed_extension_runs_from_where_it_was_laid(tmp_path):
    """In a process of its own, with nothing of the source tree on the path but the stage."""
    install(tmp_path / "lib")
    program = f"""
import sys
sys.path.insert(0, {str(ROOT / "Testing" / "slicer")!r})
import stage
slicer = stage.raise_curtain()
from pathlib import Path
from stage import modules
from stage.event_loop import process_events
panel = modules.open_panel({str(tmp_path / "lib" / "BATNet.py")!r}).python.panel
assert process_events(lambda: panel.setup.models is not None, 60), panel.ui.setupNote.text
assert any(m["name"] == "demo-brown" and m["installed"] for m in panel.setup.models)
import BATNetSlicer, BATNetModule
import BATNetLib
for package in (BATNetSlicer, BATNetModule, BATNetLib):
    place = Path(package.__file__ or package.__path__[0])
    assert Path({str(tmp_path)!r}) in place.parents, place
train = modules.open_panel({str(tmp_path / "lib" / "BATNetTrain.py")!r}).python.panel
assert process_events(lambda: train.doctor is not None, 60)
import BATNetTrainModule
assert Path({str(tmp_path)!r}) in Path(BATNetTrainModule.__file__).parents
annotate = modules.open_panel({str(tmp_path / "lib" / "BATNetAnnotate.py")!r}).python.panel
import BATNetAnnotateModule
assert Path({str(tmp_path)!r}) in Path(BATNetAnnotateModule.__file__).parents
assert annotate.paint.criteria and annotate.ui.openNote.text
modules.unload_all()
print("installed and running")
"""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"QT_QPA_PLATFORM": "offscreen", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program]
        if sys.version_info >= (3, 11)
        else [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "installed and running" in done.stdout
