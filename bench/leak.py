"""A graph-matching attempt on a stolen token table: who can be told from how tokens are shared, without any key?

The thief has the hub's table (opaque values by kind, flags) and a register of people in clear. It makes the register's
own table under a key of its own and compares shapes: how many tokens of each kind a record has, its flags, how many
other records share each of them, and (round by round) what those look like. A record whose shape stands once in each
table is claimed. Worst case: the register is the very file the hub's records were made from; likelier: another file
about mostly the same persons, written by other hands.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from bench.harness import Result, Say, Scale
from bench.linkage import identity_of, shares_of
from bench.population import Files, draw
from connectors.kit.tokens import HmacTokeniser, TokenSet, tokens_of

_ROUNDS = 2
Records = Mapping[str, TokenSet]


def run(scale: Scale, say: Say) -> Result:
    """Attack 4,000 and 16,000 records (``--quick``: 600) as the hub holds them."""
    told = [
        fact
        for size in ((4_000, 16_000) if len(scale.persons) > 2 else (600,))
        for fact in _facts(draw(404, size), say)
    ]
    return Result(
        (),
        "measured and told, not bounded: it is what opaque tokens alone give away",
        told[-1],
        "the flags, and the number of tokens of each kind (lengths of names); who shares them adds little.",
        tuple(told),
    )


def _facts(files: Files, say: Say) -> Iterator[str]:
    shares = shares_of(files)

    def table(rows: Sequence[dict[str, str]], key: bytes) -> dict[str, TokenSet]:
        tokeniser = HmacTokeniser(key, 1)
        return {row["rec_id"]: tokens_of(identity_of(row), tokeniser, shares) for row in rows}

    stolen = table(files.a, bytes(range(32)))
    registers = {"the very file": table(files.a, bytes(32)), "another file": table(files.b, bytes(32))}
    for name, register in registers.items():
        for rounds in range(_ROUNDS):
            claimed, right = _attack(stolen, register, rounds, files.person_of)
            fact = f"{len(stolen):,} records, register = {name}, {rounds} round(s) of neighbours: "
            fact += f"{claimed:,} claimed, {right:,} of them rightly ({right / len(stolen):.1%} of all)"
            say(fact)
            yield fact


def _attack(stolen: Records, register: Records, rounds: int, person_of: Mapping[str, int]) -> tuple[int, int]:
    ours, theirs = (_alone(_shapes(table, rounds)) for table in (stolen, register))
    claims = [(ours[shape], theirs[shape]) for shape in ours.keys() & theirs.keys()]
    return len(claims), sum(person_of[one] == person_of[other] for one, other in claims)


def _alone(shapes: Mapping[str, bytes]) -> dict[bytes, str]:
    counted = Counter(shapes.values())
    return {shape: name for name, shape in shapes.items() if counted[shape] == 1}


def _shapes(records: Records, rounds: int) -> dict[str, bytes]:
    holders: dict[tuple[str, bytes], list[str]] = defaultdict(list)
    for name, held in records.items():
        for token in held.tokens:
            holders[token].append(name)
    shapes = {
        name: _digest(sorted(Counter(kind for kind, _ in held.tokens).items()), sorted(held.flags.items(), key=str))
        for name, held in records.items()
    }
    for _ in range(rounds):
        shapes = {
            name: _digest(
                shapes[name],
                sorted((t[0], sorted(shapes[other] for other in holders[t] if other != name)) for t in held.tokens),
            )
            for name, held in records.items()
        }
    return shapes


def _digest(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()
