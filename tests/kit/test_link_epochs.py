"""Two epochs of ``K_link`` at the root and at an edge: sealed, kept, told to the hub, and proofs that still compare."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from connectors.kit.edge_store import EdgeStore
from connectors.kit.identity import parse_identity
from connectors.kit.klink import KLink, klink_of, open_klink, tokeniser_of, with_new, with_retired
from connectors.kit.link_epochs import base, epoch_of, kind_of
from connectors.kit.registration import register_pending
from connectors.kit.review.masks import marks_of
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import SealKey
from connectors.kit.token_kinds import KINDS
from connectors.kit.tokens import MAX_TOKENS, HmacTokeniser, TokenSet, match_subject, subject_proofs, tokens_of
from connectors.kit.trust import Root

LEA = {"nom_naissance": "MARTIN", "prenoms": "Léa", "date_naissance": "1990-05-17", "sexe": "F"}
ZOE = LEA | {"prenoms": "Zoé"}
ONE, TWO, THREE = (KLink(n, bytes([n]) * 32) for n in (1, 2, 3))
OLD = KLink(1, ONE.key, retired=True)
HELD = {"{1}": (ONE,), "{1,2}": (ONE, TWO), "{1 retired,2}": (OLD, TWO), "{1 retired,2,3}": (OLD, TWO, THREE)}
KEY = b"e" * 32


def made(klinks: Sequence[KLink], traits: Mapping[str, str] = LEA) -> TokenSet:
    return tokens_of(parse_identity(dict(traits)), tokeniser_of(klinks))


class Hub:
    """Remembers what it was told, as the hub would take it."""

    def __init__(self) -> None:
        self.told: list[Mapping[str, object]] = []

    def register(self, records: Sequence[Mapping[str, object]]) -> Sequence[Mapping[str, str]]:
        self.told += records
        return [{"record_key": str(each["record_key"]), "ref": f"r-{each['record_key']}"} for each in records]

    def epochs(self) -> list[set[int]]:
        return [{epoch_of(kind) for kind, _ in TokenSet.from_wire(each).tokens} for each in self.told]


def fill(path: Path, count: int) -> EdgeStore:
    store = EdgeStore.open(path, KEY)
    store.links.hold(tokeniser_of((ONE,)))
    with store.batch():
        for n in range(count):
            traits = LEA | {"date_naissance": f"19{n // 28 % 90 + 10}-01-{n % 28 + 1:02}"}
            store.upsert_subject(f"id{n}", traits, made((ONE,), traits))
            statement = {"valeur": "x", "date_collecte": "2026-01-01"}
            store.put_fragment(f"id{n}", {"statements": {"contact.telephone": statement}}, b"f" * 32)
    return store


# --- the root -----------------------------------------------------------------------------------------------------


def test_the_root_seals_every_epoch_and_keeps_them(tmp_path: Path) -> None:
    file, sealing = tmp_path / "root.json", SealKey.generate()
    root = Root.create(file)
    two = root.with_klinks(with_new(root.epochs))
    two.save(file)
    assert file.stat().st_mode & 0o777 == 0o600
    again = Root.load(file)
    assert again.epochs == two.epochs
    assert open_klink(again.seal_klink("caf", sealing.public_jwk), sealing, "caf", root.public_jwk) == two.epochs
    assert with_new(two.epochs) == list(two.epochs)  # begun again, it goes on
    ended = again.with_klinks(with_retired(again.epochs, 1))
    ended.save(file)
    opened = open_klink(Root.load(file).seal_klink("caf", sealing.public_jwk), sealing, "caf", root.public_jwk)
    assert [(each.epoch, each.retired) for each in opened] == [(1, True), (2, False)]
    assert [each.epoch for each in with_new(opened)] == [1, 2, 3]
    for epoch in (2, 3):
        with pytest.raises(MaillonError) as caught:
            with_retired(opened, epoch)
        assert caught.value.kind is ErrorKind.CONFLICT
    assert not [each for each in opened if each.key.hex() in repr(opened)]


@pytest.mark.parametrize("row", [{}, [], {"epoch": True, "key": "A"}, {"epoch": 0, "key": "A" * 43}, {"epoch": 1}])
def test_a_row_that_is_no_key_is_refused(row: object) -> None:
    with pytest.raises(MaillonError) as caught:
        klink_of(row)
    assert caught.value.kind is ErrorKind.MALFORMED


# --- tokens and proofs --------------------------------------------------------------------------------------------


def test_each_epoch_has_the_tokens_it_has_alone() -> None:
    assert made((ONE, TWO)).tokens == (*made((ONE,)).tokens, *made((TWO,)).tokens)
    assert made((ONE,)).tokens == tokens_of(parse_identity(dict(LEA)), HmacTokeniser(ONE.key, 1)).tokens
    assert {base(kind) for kind, _ in made((OLD,)).tokens} == {kind for kind, _ in made((ONE,)).tokens} <= set(KINDS)
    ended = made((OLD, TWO))
    assert {kind for kind, _ in ended.tokens if epoch_of(kind) == 1} == {"sgd"}
    assert ended.without({1}).tokens == made((TWO,)).tokens
    assert TokenSet.merged([made((ONE, TWO)), made((ONE, TWO))]).tokens == made((ONE, TWO)).tokens
    assert TokenSet.from_wire(made((ONE, TWO)).to_wire()) == made((ONE, TWO))
    many = tuple((kind_of("sgd", epoch), bytes([n]) * 32) for epoch in (1, 2) for n in range(MAX_TOKENS))
    assert len(TokenSet.from_wire(TokenSet(many, {}).to_wire()).tokens) == 2 * MAX_TOKENS


@pytest.mark.parametrize("prover", HELD)
@pytest.mark.parametrize("verifier", HELD)
@pytest.mark.parametrize("nir", [None, "290057505600137"])
def test_proofs_compare_between_edges_however_far_they_have_come(prover: str, verifier: str, nir: str | None) -> None:
    """Agreements of before a rotation are proved under its old epoch for ever; the wrong person never is."""
    also = {} if nir is None else {"nir": nir}
    proofs = subject_proofs(made(HELD[prover], LEA | also), "order")
    assert match_subject(proofs, made(HELD[verifier], LEA | also), "order")
    assert not match_subject(proofs, made(HELD[verifier], ZOE), "order")
    assert not match_subject(proofs, made(HELD[verifier], LEA | also), "another")


def test_another_number_is_another_person_under_every_epoch_both_have() -> None:
    """Two strangers share a name and a date; their numbers differ, whichever epochs each side proves."""
    flags = {"nir": "coherent"}

    def person(number: bytes, *epochs: int) -> TokenSet:
        kinds = (("nir", number), ("sgd", b"s"))
        return TokenSet(tuple((kind_of(k, e), (v + bytes([e])) * 16) for e in epochs for k, v in kinds), flags)

    for mine in ((1,), (1, 2), (2,)):
        for theirs in ((1,), (1, 2), (2,)):
            shared = bool(set(mine) & set(theirs))
            proofs = subject_proofs(person(b"a", *mine), "order")
            assert match_subject(proofs, person(b"a", *theirs), "order") is shared
            assert not match_subject(proofs, person(b"b", *theirs), "order")
    # What another epoch's kind says is not taken for this one's.
    moved = [{**each, "kind": each["kind"] + ".2"} for each in subject_proofs(person(b"a", 1), "order")]
    assert not match_subject(moved, person(b"a", 1, 2), "order")


def test_the_two_sides_of_a_look_always_compare() -> None:
    marks = {marks_of(tokeniser_of(klinks), "a" * 43)("debut", "MAR") for klinks in HELD.values()}
    assert len(marks) == 1


# --- an edge ------------------------------------------------------------------------------------------------------


def test_every_record_is_told_again_under_both_and_then_under_the_new_one(tmp_path: Path) -> None:
    store, hub = fill(tmp_path / "edge.db", 450), Hub()
    assert register_pending(store, hub).registered == 450
    assert store.links.is_told()
    store.links.hold(tokeniser_of((ONE, TWO)))
    assert not store.links.is_told()
    assert (store.links.standing().through, store.links.standing().of) == (0, 450)
    hub.told.clear()
    assert register_pending(store, hub).registered == 450
    assert hub.epochs() == [{1, 2}] * 450
    store.links.told()
    assert store.links.is_told()
    assert store.links.standing().is_applied
    assert register_pending(store, hub).registered == 0
    store.links.hold(tokeniser_of((OLD, TWO)))
    assert register_pending(store, hub).registered == 0  # nothing new to say
    store.upsert_subject("new", ZOE, made((OLD, TWO), ZOE))
    store.put_fragment("new", {"statements": {"contact.telephone": {"valeur": "x"}}}, b"g" * 32)
    hub.told.clear()
    register_pending(store, hub)
    assert hub.epochs() == [{2}]
    held = store.tokens_of("id1")
    assert held is not None
    assert {kind for kind, _ in held.tokens if epoch_of(kind) == 1} == {"sgd"}
    store.close()


def test_one_that_was_away_for_the_whole_rotation_makes_the_new_tokens_before_it_tells(tmp_path: Path) -> None:
    store, hub = fill(tmp_path / "edge.db", 3), Hub()
    store.links.hold(tokeniser_of((OLD, TWO)))
    register_pending(store, hub)
    assert hub.epochs() == [{2}] * 3
    store.close()


_KILLED = """
import os, signal, sys
from pathlib import Path
from connectors.kit import edge_links
from connectors.kit.edge_store import EdgeStore
from connectors.kit.klink import KLink, tokeniser_of
real, calls = edge_links.tokens_of, [0]
def dying(*given):
    calls[0] += 1
    if calls[0] == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*given)
