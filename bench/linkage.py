"""The index: how fast a connector makes tokens, what the rules find, and what each kind of token tells by itself."""

from __future__ import annotations

import hmac
import math
import time
from collections import Counter
from collections.abc import Iterable
from itertools import cycle, islice

from bench.harness import Result, Say, Scale, compare
from bench.population import Files, draw
from connectors.kit.identity import Identity, parse_identity
from connectors.kit.rarity import NameShares
from connectors.kit.token_kinds import KINDS
from connectors.kit.tokens import HmacTokeniser, TokenSet, tokens_of
from hub.cli.index_files import COLUMNS
from hub.cli.index_memory import MemoryRegistry
from hub.cli.index_pairs import A, B
from hub.services.registration import Registration
from hub.store.index import IndexedToken

_KEY = bytes(range(32))
_TIMES = 50
_CASES = {"with NIR": (True, 1.0), "without NIR": (False, 1.0), "without NIR, 2.5 times the errors": (False, 2.5)}


def identity_of(row: dict[str, str]) -> Identity:
    """Return the identity in a row of ``maillon index link``."""
    return parse_identity({trait: row[column] for column, trait in COLUMNS.items()})


def shares_of(files: Files) -> NameShares:
    """Return the shares of the population as a connector would have read them."""
    surnames = {identity_of(_named(n, "")).surnames[0]: s for kind, n, s in files.shares if kind == "S"}
    givens = {identity_of(_named("", n)).givens.first[-1]: s for kind, n, s in files.shares if kind == "G"}
    return NameShares(surnames, givens, min(surnames.values()), complete_givens=True)


def run(scale: Scale, say: Say) -> Result:
    """Measure tokens against the bare HMACs of the same number, then the rules on other persons than any test's."""
    sizes = 4_000 if len(scale.persons) > 2 else 600
    files = draw(101, persons=sizes)
    shares, tokeniser = shares_of(files), HmacTokeniser(_KEY, 1)
    identities = cycle(files.a[:500])
    sets = [tokens_of(identity_of(row), tokeniser, shares) for row in files.a]
    mean = round(sum(len(each.tokens) for each in sets) / len(sets))

    def make() -> int:
        for row in islice(identities, _TIMES):
            tokens_of(identity_of(row), tokeniser, shares)
        return _TIMES

    def bare() -> int:
        for _ in range(_TIMES * mean):
            hmac.digest(_KEY, b"maillon/token/v1 sgd KERVELLA SOLENN 1983-05-09", "sha256")
        return _TIMES

    figure = compare("tokens of a person", make, bare, scale, f"{mean} tokens a person")
    return Result(
        (figure,),
        "2,000 persons a second and core",
        f"a row's traits to its tokens and flags, invented persons, beside {mean} bare HMAC-SHA256.",
        "the HMACs; then normal forms and the names' one-letter forms.",
        (*_found(sizes, say), *_told(sets)),
    )


def _found(persons: int, say: Say) -> Iterable[str]:
    for name, (nir, errors) in _CASES.items():
        say(name)
        began, files = time.perf_counter(), draw(202, persons=persons, nir=nir, errors=errors)
        auto, review = _link(files)
        truth = files.pairs
        records = len(files.a) + len(files.b)
        yield (
            f"{name}, {records} records: {len(auto & truth) / len(truth):.3f} linked, {len(auto - truth)} false, "
            f"{len((auto | review) & truth) / len(truth):.3f} or shown, {1000 * len(review) / records:.0f} reviews "
            f"for 1,000 ({time.perf_counter() - began:.0f} s)"
        )


def _link(files: Files) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    registry, tokeniser, shares = MemoryRegistry(), HmacTokeniser(_KEY, 1), shares_of(files)
    for partner, rows in ((A, files.a), (B, files.b)):
        placed = ((row["rec_id"], tokens_of(identity_of(row), tokeniser, shares)) for row in rows)
        registry.register(partner, [(rec_id, _registration(tokens)) for rec_id, tokens in placed])
    pairs = list(registry.pairs(explain=False))
    by = {decision: {(p.id_a, p.id_b) for p in pairs if p.decision == decision} for decision in ("auto", "review")}
    return by["auto"], by["review"] - by["auto"]


def _registration(made: TokenSet) -> Registration:
    tokens = tuple(IndexedToken(k, 1, int.from_bytes(t[:8], "big", signed=True), t[8:24]) for k, t in made.tokens)
    return Registration("", b"", tokens, made.flags, frozenset())


def _told(sets: list[TokenSet]) -> Iterable[str]:
    """What the token table tells a thief: tokens two records share, the largest such group, what the flags hold."""
    for kind in KINDS:
        groups = Counter(token for each in sets for token in each.of(kind))
        total = sum(groups.values())
        shared = sum(count for count in groups.values() if count > 1)
        if total:
            yield (
                f"`{kind}`: {total / len(sets):.1f} a record, {100 * shared / total:.2f} % shared with another record, "
                f"{max(groups.values())} at most"
            )
    lengths = Counter((len(each.of("s1gd")), len(each.of("sg1d"))) for each in sets)
    flags = Counter(tuple(sorted((name, str(value)) for name, value in each.flags.items())) for each in sets)
    for name, counted in (("numbers of `s1gd` and `sg1d`", lengths), ("flags together", flags)):
        alone = 100 * sum(count == 1 for count in counted.values()) / len(sets)
        yield f"{name}: {_bits(counted):.1f} of {math.log2(len(sets)):.1f} bits; {alone:.1f} % of records alone in them"


def _bits(counted: Counter[tuple[object, ...]]) -> float:
    total = counted.total()
    return -sum(count / total * math.log2(count / total) for count in counted.values())


def _named(surname: str, given: str) -> dict[str, str]:
    return dict.fromkeys(COLUMNS, "") | {"birth_name": surname, "given_names": given}
