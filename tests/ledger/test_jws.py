"""What a collector signed, read without the library it was signed with: one form, everything else refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.ledger.exact import LedgerError
from consent.ledger.jws import Jws, collectors_of, from_base64url, open_record, public_key, read_object
from tests.kit.world import AT, World
from tests.ledger.collector import (
    ISSUED,
    KEYS,
    b64,
    certificate,
    jwk,
    public_of,
    record,
    sign_jws,
    sign_record,
)
from tests.ledger.world import refused

COLLECTORS = KEYS.collectors
CONSENT = "maillon-consent+jws"


def test_a_record_of_the_real_edge_is_read_the_same(tmp_path: Path) -> None:
    world = World(tmp_path)
    event = world.consent()
    collectors = collectors_of(world.directory.jws, world.root.public_jwk)
    assert collectors.keys() == {"departement"}
    found = open_record(event.jws, collectors)
    assert found.payload == event.payload
    assert (found.collector, found.expires - found.issued <= 1800) == ("departement", True)
    stranger = {"departement": frozenset({public_of("identity")})}
    with refused("certificate"):
        open_record(event.jws, stranger)
    with refused("directory"):
        collectors_of(world.directory.jws, world.identities["hub"].public_jwk)
    assert collectors_of(world.sign_directory(2, departement={"can_collect": False}).jws, world.root.public_jwk) == {}
    assert AT.year  # the certificate ended long before: what counts is that it lived when the event was logged


def test_a_record_is_opened() -> None:
    found = open_record(sign_record(), COLLECTORS)
    assert (found.collector, found.issued, found.expires) == ("departement", ISSUED, ISSUED + 1800)
    assert found.payload == record()


def altered(token: str, part: int, text: str) -> str:
    parts = token.split(".")
    parts[part] = text
    return ".".join(parts)


GOOD = sign_record()
HEADER = {"alg": "Ed25519", "typ": CONSENT, "kid": "k"}


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (None, "record_form"),
        (1, "record_form"),
        ("", "record_form"),
        ("a.b", "record_form"),
        (GOOD + ".", "record_form"),
        ("x" * (2 * 1024 * 1024) + GOOD, "record_form"),
        (GOOD + "=", "record_form"),
        (altered(GOOD, 2, b64(bytes(63))), "record_form"),
        (altered(GOOD, 0, b64(b"[]")), "record_form"),
        (altered(GOOD, 0, b64(b"\xff")), "record_form"),
        (altered(GOOD, 0, b64(json.dumps(HEADER | {"crit": []}).encode())), "record_form"),
        (altered(GOOD, 0, b64(json.dumps(HEADER | {"alg": "none"}).encode())), "record_form"),
        (altered(GOOD, 0, b64(json.dumps(HEADER | {"kid": 1}).encode())), "record_form"),
        (altered(GOOD, 0, b64(json.dumps({"alg": "Ed25519", "typ": CONSENT}).encode())), "record_form"),
        (altered(GOOD, 0, b64(b'{"alg":"none","alg":"Ed25519"}')), "record_form"),
        (altered(GOOD, 1, b64(b'{"collector":"a","collector":"departement"}')), "record_form"),
        (altered(GOOD, 1, b64(b'{"n":NaN}')), "record_form"),
        (altered(GOOD, 1, b64(b'{"n":9007199254740992}')), "record_form"),
        (altered(GOOD, 1, b64(b'{"n":"\\ud800"}')), "record_form"),
        (altered(GOOD, 1, b64(b"[" * 50_000)), "record_form"),
        (sign_jws(record(), "maillon-order+jws", "operational"), "record_form"),
        (sign_record(collector="caf"), "collector_unknown"),
        (sign_record(collector=None), "collector_unknown"),
        (sign_record(certificate=None), "certificate"),
        (sign_record(certificate=GOOD), "certificate"),
        (sign_record(certificate=certificate("operational")), "certificate"),
        (sign_record(certificate=altered(certificate(), 2, b64(bytes(64)))), "certificate"),
        (sign_record(certificate=certificate(slug="caf")), "certificate"),
        (sign_record(certificate=certificate(v=2)), "certificate"),
        (sign_record(certificate=certificate(more=1)), "certificate"),
        (sign_record(certificate=certificate(iat="1")), "certificate"),
        (sign_record(certificate=certificate(exp=None)), "certificate"),
        (sign_record(certificate=certificate(exp=ISSUED)), "certificate"),
        (sign_record(certificate=certificate(exp=ISSUED + 1801)), "certificate"),
        (sign_record(certificate=certificate(sign_key=jwk("operational", "X25519"))), "certificate"),
        (sign_record(certificate=certificate(sign_key=jwk("identity"))), "record_signature"),
        (altered(GOOD, 2, b64(bytes(64))), "record_signature"),
        (altered(GOOD, 1, b64(json.dumps(record(kind="denied")).encode())), "record_signature"),
        (sign_jws(record(), CONSENT, "operational", {"kid": "k"}), "record_signature"),
        (sign_jws(record(), CONSENT, "identity"), "record_signature"),
    ],
)
def test_why_a_record_is_refused(token: object, code: str) -> None:
    with refused(code):
        open_record(token, COLLECTORS)


def test_a_past_identity_key_still_counts() -> None:
    assert open_record(sign_record(certificate=certificate("identity of last year")), COLLECTORS)


def directory(partners: object = None, signer: str = "root") -> str:
    rows = [
        {"slug": "departement", "can_collect": True, "identity_key": jwk("identity")},
        {"slug": "caf", "can_collect": False, "identity_key": jwk("caf")},
    ]
    return sign_jws({"partners": rows if partners is None else partners}, "maillon-directory+jws", signer)


@pytest.mark.parametrize(
    ("token", "root"),
    [
        (GOOD, jwk("root")),
        (directory(signer="hub"), jwk("root")),
        (directory(), jwk("hub")),
        (directory(), {}),
        (directory(), None),
        (directory(), jwk("root") | {"d": "secret"}),
        (directory(), jwk("root") | {"x": b64(bytes(31))}),
        (directory(), jwk("root") | {"kty": "EC"}),
        (directory(), jwk("root", "X25519")),
        (directory(), jwk("root") | {"x": 1}),
        (directory({}), jwk("root")),
        (directory([1]), jwk("root")),
        (directory([{"can_collect": True}]), jwk("root")),
        (directory([{"slug": "departement", "can_collect": True}]), jwk("root")),
    ],
)
def test_only_the_roots_directory_says_who_collects(token: str, root: Any) -> None:
    with refused("directory"):
        collectors_of(token, root)


def test_the_directory_names_the_collectors() -> None:
    assert collectors_of(directory(), jwk("root")) == {"departement": frozenset({public_of("identity")})}


def test_a_false_key_is_no_signer() -> None:
    """Bytes that are no point of the curve, under their own thumbprint."""
    off_curve = (2).to_bytes(32, "little")
    token = Jws.read(GOOD, CONSENT, "form")
    with refused("signature"):
        token.check(off_curve, "signature")
    assert public_key(jwk("root"), "code") == public_of("root")


@pytest.mark.parametrize("text", ["YQ==", "YR", "Y", "Y+==", "a/b_", "é", "YWI\n", None, 1])
def test_base64url_has_one_spelling(text: object) -> None:
    with refused("code"):
        from_base64url(text, "code")
    with refused("code"):
        from_base64url("YQ", "code", 2)


@given(st.binary(max_size=60))
def test_bytes_and_base64url(data: bytes) -> None:
    assert from_base64url(b64(data), "code", len(data)) == data


@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda data: f"{b64(data)}.{b64(data)}.{b64(bytes(64))}"))
def test_nothing_but_its_own_error_is_raised(token: str) -> None:
    with pytest.raises(LedgerError):
        open_record(token, COLLECTORS)


def test_json_is_read_strictly() -> None:
    assert read_object(b'{"a":[1,"\xc3\xa9",null]}', "code") == {"a": [1, "é", None]}
    for wrong in (
        b"",
        b"1",
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":1}}',
        b'{"a":Infinity}',
        b'{"a":1}x',
        b"\xef\xbb\xbf{}",
    ):
        with refused("code"):
            read_object(wrong, "code")
