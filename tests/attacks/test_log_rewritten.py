"""The owner of the database rewrites history with care, and signs it again: the audit finds every attempt."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from typing import Any

import pytest

from consent.ledger import tile as tiles
from consent.ledger.checkpoint import Checkpoint, KeyType, SignerKey, sign
from consent.ledger.merkle import leaf_hash
from consent.ledger.note import split_note
from consent.ledger.tile import Frontier
from hub.store.journal import leaf_of
from tests.attacks.log_world import RECOUNT, Kept, Scene, differs, spread, typed


def rebuild(c: sqlite3.Connection, signer: SignerKey | None) -> None:
    """Compute entries, tiles, head and one checkpoint again from the journal as it now is, signed by ``signer``."""
    c.row_factory = sqlite3.Row
    journal = [typed(row) for row in c.execute("SELECT * FROM journal ORDER BY seq")]
    c.row_factory = None
    hashes = [leaf_hash(leaf_of(row).encode()) for row in journal]
    frontier, changed = tiles.append(Frontier(), hashes)
    for table in ("entry", "tile", "checkpoint", "cosignature"):
        c.execute(f"DELETE FROM {table}")
    for index, (row, hashed) in enumerate(zip(journal, hashes, strict=True)):
        c.execute("INSERT INTO entry (leaf_index, seq, leaf_hash) VALUES (?, ?, ?)", (index, row["seq"], hashed))
    for tile, data in changed:
        c.execute("INSERT INTO tile (level, idx, hashes) VALUES (?, ?, ?)", (tile.level, tile.index, data))
    c.execute("UPDATE tree_head SET size = ?", (frontier.size,))
    if signer is not None:
        note = sign(Checkpoint(signer.name, frontier.size, frontier.root()), [signer])
        at = journal[-1]["at_us"]
        c.execute(
            'INSERT INTO checkpoint (size, root, note, "at") VALUES (?, ?, ?, ?)',
            (frontier.size, frontier.root(), note, at),
        )


def _hub_key(kept: Kept) -> SignerKey:
    return SignerKey.parse((kept.home / "log.keys").read_text().splitlines()[0])


def _consent_seqs(scene: Scene) -> list[int]:
    return [row[0] for row in scene.rows("SELECT seq FROM consent_event ORDER BY seq")]


def test_a_refusal_taken_out_and_everything_signed_again(scene: Scene) -> None:
    """The owner also has the log's key: without somebody's older checkpoint the tree itself looks whole."""
    key = _hub_key(scene.kept)
    for seq in _consent_seqs(scene):

        def without(c: sqlite3.Connection, seq: int = seq) -> None:
            c.execute("DELETE FROM consent_event WHERE seq = ?", (seq,))
            c.execute("DELETE FROM journal WHERE seq = ?", (seq,))
            c.execute(RECOUNT)
            rebuild(c, key)

        assert not scene.missed(without)
        finding = scene.kept.audit(scene.home)
        assert finding is not None
        assert finding.code in ("truncated", "rewritten")


def test_the_newest_events_cut_off_and_everything_signed_again(scene: Scene) -> None:
    key, last = _hub_key(scene.kept), scene.rows("SELECT max(seq) FROM journal")[0][0]
    children = ("access_field", "access_agent", "access_event", "consent_event", "match_event", "partner_event")
    for count in (1, 2, 5, last - 1):

        def cut(c: sqlite3.Connection, count: int = count) -> None:
            for table in (*children, "policy_version", "directory_version", "rotation_event", "journal"):
                c.execute(f"DELETE FROM {table} WHERE seq > ?", (last - count,))
            rebuild(c, key)

        assert not scene.missed(cut)
        finding = scene.kept.audit(scene.home)
        assert finding is not None
        assert finding.code == "truncated"


def test_back_dated_and_signed_again(scene: Scene) -> None:
    key = _hub_key(scene.kept)
    for seq in _consent_seqs(scene):

        def earlier(c: sqlite3.Connection, seq: int = seq) -> None:
            for table in ("journal", "consent_event"):
                c.execute(f'UPDATE {table} SET "at" = "at" - 1000000 WHERE seq = ?', (seq,))
            rebuild(c, key)

        assert not scene.missed(earlier)


def test_signed_with_a_key_of_ones_own(scene: Scene) -> None:
    own = SignerKey.from_seed(_hub_key(scene.kept).name, b"o" * 32)
    assert not scene.missed(lambda c: rebuild(c, own))
    assert not scene.missed(lambda c: rebuild(c, own), against=False)

    def and_named(c: sqlite3.Connection) -> None:
        rebuild(c, own)
        c.execute("UPDATE log_key SET vkey = ?", (own.verifier.vkey,))

    assert not scene.missed(and_named, against=False)
    assert not scene.missed(lambda c: rebuild(c, None), against=False)


def test_an_older_checkpoint_as_the_newest(scene: Scene) -> None:
    sizes = [row[0] for row in scene.rows("SELECT size FROM checkpoint ORDER BY size")]
    assert len(sizes) > 5
    for size in sizes[:-1]:

        def older(c: sqlite3.Connection, size: int = size) -> None:
            c.execute("DELETE FROM checkpoint WHERE size > ?", (size,))

        def under_its_name(c: sqlite3.Connection, size: int = size) -> None:
            c.execute(
                "UPDATE checkpoint SET note = (SELECT note FROM checkpoint WHERE size = ?) WHERE size = ?",
                (size, sizes[-1]),
            )

        def with_its_root(c: sqlite3.Connection, size: int = size) -> None:
            under_its_name(c, size)
            c.execute(
                "UPDATE checkpoint SET root = (SELECT root FROM checkpoint WHERE size = ?) WHERE size = ?",
                (size, sizes[-1]),
            )

        for mutation in (older, under_its_name, with_its_root):
            assert not scene.missed(mutation, against=False)


def test_entries_change_places(scene: Scene) -> None:
    count = scene.rows("SELECT count(*) FROM entry")[0][0]
    for i, j in itertools.combinations(spread(list(range(count)), 6), 2):

        def swap(c: sqlite3.Connection, i: int = i, j: int = j) -> None:
            for old, new in ((i, -1), (j, i), (-1, j)):
                c.execute("UPDATE entry SET leaf_index = ? WHERE leaf_index = ?", (new, old))

        def swap_events(c: sqlite3.Connection, i: int = i, j: int = j) -> None:
            one, other = (c.execute("SELECT seq FROM entry WHERE leaf_index = ?", (n,)).fetchone()[0] for n in (i, j))
            for value, index in ((-1, i), (one, j), (other, i)):
                c.execute("UPDATE entry SET seq = ? WHERE leaf_index = ?", (value, index))

        assert not scene.missed(swap, against=False)
        assert not scene.missed(swap_events, against=False)


def test_an_event_the_log_never_saw(scene: Scene) -> None:
    """A consent copied under a new number: with and without a place in the inbox, with and without its row."""
    seq, last = _consent_seqs(scene)[0], scene.rows("SELECT max(seq) FROM journal")[0][0]
    columns = ", ".join(f'"{name}"' for name in scene.columns("journal")[2:])
    for inbox, entry in itertools.product((False, True), repeat=2):

        def insert(c: sqlite3.Connection, inbox: bool = inbox, entry: bool = entry) -> None:
            c.execute(
                f"INSERT INTO journal (seq, event_id, {columns}) SELECT ?, ?, {columns} FROM journal WHERE seq = ?",
                (last + 1, "00000000-0000-4000-8000-000000000000", seq),
            )
            if inbox:
                c.execute("INSERT INTO inbox VALUES (?)", (last + 1,))
            if entry:
                c.execute("INSERT INTO entry SELECT max(leaf_index) + 1, ?, zeroblob(32) FROM entry", (last + 1,))

        assert not scene.missed(insert, against=False)


def test_an_inbox_rebuilt_with_what_was_logged(scene: Scene) -> None:
    for seq in spread([row[0] for row in scene.rows("SELECT seq FROM journal")], 4):
        assert not scene.missed(
            lambda c, seq=seq: c.execute("INSERT INTO inbox VALUES (?)", (seq,)) and None, against=False
        )


def test_content_removed_and_blamed_on_any_event(scene: Scene) -> None:
    seqs = [row[0] for row in scene.rows("SELECT seq FROM journal ORDER BY seq")]
    for seq, by in itertools.product(spread(seqs, 4), (None, seqs[0], seqs[-1], 10**6)):

        def empty(c: sqlite3.Connection, seq: int = seq, by: int | None = by) -> None:
            c.execute("UPDATE journal SET sealed = NULL, emptied_by = ? WHERE seq = ?", (by, seq))

        assert not scene.missed(empty, against=False)


IDENTITY = ("absorbed", "consent_owner", "must_not_link", "split_access")


def test_a_lost_cosignature_is_told_and_no_alteration(scene: Scene) -> None:
    """Witnesses sign when they can: one that is missing is not found, its witness has it still, and what each has
    verifiably signed by now is told."""
    sizes = [row[0] for row in scene.rows("SELECT size FROM cosignature ORDER BY size")]
    assert len(sizes) == 2
    name = scene.kept.witness.name
    assert scene.kept.report(scene.home).cosigned == {name: sizes[-1]}
    assert scene.missed(lambda c: c.execute("DELETE FROM cosignature WHERE size = ?", (sizes[-1],)) and None)
    assert scene.kept.report(scene.home).cosigned == {name: sizes[0]}
    assert scene.missed(lambda c: c.execute("DELETE FROM cosignature") and None)
    assert scene.kept.report(scene.home).cosigned == {}


def test_a_cosignature_moved_copied_or_made_by_another(scene: Scene) -> None:
    own = SignerKey.from_seed(scene.kept.witness.name, b"o" * 32, KeyType.COSIGNATURE_V1)
    stranger = SignerKey.from_seed("nobody.example/witness", b"o" * 32, KeyType.COSIGNATURE_V1)
    (first, line), (last, _) = scene.rows("SELECT size, line FROM cosignature ORDER BY size")
    (note,) = scene.rows("SELECT note FROM checkpoint WHERE size = ?", last)[0]
    text = split_note(note)[0]
    change = "UPDATE cosignature SET {} = ? WHERE size = ?"
    made = ("line", own.sign(text, 1_800_000_000)), ("line", stranger.sign(text, 1_800_000_000)), ("line", line)
    for column, value in (*made, ("witness", stranger.name), ("size", first + 1)):
        assert not scene.missed(
            lambda c, column=column, value=value: c.execute(change.format(column), (value, last)) and None
        ), column
    # Whoever is in nobody's directory counts for nobody, and is not told as a witness.
    assert scene.missed(
        lambda c: (
            c.execute(
                "UPDATE cosignature SET witness = ?, line = ? WHERE size = ?",
                (stranger.name, stranger.sign(text, 1_800_000_000), last),
            )
            and None
        )
    )
    assert scene.kept.report(scene.home).cosigned == {scene.kept.witness.name: first}


@pytest.mark.parametrize("table", IDENTITY)
def test_who_is_whom_decided_by_the_owner_of_the_database(scene: Scene, table: str) -> None:
    """Rows nobody decided: a refusal taken from one person and given to another, a link undone, an access hidden."""
    # Whoever was joined already has the one row they may have: of these, one more is possible for each.
    free = "SELECT person_id FROM person WHERE person_id NOT IN (SELECT person_id FROM absorbed) ORDER BY 1"
    persons = [row[0] for row in scene.rows(free)][:4]
    records = [row[0] for row in scene.rows("SELECT record_id FROM record ORDER BY 1")][:4]
    consents, accesses = _consent_seqs(scene), [row[0] for row in scene.rows("SELECT seq FROM access_event")]
    rows: dict[str, list[tuple[Any, ...]]] = {
        "absorbed": [(one, other, 1) for one, other in itertools.permutations(persons, 2)],
        "consent_owner": [
            (seq, person, person, gives, 1, None) for seq in consents[:3] for person in persons for gives in (0, 1)
        ],
        "must_not_link": [(one, other, 1, "dpo") for one, other in itertools.permutations(records, 2)],
        "split_access": [(person, seq, 0) for person in persons for seq in accesses[:3]],
    }
    added = 0
    for row in rows[table]:
        places = ", ".join("?" for _ in row)
        found = scene.missed(
            lambda c, row=row, places=places: (
                c.execute(f"INSERT OR IGNORE INTO {table} VALUES ({places})", row) and None
            )
        )
        if differs(scene, table):
            added += 1
            assert not found, row
    assert added >= 6
    assert not scene.missed(lambda c: c.execute(f"DELETE FROM {table}") and None)


def test_the_event_that_says_who_is_whom_emptied_or_taken_for_another(scene: Scene) -> None:
    """Its place is held by the tree; its content can be nobody's and cannot be blamed on a retention."""
    about_no_one = scene.rows(
        "SELECT seq FROM journal WHERE class = 'match' AND seq NOT IN (SELECT seq FROM match_event)"
    )
    assert len(about_no_one) >= 3
    tag = scene.rows("SELECT subject_tag FROM match_event LIMIT 1")[0][0]
    for (seq,) in about_no_one:
        assert not scene.missed(
            lambda c, seq=seq: (
                c.execute("UPDATE journal SET sealed = NULL, emptied_by = ? WHERE seq = ?", (seq + 1, seq)) and None
            )
        )
        row = (seq, tag, "linked")
        assert not scene.missed(lambda c, row=row: c.execute("INSERT INTO match_event VALUES (?, ?, ?)", row) and None)


