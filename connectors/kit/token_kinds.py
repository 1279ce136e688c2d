"""What each kind of token is made of (DESIGN §4): the values, in clear, that never leave the connector.

``docs/index.md`` says, kind by kind, what two equal tokens tell the hub. No kind is a single trait, none a given name
with a sex or a birth date alone. In the order of ``KINDS``, exact before close: where a record would exceed the wire's
bound, the last ones are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from connectors.kit.communes import compared_place
from connectors.kit.dates import PartialDate
from connectors.kit.identity import Identity
from connectors.kit.phonetics import phonetic

KINDS = (
    "nir", "nir_gd", "sgd", "sgd_x", "gxdp", "gdp", "sdp", "sgp", "sg2d", "sg_ym", "sg_y",
    "sg_dm", "sg_yd", "sg_md", "sgd_phon", "sgnd", "s1gd", "sg1d",
)  # fmt: skip
NAMESAKE_KINDS = frozenset({"sgp", "sg_md"})
"""Kinds that a father and son may share: nothing but these in common is nothing of the same person."""
_DELETED_FROM = 12
"""Letters of a name from which one is left out; a longer name is compared so far only, and as a whole."""
_SHORTEST_GIVEN = 4
"""A shorter given name is one letter from too many others: NOÉ and NOËL, LÉA and LÉO are twins."""

Parts = tuple[str, ...]


def values(identity: Identity) -> Iterator[tuple[str, Iterable[Parts]]]:
    """Yield ``(kind, the parts of each of its tokens)`` for every kind whose traits are all usable.

    S surname (whole names; with ``parts`` also halves, and names without their particle), G first given name, D full
    birth date, P birthplace.
    """
    whole, firsts = identity.surnames, identity.givens.first
    born, place, nir = identity.date_naissance, compared_place(identity.birthplace), identity.nir
    if nir:
        yield "nir", [(nir,)]
    if born.day:
        yield from _of_a_day(identity, born.value, place)
        yield from _of_a_close_day(whole, firsts, born)
    if place:
        yield "sgp", [(*either, place) for either in _either_order(whole, firsts)]
    if born.month:
        yield "sg_ym", [(s, g, born.value[:7]) for s in whole for g in firsts]
    if born.year:
        yield "sg_y", [(s, g, born.value[:4]) for s in whole for g in firsts]


def _of_a_day(identity: Identity, day: str, place: str) -> Iterator[tuple[str, Iterable[Parts]]]:
    whole, givens = identity.surnames, identity.givens
    names, firsts = (*whole, *identity.surname_parts), givens.first
    if identity.nir:
        yield "nir_gd", [(identity.nir, g, day) for g in firsts]
    yield "sgd", [(s, g, day) for s in whole for g in firsts]
    yield "sgd_x", [(*either, day) for either in _either_order(names, firsts)]
    yield "sg2d", [(s, g, day) for s in names for g in givens.later]
    yield "sgnd", [(s, g, day) for s in whole for g in givens.every]
    yield "sgd_phon", [(phonetic(s), phonetic(g), day) for s in whole for g in firsts]
    yield "s1gd", [(form, g, day) for s in whole for g in firsts for form in _without_a_letter(s)]
    shortest = [g for g in firsts[:1] if len(g) >= _SHORTEST_GIVEN]
    yield "sg1d", [(s, form, place, day) for s in whole for g in shortest for form, place in _one_slip(g)]
    if place:
        yield "sdp", [(s, day, place) for s in names]
        yield "gdp", [(g, day, place) for g in firsts]
        if identity.sexe:
            yield "gxdp", [(g, identity.sexe, day, place) for g in firsts]


def _of_a_close_day(
    names: Sequence[str], firsts: Sequence[str], born: PartialDate
) -> Iterator[tuple[str, list[Parts]]]:
    year, month, day = f"{born.year:04}", f"{born.month:02}", f"{born.day:02}"
    low, high = sorted((month, day))
    dates = {"sg_dm": (year, low, high), "sg_yd": (year, day), "sg_md": (month, day)}
    for kind, parts in dates.items():
        yield kind, [(s, g, *parts) for s in names for g in firsts]


def _either_order(names: Sequence[str], firsts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Surname and given name, alphabetically: so that a record that swapped them meets one that did not."""
    for name in names:
        for given in firsts:
            yield (name, given) if name <= given else (given, name)


def _without_a_letter(name: str) -> list[str]:
    """Return ``name`` and its forms with one letter left out: two names one edit apart share one of them."""
    return [name, *dict.fromkeys(name[:i] + name[i + 1 :] for i in range(min(len(name), _DELETED_FROM)))]


def _one_slip(name: str) -> list[tuple[str, str]]:
    """Return the forms of :func:`_without_a_letter`, each with where the letter was, to two letters; the whole name
    with every place.

    So two names meet when one has a letter more, or another letter in the same place, but not when each has a letter
    of its own: JULTIE is near JULIE, not near JULIEN, her twin.
    """
    length = min(len(name), _DELETED_FROM)
    whole = [(name, str(place)) for place in range(length // 2 + 1)]
    return [*whole, *((name[:i] + name[i + 1 :], str(i // 2)) for i in range(length))]
