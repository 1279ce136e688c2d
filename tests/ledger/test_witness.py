"""A witness: what it is asked, in which order it looks, what it answers, and that it never says two things."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.ledger.checkpoint import Checkpoint, SignerKey, open_note
from consent.ledger.merkle import EMPTY_ROOT, consistency_proof
from consent.ledger.note import KeyType, VerifierKey
from consent.ledger.witness import (
    SIZE_MEDIA_TYPE,
    Accepted,
    AddCheckpoint,
    Conflict,
    Refused,
    StaleOldSize,
    WitnessState,
    cosign,
    may_cosign,
    read_cosignatures,
)
from tests.ledger.world import LOG, ORIGIN, WITNESSES, Log, log_key, make_log, refused

NEW = WitnessState(ORIGIN, frozenset({LOG.verifier}))
LOG_OF_20 = make_log(20)
FORK = make_log(20, "another story")
# The example request of c2sp.org/tlog-witness.
SPEC = """\
old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
""".encode()  # noqa: E501


def ask(old: int, new: int, log: Log = LOG_OF_20) -> bytes:
    return AddCheckpoint(old, consistency_proof(old, new, log.reader(new)), log.note(new)).encode()


def grown(*sizes: int, log: Log = LOG_OF_20) -> WitnessState:
    state = NEW
    for size in sizes:
        answer = may_cosign(state, ask(state.size, size, log))
        assert isinstance(answer, Accepted)
        state = answer.state
    return state


def test_the_example_of_the_specification() -> None:
    request = AddCheckpoint.parse(SPEC)
    assert (request.old_size, len(request.proof)) == (20852014, 4)
    assert request.encode() == SPEC
    assert may_cosign(NEW, SPEC) == Refused(404, "origin")


@given(st.lists(st.integers(0, 20), max_size=6).map(sorted))
def test_a_log_that_only_grows_is_cosigned(sizes: list[int]) -> None:
    state = grown(*sizes)
    assert state.size == (sizes[-1] if sizes else 0)
    assert state.root == (LOG_OF_20.root(sizes[-1]) if sizes else EMPTY_ROOT)
    assert state.note == (LOG_OF_20.note(sizes[-1]) if sizes else b"")


def test_an_accepted_checkpoint_is_answered_200_and_cosigned() -> None:
    answer = may_cosign(NEW, ask(0, 7))
    assert isinstance(answer, Accepted)
    assert answer.status == 200
    line = cosign(answer.signed, WITNESSES[0], 1_769_000_000)
    (found,) = read_cosignatures(answer.signed, line, [WITNESSES[0].verifier, WITNESSES[1].verifier])
    assert (found.key, found.time, found.line) == (WITNESSES[0].verifier, 1_769_000_000, line)


def test_answers_with_other_witnesses_lines() -> None:
    signed = open_note(LOG_OF_20.note(), [LOG.verifier])
    body = cosign(signed, WITNESSES[1], 5) + cosign(signed, WITNESSES[0], 6)
    (found,) = read_cosignatures(signed, body, [WITNESSES[0].verifier])
    assert found.time == 6
    with refused("unsigned"):
        read_cosignatures(signed, body, [WITNESSES[2].verifier])
    for wrong in (b"", body.rstrip(b"\n"), b"\xff\n"):
        with refused("note_form"):
            read_cosignatures(signed, wrong, [WITNESSES[0].verifier])
    for wrong in (b"ok\n" + body, b"\n" + body, body + b"\n", b"\n", body.replace(b"\n", b"\r\n")):
        with refused("signature_line"):
            read_cosignatures(signed, wrong, [WITNESSES[0].verifier])
    other = open_note(LOG_OF_20.note(19), [LOG.verifier])
    with refused("signature"):
        read_cosignatures(signed, cosign(other, WITNESSES[0], 6), [WITNESSES[0].verifier])


def test_a_log_key_makes_no_cosignature() -> None:
    with refused("signature_time"):
        cosign(open_note(LOG_OF_20.note(), [LOG.verifier]), LOG, 1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n\n",
        b"old 0\n",
        b"old 0\n\n",
        b"old\n\n" + LOG_OF_20.note(),
        b"old +0\n\n" + LOG_OF_20.note(),
        b"old 00\n\n" + LOG_OF_20.note(),
        b"old -0\n\n" + LOG_OF_20.note(),
        b"Old 0\n\n" + LOG_OF_20.note(),
        b"old 0\r\n\r\n" + LOG_OF_20.note(),
        b"old 0\nAAAA\n\n" + LOG_OF_20.note(),
        b"old 0\n" + b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n" * 64 + b"\n" + LOG_OF_20.note(),
        b"\xff\n\n" + LOG_OF_20.note(),
        b"old 0\n\n" + LOG_OF_20.note().rstrip(b"\n"),
        b"old 0\n\n" + LOG_OF_20.note().replace(b"\n\n", b"\n"),
        b"old 0\n\n" + LOG_OF_20.note() + b"free text\n",
        b"old 21\n\n" + LOG_OF_20.note(),
    ],
)
def test_malformed_is_400(body: bytes) -> None:
    answer = may_cosign(NEW, body)
    assert isinstance(answer, Refused)
    assert answer.status == 400


def test_a_signed_text_that_is_no_checkpoint_is_400() -> None:
    text = f"{ORIGIN}\n+1\nx\n".encode()
    answer = may_cosign(NEW, b"old 0\n\n" + text + b"\n" + LOG.sign(text))
    assert answer == Refused(400, "checkpoint_size")


def test_the_rest_by_status() -> None:
    stranger = Log(signers=[log_key("stranger")])
    assert may_cosign(NEW, ask(0, 0, stranger)) == Refused(403, "unsigned")
    forged = ask(0, 20).replace(b"\n20\n", b"\n19\n")
    assert may_cosign(NEW, forged) == Refused(403, "signature")
    elsewhere = Log([], [log_key(origin="elsewhere.example")], "elsewhere.example")
    assert may_cosign(NEW, ask(0, 0, elsewhere)) == Refused(404, "origin")
    stale = may_cosign(grown(7), ask(5, 20))
    assert isinstance(stale, StaleOldSize)
    assert (stale.status, stale.size, stale.body, SIZE_MEDIA_TYPE) == (409, 7, b"7\n", "text/x.tlog.size")
    unproved = replace(AddCheckpoint.parse(ask(7, 20)), proof=())
    assert may_cosign(grown(7), unproved.encode()) == Refused(422, "proof_length", LOG_OF_20.note())
    superfluous = replace(AddCheckpoint.parse(ask(0, 20)), proof=(bytes(32),))
    assert may_cosign(NEW, superfluous.encode()) == Refused(422, "proof_length", LOG_OF_20.note())


def test_a_rewritten_log_is_not_cosigned_and_leaves_evidence() -> None:
    state = grown(20)
    answer = may_cosign(state, ask(20, 20, FORK))
    assert isinstance(answer, Conflict)
    assert answer.status == 409
    first, second = answer.fork.verify(state.keys)
    assert (first.note, second.note) == (LOG_OF_20.note(), FORK.note())
    longer = make_log(25, "another story")
    assert may_cosign(state, ask(20, 25, longer)) == Refused(422, "old_root", longer.note())


def test_an_empty_tree_with_a_root_is_a_fork_by_itself() -> None:
    note = Checkpoint(ORIGIN, 0, bytes(32)).encode()
    answer = may_cosign(NEW, b"old 0\n\n" + note + b"\n" + LOG.sign(note))
    assert isinstance(answer, Conflict)
    assert answer.fork.verify(NEW.keys)


def test_a_witness_never_cosigns_two_trees() -> None:
    """Whatever comes, in whatever order: all trees it says yes to are prefixes of one another."""
    third = make_log(20, "a third")
    requests = [ask(old, new, log) for log in (LOG_OF_20, FORK, third) for old, new in ((0, 3), (0, 20), (3, 20))]
    for order in list(permutations(range(9), 4)):
        state, trees = NEW, []
        for number in order:
            answer = may_cosign(state, requests[number])
            if isinstance(answer, Accepted):
                state = answer.state
                trees.append((state.size, state.root))
        assert any(all(root == log.root(size) for size, root in trees) for log in (LOG_OF_20, FORK, third))
        assert trees == sorted(trees, key=lambda tree: tree[0])


def test_two_log_keys_in_the_overlap() -> None:
    after = log_key("next")
    both = replace(NEW, keys=frozenset({LOG.verifier, after.verifier}))
    note = LOG_OF_20.note(signers=[LOG, after])
    assert isinstance(may_cosign(both, AddCheckpoint(0, (), note).encode()), Accepted)
    assert isinstance(may_cosign(NEW, AddCheckpoint(0, (), note).encode()), Accepted)


@given(st.binary(max_size=300))
def test_nothing_is_raised(data: bytes) -> None:
    for body in (data, b"old 0\n\n" + data, ask(0, 20)[:100] + data):
        assert may_cosign(NEW, body).status in {400, 403, 404}


def test_a_cosignature_key_is_of_type_four() -> None:
    key = VerifierKey("w.example", KeyType.COSIGNATURE_V1, bytes(32))
    assert VerifierKey.parse(key.vkey).type == 0x04
    assert SignerKey.parse(WITNESSES[0].skey).verifier == WITNESSES[0].verifier
