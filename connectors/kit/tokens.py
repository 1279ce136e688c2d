"""Keyed tokens: what the hub gets instead of a name, a date, a number (DESIGN §4).

A token is ``HMAC-SHA256(K_link, "maillon/token/v1" ‖ kind ‖ normalisation version ‖ u16 length ‖ NFC value)``.
``K_link`` is shared by the connectors and never reaches the hub, which keeps only ``HMAC(K_index, token)``.
``docs/index.md`` says, kind by kind, what a token tells and what it does not.
"""

from __future__ import annotations

import hmac
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from connectors.kit.identity import Identity
from connectors.kit.link_epochs import base, epoch_of, kind_of
from connectors.kit.rarity import UNKNOWN_SHARES, NameShares
from connectors.kit.runtime import b64url
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.token_kinds import KINDS, NAMESAKE_KINDS, values

NORMALISATION_VERSION = 2
"""Grows when ``names``, ``dates``, ``nir`` or the parts of a kind change: old and new tokens then never compare."""
PROOF_KINDS = ("nir", "sgd", "gdp")
TOKEN_BYTES = 32
MAX_TOKENS = 128
"""Of one record under one epoch of ``K_link``."""
_MOST_TOKENS = 8 * MAX_TOKENS
"""Of one record, under all epochs: two while one goes over to the next, and the few proofs of those before."""
MOST_PROOFS = 48
_MAX_FLAGS = 64

_DOMAIN = b"maillon/token/v1"
_PROOF_DOMAIN = b"maillon/subject-proof/v1"
_NIR_STRENGTH = {"coherent": 2, "incoherent": 1}
_ORDER = {kind: place for place, kind in enumerate(KINDS)}
_BETWEEN = "\x1f"  # stands in no normalised part, so that parts cannot shift into each other
_KIND = re.compile(r"[a-z][a-z0-9_]{1,15}(\.([2-9]|[1-9][0-9]{1,4}))?")

Flag = str | int | bool


def _header(kind: str) -> bytes:
    return _DOMAIN + bytes([len(kind)]) + kind.encode("ascii") + bytes([NORMALISATION_VERSION])


_HEADERS = {kind: _header(kind) for kind in KINDS}


class Tokeniser(Protocol):
    """Whoever can make tokens: the shared key today, a VOPRF key authority (RFC 9497) later."""

    @property
    def epoch(self) -> int:
        """The epoch of the key: tokens of two epochs do not compare."""
        ...

    @property
    def proves_only(self) -> bool:
        """Whether the epoch is retired: its tokens prove who an agreement of its days is about, and nothing else."""
        ...

    @property
    def former(self) -> Sequence[Tokeniser]:
        """The earlier epochs, oldest first: tokens are made under each."""
        ...

    def token(self, kind: str, value: str) -> bytes:
        """Return the 32-byte token of ``value`` as a ``kind``."""
        ...


class HmacTokeniser:
    """Tokens by HMAC-SHA256 under ``K_link``: 32 bytes at least, else ``MaillonError(CONFIGURATION)``."""

    def __init__(
        self, key: bytes, epoch: int, *, former: Sequence[HmacTokeniser] = (), proves_only: bool = False
    ) -> None:
        if len(key) < 32:
            raise MaillonError(ErrorKind.CONFIGURATION, "K_link: 32 bytes at least")
        # Keyed once and copied for each token: a third of the time of keying it anew.
        self._keyed = HMAC(key, SHA256())
        self.epoch = epoch
        self.proves_only = proves_only
        self.former = tuple(former)

    def token(self, kind: str, value: str) -> bytes:
        """Return the token. The encoding is injective: every part has a fixed width or stands behind its length."""
        text = (value if value.isascii() else unicodedata.normalize("NFC", value)).encode()
        header = _HEADERS.get(kind) or _header(kind)
        mac = self._keyed.copy()
        mac.update(header + len(text).to_bytes(2, "big") + text)
        return mac.finalize()

    def __repr__(self) -> str:
        return f"HmacTokeniser(epoch={self.epoch})"


