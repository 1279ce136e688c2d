"""A receipt checked offline: what it proves, what it does not, and every way it can be false."""

from __future__ import annotations

import json
import random
import tracemalloc
import zlib
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.ledger import envelope, words
from consent.ledger.dictionary import DICTIONARY
from consent.ledger.envelope import Link
from consent.ledger.exact import LedgerError
from consent.ledger.jws import collectors_of
from consent.ledger.keychange import KeyHistory
from consent.ledger.leaf import EventClass, Leaf, commitment
from consent.ledger.note import VerifierKey
from consent.ledger.opening import instant
from consent.ledger.proof import LogProof
from consent.ledger.receipt import MAX_BYTES, Receipt, leaf_hash_of
from consent.ledger.verify import TrustedKeys, Verdict, verify_receipt
from tests.kit.world import World
from tests.ledger.collector import (
    ALONE,
    ISSUED,
    KEYS,
    NOTICE,
    SALT,
    Story,
    b64,
    certificate,
    prove,
    record,
    sign_jws,
    sign_record,
)
from tests.ledger.world import ORIGIN, START_US, WITNESSES, Log, log_key, refused

GOOD = Story().value()


def code_of(value: Any, keys: TrustedKeys = KEYS) -> str | None:
    return verify_receipt(value, keys).code


def test_a_true_receipt_holds() -> None:
    verdict = verify_receipt(GOOD, KEYS)
    assert verdict.holds
    assert (verdict.index, verdict.size, verdict.origin, verdict.collector) == (5, 9, ORIGIN, "departement")
    assert (verdict.at_us, verdict.notice_sha256, verdict.quorum) == (START_US + 5_000, NOTICE, 4)
    assert verdict.witnesses == tuple((key.name, ISSUED + 60) for key in WITNESSES[:4])
    assert verdict.record == record()
    assert verdict.reason("fr") == verdict.reason("en") == ""


def test_it_says_in_plain_words_what_it_proves() -> None:
    verdict = verify_receipt(GOOD, KEYS)
    assert verdict.proves("fr") == [
        "L’organisme « departement » a signé cet enregistrement, et personne ne l’a modifié depuis.",
        f"Le texte présenté est celui dont l’empreinte SHA-256 est {NOTICE}.",
        f"Il est inscrit à la place 5 du journal « {ORIGIN} », "
        "à la date du 2026-01-21T12:53:20.005000Z, parmi 9 événements.",
        "4 témoin(s) de votre liste ont vu cet état du journal, au plus tard le 2026-01-21T12:54:20.000000Z : "
        + ", ".join(key.name for key in WITNESSES[:4])
        + ".",
    ]
    assert verdict.proves("en")[1] == f"The text shown is the one whose SHA-256 digest is {NOTICE}."
    assert [len(verdict.does_not_prove(language)) for language in ("fr", "en")] == [4, 4]
    assert (
        verdict.does_not_prove("en")[0]
        == "That this agreement or choice still holds: a later event may have changed it."
    )


def test_without_witnesses_it_says_so() -> None:
    verdict = verify_receipt(Story(cosigners=0).value(), ALONE)
    assert verdict.holds
    assert len(verdict.proves("fr")) == 3
    assert "aucun témoin" in verdict.does_not_prove("fr")[-1]
    assert "no witness" in verdict.does_not_prove("en")[-1]


def test_an_event_without_a_text_shown() -> None:
    jws = sign_record(kind="revoked", notice=None)
    verdict = verify_receipt(Story(jws=jws, notice=None).value(), KEYS)
    assert verdict.holds
    assert len(verdict.proves("en")) == 3


def test_a_false_receipt_proves_nothing() -> None:
    verdict = verify_receipt(Story(cosigners=3).value(), KEYS)
    assert (verdict.code, verdict.holds, verdict.proves("fr")) == ("quorum", False, [])
    assert verdict.reason("fr") == "Trop peu de témoins ont vu cet état du journal."
    assert verdict.reason("en") == "Too few witnesses have seen this state of the log."
    assert verdict.record is None


