"""One mapped person into the edge store, or into its quarantine: never under a number that is someone else's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from connectors.kit.birthplace import with_birthplace
from connectors.kit.edge_store import Change, EdgeStore
from connectors.kit.identity import Identity, IdentityRefused, differing, parse_identity
from connectors.kit.mapping.run import SubjectFragment
from connectors.kit.port import Json, Quarantined, Reason
from connectors.kit.tokens import Tokeniser, TokenSet, tokens_of


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one person, and of answers that waited for this one."""

    change: Change
    as_of: datetime
    warnings: tuple[str, ...]
    joined: int


@dataclass(frozen=True, slots=True)
class _Ready:
    item: SubjectFragment
    traits: Json
    tokens: TokenSet
    identity: Identity


class Intake:
    """Takes the persons of one file, in order, inside the store's transaction."""

    def __init__(
        self, store: EdgeStore, tokeniser: Tokeniser, digest: bytes, format: str, nir_autorise: bool, at: datetime
    ) -> None:
        """``digest`` names the file of ``format``, read at ``at``; without ``nir_autorise`` no NIR is kept."""
        self._store = store
        self._tokeniser = tokeniser
        self._digest = digest
        self._format = format
        self._nir_autorise = nir_autorise
        self._at = at
        self._waited_for = store.waiting.any_nameless()

    def take(self, item: SubjectFragment | Quarantined) -> Taken | Quarantined:
        """Keep ``item``; return what that did, or the entry of the quarantine it ended in.

        Raises as ``Links.check``.
        """
        self._store.links.check(self._tokeniser)
        ready = self._ready(item)
        if isinstance(ready, Quarantined):
            return self._aside(ready)
        own = ready.item
        if not ready.tokens.tokens and self._store.tokens_of(own.local_id) is None:
            entry = self._aside(Quarantined(own.position, "identite", Reason.IDENTITY, "aucun trait exploitable"))
            number = self._store.waiting.number_of(self._digest, self._format, entry)
            self._store.waiting.keep_nameless(
                own.local_id, self._format, self._digest.hex(), own.as_of, number, own.fragment
            )
            self._waited_for = True
            return entry
        moved = self._compare(ready)
        if isinstance(moved, Quarantined):
            entry = self._aside(moved)
            number = self._store.waiting.number_of(self._digest, self._format, entry)
            self._store.waiting.claims(number, own.local_id, self._format, ready.traits)
            return entry
        change = self._store.put_fragment(
            own.local_id, own.fragment, self._digest, format=self._format, as_of=own.as_of
        )
        # Of an older record, the tokens would no longer be those of what is held.
        if ready.tokens.tokens and change is not Change.OLDER:
            self._store.upsert_subject(own.local_id, ready.traits, ready.tokens, format=self._format)
            if moved:
                self._store.waiting.detach(own.local_id)
        joined = self._join(own.local_id) if self._waited_for and ready.tokens.tokens else 0
        return Taken(change, own.as_of, ready.identity.warnings, joined)

    def _ready(self, item: SubjectFragment | Quarantined) -> _Ready | Quarantined:
        """Return the person ready to be kept. Without any token, one whose number is known can still be told of."""
        if isinstance(item, Quarantined):
            return item
        traits = dict(item.identity_traits)
        if not self._nir_autorise:
            # Décret 2019-341: no token is ever made of a NIR this partner may not use.
            traits.pop("nir", None)
        try:
            identity = with_birthplace(parse_identity(traits, self._at.date()))
            tokens = tokens_of(identity, self._tokeniser, self._store.names.shares())
        except IdentityRefused as refusal:
            return Quarantined(item.position, refusal.pointer or "", Reason.IDENTITY, refusal.reason)
        return _Ready(item, traits, tokens, identity)

    def _compare(self, ready: _Ready) -> bool | Quarantined:
        """Refuse a record that gives a known local id to someone else: they must not answer for one another.

        One trait may be put right from one file to the next; two at once are another person, as is any inside one
        file, unless a person decided otherwise. Return whether nothing is left of the former tokens: until the hub has
        seen them, whoever this is does not answer under the former ref.
        """
        known = self._store.stated(ready.item.local_id, self._format, self._digest)
        if known is None or known[0] == ready.traits:
            return False
        former, same_file = known
        apart = differing(parse_identity(former), ready.identity)
        if len(apart) >= (1 if same_file else 2) and not self._store.waiting.is_accepted(
            ready.item.local_id, self._format, ready.traits
        ):
            detail = f"une autre personne sous ce numéro ({', '.join(apart)})"
            return Quarantined(ready.item.position, "local_id", Reason.IDENTITY, detail)
        before = tokens_of(with_birthplace(parse_identity(former, self._at.date())), self._tokeniser)
        return before.is_about_someone_else(ready.tokens)

    def _join(self, local_id: str) -> int:
        """Keep the answers that waited for this person; return how many."""
        waited = self._store.waiting.take_nameless(local_id)
        for answer in waited:
            self._store.put_fragment(
                local_id, answer.fragment, bytes.fromhex(answer.file), format=answer.format, as_of=answer.as_of
            )
            self._store.waiting.dismiss(answer.entry)
        return len(waited)

    def _aside(self, entry: Quarantined) -> Quarantined:
        self._store.quarantine(entry, self._digest, self._format, self._at)
        return entry