def test_an_agreement_given_to_somebody_else(scene: Scene) -> None:
    persons = [row[0] for row in scene.rows("SELECT person_id FROM person")]
    for seq in _consent_seqs(scene):
        (mine,) = scene.rows("SELECT person_id FROM consent_event WHERE seq = ?", seq)[0]
        for other in persons:
            if other == mine:
                continue

            def give(c: sqlite3.Connection, seq: int = seq, other: str = other) -> None:
                c.execute("UPDATE consent_event SET person_id = ? WHERE seq = ?", (other, seq))
                c.execute(RECOUNT)

            assert not scene.missed(give, against=False)


def test_a_key_thrown_away_without_an_erasure(scene: Scene) -> None:
    """The rows of ``secrets.db`` are the owner's too: what can no longer be opened has to be accounted for."""
    for table, column in (("person_secret", "person_id"), ("trace_key", "tag")):
        for file in scene.home.glob("secrets.db*"):
            file.unlink()
        shutil.copy(scene.kept.home / "secrets.db", scene.home / "secrets.db")
        used = {row[0] for row in scene.rows("SELECT person_id FROM consent_event")}
        used |= {row[0] for row in scene.rows("SELECT subject_tag FROM access_event WHERE subject_tag IS NOT NULL")}
        connection = sqlite3.connect(scene.home / "secrets.db", isolation_level=None)
        connection.executemany(f"DELETE FROM {table} WHERE {column} = ?", [(each,) for each in used])
        connection.close()
        finding = scene.kept.audit(scene.home)
        assert finding is not None
        assert finding.code == "key_gone"
