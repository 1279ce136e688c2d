"""What a source refuses in an order, code by code, whatever the hub says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from consent.model import Attributes
from consent.order import OrderRefused, check_order, read_attributes
from tests.consent import world
from tests.consent.world import INDEX, payload

POLICY = world.policy()
NOW = world.at(5)
SECONDS = int(NOW.timestamp())


@dataclass(frozen=True)
class Partner:
    kind: str
    roles: tuple[str, ...] = ()
    can_collect: bool = False


PARTNERS = {
    "caf": Partner("caisse"),
    "departement": Partner("departement", ("tout", "referent"), can_collect=True),
    "ccas": Partner("commune", ("tout",)),
}
ORDER = {
    "source": "caf",
    "recipient": "departement",
    "fields": ["moi.nom"],
    "policy_version": POLICY.version,
    "iat": SECONDS,
    "exp": SECONDS + 10,
}
REQUEST = {
    "requester": "departement",
    "purpose": "suivi",
    "role": "tout",
    "attributes": {},
    "fields": ["moi.nom", "moi.tel"],
    "iat": SECONDS - 5,
    "exp": SECONDS + 55,
}
GRANT = payload("granted", pii_information=["moi.nom", "droits.rsa.etat"])


def judge(
    order: dict[str, Any] | None = None,
    request: dict[str, Any] | None = None,
    events: tuple[dict[str, Any], ...] = (GRANT,),
    **changed: Any,
) -> tuple[str, ...]:
    """Return the fields let go."""
    given: dict[str, Any] = {"policy": POLICY, "partners": PARTNERS, "me": "caf", "now": NOW}
    mask = check_order(ORDER | (order or {}), REQUEST | (request or {}), world.parsed(*events), **given | changed)
    return INDEX.paths(mask)


def test_a_good_order_lets_its_fields_go() -> None:
    assert judge() == ("moi.nom",)


def test_the_roles_variant_is_the_requests() -> None:
    given = payload("granted", pii_information=["notes.synthese"])
    asked = {"fields": ["notes.synthese"], "role": "referent"}
    assert judge({"fields": ["notes.synthese"]}, asked | {"attributes": {"own": True}}, (given,)) == ("notes.synthese",)
    with pytest.raises(OrderRefused, match="no_authority"):
        judge({"fields": ["notes.synthese"]}, asked, (given,))


@pytest.mark.parametrize(
    ("code", "order", "request_", "events"),
    [
        ("wrong_source", {"source": "cpam"}, {}, (GRANT,)),
        ("wrong_source", {"source": None}, {}, (GRANT,)),
        ("expired", {"exp": SECONDS}, {}, (GRANT,)),
        ("expired", {"exp": SECONDS + 11}, {}, (GRANT,)),
        ("expired", {"iat": SECONDS + 6, "exp": SECONDS + 16}, {}, (GRANT,)),
        ("expired", {"iat": SECONDS, "exp": SECONDS}, {}, (GRANT,)),
        ("expired", {"iat": SECONDS - 20, "exp": SECONDS - 10}, {}, (GRANT,)),
        ("expired", {"iat": None}, {}, (GRANT,)),
        ("expired", {"exp": True}, {}, (GRANT,)),
        ("expired", {"exp": float(SECONDS + 5)}, {}, (GRANT,)),
        ("request_signature", {"recipient": "ccas"}, {}, (GRANT,)),
        ("request_signature", {}, {"requester": "ccas"}, (GRANT,)),
        ("request_signature", {}, {"requester": None}, (GRANT,)),
        ("request_expired", {}, {"exp": SECONDS}, (GRANT,)),
        ("request_expired", {}, {"exp": SECONDS + 56}, (GRANT,)),
        ("request_expired", {}, {"iat": None}, (GRANT,)),
        ("policy_version", {"policy_version": "0" * 64}, {}, (GRANT,)),
        ("directory", {"recipient": "gone"}, {"requester": "gone"}, (GRANT,)),
        ("directory", {}, {"role": "instructeur"}, (GRANT,)),
        ("directory", {}, {"role": None}, (GRANT,)),
        ("fields_beyond_request", {"fields": ["moi.nom", "droits.rsa.etat"]}, {}, (GRANT,)),
        ("fields_beyond_request", {"fields": []}, {}, (GRANT,)),
        ("fields_beyond_request", {"fields": ["moi.prenom"]}, {}, (GRANT,)),
        ("fields_beyond_request", {"fields": "moi.nom"}, {}, (GRANT,)),
        ("fields_beyond_request", {"fields": [["moi.nom"]]}, {}, (GRANT,)),
        ("fields_beyond_request", {}, {"fields": None}, (GRANT,)),
        ("authority_signature", {}, {}, (GRANT | {"collector": "ccas"},)),
        ("authority_signature", {}, {}, (GRANT | {"collector": "gone"},)),
        ("no_authority", {}, {}, ()),
        ("no_authority", {}, {"purpose": "grave"}, (GRANT,)),
        ("no_authority", {}, {"purpose": None}, (GRANT,)),
        ("no_authority", {}, {}, (GRANT, payload("revoked"))),
        ("no_authority", {}, {}, (GRANT, payload("denied", "no"))),
        ("no_authority", {}, {}, (payload("granted", sources=["cpam"]),)),
        ("no_authority", {}, {}, (payload("granted", recipients=[{"partner": "ccas", "roles": []}]),)),
        ("no_authority", {"fields": ["moi.nom", "moi.tel"]}, {}, (GRANT,)),
        ("no_authority", {}, {}, (payload("granted", validity={"from": world.instant(0), "to": world.instant(5)}),)),
        ("no_authority", {}, {}, (payload("revoked"),)),
    ],
)
def test_every_other_order_is_refused_by_name(
    code: str, order: dict[str, Any], request_: dict[str, Any], events: tuple[dict[str, Any], ...]
) -> None:
    with pytest.raises(OrderRefused) as refused:
        judge(order, request_, events)
    assert refused.value.code == code
    assert str(refused.value) == code


def test_a_source_that_the_directory_does_not_have_refuses() -> None:
    with pytest.raises(OrderRefused, match="directory"):
        judge(partners={name: partner for name, partner in PARTNERS.items() if name != "caf"})


def test_clocks_may_differ_by_five_seconds_and_no_more() -> None:
    assert judge({"iat": SECONDS + 5, "exp": SECONDS + 15}) == ("moi.nom",)
    assert judge(now=NOW + timedelta(seconds=9, microseconds=999_999)) == ("moi.nom",)
    with pytest.raises(OrderRefused, match="expired"):
        judge(now=NOW + timedelta(seconds=10))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, Attributes()),
        (None, Attributes()),
        ("own", Attributes()),
        ({"own": True, "assigned": True, "mission": "nir", "aid": "rsa"}, Attributes(True, True, "nir", "rsa")),
        ({"own": 1, "assigned": "true", "mission": ["nir"], "aid": 3}, Attributes()),
        ({"own": False, "mission": None, "other": 1}, Attributes()),
    ],
)
def test_odd_attributes_are_the_narrowest(value: object, expected: Attributes) -> None:
    assert read_attributes(value) == expected
