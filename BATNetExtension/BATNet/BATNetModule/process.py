"""The logic for scripts: one call that returns when the analysis is done, or raises in words."""

from __future__ import annotations

from typing import Any

import qt
from BATNetSlicer import add_library_to_path
from BATNetSlicer.job_words import Failure

from .request import Request
from .run import Run, RunListener


def process(
    ct_node: Any, *, interactive: bool = False, runner: Any = None, listener: Any = None, **request: Any
) -> Any:
    """Analyse a CT that is in the scene.

    Parameters
    ----------
    ct_node : scalar volume node.
    interactive : False: return the ``BATNetSlicer.scene.Analysis`` when it is done; Slicer's event loop runs
        meanwhile. True: return the ``Run`` at once; ``listener`` (a ``RunListener``) is told the rest.
    runner : who starts the engine; ``BATNetSlicer.jobs.Engine`` by default.
    request : further fields of ``Request``, such as ``lungs``, ``adipose``, ``method``, ``hu_range``,
        ``model``, ``device``, ``overrides``.

    Raises (where not interactive)
    ------
    BATNetLib.errors.BATNetError
        With ``code``, ``found``, ``wanted`` and ``remedy``: ``InputRefused``, ``NoModel``, ``UsageError``.
        A scan that is not assessable is no error: ``analysis.outcome`` says so and ``analysis.reasons`` why.
    """
    from BATNetSlicer.jobs import Engine

    add_library_to_path()
    wanted = Request(ct_node, **request)
    why_not = wanted.why_not()
    if why_not is not None:
        from BATNetLib.errors import UsageError

        raise UsageError("request", why_not, "A CT and options that go together are needed.", "Choose them.")
    if interactive:
        return Run(runner or Engine(), wanted, listener or RunListener())
    end = _End()
    run = Run(runner or Engine(), wanted, end)
    try:
        if not run.over:
            end.loop.exec_()
    finally:
        run.close()
    if end.failure is not None:
        raise error_of(end.failure)
    return end.outcome


def error_of(failure: Failure) -> Exception:
    """The error of the engine that a failure tells of."""
    from BATNetLib import errors

    kinds = {
        errors.EXIT_USAGE: errors.UsageError,
        errors.EXIT_REFUSED: errors.InputRefused,
        errors.EXIT_NO_MODEL: errors.NoModel,
        errors.EXIT_CANCELLED: errors.Cancelled,
    }
    kind = kinds.get(failure.exit_code, errors.BATNetError)
    return kind(failure.code, failure.found, failure.wanted, failure.remedy)


class _End(RunListener):
    """Waits for the end of a run in an event loop of its own."""

    def __init__(self) -> None:
        self.loop = qt.QEventLoop()
        self.outcome: Any = None
        self.failure: Failure | None = None

    def analysed(self, analysis: Any) -> None:
        self._over(analysis, None)

    def checked(self, report: dict[str, Any]) -> None:
        self._over(report, None)

    def failed(self, failure: Failure) -> None:
        self._over(None, failure)

    def cancelled(self) -> None:
        self._over(None, Failure("cancelled", "The run was cancelled.", "It had not finished.", "", 6))

    def _over(self, outcome: Any, failure: Failure | None) -> None:
        self.outcome, self.failure = outcome, failure
        self.loop.quit()
