"""The chain of trust: what a hub that lies, holds back or swaps keys meets at an edge."""

import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.kit import seal
from connectors.kit.klink import open_klink
from connectors.kit.ledger.keys import log_keys, witness_keys
from connectors.kit.runtime.clock import FakeClock, to_epoch
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import PartnerSlug
from connectors.kit.runtime.keys import SealKey, SigningKey
from connectors.kit.seal import Typ
from connectors.kit.trust import (
    Certificate,
    Directory,
    DirectoryPartner,
    OperationalKeys,
    Root,
    RotatingKeys,
    fingerprint,
    open_certified,
    subject_digest,
    verify_certified,
)
from consent.ledger.checkpoint import KeyType, SignerKey

AT = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)


def partner(slug: str, identity: SigningKey, sealing: SealKey, **changes: object) -> DirectoryPartner:
    row = DirectoryPartner(
        slug=PartnerSlug(slug),
        name=slug.upper(),
        kind="caisse",
        operator="departement",
        status="active",
        identity_key=identity.public_jwk,
        seal_key=sealing.public_jwk,
        endpoint="http://127.0.0.1:1",
    )
    return replace(row, **changes)  # type: ignore[arg-type]


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root.create(tmp_path / "root.json")


@pytest.fixture
def identity() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture
def sealing() -> SealKey:
    return SealKey.generate()


@pytest.fixture
def directory(root: Root, identity: SigningKey, sealing: SealKey) -> Directory:
    token = root.sign_directory([partner("caf", identity, sealing)], 3, AT)
    return Directory.verify(token, root.public_jwk, AT, 1)


def untrusted(token: str, root: Root, at: datetime = AT, minimum: int = 1) -> str:
    with pytest.raises(MaillonError) as caught:
        Directory.verify(token, root.public_jwk, at, minimum)
    assert caught.value.kind is ErrorKind.UNTRUSTED_DIRECTORY
    return caught.value.detail


def test_the_root_file_is_private_and_loads_again(tmp_path: Path, root: Root) -> None:
    path = tmp_path / "root.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = Root.load(path)
    assert again.fingerprint == root.fingerprint
    groups = root.fingerprint.split(" ")
    assert len(groups) == 16
    assert all(len(group) == 4 and set(group) <= set("0123456789abcdef") for group in groups)
    with pytest.raises(MaillonError):
        Root.create(path)
    path.chmod(0o644)
    with pytest.raises(MaillonError):
        Root.load(path)


@pytest.mark.parametrize("text", ["{}", "[]", "nonsense", '{"key":1,"klinks":[]}', '{"key":{},"klinks":[{"epoch":1}]}'])
def test_what_is_no_root_is_a_named_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "root.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(MaillonError):
        Root.load(path)


def test_a_directory_carries_its_partners(root: Root, directory: Directory, identity: SigningKey) -> None:
    assert directory.version == 3
    assert directory.partner("caf").identity_key == identity.public_jwk
    assert [row.slug for row in directory.partners()] == ["caf"]
    with pytest.raises(MaillonError) as caught:
        directory.partner("cpam")
    assert caught.value.kind is ErrorKind.UNKNOWN_PARTNER


def test_a_hub_that_signs_its_own_directory_is_refused(root: Root, sealing: SealKey) -> None:
    """The hub swaps a partner's key: it can only sign with a key that is not the root's."""
    swapped = {"v": 1, "version": 4, "issued_at": to_epoch(AT), "valid_until": to_epoch(AT) + 60, "partners": []}
    assert untrusted(seal.sign(swapped, Typ.DIRECTORY, SigningKey.generate()), root) == f"{Typ.DIRECTORY}: kid"


def test_a_hub_that_edits_the_directory_is_refused(root: Root, directory: Directory) -> None:
    other = root.sign_directory([partner("caf", SigningKey.generate(), SealKey.generate())], 3, AT)
    mine, theirs = directory.jws.split("."), other.split(".")
    assert untrusted(".".join([mine[0], theirs[1], mine[2]]), root) == f"{Typ.DIRECTORY}: signature"


