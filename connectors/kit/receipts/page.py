"""The receipt as one page: tagged PDF, large type, its digest in a QR code. Needs the extra ``pdf``."""

from __future__ import annotations

import importlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from connectors.kit.receipts.check import grouped
from connectors.kit.receipts.told import Told
from connectors.kit.runtime.errors import ErrorKind, MaillonError

QR_PREFIX: Final = "maillon-recu:v1:"
"""Then the digest of the event's leaf, 64 hex digits."""
_TEMPLATE: Final = Path(__file__).with_name("page.typ")
_SIZES: Final = (16, 15.5, 15, 14.5, 14, 13.5, 13, 12.5, 12)
"""Points, the largest that fits on the page: 12 at least, for eyes of seventy."""
_CHANGE: Final = {"granted": "Retirer mon accord", "renewed": "Retirer mon accord", "narrowed": "Retirer mon accord"}


def qr_text(digest: str) -> str:
    """Return what the QR code of a receipt with that digest says."""
    return f"{QR_PREFIX}{digest}"


def qr_svg(text: str) -> bytes:
    """Return the QR code of ``text`` as SVG. Raises ``MaillonError(CONFIGURATION)`` without the extra ``pdf``."""
    drawn = io.BytesIO()
    _library("segno").make(text, error="m", micro=False).save(drawn, kind="svg", border=2, xmldecl=False, unit="mm")
    return drawn.getvalue()


def render(told: Told, withdrawal_method: str | None, digest: str, form: str = "pdf") -> bytes:
    """Return the page of ``told`` as ``pdf`` (PDF/UA-1) or ``png``, in the largest type that keeps it to one page.

    ``withdrawal_method`` is where to go, in the words of the record. Raises ``MaillonError(CONFIGURATION)`` without
    the extra ``pdf``, and ``TOO_LARGE`` when even the smallest type needs a second page.
    """
    typst = _library("typst")
    content = asdict(told) | {
        "digest": grouped(digest),
        "listed": _listed(told.sections),
        "how": withdrawal_method or "",
        "change": _CHANGE.get(told.kind, "Si vous changez d’avis"),
    }
    inputs = {"told": json.dumps(content, ensure_ascii=False), "qr": qr_svg(qr_text(digest)).decode()}
    for size in _SIZES:
        values = inputs | {"size": str(size)}
        compiler: Any = typst.Compiler(_TEMPLATE, sys_inputs=values)
        if json.loads(compiler.query("<pages>", field="value", one=True)) == 1:
            made: bytes = compiler.compile(format=form, **({"pdf_standards": "ua-1"} if form == "pdf" else {}))
            return made
    raise MaillonError(ErrorKind.TOO_LARGE, "this receipt does not fit on one page")


def _listed(names: Sequence[str]) -> str:
    """Return names in a row, as in a sentence: "Identité, droits et prestations, et logement"."""
    text = ", ".join(name[:1].lower() + name[1:] for name in names[:-1])
    last = "".join(name[:1].lower() + name[1:] for name in names[-1:])
    whole = f"{text}, et {last}" if text else last
    return whole[:1].upper() + whole[1:]


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MaillonError(
            ErrorKind.CONFIGURATION, f"{name} is not installed: the page needs pip install 'maillon[pdf]'"
        ) from None
