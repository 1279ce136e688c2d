"""Free text as a reader sees it: what nobody sees in it says nothing, or lies."""

from __future__ import annotations

import re
from typing import Final

_LAID_OUT: Final = re.compile("[\t\n\x0b\x0c\r]+")
"""Line breaks and tabs of a cell or a form: one space says as much."""
_UNSEEN: Final = re.compile("[\u00ad\u061c\u200b-\u200f\u2060-\u2064\ufeff]")
"""Hyphenation, width and direction marks that copying from a page leaves behind: nothing is lost with them."""
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb]")
"""Control characters, and those that make a text read otherwise than it is written (Unicode TR 36)."""

_LED: Final = re.compile("[\u00c2-\u00f4][^\x00-\x7f]")
"""How the two encodings read the first two bytes of a UTF-8 sequence: a text without such a pair was none."""


def visible(text: str) -> str | None:
    """Return ``text`` trimmed, line breaks and tabs as a space, invisible marks gone.

    ``None`` when it holds a character that makes it read otherwise than it is written.
    """
    if text.isprintable():
        return text.strip()
    seen = _UNSEEN.sub("", _LAID_OUT.sub(" ", text)).strip()
    return None if _CONTROL.search(seen) else seen


def is_misread(text: str) -> bool:
    """Say whether a text was read in the wrong encoding: UTF-8 taken for windows-1252 (``MaÃ«lle``), windows-1252 for
    Latin-1 (a C1 control where an apostrophe stood), or U+FFFD. What anyone writes is not by chance UTF-8 as well.
    """
    if text.isascii():
        return False
    for encoding in ("windows-1252", "latin-1") if _LED.search(text) else ():
        try:
            text.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
        return True
    return "\ufffd" in text or (not text.isprintable() and any("\x80" <= sign <= "\x9f" for sign in text))
