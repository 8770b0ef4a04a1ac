"""Make ``qt6_only.txt``: what Qt 6 has and Qt 5.15 has not, so that code for Slicer does without.

Slicer 5.8 to 5.12 runs on Qt 5.15, this harness on PySide6. The table is the difference of the two, found
by looking at both bindings. Run it twice and then once more, wherever each binding is installed:

    python3.10 compare_qt.py names PySide2 > qt5.json      # PySide2 5.15 exists for Python up to 3.10
    python     compare_qt.py names PySide6 > qt6.json
    python     compare_qt.py table qt5.json qt6.json > qt6_only.txt
"""

import importlib
import json
import sys
from pathlib import Path

NOISE = set(dir(int))  # members of Qt 6 enumerations, which are Python integers there


def names(binding):
    """Class name -> names, properties and base classes of one binding."""
    found = {}
    for part in ("QtCore", "QtGui", "QtWidgets"):
        module = importlib.import_module(f"{binding}.{part}")
        for name in dir(module):
            kind = getattr(module, name)
            if not isinstance(kind, type) or not name.startswith("Q"):
                continue
            meta = getattr(kind, "staticMetaObject", None)
            found[name] = {
                "names": [n for n in dir(kind) if not n.startswith("_") and n not in NOISE],
                "properties": [meta.property(i).name() for i in range(meta.propertyCount())] if meta else [],
                "bases": [base.__name__ for base in kind.__mro__[1:]],
            }
    return found


def table(qt5, qt6):
    """The lines of the table; ``name()`` marks what is a method in Qt 5 and became a property in Qt 6."""
    new = {}
    for kind, now in qt6.items():
        if kind in qt5:
            before = qt5[kind]
            became = set(now["properties"]) - set(before["properties"])
            added = (set(now["names"]) | became) - set(before["names"])
            new[kind] = added | {f"{name}()" for name in became & set(before["names"])}
    yield "# Names that Qt 6 has and Qt 5.15 has not, one class a line; made by compare_qt.py."
    yield "# name() is a method in Qt 5 that became a property in Qt 6. The last line lists whole classes."
    for kind in sorted(new):
        inherited = set().union(*(new.get(base, set()) for base in qt6[kind]["bases"]))
        if new[kind] - inherited:
            yield f"{kind}: {' '.join(sorted(new[kind] - inherited))}"
    yield f"classes: {' '.join(sorted(set(qt6) - set(qt5)))}"


if __name__ == "__main__":
    if sys.argv[1] == "names":
        json.dump(names(sys.argv[2]), sys.stdout)
    else:
        qt5, qt6 = (json.loads(Path(path).read_text()) for path in sys.argv[2:4])
        print("\n".join(table(qt5, qt6)))
