"""What a commitment covers, and the dictionary receipts deflate with: both are for ever."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.ledger import envelope
from consent.ledger.dictionary import DICTIONARY
from consent.ledger.envelope import Link, first_gap
from consent.ledger.exact import LedgerError
from consent.ledger.keychange import Action, KeyChange
from consent.ledger.note import KeyType, SignerKey

FROZEN = "2182b0c0a125726f56d4cd37881669666848176ffbaf582e65fe5e21edb48d72"
BODIES = st.one_of(st.text(max_size=40), st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3))
LINKS = st.one_of(
    st.none(),
    st.just(Link(1, None)),
    st.builds(Link, st.integers(2, 2**40), st.binary(min_size=32, max_size=32)),
)


def test_the_dictionary_never_changes() -> None:
    """A receipt deflated with it opens with it alone: to change it is to lose receipts people hold."""
    assert hashlib.sha256(DICTIONARY).hexdigest() == FROZEN
    assert len(DICTIONARY) < 32768


def test_the_bytes_are_those_of_the_design() -> None:
    assert envelope.encode("a.b.c", None) == b'{"body":"a.b.c","subject":null,"v":1}'
    assert (
        envelope.encode({"z": 1, "a": "é"}, Link(2, bytes(32)))
        == ('{"body":{"a":"é","z":1},"subject":{"n":2,"prev":"' + "A" * 43 + '"},"v":1}').encode()
    )


@given(BODIES, LINKS)
def test_it_reads_back(body: str | dict[str, str], link: Link | None) -> None:
    assert envelope.decode(envelope.encode(body, link)) == (body, link)


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b"[]",
        b"\xff",
        b'{"body":"a","subject":null,"v":2}',
        b'{"body":1,"subject":null,"v":1}',
        b'{"v":1,"body":"a","subject":null}',
        b'{"body":"a","subject":null,"v":1,"w":1}',
        b'{"body":"a","body":"b","subject":null,"v":1}',
        b'{"body":"a","subject":{"n":1},"v":1}',
        b'{"body":"a","subject":{"n":0,"prev":null},"v":1}',
        b'{"body":"a","subject":{"n":2,"prev":null},"v":1}',
        b'{"body":"a","subject":{"n":true,"prev":null},"v":1}',
        b'{"body":"a","subject":{"n":2,"prev":"AA"},"v":1}',
    ],
)
def test_nothing_else_reads(payload: bytes) -> None:
    with pytest.raises(LedgerError):
        envelope.decode(payload)


def test_a_gap_shows_wherever_it_is() -> None:
    hashes = [bytes([n]) * 32 for n in range(5)]
    chain = [(Link(n + 1, hashes[n - 1] if n else None), hashes[n]) for n in range(5)]
    assert first_gap(chain) is None
    assert first_gap(chain, hashes[-1]) is None
    for missing in range(4):
        assert first_gap(chain[:missing] + chain[missing + 1 :]) == missing + 1
    # Without the signed head, a chain cut at its end looks whole.
    assert first_gap(chain[:-1]) is None
    assert first_gap(chain[:-1], hashes[-1]) == 5
    assert first_gap([], hashes[-1]) == 1
    assert first_gap([*chain[:2], (Link(3, bytes(32)), hashes[2])]) == 3


def test_a_key_change_is_an_event_like_any_other() -> None:
    key = SignerKey.from_seed("hub.example/log", bytes(32), KeyType.ED25519).verifier
    payload = KeyChange(Action.INTRODUCE, key).encode()
    assert json.loads(payload) == {
        "v": 1,
        "body": {"before": [], "event": "key:log:introduced", "vkey": key.vkey},
        "subject": None,
    }
    assert KeyChange.parse(payload) == KeyChange(Action.INTRODUCE, key)
    for other in (b'{"event":"key:log:lost"}', b'"text"', b'{"event":["key:log:introduced"],"vkey":1}'):
        with pytest.raises(LedgerError, match="key_change"):
            KeyChange.parse(b'{"body":' + other + b',"subject":null,"v":1}')
