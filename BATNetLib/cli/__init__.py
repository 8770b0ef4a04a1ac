"""The command line: ``python -m BATNetLib`` or ``batnet``. One file per command.

Only the standard library is imported until a command runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from .. import RESEARCH_USE_ONLY, __version__
from ..errors import EXIT_DEFECT, BATNetError, Cancelled, UsageError
from ..events import Events, JsonLines, ProgressBar
from .priority import give_way
from .stopping import PATIENCE, stop_when_asked

#: Commands in the order of the help; each is a module of this package with ``add_parser``.
COMMANDS = (
    "analyze",
    "batch",
    "pet",
    "dicom_seg",
    "dataset",
    "train",
    "annotate",
    "agreement",
    "evaluate",
    "demo",
    "models",
    "doctor",
)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    common = argparse.ArgumentParser(add_help=False)
    shown = common.add_argument_group("for programs")
    shown.add_argument(
        "--events", choices=["bar", "json"], default="bar", help="progress as a bar, or JSON lines"
    )
    shown.add_argument("--debug", action="store_true", help="show the traceback of a defect")
    parser = argparse.ArgumentParser(
        prog="batnet",
        description=f"Adipose tissue and brown-fat probability from chest CT. {RESEARCH_USE_ONLY}",
        epilog="Example: batnet demo   (makes a phantom, analyses it and names the result folder)",
    )
    parser.add_argument("--version", action="version", version=f"batnet {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(f"{__name__}.{name}").add_parser(subparsers, common)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (see ``BATNetLib.errors``)."""
    args = build_parser().parse_args(arguments)
    # Before torch is imported: on a computer shared with others (a cluster node, Slicer beside it), threads
    # that wait busily for one another took stage 1 eight times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    give_way()
    events: Events = JsonLines() if args.events == "json" else ProgressBar()
    try:
        patience = getattr(args, "patience", PATIENCE)
        with stop_when_asked(events, watch_input=args.events == "json", patience=patience):
            return int(args.run(args, events))
    except KeyboardInterrupt:
        return _refuse(events, Cancelled())
    except BATNetError as error:
        return _refuse(events, error)
    except BrokenPipeError:
        # Whoever read the output has seen enough (``| head``): nobody is there to be told anything.
        # Closing stdout again at exit would print a complaint.
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        return Cancelled.exit_code
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            return _refuse(events, _too_long())
        if args.debug:
            traceback.print_exc()
        return _refuse(events, _defect(error))


def _refuse(events: Events, error: BATNetError) -> int:
    with contextlib.suppress(OSError):
        events.error(error)
    return error.exit_code


def _too_long() -> UsageError:
    return UsageError(
        "name-too-long",
        "A file or folder name is longer than this system allows.",
        "A shorter path is needed.",
        "Check the paths of the command; a text that belongs to another option is a common cause.",
    )


def _defect(error: Exception) -> BATNetError:
    """What a user is told of an error that we did not foresee: where it happened, without their paths."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "BATNetLib" in f.filename] or frames
    place = f"{os.path.basename(ours[-1].filename)}:{ours[-1].lineno}" if ours else "unknown place"  # noqa: PTH119
    defect = BATNetError(
        "defect",
        f"BATNet itself failed ({type(error).__name__} in {place}).",
        "This is a defect of ours, not of your data.",
        "Please report it with the same command and --debug; check the text for names before you send it.",
    )
    defect.exit_code = EXIT_DEFECT
    return defect