def test_every_reason_is_said_in_both_languages() -> None:
    for code in (*words.REASONS, "proof_form", "whatever"):
        french, english = (Verdict(code).reason(language) for language in ("fr", "en"))
        assert french
        assert english
        assert french != english
    sentences = [*words.REASONS.values(), *words.PROVES.values(), *words.DOES_NOT_PROVE.values(), words.DAMAGED]
    for french, english in sentences:
        assert french.endswith((".", " : {names}."))
        assert english.endswith(".")
        for word in ("hash", "Merkle", "leaf", "feuille", "Ed25519", "JWS"):
            assert word not in french + english
    assert words.reason("unheard_of", "fr") == words.reason("proof_form", "fr")


def with_event(**members: Any) -> dict[str, Any]:
    return GOOD | {"event": GOOD["event"] | members}


def with_proof(**members: Any) -> dict[str, Any]:
    return GOOD | {"proof": replace(LogProof.parse(GOOD["proof"].encode()), **members).encode().decode()}


PROOF = LogProof.parse(GOOD["proof"].encode())


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "receipt_form"),
        ([], "receipt_form"),
        ({}, "receipt_form"),
        (GOOD | {"more": 1}, "receipt_form"),
        (GOOD | {"v": 2}, "receipt_form"),
        (GOOD | {"type": "maillon-order"}, "receipt_form"),
        (GOOD | {"event": 1}, "receipt_form"),
        (GOOD | {"proof": None}, "receipt_form"),
        (GOOD | {"proof": "\ud800"}, "receipt_form"),
        (GOOD | {"proof": ""}, "proof_form"),
        (GOOD | {"proof": GOOD["proof"].replace("\n", "\r\n")}, "proof_form"),
        (GOOD | {"notice_sha256": 1}, "receipt_form"),
        (GOOD | {"notice_sha256": None}, "notice"),
        (GOOD | {"notice_sha256": "cd" * 32}, "notice"),
        (with_event(**{"class": "access"}), "receipt_form"),
        (with_event(**{"class": ["consent"]}), "receipt_form"),
        (with_event(more=1), "receipt_form"),
        (with_event(event_id="636f6e73656e74206576656e74206964"), "receipt_form"),
        (with_event(event_id=GOOD["event"]["event_id"].upper()), "receipt_form"),
        (with_event(event_id=None), "receipt_form"),
        (with_event(event_id="not an id"), "receipt_form"),
        (with_event(event_id="00000000-0000-4000-8000-000000000000"), "root"),
        (with_event(at="2026-01-21T12:53:20Z"), "receipt_form"),
        (with_event(at="2026-13-21T12:53:20.000000Z"), "receipt_form"),
        (with_event(at=5), "receipt_form"),
        (with_event(at="2026-01-21T12:53:20.005001Z"), "root"),
        (with_event(at="2026-01-20T12:53:20.005000Z"), "record_time"),
        (with_event(r32=b64(bytes(31))), "receipt_form"),
        (with_event(r32=b64(bytes(32))), "root"),
        (with_event(ciphertext_digest=b64(bytes(33))), "receipt_form"),
        (with_event(ciphertext_digest=b64(bytes(32))), "root"),
        (with_event(subject={"n": 1, "prev": None}), "root"),
        (with_event(subject={"n": 0, "prev": None}), "link"),
        (with_event(subject=1), "link"),
        (GOOD | {"record": 1}, "record_form"),
        (GOOD | {"record": {}}, "record_form"),
        (GOOD | {"record": "é"}, "record_form"),
        (GOOD | {"record": {"protected": "a", "signature": "b", "payload": "\ud800"}}, "record_form"),
        (GOOD | {"record": {"protected": "a", "signature": "b", "payload": float("nan")}}, "record_form"),
        (GOOD | {"record": {"protected": "a", "signature": "b", "deflated": b64(b"no zlib")}}, "record_form"),
        (GOOD | {"record": {"protected": "a", "signature": "b", "other": 1}}, "record_form"),
        (GOOD | {"record": GOOD["record"] | {"signature": 1}}, "record_form"),
        (GOOD | {"record": GOOD["record"] | {"payload": record(kind="denied")}}, "record_signature"),
        (GOOD | {"record": sign_record(collector="caf")}, "collector_unknown"),
        (GOOD | {"record": sign_record(certificate=certificate("caf"))}, "certificate"),
        (with_proof(index=4), "root"),
        (with_proof(index=9), "index"),
        (with_proof(hashes=PROOF.hashes[:-1]), "proof_length"),
        (with_proof(hashes=PROOF.hashes[::-1]), "root"),
        (with_proof(checkpoint=PROOF.checkpoint.replace(b"\n9\n", b"\n10\n")), "signature"),
        (with_proof(checkpoint=PROOF.checkpoint.replace(b"\n9\n", b"\n+9\n")), "checkpoint_size"),
        (with_proof(checkpoint=b""), "note_form"),
        (Story(cosigners=3).value(), "quorum"),
        (Story(signers=(log_key("other"),)).value(), "log_signature"),
    ],
)
def test_every_way_a_receipt_can_be_false(value: Any, code: str) -> None:
    assert code_of(value) == code


