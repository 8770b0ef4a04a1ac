"""What an installation would hold, without building one."""

import re
from pathlib import Path

import pytest

from BATNetLib.errors import BATNetError
from BATNetLib.resources import resource

ROOT = Path(__file__).resolve().parents[2]
CONFIG = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
#: Folders of Resources that the engine reads; pictures and icons stay with the sources.
READ = ("models", "pet", "schemas")


def listed_packages():
    text = re.search(r"^packages = \[(.*?)^\]", CONFIG, re.S | re.M).group(1)
    return re.findall(r'"([^"]+)"', text)


def test_every_folder_of_code_and_every_resource_folder_is_installed():
    code = {".".join(p.relative_to(ROOT).parent.parts) for p in (ROOT / "BATNetLib").rglob("*.py")}
    files = [p for name in READ for p in (ROOT / "Resources" / name).rglob("*") if p.is_file()]
    data = {"BATNetLib." + ".".join(p.relative_to(ROOT).parent.parts) for p in files}
    assert sorted(listed_packages()) == sorted(code | data | {"BATNetLib.Resources"})


def test_every_file_that_is_not_code_is_installed_with_its_package():
    patterns = re.findall(r'"([^"]+)"', re.search(r'^"\*" = \[(.*?)\]', CONFIG, re.S | re.M).group(1))
    packages = {
        name.replace(".", "/").replace("BATNetLib/Resources", "Resources") for name in listed_packages()
    }
    files = [p for p in (ROOT / "BATNetLib").rglob("*") if p.is_file()]
    files += [p for name in READ for p in (ROOT / "Resources" / name).rglob("*") if p.is_file()]
    for path in files:
        if path.suffix in (".py", ".pyc"):
            continue
        inside = path.relative_to(ROOT)
        package = next(parent for parent in inside.parents if parent.as_posix() in packages)
        within = inside.relative_to(package)
        assert any(
            len(Path(pattern).parts) == len(within.parts) and within.match(pattern) for pattern in patterns
        ), f"{inside} would be missing where the library is installed"


def test_a_lost_resource_is_told_in_words(monkeypatch, tmp_path):
    assert resource("models/registry.json").is_file()
    monkeypatch.setenv("BATNET_RESOURCES", str(tmp_path))
    with pytest.raises(BATNetError, match="Install the program again") as caught:
        resource("models/registry.json")
    assert caught.value.code == "resource-missing" and str(tmp_path) not in str(caught.value)
