"""The linkability game: what a stolen hub database, a partner's keys, or two partners' traffic give away."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.kit.runtime import b64url
from connectors.kit.tokens import TokenSet
from consent.model import EventKind
from hub.app import close_hub
from tests.hub.conftest import RSA, World, body_of, record_key, tokens

PERSONS = 1_000
K_LINK = b"k" * 32
"""Every partner's, so the thief's too."""
# 500 of 1,000 by chance, six standard deviations of 15.8.
CHANCE = range(405, 596)


def _tokens(person: int) -> TokenSet:
    kinds = ("sgd", "gdp", "sdp", "sg_y", "sgp")
    made = tuple((kind, hmac.digest(K_LINK, f"{kind}/{person}".encode(), "sha256")) for kind in kinds)
    return TokenSet(made, tokens(1).flags)


def _register(world: World, slug: str, persons: list[int]) -> dict[int, str]:
    refs: dict[int, str] = {}
    for start in range(0, len(persons), 500):
        batch = persons[start : start + 500]
        records = [{"record_key": record_key(n), "sections": ["droits"], **_tokens(n).to_wire()} for n in batch]
        made = world.ok(slug, "/v1/registrations", {"records": records})["registrations"]
        refs |= {n: row["ref"] for n, row in zip(batch, made, strict=True)}
    return refs


def _stolen(world: World, name: str = "hub.db") -> sqlite3.Connection:
    copy = sqlite3.connect(":memory:")
    source = sqlite3.connect(f"file:{world.home.path / name}?mode=ro", uri=True)
    source.backup(copy)
    source.close()
    return copy


def _forms(secret: bytes) -> Iterator[bytes]:
    """What a thief would try: the thing itself, parts of it, and every unkeyed or partner-keyed digest of it."""
    for made in (secret, hashlib.sha256(secret).digest(), hmac.digest(K_LINK, secret, "sha256")):
        yield from (made, made[:16], made[8:24], made[:8], made[:8][::-1])


def _everything(database: sqlite3.Connection) -> set[bytes]:
    held: set[bytes] = set()
    tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        for row in database.execute(f'SELECT * FROM "{table}"'):  # noqa: S608
            for value in row:
                if isinstance(value, bytes):
                    # Every part a token may take in a value that holds many (``hub.store.token_set``).
                    held |= {value, *(value[n : n + size] for n in range(0, len(value), 8) for size in (16, 8))}
                elif isinstance(value, int) and abs(value) > 2**32:
                    held.add(value.to_bytes(8, "big", signed=True))
                elif isinstance(value, str):
                    held.add(value.encode())
    return held


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    close_hub(world.hub)


def _guess(known: Callable[[int], bool], persons: range, there: set[int]) -> int:
    """How many of ``persons`` the guesser places rightly; where it sees nothing it tosses a coin."""
    rng = random.Random(7)  # noqa: S311
    return sum((known(n) or rng.random() < 0.5) == (n in there) for n in persons)


def test_a_stolen_database_with_one_partners_keys_lists_no_one(world: World) -> None:
    """Of 1,000 persons whose every trait is known, half are at another partner: who? No better than a coin."""
    rng = random.Random(3)  # noqa: S311
    there = set(rng.sample(range(PERSONS), PERSONS // 2))
    _register(world, "caf", sorted(there))
    held = _everything(_stolen(world))

    def seen(n: int) -> bool:
        return any(form in held for _, token in _tokens(n).tokens for form in _forms(token))

    assert _guess(seen, range(PERSONS), there) in CHANCE

    # The same guesser with the one key that is not in the database wins: the game can be lost.
    def with_the_keyring(n: int) -> bool:
        keyed = (world.hub.keyring.index_token(token) for _, token in _tokens(n).tokens)
        return any(value in held for _, value in keyed)

    assert _guess(with_the_keyring, range(PERSONS), there) > PERSONS * 0.7


def test_a_partners_refs_do_not_lead_into_a_stolen_database(world: World) -> None:
    """The thief has the partner's own refs and record keys: which rows are its persons', and who else holds them?"""
    refs = _register(world, "caf", list(range(200)))
    held = _everything(_stolen(world)) | _everything(_stolen(world, "secrets.db"))
    for n, ref in refs.items():
        for secret in (b64url.decode(ref), ref.encode(), b64url.decode(record_key(n)), record_key(n).encode()):
            assert not any(form in held for form in _forms(secret) if len(form) >= 8)


@pytest.mark.parametrize("table", ["person", "record", "link", "holding", "person_ref", "token_set", "subject_head"])
def test_the_order_of_rows_does_not_tell_who_was_registered_when(world: World, table: str) -> None:
    """Within a request, the n-th row is not the n-th record: nobody lines the file up with a partner's own list."""
    records = [{"record_key": record_key(n), "sections": ["droits"], **_tokens(n).to_wire()} for n in range(400)]
    world.ok("caf", "/v1/registrations", {"records": records})
    stolen = _stolen(world)
    if table == "token_set":  # its rowid is the number, drawn at random
        assert stolen.execute("SELECT count(*) FROM token_set WHERE rowid = number").fetchone() == (400,)
    else:
        with pytest.raises(sqlite3.OperationalError, match="no such column"):
            stolen.execute(f"SELECT rowid FROM {table}")  # noqa: S608
    column = "record_id" if table in ("record", "token_set") else "person_id"
    order = [row[0] for row in stolen.execute(f"SELECT DISTINCT {column} FROM {table} NOT INDEXED")]  # noqa: S608
    # The truth, which only the keyring gives: the rank each had in the request.
    keys = {world.hub.keyring.record_key("caf", record_key(n)): n for n in range(400)}
    whose = "record_id" if column == "record_id" else "person_id"
    query = "SELECT link.person_id, record.record_id, record_key FROM record JOIN link USING (record_id)"
    rank = {(row[1] if whose == "record_id" else row[0]): keys[row[2]] for row in stolen.execute(query)}
    ranks = [rank[each] for each in order]
    assert len(ranks) == 400
    mean = 199.5
    spread = sum((r - mean) ** 2 for r in ranks)
    correlation = sum((place - mean) * (r - mean) for place, r in enumerate(ranks)) / spread
    assert abs(correlation) < 0.3


