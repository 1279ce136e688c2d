"""The reviewer's side: sign the request for masked traits, open the answers, believe none that proves nothing."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.kit import seal, trust
from connectors.kit.review.masks import FIELDS, PURPOSE
from connectors.kit.runtime import b64url
from connectors.kit.runtime.clock import to_epoch
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.schema import check_schema
from connectors.kit.seal import Typ
from connectors.kit.trust import Directory, OperationalKeys

REVIEWER: Final = "dpo"
LIFETIME: Final = timedelta(seconds=60)
_DAY: Final = frozenset({"nir_gd", "sgd", "sgd_x", "gxdp", "gdp", "sdp", "sg2d", "sgd_phon", "sgnd", "s1gd", "sg1d"})
_PLACE: Final = frozenset({"gxdp", "gdp", "sdp", "sgp"})
_WHOLE_NAMES: Final = frozenset({"sgd", "sg_ym", "sg_y", "sg_dm", "sg_yd", "sg_md"})
_KNOWN_EQUAL: Final = {
    "identite.nom_naissance": _WHOLE_NAMES | {"sg1d"},
    "identite.nom_usage": _WHOLE_NAMES | {"sg1d"},
    "identite.sexe": frozenset({"gxdp"}),
    "identite.date_naissance": _DAY,
    "identite.code_cog_insee_commune_naissance": _PLACE,
    "identifiants.nir": frozenset({"nir", "nir_gd"}),
}
"""Kinds of token that, where they agree, leave nothing to ask of a trait. The given names are always asked: twins."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SentLook:
    """A signed request, and the keys that will open what comes back."""

    jws: str
    fields: tuple[str, ...]
    keys: OperationalKeys

    @property
    def digest(self) -> str:
        """The digest an answer must repeat."""
        return seal.jws_digest(self.jws)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one source answered: masked traits (one object a record it holds), or why there are none."""

    source: str
    records: tuple[Json, ...]
    outcome: str


def fields_in_doubt(pairs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the fields that tokens have not shown to be equal in every pair of a review: no other is asked for."""
    agreed = [frozenset(pair["agree"]) for pair in pairs]
    return tuple(
        field
        for field in FIELDS
        if not agreed or not all(kinds & _KNOWN_EQUAL.get(field, frozenset()) for kinds in agreed)
    )


def sign_look(review_id: str, fields: Collection[str], keys: OperationalKeys, at: datetime) -> SentLook:
    """Return the request for the masked ``fields`` of both sides of a review; it lives 60 s."""
    wanted = tuple(field for field in FIELDS if field in fields)
    payload = {
        "v": 1,
        "reviewer": keys.slug,
        "review_id": review_id,
        "purpose": PURPOSE,
        "fields": list(wanted),
        "nonce": b64url.encode(secrets.token_bytes(16)),
        "seal_key": keys.seal_key.thumbprint,
        "iat": to_epoch(at),
        "exp": to_epoch(at + LIFETIME),
    }
    return SentLook(keys.sign(payload, Typ.LOOK), wanted, keys)


def open_side(side: Sequence[Mapping[str, Any]], sent: SentLook, directory: Directory, at: datetime) -> list[Seen]:
    """Return what each source of one side of the hub's answer (schema ``review_traits``) says.

    An answer that does not prove to be that source's, to this request, is no answer: its outcome is the code of what
    failed.
    """
    seen = []
    for item in side:
        try:
            records = _open(item, sent, directory, at) if item["traits"] is not None else ()
            seen.append(Seen(item["source"], records, item["outcome"]))
        except MaillonError as error:
            seen.append(Seen(item["source"], (), error.kind.value))
    return seen


def _open(item: Mapping[str, Any], sent: SentLook, directory: Directory, at: datetime) -> tuple[Json, ...]:
    hub = directory.partner(trust.HUB)
    order, certificate = trust.open_certified(item["order"], Typ.LOOK_ORDER, hub.slug, hub.identity_key)
    check_schema("look_order", order, "look_order")
    certificate.check_alive(seal.lifetime_of(order, "order")[0])
    if (order["source"], order["request"]) != (item["source"], sent.jws):
        raise MaillonError(ErrorKind.FRAGMENT_REFUSED, "another order")
    inner = seal.unseal(item["traits"], Typ.SEALED_TRAITS, sent.keys.seal_key).decode("ascii", "replace")
    payload, _ = trust.verify_certified(inner, Typ.TRAITS, "source", directory, at)
    check_schema("masked_traits", payload, "masked_traits")
    expected = (item["source"], seal.jws_digest(item["order"]), sent.digest, sent.keys.seal_key.thumbprint)
    if tuple(payload[name] for name in ("source", "order_digest", "request_digest", "recipient_key")) != expected:
        raise MaillonError(ErrorKind.FRAGMENT_REFUSED, "answers another order")
    if any(set(record) - set(sent.fields) for record in payload["records"]):
        raise MaillonError(ErrorKind.FRAGMENT_REFUSED, "more than was asked")
    return tuple(payload["records"])