@dataclass(frozen=True, slots=True, repr=False)
class TokenSet:
    """One record's tokens, ``(kind, 32 bytes)`` in a fixed order, and the flags beside them. ``repr`` counts only.

    Flags: ``nir`` (``absent``, ``coherent``, ``incoherent``), ``date_precision`` (``jour``, ``mois``, ``annee``,
    ``inconnue``), ``ne_a_l_etranger`` (known to be), ``premier_janvier``, ``nombre_prenoms``, ``prenom_moitie`` (the
    first given name may be half of a compound one), ``prenom_connu``, ``rarete`` (:mod:`connectors.kit.rarity`).
    """

    tokens: tuple[tuple[str, bytes], ...]
    flags: Mapping[str, Flag]

    def __repr__(self) -> str:
        return f"TokenSet({len(self.tokens)} tokens)"

    def of(self, kind: str) -> tuple[bytes, ...]:
        """Return the tokens of one kind, none, one or (a token per name form) several."""
        return tuple(token for each, token in self.tokens if each == kind)

    def is_about_someone_else(self, other: TokenSet) -> bool:
        """Say whether nothing of one person is common to both: a name and a birthday are a namesake's too."""
        mine = {item for item in self.tokens if base(item[0]) not in NAMESAKE_KINDS}
        return mine.isdisjoint(other.tokens)

    @property
    def epochs(self) -> frozenset[int]:
        """The epochs of ``K_link`` it has tokens of."""
        return frozenset(epoch_of(kind) for kind, _ in self.tokens)

    def without(self, epochs: Collection[int]) -> TokenSet:
        """Return the tokens of the other epochs, with the same flags."""
        return TokenSet(tuple(each for each in self.tokens if epoch_of(each[0]) not in epochs), self.flags)

    def to_wire(self) -> dict[str, object]:
        """Return ``{"tokens": [[kind, base64url]], "flags": {…}}``, as in a registration (docs/protocol.md)."""
        return {"tokens": [[kind, b64url.encode(token)] for kind, token in self.tokens], "flags": dict(self.flags)}

    @classmethod
    def merged(cls, sets: Sequence[TokenSet]) -> TokenSet:
        """Return what several records of **one** person say together, within the wire's bound.

        The flags are those of the record that says most, save ``nir``, which is that of the best NIR; tokens of a
        weaker NIR are left out, or a parent's number would count as coherent because the child's own is.
        """
        fullest = sorted(sets, key=lambda each: len(each.tokens), reverse=True)
        nirs = (str(each.flags.get("nir")) for each in sets)
        nir = max(nirs, key=lambda flag: _NIR_STRENGTH.get(flag, 0), default="absent")
        tokens: dict[tuple[str, bytes], None] = {}
        for each in fullest:
            kept = [item for item in each.tokens if each.flags.get("nir") == nir or not base(item[0]).startswith("nir")]
            for epoch in sorted({epoch_of(kind) for kind, _ in kept}):
                of_it = [item for item in kept if epoch_of(item[0]) == epoch]
                so_far = {item for item in tokens if epoch_of(item[0]) == epoch}
                if len(so_far.union(of_it)) <= MAX_TOKENS:
                    tokens |= dict.fromkeys(of_it)
        return cls(_ordered(tokens), {**fullest[0].flags, "nir": nir} if fullest else {})

    @classmethod
    def from_wire(cls, wire: Mapping[str, object]) -> TokenSet:
        """Read what ``to_wire`` wrote; unknown kinds and flags are kept, for a partner newer than the reader.

        Raises ``MaillonError(SCHEMA)`` for another shape: more than 128 tokens of an epoch, a token of another size
        than 32 bytes, a kind or flag that is no short lower-case name, a flag that is no short text, small integer or
        boolean.
        """
        tokens, flags = wire.get("tokens"), wire.get("flags")
        if not isinstance(tokens, list) or len(tokens) > _MOST_TOKENS:
            raise MaillonError(ErrorKind.SCHEMA, "a list of tokens expected", pointer="/tokens")
        if not isinstance(flags, dict) or len(flags) > _MAX_FLAGS:
            raise MaillonError(ErrorKind.SCHEMA, "an object of flags expected", pointer="/flags")
        for name, value in flags.items():
            if not (isinstance(name, str) and re.fullmatch(r"[a-z][a-z0-9_]{1,31}", name) and _is_flag(value)):
                raise MaillonError(ErrorKind.SCHEMA, "not a flag", pointer="/flags")
        made = tuple(_token(i, item) for i, item in enumerate(tokens))
        if max(Counter(epoch_of(kind) for kind, _ in made).values(), default=0) > MAX_TOKENS:
            raise MaillonError(ErrorKind.SCHEMA, "at most 128 tokens of one epoch expected", pointer="/tokens")
        return cls(made, flags)


def tokens_of(identity: Identity, tokeniser: Tokeniser, shares: NameShares = UNKNOWN_SHARES) -> TokenSet:
    """Return every token ``identity`` can give: a kind whose traits are not all usable is simply not there.

    ``shares`` tell how rare its names are; without them no rule that needs it holds. A record of many long names gives
    the first 128 of each epoch of the key, exact kinds before close ones.
    """
    said = [(kind, [_BETWEEN.join(parts) for parts in combinations]) for kind, combinations in values(identity)]
    tokens = [token for each in (*tokeniser.former, tokeniser) for token in _under(each, said)]
    born, givens = identity.date_naissance, identity.givens
    nir = "absent" if identity.nir is None else "coherent" if identity.nir_coherent else "incoherent"
    return TokenSet(
        tuple(tokens),
        {
            "nir": nir,
            "date_precision": born.precision,
            "ne_a_l_etranger": identity.born_abroad,
            "premier_janvier": (born.month, born.day) == (1, 1),
            "nombre_prenoms": givens.count,
            "prenom_moitie": givens.half,
            **rarity_flags(identity, shares),
        },
    )


