"""What the end of an engine means, in words for the person at the screen."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

try:
    from slicer.i18n import tr as _
except ImportError:  # outside Slicer the texts stay as they are

    def _(text: str) -> str:
        return text


# Exit codes of the engine (BATNetLib.errors); 6 is "cancelled".
EXIT_DONE, EXIT_SOME_FAILED, EXIT_CANCELLED = 0, 4, 6

_QUOTED_PATH = re.compile(r'(["\'])(?:[A-Za-z]:)?[\\/][^"\']*[\\/]([^"\'\\/]*)\1')
_PLAIN_PATH = re.compile(r"(?<![\w.:/\\])(?:[A-Za-z]:)?(?:[\\/][^\\/\s\"':*?<>|]+)+[\\/]")


@dataclass(frozen=True)
class Failure:
    """Why a job gave no result: what was found, what was wanted, what to do (as ``BATNetError``)."""

    code: str
    found: str
    wanted: str
    remedy: str
    exit_code: int = 1

    @property
    def text(self) -> str:
        return " ".join(part for part in (self.found, self.wanted, self.remedy) if part)


def without_folders(line: str) -> str:
    """``line`` with every absolute path cut down to its last part, so that no log shows where data lie."""
    line = line.replace(str(Path.home()), "~") if len(str(Path.home())) > 3 else line
    return _PLAIN_PATH.sub("", _QUOTED_PATH.sub(r"\1\2\1", line))


def _again() -> str:
    return _("Run it again; if it happens again, send the log to the developers.")


def not_started() -> Failure:
    return Failure(
        "engine-not-started",
        _("The engine could not be started."),
        _("It runs in the Python that comes with Slicer."),
        _("Restart Slicer; if that does not help, install Slicer and the extension again."),
    )


def no_answer() -> Failure:
    return Failure(
        "engine-no-answer",
        _("The engine ended without an answer."),
        _("A result or a reason was expected."),
        _again(),
    )


def crashed(signal: int) -> Failure:
    """The engine was ended by a signal (number on Linux and macOS, a negative status on Windows)."""
    if signal == 9:
        found = _("The engine was ended from outside, most often because the memory ran out.")
        remedy = _("Close other programs or choose a smaller scan or batch, then run it again.")
    elif signal in (2, 15):
        found = _("The engine was ended by another program.")
        remedy = _("Run it again when the computer is free.")
    else:
        found = _("The engine crashed (signal {number}).").format(number=signal)
        remedy = _again()
    return Failure("engine-crashed", found, _("It should have ended by itself."), remedy)


def ended(exit_code: int) -> Failure:
    """The engine ended by itself, with ``exit_code`` and without saying why."""
    meanings = {
        1: _("The engine stopped because of a defect of its own."),
        2: _("The engine did not understand what it was asked to do."),
        3: _("The engine refused the input."),
        4: _("Some cases could not be analysed."),
        5: _("There is no usable model."),
    }
    if exit_code == EXIT_DONE:
        return no_answer()
    remedies = {
        2: _("The parts of the extension may be of different versions: install it again."),
        3: _("Look into the log for the reason."),
        5: _("Open the set-up card and fetch or import a model."),
    }
    return Failure(
        f"engine-exit-{exit_code}",
        meanings.get(exit_code, _("The engine ended with the unknown code {code}.").format(code=exit_code)),
        _("It gave no reason."),
        remedies.get(exit_code, _again()),
        exit_code,
    )
