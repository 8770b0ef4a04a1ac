"""One family of errors. Each says what was found, what was wanted, and what to do about it.

The exit codes are part of the command line's contract: 0 done, 1 a defect of ours, 2 wrong usage,
3 input refused, 4 some cases of a batch failed, 5 no model, 6 cancelled.
"""

from __future__ import annotations

EXIT_DONE = 0
EXIT_DEFECT = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3
EXIT_SOME_FAILED = 4
EXIT_NO_MODEL = 5
EXIT_CANCELLED = 6


class BATNetError(Exception):
    """A refusal in words.

    Parameters
    ----------
    code : short stable identifier in kebab-case, such as ``"mask-empty"``; programs may rely on it.
    found : what was found, a sentence without names of patients and without folders.
    wanted : what was wanted instead.
    remedy : what the user can do now.
    """

    exit_code = EXIT_DEFECT

    def __init__(self, code: str, found: str, wanted: str, remedy: str) -> None:
        super().__init__(f"{found} {wanted} {remedy}")
        self.code = code
        self.found = found
        self.wanted = wanted
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[BATNetError], tuple[str, str, str, str]]:
        # Exceptions cross process borders in cluster runs; the default would replay one joined text.
        return type(self), (self.code, self.found, self.wanted, self.remedy)

    def as_dict(self) -> dict[str, object]:
        return {
            "code": self.code,
            "found": self.found,
            "wanted": self.wanted,
            "remedy": self.remedy,
            "exit_code": self.exit_code,
        }


class UsageError(BATNetError):
    """The request contradicts itself or names something that does not exist."""

    exit_code = EXIT_USAGE


class InputRefused(BATNetError):
    """The data cannot be interpreted safely, so no number is made from it."""

    exit_code = EXIT_REFUSED


class OutputRefused(BATNetError):
    """The results cannot be written where they were asked for."""

    exit_code = EXIT_REFUSED


class NoModel(BATNetError):
    """A network was asked for and its weights are missing, broken or not the ones named."""

    exit_code = EXIT_NO_MODEL


class Cancelled(BATNetError):
    """The user or the calling program asked to stop."""

    exit_code = EXIT_CANCELLED

    def __init__(
        self,
        code: str = "cancelled",
        found: str = "The run was cancelled.",
        wanted: str = "It had not finished.",
        remedy: str = "Start it again when you like; nothing half-written was left behind.",
    ) -> None:
        super().__init__(code, found, wanted, remedy)