def test_an_older_directory_is_refused_and_the_same_is_not(root: Root, directory: Directory) -> None:
    assert untrusted(directory.jws, root, minimum=4) == "version"
    assert Directory.verify(directory.jws, root.public_jwk, AT, 3).version == 3


def test_a_stale_or_early_directory_is_refused(root: Root, directory: Directory) -> None:
    assert untrusted(directory.jws, root, at=directory.valid_until) == "valid_until"
    assert untrusted(directory.jws, root, at=AT - timedelta(seconds=6)) == "issued_at"


def test_a_certificate_of_another_typ_is_no_directory(root: Root, identity: SigningKey) -> None:
    assert untrusted(OperationalKeys.mint(identity, "caf", AT).certificate, root) == f"{Typ.DIRECTORY}: typ"


@pytest.mark.parametrize(
    "change",
    [
        {"slug": "Not A Slug"},
        {"kind": "control"},
        {"status": "maybe"},
        {"identity_key": {}},
        {"nir_autorise": "yes"},
        {"roles": [1]},
        {"endpoint": None},
    ],
)
def test_the_root_does_not_sign_what_no_edge_would_read(
    root: Root, identity: SigningKey, sealing: SealKey, change: dict[str, object]
) -> None:
    with pytest.raises(MaillonError):
        root.sign_directory([replace(partner("caf", identity, sealing), **change)], 1, AT)


def test_a_slug_twice_is_refused(root: Root, identity: SigningKey, sealing: SealKey) -> None:
    with pytest.raises(MaillonError) as caught:
        root.sign_directory([partner("caf", identity, sealing), partner("caf", identity, sealing)], 1, AT)
    assert caught.value.detail == "duplicate slug"


LOG = SignerKey.from_seed("hub.example/log", b"l" * 32).verifier.vkey
WITNESS = SignerKey.from_seed("caf.example/witness", b"w" * 32, KeyType.COSIGNATURE_V1).verifier.vkey


def test_a_directory_names_the_log_and_its_witnesses(root: Root, identity: SigningKey, sealing: SealKey) -> None:
    rows = [
        partner("hub", identity, sealing, log_key=LOG),
        partner("caf", identity, sealing, witness_key=WITNESS),
        partner("cpam", identity, sealing),
    ]
    verified = Directory.verify(root.sign_directory(rows, 1, AT), root.public_jwk, AT, 1)
    assert {key.vkey for key in log_keys(verified.partner("hub"))} == {LOG}
    assert {slug: key.vkey for slug, key in witness_keys(verified.partners()).items()} == {"caf": WITNESS}
    assert log_keys(verified.partner("caf")) == frozenset()
    suspended = [rows[0], replace(rows[1], status="suspended")]
    verified = Directory.verify(root.sign_directory(suspended, 2, AT), root.public_jwk, AT, 1)
    assert witness_keys(verified.partners()) == {}, "a suspended partner is no witness"


@pytest.mark.parametrize(
    "changes",
    [
        {"log_key": LOG},
        {"witness_key": LOG},
        {"witness_key": WITNESS.replace("caf", "cpam")},
        {"witness_key": WITNESS + " "},
        {"witness_key": None},
        {"reviewer_key": "A" * 43},
        {"slug": "hub", "reviewer_key": "A" * 42},
        {"slug": "hub", "reviewer_key": None},
        {"witness_key": 5},
        {"slug": "hub", "log_key": WITNESS},
        {"slug": "hub", "log_key": LOG, "witness_key": WITNESS},
    ],
)
def test_a_key_of_another_kind_or_in_another_place_is_refused(
    root: Root, identity: SigningKey, sealing: SealKey, changes: dict[str, Any]
) -> None:
    with pytest.raises(MaillonError) as caught:
        root.sign_directory([replace(partner("caf", identity, sealing), **changes)], 1, AT)
    assert (caught.value.kind, caught.value.detail) == (ErrorKind.UNTRUSTED_DIRECTORY, "partner form")