# --- two partners' traffic ---------------------------------------------------------------------------------------


def _strings(value: Any) -> Iterator[str]:
    """Every text of 12 characters and more in a message, inside the JWS it holds too."""
    if isinstance(value, dict):
        for member in value.values():
            yield from _strings(member)
    elif isinstance(value, list):
        for member in value:
            yield from _strings(member)
    elif isinstance(value, str) and len(value) >= 12:
        yield value
        parts = value.split(".")
        if len(parts) in (3, 5):
            yield from parts
            for part in parts:
                try:
                    inner = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
                except ValueError:
                    continue
                yield from _strings(inner)


def _joined(one: dict[int, list[Any]], other: dict[int, list[Any]]) -> set[tuple[int, int]]:
    """Pairs of persons that a text seen for one person only, on each side, ties together."""
    sides = []
    for traffic in (one, other):
        seen: dict[str, set[int]] = defaultdict(set)
        for person, messages in traffic.items():
            for text in _strings(messages):
                seen[text].add(person)
        sides.append({text: next(iter(persons)) for text, persons in seen.items() if len(persons) == 1})
    return {(sides[0][text], sides[1][text]) for text in sides[0].keys() & sides[1].keys()}


def _traffic(world: World, slug: str, people: range) -> dict[int, list[Any]]:
    captured: dict[int, list[Any]] = {}
    for n in people:
        record = {"record_key": b64url.encode(hashlib.sha256(f"{slug}{n}".encode()).digest()[:16])}
        sent: Any = {"records": [{**record, "sections": [], **tokens(n).to_wire()}]}
        made = world.ok(slug, "/v1/registrations", sent)
        ref = made["registrations"][0]["ref"]
        given = world.event(
            ref, EventKind.GRANTED, collector=slug, fields=RSA, sources=("caf",), recipients=((slug, ()),)
        )
        asked = body_of(world.request(ref, RSA, recipient=slug))
        captured[n] = [
            made,
            {k: v for k, v in sent["records"][0].items() if k == "record_key"},
            given,
            world.ok(slug, "/v1/consents", given),
            asked,
            world.ok(slug, "/v1/pulls", asked),
            world.ok(slug, "/v1/consents/search", {"ref": ref}),
            world.ok(slug, "/v1/access-log/search", {"view": "partenaire", "ref": ref}),
        ]
    return captured


def _two_recipients(world: World) -> tuple[dict[int, list[Any]], dict[int, list[Any]]]:
    people = range(1, 11)
    records = [{"record_key": record_key(n), "sections": ["droits"], **tokens(n).to_wire()} for n in people]
    world.ok("caf", "/v1/registrations", {"records": records})
    one, other = _traffic(world, "departement", people), _traffic(world, "ccas", people)
    assert all(messages[5]["fragments"] for messages in one.values())
    return one, other


def test_two_partners_captured_traffic_does_not_join(world: World) -> None:
    """Requests, agreements, orders, fragments, answers and logs of two recipients about the same ten persons."""
    one, other = _two_recipients(world)
    assert _joined(one, other) == set()
    # One shared id would do: the test can fail.
    for n in one:
        one[n].append({"id": f"shared-by-both-{n}"})
        other[n].append({"id": f"shared-by-both-{n}"})
    assert _joined(one, other) == {(n, n) for n in one}
