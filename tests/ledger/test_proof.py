"""A ``.tlog-proof`` whole in itself, and the policy that says whom to believe."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.ledger.exact import LedgerError
from consent.ledger.merkle import inclusion_proof, leaf_hash
from consent.ledger.proof import LogProof, Policy, check_quorum
from consent.ledger.witness import cosign, with_cosignatures
from tests.ledger.world import LOG, ORIGIN, WITNESSES, Log, log_key, make_log, refused, witness_key

LOG_OF_9 = make_log(9)
KEYS = frozenset({LOG.verifier})
ALONE = Policy(ORIGIN, KEYS)
WATCHED = Policy(ORIGIN, KEYS, frozenset(key.verifier for key in WITNESSES), quorum=4, faulty=1)


def proof_of(index: int, log: Log = LOG_OF_9, cosigners: int = 0) -> LogProof:
    note = log.note()
    signed = ALONE.open(note)
    lines = [cosign(signed, key, 1_769_000_000 + i) for i, key in enumerate(WITNESSES[:cosigners])]
    return LogProof(index, inclusion_proof(index, log.size, log.reader()), note + b"".join(lines))


def hashed(index: int, log: Log = LOG_OF_9) -> bytes:
    return leaf_hash(log.leaves[index])


def test_the_form() -> None:
    proof = replace(proof_of(3), extra=b"more")
    lines = [f"{base64.b64encode(each).decode()}\n" for each in proof.hashes]
    expected = "c2sp.org/tlog-proof@v1\nextra bW9yZQ==\nindex 3\n" + "".join(lines) + "\n"
    assert proof.encode() == expected.encode() + LOG_OF_9.note()
    assert LogProof.parse(proof.encode()) == proof
    assert LogProof.parse(replace(proof, extra=None).encode()).extra is None
    assert LogProof.parse(replace(proof, extra=b"").encode()).extra == b""


@pytest.mark.parametrize("index", range(9))
def test_every_leaf_is_proved_and_no_other(index: int) -> None:
    proof = LogProof.parse(proof_of(index).encode())
    assert proof.verify(hashed(index), ALONE).checkpoint == LOG_OF_9.checkpoint()
    for other in range(9):
        if other != index:
            with pytest.raises(LedgerError):
                proof.verify(hashed(other), ALONE)


def test_a_log_of_one() -> None:
    one = make_log(1)
    proof = LogProof.parse(proof_of(0, one).encode())
    assert proof.hashes == ()
    proof.verify(hashed(0, one), ALONE)


HEAD = b"c2sp.org/tlog-proof@v1\n"
HASH = base64.b64encode(bytes(32)) + b"\n"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "proof_form"),
        (HEAD + b"index 0\n", "proof_form"),
        (HEAD[:-1] + b" \nindex 0\n\n", "proof_form"),
        (b"c2sp.org/tlog-proof@v2\nindex 0\n\n", "proof_form"),
        (HEAD.replace(b"\n", b"\r\n") + b"index 0\n\n", "proof_form"),
        (b"\xff\n\n", "proof_form"),
        (HEAD + b"\n", "proof_index"),
        (HEAD + b"extra \n\n", "proof_index"),
        (HEAD + HASH + b"\n", "proof_index"),
        (HEAD + b"index\n\n", "proof_index"),
        (HEAD + b"index +1\n\n", "proof_index"),
        (HEAD + b"index 01\n\n", "proof_index"),
        (HEAD + b"index 1\r\n\r\n\n\n", "proof_index"),
        (HEAD + b"index -1\n\n", "proof_index"),
        (HEAD + b"index 9223372036854775808\n\n", "proof_index"),
        (HEAD + b"index  0\n\n", "proof_index"),
        (HEAD + b"index 0\nextra YQ==\n\n", "proof_hash"),
        (HEAD + b"extra YQ\nindex 0\n\n", "proof_extra"),
        (HEAD + b"extra YR==\nindex 0\n\n", "proof_extra"),
        (HEAD + b"extra YQ==\nextra YQ==\nindex 0\n\n", "proof_index"),
        (HEAD + b"index 0\n" + HASH[:-2] + b"\n\n", "proof_hash"),
        (HEAD + b"index 0\n" + base64.b64encode(bytes(31)) + b"\n\n", "proof_hash"),
        (HEAD + b"index 0\n" + HASH * 64 + b"\n", "proof_hash"),
        (HEAD + b"index 0\n" + HASH.replace(b"A=", b"B=") + b"\n", "proof_hash"),
    ],
)
def test_other_spellings_are_refused(data: bytes, code: str) -> None:
    with refused(code):
        LogProof.parse(data)


def test_what_is_no_proof_is_not_made() -> None:
    with refused("proof_index"):
        LogProof(-1, (), b"")
    with refused("proof_hash"):
        LogProof(0, (b"short",), b"")


@given(st.binary(max_size=200))
def test_nothing_but_its_own_error_is_raised(data: bytes) -> None:
    for attempt in (data, HEAD + data, HEAD + b"index 0\n" + data):
        try:
            proof = LogProof.parse(attempt)
        except LedgerError:
            continue
        assert proof.encode() == attempt


def test_another_log_is_not_believed() -> None:
    proof = proof_of(3)
    other = log_key("other")
    with refused("unsigned"):
        proof.verify(hashed(3), Policy(ORIGIN, frozenset({other.verifier})))
    elsewhere = log_key(origin="elsewhere.example")
    foreign = Log([], [elsewhere], "elsewhere.example")
    with refused("unsigned"):
        ALONE.open(foreign.note())


def test_a_key_does_not_sign_for_another_origin() -> None:
    """The log's own key under a text that names another log."""
    impostor = b"elsewhere.example\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    note = impostor + b"\n" + LOG.sign(impostor)
    with refused("origin"):
        ALONE.open(note)


