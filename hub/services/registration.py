"""A record a partner tells of, as the register takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hub.index.rules import IndexRecord
from hub.services.two_epochs import Earlier
from hub.store.index import IndexedToken


@dataclass(frozen=True, slots=True)
class Registration:
    """One record, ready for the index: its key and tokens are already keyed by the hub's own secrets."""

    record_key: str
    stored_key: bytes
    tokens: tuple[IndexedToken, ...]
    flags: Mapping[str, str | int | bool]
    sections: frozenset[str]
    earlier: Earlier = field(default_factory=dict)
    """Its tokens as they may still be stored while the index is re-wrapped; empty as a rule."""
    held: bool = True
    """Whether the partner still holds anything under this key; its sections say nothing when it does not."""

    @property
    def evidence(self) -> IndexRecord:
        """The record as the match rules see it."""
        kinds: dict[str, set[bytes]] = {}
        for token in self.tokens:
            kinds.setdefault(token.kind, set()).add(token.value)
        return IndexRecord({kind: frozenset(values) for kind, values in kinds.items()}, self.flags)
