"""Folder names for cases and readers, whose own names may hold anything."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from ..errors import UsageError

#: A name like this is its own folder name: no system changes it, none takes it for another one.
_PLAIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,47}(?<!\.)")
#: What the end of a made folder name looks like; a plain name must not look like it.
_MADE = re.compile(r".*-[0-9a-f]{10}")
#: Names that Windows keeps for devices.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_LONGEST_STEM = 40


def folder_key(name: str) -> str:
    """A folder name for ``name`` that every file system accepts; the same for the same name, always.

    Names of lower-case letters, digits, ``.``, ``_`` and ``-`` are kept. From others what can be read is
    kept, and the start of their SHA-256 makes them distinct: capitals too, because some disks do not tell
    them apart. Raises ``UsageError`` ("name-empty") for a name without any visible character.
    """
    text = unicodedata.normalize("NFC", name).strip()
    if not text:
        raise UsageError(
            "name-empty",
            "A case or a reader has an empty name.",
            "Both need a name; it says where the work is kept.",
            "Enter a name.",
        )
    if _PLAIN.fullmatch(text) and not _MADE.fullmatch(text) and not _RESERVED.fullmatch(text):
        return text
    # Letters without their accents where they have any; what is left of other scripts goes into the hash.
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_LONGEST_STEM].strip("-")
    return f"{stem or 'case'}-{hashlib.sha256(text.encode('utf-8')).hexdigest()[:10]}"