def test_one_witness_cannot_count_for_two(root: Root, identity: SigningKey, sealing: SealKey) -> None:
    same_name = SignerKey.from_seed("caf.example/witness", b"x" * 32, KeyType.COSIGNATURE_V1).verifier.vkey
    same_key = SignerKey.from_seed("cpam.example/witness", b"w" * 32, KeyType.COSIGNATURE_V1).verifier.vkey
    for other in (WITNESS, same_name, same_key):
        rows = [
            partner("caf", identity, sealing, witness_key=WITNESS),
            partner("cpam", identity, sealing, witness_key=other),
        ]
        with pytest.raises(MaillonError) as caught:
            root.sign_directory(rows, 1, AT)
        assert caught.value.detail == "duplicate witness key"


def test_klink_reaches_the_edge_it_was_sealed_to_and_no_other(root: Root, sealing: SealKey) -> None:
    token = root.seal_klink("caf", sealing.public_jwk)
    (klink,) = open_klink(token, sealing, "caf", root.public_jwk)
    assert (klink.epoch, len(klink.key)) == (1, 32)
    assert klink.key == open_klink(root.seal_klink("caf", sealing.public_jwk), sealing, "caf", root.public_jwk)[-1].key
    assert klink.key.hex() not in repr(klink)
    for slug, key, signer, kind in (
        ("cpam", sealing, root.public_jwk, ErrorKind.WRONG_RECIPIENT),
        ("caf", SealKey.generate(), root.public_jwk, ErrorKind.BAD_SEAL),
        ("caf", sealing, SigningKey.generate().public_jwk, ErrorKind.BAD_SIGNATURE),
    ):
        with pytest.raises(MaillonError) as caught:
            open_klink(token, key, slug, signer)
        assert caught.value.kind is kind


def message(keys: OperationalKeys, requester: str = "caf") -> str:
    return keys.sign({"requester": requester}, Typ.REQUEST)


def refused(token: str, directory: Directory, at: datetime = AT) -> tuple[ErrorKind, str]:
    with pytest.raises(MaillonError) as caught:
        verify_certified(token, Typ.REQUEST, "requester", directory, at)
    return caught.value.kind, caught.value.detail


def test_a_certified_message_is_read(directory: Directory, identity: SigningKey) -> None:
    keys = OperationalKeys.mint(identity, "caf", AT)
    payload, certificate = verify_certified(message(keys), Typ.REQUEST, "requester", directory, AT)
    assert payload["requester"] == "caf"
    assert certificate.seal_key_id == keys.seal_key.thumbprint
    assert certificate.expires_at == keys.expires_at == AT + timedelta(minutes=30)


def test_a_key_certified_by_someone_else_is_refused(directory: Directory) -> None:
    """The hub certifies a key of its own in the partner's name."""
    keys = OperationalKeys.mint(SigningKey.generate(), "caf", AT)
    assert refused(message(keys), directory) == (ErrorKind.UNTRUSTED_KEY, f"certificate: {Typ.CERTIFICATE}: kid")


def test_a_certificate_for_another_slug_is_refused(directory: Directory, identity: SigningKey) -> None:
    keys = OperationalKeys.mint(identity, "cpam", AT)
    assert refused(message(keys), directory) == (ErrorKind.UNTRUSTED_KEY, "certificate: slug")


def test_a_message_signed_by_another_key_than_the_certified_one_is_refused(
    directory: Directory, identity: SigningKey
) -> None:
    keys = OperationalKeys.mint(identity, "caf", AT)
    stolen = replace(keys, sign_key=SigningKey.generate())
    assert refused(message(stolen), directory) == (ErrorKind.BAD_SIGNATURE, f"{Typ.REQUEST}: kid")


def test_certificates_end(directory: Directory, identity: SigningKey) -> None:
    keys = OperationalKeys.mint(identity, "caf", AT)
    last = AT + timedelta(minutes=30) - timedelta(seconds=1)
    verify_certified(message(keys), Typ.REQUEST, "requester", directory, last)
    assert refused(message(keys), directory, AT + timedelta(minutes=30)) == (ErrorKind.EXPIRED, "certificate: exp")
    assert refused(message(keys), directory, AT - timedelta(minutes=1)) == (ErrorKind.EXPIRED, "certificate: iat")