def nested(depth: int) -> Any:
    value: Any = None
    for _ in range(depth):
        value = [value]
    return value


def test_hostile_shapes_are_refused_quietly() -> None:
    deep = GOOD | {"record": {"protected": "a", "signature": "b", "payload": nested(50_000)}}
    assert code_of(deep) == "record_form"


def test_another_log_another_answer() -> None:
    elsewhere = replace(KEYS, history=KeyHistory("elsewhere.example", (KEYS_AT_ELSEWHERE,)))
    assert code_of(GOOD, elsewhere) == "origin"
    assert code_of(GOOD, replace(ALONE, history=elsewhere.history)) == "unsigned"


KEYS_AT_ELSEWHERE = replace(KEYS.history.spans[0], key=log_key(origin="elsewhere.example").verifier)


@pytest.mark.parametrize(
    ("story", "code"),
    [
        (Story(at_us=(ISSUED - 5) * 1_000_000), None),
        (Story(at_us=(ISSUED - 5) * 1_000_000 - 1), "record_time"),
        (Story(at_us=(ISSUED + 1800) * 1_000_000 - 1), None),
        (Story(at_us=(ISSUED + 1800) * 1_000_000), "record_time"),
        (Story(jws=sign_record(at="2026-01-21T12:53:25.005Z")), None),
        (Story(jws=sign_record(at="2026-01-21T12:53:25.006Z")), "record_time"),
        (Story(jws=sign_record(at="2026-01-01T00:00:00Z")), None),
        (Story(jws=sign_record(at=None)), "record_time"),
        (Story(jws=sign_record(at="2026-01-21T12:53:20")), "record_time"),
        (Story(jws=sign_record(at="yesterdayZ")), "record_time"),
        (Story(jws=sign_record(notice="x"), notice=None), None),
        (Story(time=2**62), "instant"),
    ],
)
def test_times_must_go_together(story: Story, code: str | None) -> None:
    """The log's time lies in the life of the signer's certificate, and what is logged was said before."""
    assert code_of(story.value()) == code


def test_a_receipt_of_another_class_is_none() -> None:
    """The leaf under the proof is of an access: as a consent it hashes to something else."""
    receipt = replace(Story(event_class=EventClass.ACCESS).receipt())
    assert code_of(json.loads(receipt.encode()) | {"event": GOOD["event"]}) == "root"


@pytest.mark.parametrize("link", [None, Link(1, None), Link(7, bytes(32))])
def test_its_place_among_the_persons_events_is_covered(link: Link | None) -> None:
    value = Story(link=link).value()
    assert code_of(value) is None
    assert Receipt.parse(value).link == link
    for other in ({"n": 8, "prev": b64(bytes(32))}, None):
        if value["event"]["subject"] != other:
            assert code_of(value | {"event": value["event"] | {"subject": other}}) == "root"


def test_a_receipt_reads_back() -> None:
    receipt = Story().receipt()
    assert Receipt.parse(GOOD) == receipt
    assert leaf_hash_of(receipt) != bytes(32)
    with refused("receipt_form"):
        replace(receipt, proof=b"\xff").encode()
    assert GOOD["record"]["payload"] == record()


def test_a_long_record_is_deflated_and_opens() -> None:
    paths = [f"droits.rsa.champ_{number}_{hash_like(number)}" for number in range(90)]
    story = Story(jws=sign_record(pii_information=paths))
    value = story.value()
    assert value["record"].keys() == {"protected", "deflated", "signature"}
    assert code_of(value) is None
    for wrong in (value["record"]["deflated"][:-8], b64(b"x" * 50), value["record"]["deflated"] + "AAAA"):
        assert code_of(value | {"record": value["record"] | {"deflated": wrong}}) == "record_form"


