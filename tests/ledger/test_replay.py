"""The whole log computed again: an honest one passes, and each kind of tampering is named where it starts."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from consent.ledger.checkpoint import Checkpoint, sign
from consent.ledger.keychange import Action, KeyChange, KeyHistory, KeySpan
from consent.ledger.leaf import EventClass, Leaf, commitment
from consent.ledger.proof import Policy
from consent.ledger.replay import SKEW_US, Fault, Reveal, replay
from consent.ledger.witness import cosign
from tests.ledger.world import LOG, ORIGIN, START_US, WITNESSES, Log, log_key, make_leaf, make_log

KEYS = KeyHistory(ORIGIN, (KeySpan(LOG.verifier),))
LEAVES = [make_leaf(number) for number in range(300)]
HONEST = Log(LEAVES)
SIZES = (0, 1, 7, 256, 256, 300)
NOTES = [HONEST.note(size) for size in SIZES]
WATCHERS = [key.verifier for key in WITNESSES]


def test_an_honest_log_passes() -> None:
    assert replay(HONEST.leaves, NOTES, KEYS) is None
    assert replay(iter(HONEST.leaves), iter([NOTES[-1]]), KEYS) is None
    assert replay([], [], KEYS) is None
    assert replay([], [Log().note()], KEYS) is None
    big = make_log(10_000)
    assert replay(big.leaves, [big.note()], KEYS) is None


def encoded(leaves: Sequence[Leaf]) -> list[bytes]:
    return [leaf.encode() for leaf in leaves]


def changed(at: int, **members: Any) -> list[bytes]:
    return encoded([*LEAVES[:at], replace(LEAVES[at], **members), *LEAVES[at + 1 :]])


RAW = HONEST.leaves
OTHER = log_key("other")


@pytest.mark.parametrize(
    ("leaves", "notes", "fault"),
    [
        (RAW[:-1], NOTES, Fault("truncated", 299, 300)),
        ([], NOTES, Fault("truncated", 0, 1)),
        ([*RAW, make_leaf(300).encode()], NOTES, Fault("unsigned_leaves", 300)),
        (RAW, [], Fault("unsigned_leaves", 0)),
        ([*RAW[:5], RAW[5][:-1], *RAW[6:]], NOTES, Fault("leaf_length", 5)),
        ([*RAW[:5], RAW[5] + b"\0", *RAW[6:]], NOTES, Fault("leaf_length", 5)),
        ([*RAW[:5], b"", *RAW[6:]], NOTES, Fault("leaf_length", 5)),
        ([*RAW[:4], b"X" + RAW[4][1:], b"", *RAW[6:]], NOTES, Fault("leaf_tag", 4)),
        ([*RAW[:5], RAW[5][:16] + b"\0" + RAW[5][17:], *RAW[6:]], NOTES, Fault("leaf_class", 5)),
        ([*RAW[:5], RAW[4], *RAW[6:]], NOTES, Fault("leaf_twice", 5)),
        (changed(5, event_class=EventClass.POLICY), NOTES, Fault("checkpoint_root", size=7)),
        (changed(5, commitment=bytes(32)), NOTES, Fault("checkpoint_root", size=7)),
        (changed(299, ciphertext_digest=bytes(32)), NOTES, Fault("checkpoint_root", size=300)),
        (changed(5, at_us=LEAVES[5].at_us + 1), NOTES, Fault("checkpoint_root", size=7)),
        (changed(250, at_us=START_US - SKEW_US - 1), NOTES, Fault("leaf_time", 250)),
        ([*RAW[:9], RAW[10], RAW[9], *RAW[11:]], NOTES, Fault("checkpoint_root", size=256)),
        ([*RAW[:5], *RAW[6:]], NOTES, Fault("checkpoint_root", size=7)),
        (RAW, [*NOTES, NOTES[2]], Fault("checkpoint_order", size=7)),
        (RAW, [NOTES[-1].replace(b"\n300\n", b"\n299\n")], Fault("signature", size=299)),
        (RAW, [NOTES[-1].replace(b"\n300\n", b"\n+300\n")], Fault("checkpoint_size", size=0)),
        (RAW, [NOTES[2], b"nothing"], Fault("note_form", size=7)),
        (RAW, [sign(HONEST.checkpoint(), [OTHER])], Fault("unsigned", size=300)),
        (RAW, [sign(Checkpoint(ORIGIN, 300, bytes(32)), [LOG])], Fault("checkpoint_root", size=300)),
    ],
)
def test_the_first_thing_wrong(leaves: list[bytes], notes: list[bytes], fault: Fault) -> None:
    assert replay(leaves, notes, KEYS) == fault


def test_time_may_run_back_a_little() -> None:
    """Two transactions of one instant may commit in either order: seconds, not days."""
    for behind, expected in ((SKEW_US, None), (SKEW_US + 1, Fault("leaf_time", 300))):
        log = Log([*LEAVES, make_leaf(300, at_us=LEAVES[-1].at_us - behind)])
        assert replay(log.leaves, [log.note()], KEYS) == expected
    assert replay(log.leaves, [log.note()], KEYS, skew_us=SKEW_US + 1) is None


def test_a_backdated_leaf_is_caught_although_it_is_signed() -> None:
    log = Log([*LEAVES, make_leaf(300, at_us=START_US - 86_400_000_000)])
    assert replay(log.leaves, [log.note()], KEYS) == Fault("leaf_time", 300)


def cosigned(log: Log, time: int) -> bytes:
    note = log.note()
    signed = Policy(log.origin, frozenset({LOG.verifier})).open(note)
    return note + cosign(signed, WITNESSES[0], time)


def test_a_leaf_from_after_its_cosignature() -> None:
    late = LEAVES[-1].at_us // 1_000_000
    assert replay(RAW, [cosigned(HONEST, late)], KEYS, witnesses=WATCHERS) is None
    assert replay(RAW, [cosigned(HONEST, late - 60)], KEYS, witnesses=WATCHERS) == Fault("witness_time", size=300)
    assert replay(RAW, [cosigned(HONEST, late - 60)], KEYS) is None, "nobody said whose cosignatures count"


def test_a_witness_is_not_the_log() -> None:
    text = HONEST.checkpoint().encode()
    alone = text + b"\n" + WITNESSES[0].sign(text, START_US // 1_000_000 + 60)
    assert replay(RAW, [alone], KEYS, witnesses=WATCHERS) == Fault("log_signature", size=300)


def test_another_logs_checkpoint() -> None:
    text = Checkpoint("elsewhere.example", 300, HONEST.root()).encode()
    assert replay(RAW, [text + b"\n" + LOG.sign(text)], KEYS) == Fault("origin", size=300)


NEXT = log_key("next")
SALT = hashlib.sha256(b"salt").digest()


def key_leaf(number: int, payload: bytes, event_class: EventClass = EventClass.KEY) -> Leaf:
    return replace(make_leaf(number), event_class=event_class, commitment=commitment(SALT, payload))


INTRODUCE = KeyChange(Action.INTRODUCE, NEXT.verifier, frozenset({LOG.verifier})).encode()
RETIRE = KeyChange(Action.RETIRE, LOG.verifier).encode()
ROTATED = Log([*LEAVES[:10], key_leaf(10, INTRODUCE), *LEAVES[11:20], key_leaf(20, RETIRE), *LEAVES[21:30]])
CHANGES = {10: Reveal(SALT, INTRODUCE), 20: Reveal(SALT, RETIRE)}


def rotated(size: int, *signers: Any) -> bytes:
    return ROTATED.note(size, signers)


def test_a_key_change_with_its_overlap() -> None:
    notes = [
        rotated(10, LOG),
        rotated(11, LOG, NEXT),
        rotated(20, NEXT, LOG),
        rotated(21, NEXT),
        rotated(25, LOG, NEXT),  # a retired key is a stranger: ignored
        rotated(30, NEXT),
    ]
    assert replay(ROTATED.leaves, notes, KEYS, CHANGES) is None


@pytest.mark.parametrize(
    ("note", "fault"),
    [
        (rotated(10, NEXT), Fault("unsigned", size=10)),
        (rotated(11, LOG), Fault("log_signature", size=11)),
        (rotated(11, NEXT), Fault("log_signature", size=11)),
        (rotated(20, LOG), Fault("log_signature", size=20)),
        (rotated(21, LOG), Fault("unsigned", size=21)),
        (rotated(30, LOG), Fault("unsigned", size=30)),
        (rotated(30, NEXT, OTHER), None),
    ],
)
def test_who_has_to_sign_in_the_overlap(note: bytes, fault: Fault | None) -> None:
    assert replay(ROTATED.leaves, [note, rotated(30, NEXT)], KEYS, CHANGES) == fault


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, Fault("unsigned", size=30)),
        ({10: Reveal(SALT, RETIRE)}, Fault("key_change", 10)),
        ({10: Reveal(SALT[1:], INTRODUCE)}, Fault("key_change", 10)),
        ({10: Reveal(bytes(32), INTRODUCE)}, Fault("key_change", 10)),
        ({11: Reveal(SALT, INTRODUCE)}, Fault("key_change", 11)),
        ({20: Reveal(SALT, RETIRE)}, Fault("key_order", 20)),
        (CHANGES | {30: Reveal(SALT, RETIRE)}, Fault("key_change", 30)),
    ],
)
def test_a_key_change_that_the_leaves_do_not_hold(changes: dict[int, Reveal], fault: Fault) -> None:
    assert replay(ROTATED.leaves, [rotated(30, NEXT)], KEYS, changes) == fault


def test_a_key_change_is_a_key_leaf_and_means_something() -> None:
    for event_class, payload in ((EventClass.ACCESS, INTRODUCE), (EventClass.KEY, b"{}")):
        log = Log([*LEAVES[:10], key_leaf(10, payload, event_class)])
        assert replay(log.leaves, [log.note()], KEYS, {10: Reveal(SALT, payload)}) == Fault("key_change", 10)
    again = KeyChange(Action.INTRODUCE, LOG.verifier).encode()
    log = Log([*LEAVES[:10], key_leaf(10, again)])
    assert replay(log.leaves, [log.note()], KEYS, {10: Reveal(SALT, again)}) == Fault("log_key", 10)


def test_every_single_byte_counts() -> None:
    """Any byte of any leaf altered, any leaf removed, doubled, moved or added: found, against the old checkpoint."""
    chance = random.Random(4)  # noqa: S311
    held = NOTES[-1]
    for _ in range(400):
        leaves, at = list(RAW), chance.randrange(300)
        match chance.randrange(6):
            case 0:
                byte = chance.randrange(105)
                leaf = leaves[at]
                leaves[at] = leaf[:byte] + bytes([leaf[byte] ^ 1 << chance.randrange(8)]) + leaf[byte + 1 :]
            case 1:
                del leaves[at]
            case 2:
                leaves.insert(at, leaves[at])
            case 3:
                leaves.insert(at, make_leaf(1000 + at, at_us=LEAVES[at].at_us).encode())
            case 4:
                to = (at + 1 + chance.randrange(298)) % 300
                leaves[at], leaves[to] = leaves[to], leaves[at]
            case _:
                leaves[at] = make_leaf(at, "rewritten").encode()
        assert replay(leaves, [held], KEYS) is not None


def test_rebuilt_and_signed_again_is_caught_by_whoever_kept_a_checkpoint() -> None:
    rewritten = Log([*LEAVES[:100], make_leaf(100, "rewritten"), *LEAVES[101:]])
    assert replay(rewritten.leaves, [rewritten.note()], KEYS) is None, "alone, it is a log like another"
    assert replay(rewritten.leaves, [NOTES[3], rewritten.note()], KEYS) == Fault("checkpoint_root", size=256)