def test_a_certificate_over_30_minutes_is_refused(directory: Directory, identity: SigningKey) -> None:
    keys = OperationalKeys.mint(identity, "caf", AT)
    claims = seal.verify(keys.certificate, Typ.CERTIFICATE, identity.public_jwk)
    longer = seal.sign(claims | {"exp": claims["exp"] + 1}, Typ.CERTIFICATE, identity)
    token = message(replace(keys, certificate=longer))
    assert refused(token, directory) == (ErrorKind.EXPIRED, "certificate: exp")
    with pytest.raises(ValueError):
        OperationalKeys.mint(identity, "caf", AT, timedelta(minutes=31))


@pytest.mark.parametrize(
    "change",
    [{"v": 2}, {"extra": 1}, {"exp": "soon"}, {"sign_key": {}}, {"seal_key": SigningKey.generate().public_jwk}],
)
def test_a_certificate_of_another_form_is_refused(identity: SigningKey, change: dict[str, object]) -> None:
    keys = OperationalKeys.mint(identity, "caf", AT)
    claims = seal.verify(keys.certificate, Typ.CERTIFICATE, identity.public_jwk)
    with pytest.raises(MaillonError) as caught:
        Certificate.verify(seal.sign(claims | change, Typ.CERTIFICATE, identity), "caf", identity.public_jwk)
    assert caught.value.kind is ErrorKind.UNTRUSTED_KEY


def test_certification_is_one_level(directory: Directory, identity: SigningKey) -> None:
    """An operational key certifies nothing."""
    keys = OperationalKeys.mint(identity, "caf", AT)
    below = OperationalKeys.mint(keys.sign_key, "caf", AT)
    assert refused(message(below), directory)[0] is ErrorKind.UNTRUSTED_KEY


@pytest.mark.parametrize("payload", [{"requester": "caf"}, {"requester": 1}, {"requester": "caf", "certificate": []}])
def test_a_message_without_certificate_or_issuer_is_refused(
    directory: Directory, identity: SigningKey, payload: dict[str, object]
) -> None:
    kind, _ = refused(seal.sign(payload, Typ.REQUEST, identity), directory)
    assert kind in (ErrorKind.BAD_SIGNATURE, ErrorKind.UNTRUSTED_KEY)


def test_a_suspended_partner_is_refused_but_what_it_signed_before_is_still_readable(
    root: Root, identity: SigningKey, sealing: SealKey
) -> None:
    token = root.sign_directory([partner("caf", identity, sealing, status="suspended")], 4, AT)
    directory = Directory.verify(token, root.public_jwk, AT, 3)
    signed = message(OperationalKeys.mint(identity, "caf", AT))
    assert refused(signed, directory)[0] is ErrorKind.SUSPENDED
    payload, certificate = open_certified(signed, Typ.REQUEST, "caf", identity.public_jwk)
    assert payload["requester"] == "caf"
    with pytest.raises(MaillonError):
        certificate.check_alive(AT + timedelta(days=30))


def test_keys_rotate_before_they_expire(identity: SigningKey) -> None:
    clock = FakeClock(AT)
    rotating = RotatingKeys(identity, "caf", clock)
    first = rotating()
    assert rotating() is first
    clock.advance(timedelta(minutes=25) - timedelta(seconds=1))
    assert rotating() is first
    clock.advance(timedelta(seconds=2))
    second = rotating()
    assert second.sign_key.thumbprint != first.sign_key.thumbprint
    clock.advance(timedelta(hours=-2))
    third = rotating()
    assert third is not second, "a clock set back must not leave a key from the future in use"


def test_subject_digests_do_not_join_across_salts() -> None:
    one, two = subject_digest("ref", bytes(16)), subject_digest("ref", bytes(15) + b"\x01")
    assert one != two
    assert one == subject_digest("ref", bytes(16))
    with pytest.raises(ValueError):
        subject_digest("ref", b"short")


def test_a_fingerprint_is_of_the_key_alone() -> None:
    key = SigningKey.generate()
    assert fingerprint(key.public_jwk) == fingerprint({**key.public_jwk, "kid": "x"})
