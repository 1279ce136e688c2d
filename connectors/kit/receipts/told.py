"""A consent record told to the person it is about, in everyday French: what was said, with whom, until when.

Words for people (DESIGN §12): "retirer mon accord", never "révoquer"; no code, no path, no number of ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from consent.model import EventKind

_MONTHS: Final = (
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split()  # noqa: SIM905
)
_SAID: Final[Mapping[str, str]] = {
    EventKind.GRANTED: "Vous avez donné votre accord",
    EventKind.RENEWED: "Vous avez prolongé votre accord",
    EventKind.NARROWED: "Vous avez réduit votre accord",
    EventKind.DENIED: "Vous avez dit non",
    EventKind.REVOKED: "Vous avez retiré votre accord",
    EventKind.INFORMED: "Vous avez reçu une information",
    EventKind.OBJECTED: "Vous avez fait opposition",
    EventKind.OBJECTION_UPHELD: "Votre opposition est acceptée",
    EventKind.OBJECTION_REJECTED: "Votre opposition n’est pas retenue",
    EventKind.INVALIDATED: "Votre accord est annulé",
}
HIDDEN: Final = frozenset({EventKind.PROTECTED, EventKind.UNPROTECTED, EventKind.FROZEN, EventKind.UNFROZEN})
"""Never put on a page: a sheet of paper found by the wrong person would tell of the protection (DOMAIN §6)."""
_GIVES: Final = frozenset({EventKind.GRANTED, EventKind.RENEWED, EventKind.NARROWED})


@dataclass(frozen=True, slots=True)
class Names:
    """What codes are called. One that is missing is shown as it is."""

    partners: Mapping[str, str]
    purposes: Mapping[str, str]
    roles: Mapping[str, str]
    sections: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Told:
    """One event, in words."""

    kind: str
    title: str
    at: str
    by: str
    purpose: str
    recipients: tuple[str, ...]
    sources: tuple[str, ...]
    sections: tuple[str, ...]
    until: str | None
    what: str
    """What follows from it, a sentence or two."""
    withdraw: str


def tell(record: Mapping[str, Any], names: Names) -> Told:
    """Return the words for the payload of a verified consent record.

    Raises ``ValueError`` for a kind that must not be put on a page (:data:`HIDDEN`).
    """
    kind = EventKind(record["kind"])
    if kind in HIDDEN:
        raise ValueError("this event is not shown")
    end = record["validity"]["to"]
    return Told(
        kind=kind.value,
        title=_SAID[kind],
        at=moment(record["at"]),
        by=names.partners.get(record["collector"], record["collector"]),
        purpose=names.purposes.get(record["purpose"], record["purpose"] or ""),
        recipients=tuple(_recipient(row, names) for row in record["recipients"]),
        sources=tuple(names.partners.get(slug, slug) for slug in record["sources"]),
        sections=sections(record["pii_information"], names),
        until=None if end is None or kind not in _GIVES | {EventKind.INFORMED} else moment(end),
        what=_WHAT[kind],
        withdraw=_WITHDRAW[kind],
    )


def sections(paths: Sequence[str], names: Names) -> tuple[str, ...]:
    """Return the names of the dossier's sections that ``paths`` are of, in their order, each once."""
    codes = dict.fromkeys(path.partition(".")[0] for path in paths)
    return tuple(names.sections.get(code, code) for code in codes)


def moment(text: str) -> str:
    """Return an RFC 3339 instant as a French date and hour, at the hour of Paris where the machine knows it."""
    at = datetime.fromisoformat(text).astimezone(_paris())
    day = "1er" if at.day == 1 else str(at.day)
    zone = " (temps universel)" if at.tzinfo is UTC else ""
    return f"{day} {_MONTHS[at.month - 1]} {at.year} à {at.hour} h {at.minute:02d}{zone}"


def _paris() -> tzinfo:
    try:
        return ZoneInfo("Europe/Paris")
    except ZoneInfoNotFoundError:
        return UTC


def _recipient(row: Mapping[str, Any], names: Names) -> str:
    partner = names.partners.get(row["partner"], row["partner"])
    roles = ", ".join(names.roles.get(role, role).lower() for role in row["roles"])
    return f"{partner} ({roles})" if roles else partner


_NO_MORE: Final = (
    "Plus aucune information ne part pour cette raison. Chaque organisme qui en avait déjà reçu vous dira s’il les "
    "efface, ou s’il doit les garder, et pourquoi."
)
_FREE: Final = "C’est votre droit. Vous ne perdez aucune aide."
_WHAT: Final[Mapping[str, str]] = {
    EventKind.GRANTED: "Ces informations servent à vous aider, pas à vous contrôler.",
    EventKind.RENEWED: "Ces informations servent à vous aider, pas à vous contrôler.",
    EventKind.NARROWED: "Votre accord ne porte plus que sur ce qui est écrit ici.",
    EventKind.DENIED: "Ces informations ne seront pas partagées. " + _FREE,
    EventKind.REVOKED: _NO_MORE + " " + _FREE,
    EventKind.INFORMED: "La loi permet ce partage sans vous demander votre accord, mais oblige à vous le dire.",
    EventKind.OBJECTED: "Votre opposition va être examinée. Là où la loi le permet, le partage s’arrête en attendant.",
    EventKind.OBJECTION_UPHELD: "Ces informations ne sont plus partagées pour cette raison.",
    EventKind.OBJECTION_REJECTED: "Le partage continue. On doit vous dire pourquoi, et comment contester.",
    EventKind.INVALIDATED: _NO_MORE,
}
_LATER: Final = "Vous pouvez changer d’avis à tout moment."
_WITHDRAW: Final[Mapping[str, str]] = {
    EventKind.GRANTED: "Dites : « Je veux retirer mon accord ». " + _LATER + " Vous ne perdez aucune aide.",
    EventKind.RENEWED: "Dites : « Je veux retirer mon accord ». " + _LATER + " Vous ne perdez aucune aide.",
    EventKind.NARROWED: "Dites : « Je veux retirer mon accord ». " + _LATER + " Vous ne perdez aucune aide.",
    EventKind.DENIED: _LATER,
    EventKind.REVOKED: _LATER,
    EventKind.INFORMED: "Si vous n’êtes pas d’accord, dites : « Je m’oppose ». On vous dira si la loi le permet.",
    EventKind.OBJECTED: _LATER,
    EventKind.OBJECTION_UPHELD: _LATER,
    EventKind.OBJECTION_REJECTED: "Vous pouvez écrire au délégué à la protection des données, ou à la CNIL.",
    EventKind.INVALIDATED: _LATER,
}