edge_links.tokens_of = dying
store = EdgeStore.open(Path(sys.argv[1]), b"e" * 32)
store.links.hold(tokeniser_of((KLink(1, bytes([1]) * 32), KLink(2, bytes([2]) * 32))))
store.links.apply()
"""


def test_an_edge_killed_on_the_way_goes_on_where_it_was(tmp_path: Path) -> None:
    path, hub = tmp_path / "edge.db", Hub()
    store = fill(path, 450)
    register_pending(store, hub)
    store.close()
    for at, through in ((250, 200), (170, 200), (201, 400)):
        died = subprocess.run([sys.executable, "-c", _KILLED, str(path), str(at)], check=False)
        assert died.returncode == -9
        store = EdgeStore.open(path, KEY)
        assert store.links.standing().through == through
        store.close()
    store = EdgeStore.open(path, KEY)
    store.links.hold(tokeniser_of((ONE, TWO)))
    hub.told.clear()
    assert register_pending(store, hub).registered == 450
    assert hub.epochs() == [{1, 2}] * 450
    assert len({str(each["record_key"]) for each in hub.told}) == 450
    store.close()


def test_a_process_that_opened_an_older_key_keeps_nothing_any_more(tmp_path: Path) -> None:
    store = fill(tmp_path / "edge.db", 1)
    store.links.hold(tokeniser_of((ONE, TWO)))
    store.links.check(tokeniser_of((ONE, TWO)))
    with pytest.raises(MaillonError) as caught:
        store.links.check(tokeniser_of((ONE,)))
    assert caught.value.kind is ErrorKind.CONFIGURATION
    store.close()
