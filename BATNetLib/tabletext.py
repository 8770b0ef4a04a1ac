"""The text of a table as people save it: UTF-8, UTF-16 or Windows-1252; commas, semicolons or tabs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

_LARGEST = 200_000_000
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class NoText(Exception):
    """Why a file holds no table of text, as half a sentence; the caller knows what the file was for."""


def read_text(path: Path) -> tuple[str, bool]:
    """The text of a file, and whether its encoding had to be guessed (Windows-1252).

    Raises ``FileNotFoundError``, and ``NoText`` for what cannot be read or is no text.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise NoText("it is absurdly large")
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise NoText((error.strerror or "unknown reason").lower()) from error
    if data.startswith(_UTF16):
        return data.decode("utf-16", errors="replace"), False
    if b"\0" in data:
        raise NoText("it is no text (a spreadsheet file, perhaps)")
    try:
        return data.decode("utf-8-sig"), False
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), True


def cells(text: str) -> Iterator[list[str]]:
    """The cells of each row. The separator is what the first row has most of. Raises ``NoText``."""
    first = text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
    try:
        yield from rows
    except csv.Error as error:
        raise NoText("it is not a table of text") from error