def _under(tokeniser: Tokeniser, said: Iterable[tuple[str, Sequence[str]]]) -> list[tuple[str, bytes]]:
    made: dict[str, set[bytes]] = {kind: set() for kind in (PROOF_KINDS if tokeniser.proves_only else KINDS)}
    for kind, combinations in said:
        if kind in made:
            made[kind].update([tokeniser.token(kind, value) for value in combinations])
    # Within a kind by value: the order does not tell the birth name from the usage name.
    ordered = [(kind_of(kind, tokeniser.epoch), token) for kind, held in made.items() for token in sorted(held)]
    return ordered[:MAX_TOKENS]


def rarity_flags(identity: Identity, shares: NameShares) -> dict[str, Flag]:
    """Return the two flags that depend on how common names are, and on nothing else but the names."""
    return {"prenom_connu": shares.knows_given(identity), "rarete": shares.rarity(identity)}


def _ordered(tokens: Iterable[tuple[str, bytes]]) -> tuple[tuple[str, bytes], ...]:
    """As ``tokens_of`` does: by epoch, by kind, then by value."""
    return tuple(sorted(tokens, key=lambda item: (epoch_of(item[0]), _ORDER.get(base(item[0]), len(KINDS)), item)))


def subject_proofs(tokens: TokenSet, context: bytes | str) -> list[dict[str, str]]:
    """Return ``[{"kind", "proof"}]``: the knowledge of a person's tokens, shown for one ``context`` only.

    ``proof = base64url(HMAC-SHA256(token, "maillon/subject-proof/v1" ‖ context))`` (docs/protocol.md). A NIR that
    contradicts the civil status beside it proves nothing (a child's may be a parent's) and is left out. The kind says
    the epoch of ``K_link`` too: there is a proof under each, of many the first 48, newest epochs first.
    """
    return [{"kind": kind, "proof": b64url.encode(proof)} for kind, proof in _proofs(tokens, context)][:MOST_PROOFS]


def match_subject(proofs: Sequence[Mapping[str, object]], tokens: TokenSet, context: bytes | str) -> bool:
    """Say whether ``proofs``, made for ``context``, are by a holder of the person's ``tokens``.

    One equal proof suffices, unless both sides prove a NIR: then the number must be among them, for strangers may share
    a given name, a day and a town. Proofs of two epochs of ``K_link`` never compare; where both sides prove a NIR under
    several, the newest says whether it is the same. Takes the same time whichever agrees, or none. Anything that is no
    proof is simply not equal.
    """
    mine = [(kind, b64url.encode(proof)) for kind, proof in _proofs(tokens, context)]
    equal: set[str] = set()
    for item in proofs[:MAX_TOKENS]:
        given = str(item.get("proof")).encode(errors="replace")
        for kind, proof in mine:
            same = hmac.compare_digest(given, proof.encode()) and item.get("kind") == kind
            equal |= {kind} if same else set()
    theirs = {str(item.get("kind")) for item in proofs}
    numbered = {kind for kind, _ in mine if base(kind) == "nir"} & theirs
    return max(numbered, key=epoch_of) in equal if numbered else bool(equal)


def _proofs(tokens: TokenSet, context: bytes | str) -> Iterator[tuple[str, bytes]]:
    message = _PROOF_DOMAIN + (context.encode() if isinstance(context, str) else context)
    for kind, token in sorted(tokens.tokens, key=lambda item: -epoch_of(item[0])):
        if base(kind) in PROOF_KINDS and (base(kind) != "nir" or tokens.flags.get("nir") == "coherent"):
            yield kind, hmac.digest(token, message, "sha256")


def _token(position: int, item: object) -> tuple[str, bytes]:
    pointer = f"/tokens/{position}"
    match item:
        case [str(kind), str(token)] if _KIND.fullmatch(kind):
            try:
                return kind, b64url.decode(token, length=TOKEN_BYTES)
            except MaillonError as error:
                raise MaillonError(ErrorKind.SCHEMA, error.detail, pointer=f"{pointer}/1") from None
        case _:
            raise MaillonError(ErrorKind.SCHEMA, "[kind, base64url] expected", pointer=pointer)


def _is_flag(value: object) -> bool:
    return (
        isinstance(value, bool)
        or (isinstance(value, int) and 0 <= value <= 1000)
        or (isinstance(value, str) and re.fullmatch(r"[a-z0-9_]{0,32}", value) is not None)
    )
