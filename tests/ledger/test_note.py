"""Signed notes against the vectors published for them, and against everything a note may not be."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.ledger.exact import LedgerError
from consent.ledger.note import (
    MAX_NOTE,
    KeyType,
    Signature,
    SignedNote,
    SignerKey,
    VerifierKey,
    cosigned,
    open_text,
    read_line,
    sign_note,
    split_note,
)
from tests.ledger.world import LOG, ORIGIN, log_key, refused, seed, witness_key

# golang.org/x/mod/sumdb/note, and the example of c2sp.org/signed-note.
PETER = VerifierKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
PETER_SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"  # noqa: S105 (published)
ENOCH = VerifierKey.parse("EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop")
FOO = VerifierKey.parse("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)
FOO_NOTE = (
    "This is an example message.\n\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
# A certificate transparency log, cosigned by public witnesses.
ARCHE = VerifierKey.parse(
    "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f"
)
REMORA = VerifierKey.parse("remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2")
GARDEN = VerifierKey.parse(
    "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM"
)
ARCHE_NOTE = """\
arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
"""  # noqa: E501


def opened(note: str, *keys: VerifierKey) -> SignedNote:
    return open_text(note.encode(), keys)


def test_the_note_of_the_go_package() -> None:
    note = f"{TEXT}\n{PETER_LINE}"
    assert SignerKey.parse(PETER_SECRET).skey == PETER_SECRET
    assert sign_note(TEXT.encode(), [SignerKey.parse(PETER_SECRET)]).decode() == note
    assert opened(note, PETER) == SignedNote(TEXT.encode(), (Signature(PETER, PETER_LINE.encode(), None),))
    assert SignerKey.from_seed("EnochRoot", bytes(32)).verifier == ENOCH
    both = opened(note + ENOCH_LINE, ENOCH, PETER)
    assert [each.key for each in both.signatures] == [PETER, ENOCH]
    assert [each.key for each in opened(note + ENOCH_LINE, PETER).signatures] == [PETER]


def test_the_example_of_the_specification() -> None:
    assert opened(FOO_NOTE, FOO).text == b"This is an example message.\n"
    assert FOO.vkey == "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"


def test_a_real_checkpoint_with_real_cosignatures() -> None:
    found = opened(ARCHE_NOTE, ARCHE, REMORA, GARDEN)
    assert [each.key for each in found.signatures] == [ARCHE, GARDEN, REMORA]
    assert [each.time for each in found.signatures] == [None, 1779573024, 1779573024]
    for key in (ARCHE, REMORA, GARDEN):
        with refused("signature"):
            opened(ARCHE_NOTE.replace("1432088532", "1432088533"), key)


@pytest.mark.parametrize("key", [PETER, ENOCH, FOO, ARCHE, REMORA, LOG.verifier, witness_key().verifier])
def test_keys_have_one_spelling(key: VerifierKey) -> None:
    assert VerifierKey.parse(key.vkey) == key
    name, key_id, material = key.vkey.split("+", 2)
    raw = base64.b64decode(material)
    for wrong in (
        "",
        name,
        f"{name}+{key_id}",
        f"+{key_id}+{material}",
        f"{name}\u00a0+{key_id}+{material}",
        f"{name} +{key_id}+{material}",
        f"{name}\n+{key_id}+{material}",
        f"{name}x+{key_id}+{material}",
        f"{name}+{key_id[:-1]}+{material}",
        f"{name}+0{key_id}+{material}",
        f"{name}+00000000+{material}",
        f"{name}+{key_id}+{material}\n",
        f"{name}+{key_id}+{material[:-1]}",
        f"{name}+{key_id}+{material}==",
        f"{name}+{key_id}+é",
        VerifierKey(name, key.type, raw[1:]).vkey.replace(key_id, key_id.upper() + "X"),
        f"{name}+{key_id}+{base64.b64encode(raw + bytes(1)).decode()}",
        f"{name}+{key_id}+{base64.b64encode(bytes([2]) + raw[1:]).decode()}",
    ):
        with refused("vkey"):
            VerifierKey.parse(wrong)


def test_the_key_id_is_that_of_name_type_and_key() -> None:
    same = VerifierKey(REMORA.name, KeyType.ED25519, REMORA.public)
    assert (REMORA.key_id.hex(), len({REMORA.key_id, same.key_id})) == ("da77ade7", 2)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        PETER.vkey,
        PETER_SECRET[8:],
        PETER_SECRET + "=",
        PETER_SECRET.replace("c74f20a3", "c74f20a4"),
        PETER_SECRET.replace("+AYEK", "+AoEK"),
        PETER_SECRET.replace("PeterNeumann", "Peter Neumann"),
    ],
)
def test_a_private_key_is_read_exactly(wrong: str) -> None:
    with refused("skey"):
        SignerKey.parse(wrong)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\tb", "a\nb", "a\u2003b", "a\x00b", "a\x1fb"])
def test_names_that_could_be_read_two_ways_are_refused(name: str) -> None:
    with refused("key_name"):
        SignerKey.from_seed(name, bytes(32))
    with refused("key_name"):
        VerifierKey(name, KeyType.ED25519, bytes(32))


def test_keys_are_32_bytes() -> None:
    with refused("key_length"):
        SignerKey.from_seed("a", bytes(31))
    with refused("key_length"):
        VerifierKey("a", KeyType.ED25519, bytes(33))


def test_a_private_key_does_not_show() -> None:
    assert repr(LOG) == f"SignerKey({ORIGIN!r})"
    assert seed("log").hex() not in repr(LOG) + str(LOG)


NOTE = f"{TEXT}\n{PETER_LINE}"


@pytest.mark.parametrize(
    ("note", "code"),
    [
        ("", "note_form"),
        (TEXT, "note_form"),
        (f"{TEXT}\n", "note_form"),
        (f"{TEXT}{PETER_LINE}", "note_form"),
        (NOTE.rstrip("\n"), "note_form"),
        ((NOTE + ENOCH_LINE).rstrip("\n"), "note_form"),
        (NOTE + "\n", "note_form"),
        (NOTE + "\n" + PETER_LINE.rstrip("\n"), "note_form"),
        (NOTE.replace("\n", "\r\n"), "note_form"),
        (NOTE.replace("problem,", "problem,\t"), "note_form"),
        (NOTE.replace("problem,", "problem,\x00"), "note_form"),
        (NOTE + PETER_LINE * 100, "note_form"),
        (NOTE.replace("— ", "- "), "signature_line"),
        (NOTE.replace("— ", "—"), "signature_line"),
        (NOTE.replace("— ", "—  "), "signature_line"),
        (NOTE.replace("— ", "—\u00a0"), "signature_line"),
        (NOTE.replace(" x08", "  x08"), "signature_line"),
        (NOTE.replace(" x08", ""), "signature_line"),
        (NOTE.replace("nAM=\n", "nAM= \n"), "signature_line"),
        (NOTE.replace("nAM=\n", "nAM\n"), "signature_line"),
        (NOTE.replace("nAM=\n", "nAN=\n"), "signature_line"),
        (NOTE.replace("nAM=\n", "nAM==\n"), "signature_line"),
        (NOTE.replace("x08go/", "x08go_"), "signature_line"),
        (NOTE.replace("PeterNeumann", "Peter+Neumann"), "signature_line"),
        (NOTE + "— x \n", "signature_line"),
        (NOTE + "— x YWJjZA==\n", "signature_line"),
        (NOTE + "free text\n", "signature_line"),
        (NOTE.replace("— PeterNeumann x08go", "— PeterNeumann x18go"), "unsigned"),
        (NOTE.replace("— PeterNeumann", "— PeterNeuman"), "unsigned"),
        (NOTE.replace("x08go/ZJ", "x08go/ZK"), "signature"),
        (NOTE.replace("If you", "if you"), "signature"),
        (f"{TEXT}\n" + base64.b64encode(PETER.key_id + bytes(7)).decode().join(["— PeterNeumann ", "\n"]), "signature"),
        (f"{NOTE}\n{PETER_LINE}", "signature"),
    ],
)
def test_what_a_note_cannot_be(note: str, code: str) -> None:
    with refused(code):
        opened(note, PETER)


def test_a_note_is_utf8_and_bounded() -> None:
    with refused("note_form"):
        open_text(NOTE.encode().replace("—".encode(), b"\xff"), [PETER])
    with refused("note_size"):
        open_text(b"a" * MAX_NOTE + NOTE.encode(), [PETER])
    with refused("unsigned"):
        opened(NOTE)


def test_unknown_signatures_are_ignored_whatever_they_hold() -> None:
    strangers = "".join(f"— stranger{i} {base64.b64encode(bytes([i]) * 9).decode()}\n" for i in range(90))
    assert [each.key for each in opened(f"{TEXT}\n{strangers}{PETER_LINE}", PETER, ENOCH).signatures] == [PETER]


def test_the_text_ends_at_the_last_empty_line() -> None:
    text = "a\n\nb\n"
    assert open_text(sign_note(text.encode(), [LOG]), [LOG.verifier]).text == text.encode()


def test_a_key_that_signs_twice_counts_once_and_both_must_hold() -> None:
    again = opened(NOTE + PETER_LINE, PETER)
    assert again.signatures == (Signature(PETER, PETER_LINE.encode(), None),)
    forged = PETER_LINE.replace("ZJku", "ZJkv")
    for lines in (PETER_LINE + forged, forged + PETER_LINE):
        with refused("signature"):
            opened(f"{TEXT}\n{lines}", PETER)


def test_two_keys_of_one_name_and_id_are_refused() -> None:
    class Twin(VerifierKey):
        @property
        def key_id(self) -> bytes:
            return PETER.key_id

    with refused("ambiguous_key"):
        opened(NOTE, PETER, Twin(PETER.name, KeyType.ED25519, ENOCH.public))
    assert opened(NOTE, PETER, PETER).signatures


def test_what_a_cosignature_signs() -> None:
    assert cosigned(b"o\n1\nr\n", 1679315147) == b"cosignature/v1\ntime 1679315147\no\n1\nr\n"


@pytest.mark.parametrize(
    ("key", "time"), [(LOG, 1), (witness_key(), None), (witness_key(), -1), (witness_key(), 2**63)]
)
def test_a_cosignature_and_nothing_else_has_a_time(key: SignerKey, time: int | None) -> None:
    with refused("signature_time"):
        key.sign(b"o\n1\nr\n", time)


def test_the_time_of_a_cosignature_is_signed_and_bounded() -> None:
    witness, text = witness_key(), b"o\n1\nr\n"
    name, key_id, blob = read_line(witness.sign(text, 1679315147).decode().rstrip("\n"))
    assert (name, key_id) == (witness.name, witness.verifier.key_id)
    assert witness.verifier.verify(text, blob) == 1679315147
    for wrong in ((1679315148).to_bytes(8, "big") + blob[8:], (2**63).to_bytes(8, "big") + blob[8:], blob[:8], b""):
        with refused("signature"):
            witness.verifier.verify(text, wrong)
    # The same seed as a log's key signs something else: neither passes for the other.
    plain = SignerKey.from_seed(witness.name, seed("w1"))
    with refused("signature"):
        plain.verifier.verify(text, blob[8:])


@pytest.mark.parametrize("text", [b"", b"no end", b"a\r\n", b"a\x00\n", b"\xff\n"])
def test_only_text_is_signed(text: bytes) -> None:
    with refused("note_text"):
        sign_note(text, [LOG])


def test_someone_signs() -> None:
    with refused("signer"):
        sign_note(b"a\n", [])


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_nothing_but_its_own_error_is_raised(data: bytes) -> None:
    for note in (data, data + b"\n\n" + PETER_LINE.encode(), TEXT.encode() + b"\n" + data):
        try:
            found = open_text(note, [PETER])
        except LedgerError:
            continue
        assert found.text == TEXT.encode()


@given(st.lists(st.sampled_from(["log", "other", "third"]), min_size=1, max_size=5))
def test_whoever_signs_is_found(names: list[str]) -> None:
    keys = [log_key(name) for name in names]
    found = open_text(sign_note(b"text\n", keys), {key.verifier for key in keys})
    assert {each.key for each in found.signatures} == {key.verifier for key in keys}
    assert len(split_note(sign_note(b"text\n", keys))[1]) == len(keys)
