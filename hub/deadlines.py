"""How long the hub keeps what, and what an erasure destroys at once: ``config/retention.toml``, read at start-up.

The numbers are the département's to decide; a name that means nothing, or a period without its legal text, stops the
start-up rather than keeping something for ever.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from connectors.kit.runtime.errors import ErrorKind, MaillonError

FILE: Final = "retention.toml"
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{1,39}")
_TABLES: Final = {"traces", "references", "sauvegardes", "motifs"}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why somebody is erased. ``proof_years``: how long the signed agreements stay readable, as proof; 0: not."""

    code: str
    label: str
    text: str
    proof_years: int

    def proof_until(self, at: datetime) -> datetime | None:
        """Return until when the agreements of somebody erased at ``at`` are kept as proof; None: not at all."""
        if not self.proof_years:
            return None
        year = at.year + self.proof_years
        # The 29th of February has no anniversary in most years: the day after has.
        return at.replace(year=year) if (at.month, at.day) != (2, 29) else at.replace(year=year, month=3, day=1)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Every period. Backups are in days, each kind with its own; traces in whole months after their own month."""

    trace_months: int
    old_refs_days: int
    hub_backup_days: int
    secrets_backup_days: int
    keys_backup_days: int
    reasons: Mapping[str, Reason]

    @property
    def backup_days(self) -> int:
        """How old a backup can be: an erasure is final after that many days."""
        return max(self.hub_backup_days, self.secrets_backup_days, self.keys_backup_days)

    def final_by(self, at: datetime) -> datetime:
        """Return when no backup from before ``at`` is left."""
        return at + timedelta(days=self.backup_days)


def load_deadlines(config_dir: Path) -> Deadlines:
    """Return the periods of ``config_dir``; ``MaillonError(CONFIGURATION)`` names the table and key that is wrong."""
    try:
        content = tomllib.loads((config_dir / FILE).read_text("utf-8"))
    except (OSError, ValueError):
        raise MaillonError(ErrorKind.CONFIGURATION, f"{FILE}: missing or unreadable") from None
    _check_names("", content, _TABLES)
    traces = _table(content, "traces", {"mois", "texte"})
    references = _table(content, "references", {"jours", "texte"})
    backups = _table(content, "sauvegardes", {"hub", "secrets", "cles", "texte"})
    reasons = _table(content, "motifs", None)
    if not reasons:
        raise _wrong("motifs", "no reason at all")
    return Deadlines(
        trace_months=_number("traces.mois", traces["mois"], 1, 36),
        old_refs_days=_number("references.jours", references["jours"], 1, 90),
        hub_backup_days=_number("sauvegardes.hub", backups["hub"], 1, 366),
        secrets_backup_days=_number("sauvegardes.secrets", backups["secrets"], 1, 366),
        keys_backup_days=_number("sauvegardes.cles", backups["cles"], 1, 366),
        reasons={code: _reason(code, value) for code, value in reasons.items()},
    )


def _reason(code: str, value: Any) -> Reason:
    where = f"motifs.{code}"
    if _CODE.fullmatch(code) is None:
        raise _wrong(where, "not a code")
    if not isinstance(value, dict):
        raise _wrong(where, "a table expected")
    _check_names(where, value, {"libelle", "texte", "preuve_annees"})
    years = _number(f"{where}.preuve_annees", value["preuve_annees"], 0, 30)
    return Reason(code, _text(f"{where}.libelle", value["libelle"]), _text(f"{where}.texte", value["texte"]), years)


def _table(content: Mapping[str, Any], name: str, members: set[str] | None) -> dict[str, Any]:
    table = content[name]
    if not isinstance(table, dict):
        raise _wrong(name, "a table expected")
    if members is not None:
        _check_names(name, table, members)
        _text(f"{name}.texte", table["texte"])
    return table


def _check_names(where: str, table: Mapping[str, Any], members: set[str]) -> None:
    for name in sorted(set(table) ^ members):
        raise _wrong(f"{where}.{name}".lstrip("."), "missing" if name in members else "unknown")


def _number(where: str, value: Any, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise _wrong(where, f"a whole number from {least} to {most} expected")
    return value


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(where, "a text expected")
    return value


def _wrong(where: str, reason: str) -> MaillonError:
    return MaillonError(ErrorKind.CONFIGURATION, f"{FILE}: {where}: {reason}")
