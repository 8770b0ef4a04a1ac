"""What the three BATNet modules share: child processes, scene and files, overlays, packages.

Nothing here is imported before a module needs it. ``library_root()`` finds BATNetLib: beside this package
where the extension is installed, at the root of the repository where it runs from source.
"""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["add_library_to_path", "library_root"]


def library_root() -> Path:
    """The folder that holds BATNetLib.

    Raises
    ------
    FileNotFoundError
        BATNetLib lies neither beside this package nor at the root of the repository.
    """
    here = Path(__file__).resolve()
    for folder in (here.parents[1], here.parents[2]):
        if (folder / "BATNetLib" / "__init__.py").is_file():
            return folder
    raise FileNotFoundError("BATNetLib is not where the extension expects it; install the extension again.")


def add_library_to_path() -> None:
    """Make ``import BATNetLib`` work in this process."""
    root = str(library_root())
    if root not in sys.path:
        sys.path.insert(0, root)
