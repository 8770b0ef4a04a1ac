"""Writes the lists of files that CMake installs, or checks them against the tree.

    python BATNetExtension/CMake/list_files.py            writes the .cmake files of this folder
    python BATNetExtension/CMake/list_files.py --check    says what differs; exit code 1 where anything does

Slicer installs only what is listed: a file that is missing here works from source and fails when installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
EXTENSION = ROOT / "BATNetExtension"
MODULES = ("BATNet", "BATNetAnnotate", "BATNetTrain")
#: What an installed extension does not need.
LEFT_OUT = ("Resources/Screenshots", "CMakeLists.txt", "README.md")


def lists() -> dict[str, tuple[Path, list[str], list[str]]]:
    """Name -> (folder that the paths start from, scripts, resources)."""
    found = {
        "BATNetLib": (ROOT, *_split(ROOT, [ROOT / "BATNetLib", ROOT / "Resources"])),
        "BATNetSlicer": (EXTENSION, *_split(EXTENSION, [EXTENSION / "BATNetSlicer"])),
    }
    for name in MODULES:
        if (EXTENSION / name).is_dir():
            found[name] = (EXTENSION / name, *_split(EXTENSION / name, [EXTENSION / name]))
    return found


def _split(base: Path, folders: list[Path]) -> tuple[list[str], list[str]]:
    scripts, resources = [], []
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(base).as_posix()
            hidden = any(part.startswith((".", "__pycache__")) for part in path.parts)
            if path.is_dir() or hidden or name.startswith(LEFT_OUT) or path.suffix == ".pyc":
                continue
            (scripts if path.suffix == ".py" else resources).append(name)
    return scripts, resources


def text_of(name: str, scripts: list[str], resources: list[str]) -> str:
    """The content of ``NAMEFiles.cmake``."""
    lines = ["# Made by list_files.py; a test compares it with the tree."]
    for kind, files in (("SCRIPTS", scripts), ("RESOURCES", resources)):
        lines += ["", f"set({name}_{kind}", *(f"  {file}" for file in files), "  )"]
    return "\n".join(lines) + "\n"


def differences() -> list[str]:
    """One line for each list that is not as the tree is."""
    found = []
    for name, (_base, scripts, resources) in lists().items():
        path = HERE / f"{name}Files.cmake"
        there = path.read_text(encoding="utf-8") if path.is_file() else ""
        wanted = text_of(name, scripts, resources)
        missing = sorted(set(wanted.split()) - set(there.split()))
        surplus = sorted(set(there.split()) - set(wanted.split()))
        if there != wanted:
            found.append(f"{path.name}: not listed {missing}, listed and not there {surplus}")
    return found


def main(arguments: list[str]) -> int:
    if "--check" in arguments:
        for line in differences():
            print(line)
        return 1 if differences() else 0
    for name, (_base, scripts, resources) in lists().items():
        (HERE / f"{name}Files.cmake").write_text(text_of(name, scripts, resources), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