def hash_like(number: int) -> str:
    return f"{random.Random(number).getrandbits(64):x}"  # noqa: S311


def test_a_bomb_does_not_unfold() -> None:
    deflater = zlib.compressobj(9, zdict=DICTIONARY)
    packed = deflater.compress(b"a" * 50_000_000) + deflater.flush()
    bomb = GOOD | {"record": {"protected": "a", "signature": "b", "deflated": b64(packed)}}
    tracemalloc.start()
    assert code_of(bomb) == "record_form"
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5_000_000


def test_a_record_spelt_otherwise_is_kept_as_signed() -> None:
    jws = sign_jws(json.dumps(record(), indent=1).encode(), "maillon-consent+jws", "operational")
    value = Story(jws=jws).value()
    assert value["record"] == jws
    assert code_of(value) is None


def test_a_real_consent_fits_four_kilobytes(tmp_path: Path) -> None:
    """Every field of the dossier, in a log of a million with three witnesses; made by the real edge."""
    world = World(tmp_path)
    everything = tuple(world.policy.index.paths(world.policy.index.full))
    event = world.consent(fields=everything)
    at_us = int(event_time(event.payload) * 1_000_000)
    leaf = Leaf(
        EventClass.CONSENT, b"consent event id", at_us, commitment(SALT, envelope.encode(event.jws, None)), bytes(32)
    )
    log = Log([leaf])
    notice = event.payload["notice"]["sha256"]
    receipt = Receipt(event.jws, notice, leaf, SALT, None, prove(log, 0, 3, at_us // 1_000_000).encode())
    collectors = collectors_of(world.directory.jws, world.root.public_jwk)
    verdict = verify_receipt(json.loads(receipt.encode()), replace(ALONE, collectors=collectors))
    assert verdict.holds, verdict.code
    twenty = replace(prove(log, 0, 3), hashes=tuple(bytes([i]) * 32 for i in range(20))).encode()
    assert len(replace(receipt, proof=twenty).encode()) <= MAX_BYTES


def event_time(payload: dict[str, Any]) -> float:
    return datetime.fromisoformat(payload["at"]).timestamp()


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda s: st.lists(s, max_size=3)))
def test_nothing_is_raised(junk: Any) -> None:
    for name in GOOD:
        code_of(GOOD | {name: junk})
    for name in GOOD["event"]:
        code_of(with_event(**{name: junk}))
    for name in GOOD["record"]:
        code_of(GOOD | {"record": GOOD["record"] | {name: junk}})


def test_any_character_altered_is_found() -> None:
    """Each part of the receipt that counts, altered one character at a time."""
    text, chance = json.dumps(GOOD), random.Random(8)  # noqa: S311
    spare = set()
    for _ in range(600):
        at = chance.randrange(len(text))
        other = chance.choice("ABCabc019-_")
        if text[at] == other:
            continue
        try:
            value = json.loads(text[:at] + other + text[at + 1 :])
        except ValueError:
            continue
        if code_of(value) is None:
            spare.add(at)
    # The one freedom left: a whole cosignature beyond the quorum is a stranger's once its key id or name is another.
    lines = [text.index(f"\\u2014 {key.name}") for key in WITNESSES[:4]]
    assert all(any(start < at < start + 200 for start in lines) for at in spare)
    assert code_of(json.loads(text), replace(KEYS, quorum=5, faulty=4)) == "quorum"


def test_an_instant_no_calendar_has() -> None:
    assert instant(0) == "1970-01-01T00:00:00.000000Z"
    assert instant(-1) == "1969-12-31T23:59:59.999999Z"
    for wrong in (2**63 - 1, -(2**63), 10**30):
        with refused("instant"):
            instant(wrong)


def test_a_witness_is_no_log() -> None:
    with pytest.raises(LedgerError):
        replace(KEYS, history=KeyHistory(WITNESSES[0].name, ()))
    assert VerifierKey.parse(WITNESSES[0].verifier.vkey) in KEYS.witnesses
