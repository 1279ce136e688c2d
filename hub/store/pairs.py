"""Which records of two partners were linked, or are before a reviewer: read for ``maillon index link``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Select, select

from connectors.kit.link_epochs import base
from hub.store.tables import link, record, review, token_set
from hub.store.token_set import IndexedToken, Packed

FLOODED = "foule"
"""The rule of a link to a person of its own, because of a crowd."""
_TOKENS = select(token_set.c.epoch, token_set.c.kinds, token_set.c.looked_up, token_set.c.tokens)
_A, _B = record.alias("a"), record.alias("b")


@dataclass(frozen=True, slots=True)
class PairRow:
    """Two records, one of each partner, by id and stored key; ``rule`` of the link, or the reviewer's reason.

    ``agreed``: the kinds of token both have in common, when asked for.
    """

    key_a: bytes
    key_b: bytes
    rule: str
    agreed: tuple[str, ...] = ()


class Pairs:
    """Read-only view of ``link``, ``review``, ``record`` and ``token_set``."""

    def __init__(self, connection: Connection) -> None:
        """Bind to one transaction."""
        self._connection = connection

    def linked(self, partner_a: str, partner_b: str, *, agreed: bool) -> Iterator[PairRow]:
        """Yield the pairs that are one person now, with the rule that linked the second partner's record."""
        link_a, link_b = link.alias("link_a"), link.alias("link_b")
        query = (
            self._of(partner_a, partner_b, link_b.c.rule)
            .add_columns(link_b.c.person_id)
            .where(
                link_a.c.record_id == _A.c.record_id,
                link_b.c.record_id == _B.c.record_id,
                link_a.c.person_id == link_b.c.person_id,
                link_a.c.until.is_(None),
                link_b.c.until.is_(None),
            )
        )
        for row in self._connection.execute(query).yield_per(1000):
            kinds = self._agreed(row.person_id, row.record_a, row.record_b) if agreed else ()
            yield PairRow(row.key_a, row.key_b, row.rule, kinds)

    def doubted(self, partner_a: str, partner_b: str) -> Iterator[PairRow]:
        """Yield the pairs before a reviewer: the second partner's record, each of the first's it may belong with."""
        link_a = link.alias("link_a")
        query = self._of(partner_a, partner_b, review.c.pattern).where(
            review.c.record_id == _B.c.record_id,
            link_a.c.person_id == review.c.candidate_id,
            link_a.c.record_id == _A.c.record_id,
            link_a.c.until.is_(None),
        )
        for row in self._connection.execute(query).yield_per(1000):
            pattern = orjson.loads(row.rule)
            yield PairRow(row.key_a, row.key_b, pattern["doubt"], tuple(pattern.get("kinds", ())))

    def flooded(self, partner: str) -> Iterator[bytes]:
        """Yield the stored keys of a partner's records set apart because of a crowd (rule ``foule``)."""
        query = select(record.c.record_key).join(link, link.c.record_id == record.c.record_id)
        yield from self._connection.execute(query.where(record.c.partner == partner, link.c.rule == FLOODED)).scalars()

    def _agreed(self, person: str, record_a: str, record_b: str) -> tuple[str, ...]:
        mine = token_set.c.person_id == person
        held: list[set[IndexedToken]] = []
        for record_id in (record_a, record_b):
            rows = self._connection.execute(_TOKENS.where(mine, token_set.c.record_id == record_id))
            held.append({token for row in rows for token in Packed(*row).unpack()})
        return tuple(sorted({base(token.kind) for token in held[0] & held[1]}))

    @staticmethod
    def _of(partner_a: str, partner_b: str, rule: ColumnElement[str]) -> Select[Any]:
        named = _A.c.record_id.label("record_a"), _B.c.record_id.label("record_b")
        keys = _A.c.record_key.label("key_a"), _B.c.record_key.label("key_b")
        return select(*named, *keys, rule.label("rule")).where(_A.c.partner == partner_a, _B.c.partner == partner_b)