@pytest.mark.parametrize("cosigners", range(6))
def test_a_quorum_of_witnesses(cosigners: int) -> None:
    proof = proof_of(3, cosigners=cosigners)
    if cosigners < 4:
        with refused("quorum"):
            proof.verify(hashed(3), WATCHED)
    else:
        signed = proof.verify(hashed(3), WATCHED)
        assert len(signed.signed_by(WATCHED.witnesses)) == cosigners


def test_one_witness_twice_is_one_witness() -> None:
    signed = ALONE.open(LOG_OF_9.note())
    lines = [cosign(signed, WITNESSES[0], 1_769_000_000 + i) for i in range(4)]
    with refused("quorum"):
        WATCHED.open(signed.note + b"".join(lines))


def test_witnesses_alone_are_not_the_log() -> None:
    text = LOG_OF_9.checkpoint().encode()
    note = text + b"\n" + b"".join(key.sign(text, 1_769_000_000) for key in WITNESSES)
    with refused("log_signature"):
        WATCHED.open(note)


def test_a_false_cosignature_refuses_the_note() -> None:
    good = proof_of(3, cosigners=5).checkpoint
    later = ALONE.open(LOG_OF_9.note(8))
    with refused("signature"):
        WATCHED.open(LOG_OF_9.note() + cosign(later, WITNESSES[0], 1_769_000_000))
    assert WATCHED.open(good)


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        (lambda: Policy(ORIGIN, frozenset()), "policy_log"),
        (lambda: Policy("other.example", KEYS), "policy_log"),
        (lambda: Policy(WITNESSES[0].name, frozenset({WITNESSES[0].verifier})), "policy_log"),
        (lambda: Policy(ORIGIN, KEYS, KEYS, 1), "policy_witness"),
        (lambda: Policy(ORIGIN, KEYS, frozenset({log_key("w", "w").verifier}), 1), "policy_witness"),
        (
            lambda: Policy(
                ORIGIN, KEYS, frozenset({replace(witness_key("w1").verifier, name=n) for n in ("a", "b", "c")}), 2
            ),
            "policy_witness",
        ),
        (lambda: replace(WATCHED, quorum=3), "policy_quorum"),
    ],
)
def test_policies_that_protect_nobody_are_refused(policy: object, code: str) -> None:
    with refused(code):
        policy()  # type: ignore[operator]


@pytest.mark.parametrize("witnesses", range(8))
@pytest.mark.parametrize("faulty", range(-1, 9))
@pytest.mark.parametrize("quorum", range(-1, 9))
def test_two_quorums_share_a_witness_that_does_not_lie(witnesses: int, faulty: int, quorum: int) -> None:
    """By counting: two sets of ``quorum`` among ``witnesses`` overlap in at least 2·quorum - witnesses."""
    fits = 0 <= faulty <= witnesses and 0 <= quorum <= witnesses
    safe = 2 * quorum - witnesses > faulty if witnesses else quorum == 0
    try:
        check_quorum(witnesses, faulty, quorum)
    except LedgerError as error:
        assert (error.code, fits and safe) == ("policy_quorum", False)  # noqa: PT017 (either way is checked)
    else:
        assert fits
        assert safe


def test_cosignatures_are_added_once() -> None:
    note = LOG_OF_9.note()
    full = proof_of(3, cosigners=3).checkpoint
    found = WATCHED_ANY.open(full).signed_by(WATCHED.witnesses)
    assert with_cosignatures(note, found) == full
    assert with_cosignatures(full, found) == full


WATCHED_ANY = Policy(ORIGIN, KEYS, frozenset(key.verifier for key in WITNESSES), quorum=3, faulty=0)
