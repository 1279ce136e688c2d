"""Checkpoints: three lines, spelt in one way."""

from __future__ import annotations

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.ledger.checkpoint import Checkpoint, open_note, sign
from consent.ledger.exact import LedgerError
from consent.ledger.note import sign_note
from tests.ledger.test_note import ARCHE, ARCHE_NOTE, GARDEN, REMORA
from tests.ledger.world import LOG, ORIGIN, log_key, refused, witness_key

ROOT = bytes(range(32))
B64 = base64.b64encode(ROOT).decode()
# The example of c2sp.org/tlog-checkpoint.
SPEC = b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"


def test_the_example_of_the_specification() -> None:
    found = Checkpoint.parse(SPEC)
    assert (found.origin, found.size, found.extensions) == ("example.com/behind-the-sofa", 20852163, ())
    assert found.encode() == SPEC


def test_a_real_one() -> None:
    signed = open_note(ARCHE_NOTE.encode(), [ARCHE, REMORA, GARDEN])
    assert (signed.checkpoint.origin, signed.checkpoint.size) == (ARCHE.name, 1432088532)
    assert [each.key for each in signed.signed_by([REMORA, GARDEN])] == [GARDEN, REMORA]
    assert signed.note == ARCHE_NOTE.encode()
    assert signed.text == signed.checkpoint.encode()


@given(
    st.text(min_size=1, max_size=20).filter(lambda t: "\n" not in t and t.isprintable()),
    st.integers(0, 2**63 - 1),
    st.binary(min_size=32, max_size=32),
    st.lists(st.text("ab +/=", min_size=1, max_size=5), max_size=3),
)
def test_what_is_written_is_read(origin: str, size: int, root: bytes, extensions: list[str]) -> None:
    checkpoint = Checkpoint(origin, size, root, tuple(extensions))
    assert Checkpoint.parse(checkpoint.encode()) == checkpoint


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "checkpoint_line"),
        ("o\n1\n", "checkpoint_line"),
        (f"o\n1\n{B64}", "checkpoint_line"),
        (f"\n1\n{B64}\n", "checkpoint_line"),
        (f"o\n1\n{B64}\n\n", "checkpoint_line"),
        (f"o\n1\n{B64}\next\n\n", "checkpoint_line"),
        (f"o\n1\n{B64}\n\next\n", "checkpoint_line"),
        (f"o\n\n{B64}\n", "checkpoint_size"),
        (f"o\n+1\n{B64}\n", "checkpoint_size"),
        (f"o\n-1\n{B64}\n", "checkpoint_size"),
        (f"o\n01\n{B64}\n", "checkpoint_size"),
        (f"o\n00\n{B64}\n", "checkpoint_size"),
        (f"o\n 1\n{B64}\n", "checkpoint_size"),
        (f"o\n1 \n{B64}\n", "checkpoint_size"),
        (f"o\n1_0\n{B64}\n", "checkpoint_size"),
        (f"o\n0x1\n{B64}\n", "checkpoint_size"),
        (f"o\n1.0\n{B64}\n", "checkpoint_size"),
        (f"o\n١\n{B64}\n", "checkpoint_size"),
        (f"o\n9223372036854775808\n{B64}\n", "checkpoint_size"),
        (f"o\n{'9' * 5000}\n{B64}\n", "checkpoint_size"),
        (f"o\r\n1\r\n{B64}\r\n", "checkpoint_size"),
        ("o\n1\n\n", "checkpoint_root"),
        (f"o\n1\n{B64[:-1]}\n", "checkpoint_root"),
        (f"o\n1\n{B64}=\n", "checkpoint_root"),
        (f"o\n1\n {B64}\n", "checkpoint_root"),
        (f"o\n1\n{B64[:-2]}9=\n", "checkpoint_root"),
        (f"o\n1\n{base64.b64encode(ROOT[1:]).decode()}\n", "checkpoint_root"),
        (f"o\n1\n{base64.b64encode(ROOT + b'x').decode()}\n", "checkpoint_root"),
        (f"o\n1\n{ROOT.hex()}\n", "checkpoint_root"),
        (f"o\n1\n{base64.urlsafe_b64encode(bytes([255]) * 32).decode()}\n", "checkpoint_root"),
    ],
)
def test_other_spellings_are_refused(text: str, code: str) -> None:
    with refused(code):
        Checkpoint.parse(text.encode())


def test_it_is_utf8() -> None:
    with refused("checkpoint_line"):
        Checkpoint.parse(b"\xff\n1\n" + B64.encode() + b"\n")


@pytest.mark.parametrize(
    ("members", "code"),
    [
        (("", 1, ROOT), "checkpoint_line"),
        (("a\nb", 1, ROOT), "checkpoint_line"),
        (("a", 1, ROOT, ("",)), "checkpoint_line"),
        (("a", -1, ROOT), "checkpoint_size"),
        (("a", True, ROOT), "checkpoint_size"),
        (("a", 2**63, ROOT), "checkpoint_size"),
        (("a", 1, ROOT[1:]), "checkpoint_root"),
    ],
)
def test_what_is_no_checkpoint_is_not_made(members: tuple[str, int, bytes], code: str) -> None:
    with refused(code):
        Checkpoint(*members)


def test_extension_lines_are_read_and_covered_by_the_signature() -> None:
    """The specification lets logs write them; ours writes none."""
    checkpoint = Checkpoint(ORIGIN, 1, ROOT, ("one", "two"))
    note = sign(checkpoint, [LOG])
    assert open_note(note, [LOG.verifier]).checkpoint == checkpoint
    for other in (note.replace(b"two", b"six"), note.replace(b"two\n", b""), note.replace(b"one\ntwo", b"two\none")):
        with refused("signature"):
            open_note(other, [LOG.verifier])


def test_the_origin_never_changes() -> None:
    checkpoint = Checkpoint(ORIGIN, 1, ROOT)
    two = open_note(sign(checkpoint, [LOG, log_key("next")]), [LOG.verifier, log_key("next").verifier])
    assert {each.key.name for each in two.signatures} == {ORIGIN}
    for stranger in (log_key(origin="other.example"), witness_key()):
        with refused("signer"):
            sign(checkpoint, [LOG, stranger])
    with refused("signer"):
        sign(checkpoint, [])


def test_a_note_that_is_no_checkpoint() -> None:
    with refused("checkpoint_line"):
        open_note(sign_note(b"something else\n", [LOG]), [LOG.verifier])


@given(st.binary(max_size=200))
def test_nothing_but_its_own_error_is_raised(data: bytes) -> None:
    with suppress(LedgerError):
        assert Checkpoint.parse(data).encode() == data
