"""``slicer.packaging``: writes down what would be installed and installs nothing.

``pip_check`` tells the truth about this environment, unless a test puts a name into ``absent``.
``installed`` holds what was asked for, in order; ``declined`` makes the user say no.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from packaging.requirements import Requirement

installed: list[str] = []
absent: set[str] = set()
declined = False


def reset() -> None:
    global declined
    installed.clear()
    absent.clear()
    declined = False


def load_requirements(path) -> list[Requirement]:
    lines = (line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line and line[0] not in "#-"]


def load_pyproject_dependencies(path) -> list[Requirement]:
    import tomllib  # Slicer 5.11 and newer, where slicer.packaging exists, has Python 3.12

    return [
        Requirement(line) for line in tomllib.loads(Path(path).read_text())["project"].get("dependencies", [])
    ]


def _listed(requirements) -> list[Requirement]:
    if isinstance(requirements, str | Requirement):
        requirements = [requirements]
    return [Requirement(str(requirement)) for requirement in requirements]


def pip_check(req) -> bool:
    for requirement in _listed(req):
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        if requirement.name.lower() in absent:
            return False
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            return False
        if not requirement.specifier.contains(version, prereleases=True):
            return False
    return True


def pip_ensure(
    requirements,
    constraints=None,
    skip_packages=None,
    prompt_install=True,
    prompt_restart=True,
    requester=None,
    skip_in_testing=True,
    show_progress=True,
):
    """Asks and installs what is missing; raises RuntimeError where the user declines, as in Slicer."""
    wanted = [requirement for requirement in _listed(requirements) if not pip_check(requirement)]
    if wanted and declined and prompt_install:
        raise RuntimeError("User declined package installation")
    _install(wanted)


def pip_install(requirements, **_):
    if declined:
        raise RuntimeError("User declined package installation")
    _install(_listed(requirements.split() if isinstance(requirements, str) else requirements))


def pip_uninstall(requirements, **_):
    absent.update(requirement.name.lower() for requirement in _listed(requirements))


def _install(requirements) -> None:
    for requirement in requirements:
        installed.append(str(requirement))
        absent.discard(requirement.name.lower())


def isPipInstallInProgress() -> bool:
    return False
