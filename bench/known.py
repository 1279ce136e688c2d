"""Does the time of an answer tell a partner whether somebody was known? Registrations and pulls, tick off and on.

A real hub behind its HTTP face, without the network. The caisse holds some thousand persons; another partner registers
persons in turn, one that is known and one that is not, a record a request, each once, timed by the clock. Likewise
pulls: for a ref that means someone, without any agreement, and for one that means no one. Told: the difference of
medians with its 95 % interval (bootstrap), and how often a guesser is right who takes one of each and calls the slower
one what is slower on the whole (Mann–Whitney's U; 50 % tells nothing).
"""

from __future__ import annotations

import random
import secrets
import statistics
import tempfile
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.harness import Result, Say, Scale
from connectors.kit.identity import parse_identity
from connectors.kit.runtime import b64url
from connectors.kit.tokens import HmacTokeniser, TokenSet, tokens_of
from hub.app import close_hub, create_app
from tests.hub.conftest import World, body_of, record_key

_TOKENISER = HmacTokeniser(bytes(range(32)), 1)
_RESAMPLED = 1_000
_FILLED = 250


def run(scale: Scale, say: Say) -> Result:
    """Measure 2,000 registrations and pulls of each kind with the tick off, 300 with it on (``--quick``: 40 and 10)."""
    off, on = (2_000, 300) if len(scale.persons) > 2 else (40, 10)
    facts = []
    for tick_ms, count in ((0, off), (25, on)):
        for name, known, unknown in _measure(tick_ms, count):
            fact = (
                f"{name}, tick {tick_ms or 'off'}{' ms' if tick_ms else ''}, {count:,} of each: {_told(known, unknown)}"
            )
            say(fact)
            facts.append(fact)
    return Result(
        (),
        "the answer's time tells nothing about whether somebody was known",
        facts[-1],
        "without the tick, writing a new person and its keys, or reading the one that is there.",
        tuple(facts),
    )


def _measure(tick_ms: int, count: int) -> list[tuple[str, list[float], list[float]]]:
    with tempfile.TemporaryDirectory(prefix="maillon-known-") as folder:
        world = World(Path(folder))
        close_hub(world.hub)
        quotas = {"registrations_per_hour": 10**9, "lookups_per_hour": 10**9}
        world.app = create_app(
            replace(world.settings, tick_ms=tick_ms, **quotas), clock=world.clock, sources=world.edges
        )
        people = [_person(n) for n in range(2 * count + 20)]
        half = count + 10
        for start in range(0, half, _FILLED):
            batch = [_record(n, people[n]) for n in range(start, min(start + _FILLED, half))]
            world.ok("caf", "/v1/registrations", {"records": batch})
        refs: dict[int, str] = {}

        def register(person: int) -> None:
            body = {"records": [_record(person, people[person])]}
            refs[person] = world.ok("departement", "/v1/registrations", body)["registrations"][0]["ref"]

        def pull(person: int) -> None:
            ref = refs[person] if person < half else b64url.encode(secrets.token_bytes(16))
            sent = body_of(world.request(ref))
            began.append(time.perf_counter())
            world.ok("departement", "/v1/pulls", sent)

        began: list[float] = []
        registered = _interleaved(register, count, half)
        pulled = _interleaved(pull, count, half, began)
        close_hub(world.hub)
        return [("registration", *registered), ("pull without an agreement", *pulled)]


def _interleaved(
    operation: Callable[[int], None], count: int, half: int, began: list[float] | None = None
) -> tuple[list[float], list[float]]:
    """Time one known and one unknown in turn, which first at random; milliseconds. The first ten of each warm up."""
    known: list[float] = []
    unknown: list[float] = []
    rng = random.Random(5)  # noqa: S311
    for n in range(count + 10):
        for side in rng.sample((0, 1), 2):
            start = time.perf_counter()
            operation(n + side * half)
            end = time.perf_counter()
            (known, unknown)[side].append((end - (began[-1] if began else start)) * 1000)
    return known[10:], unknown[10:]


def _told(known: Sequence[float], unknown: Sequence[float]) -> str:
    medians = statistics.median(known), statistics.median(unknown)
    low, high = _interval(known, unknown)
    right = max(_slower(known, unknown), _slower(unknown, known))
    return (
        f"median {medians[0]:.2f} ms known, {medians[1]:.2f} ms unknown, difference {medians[0] - medians[1]:+.2f} ms "
        f"({low:+.2f} to {high:+.2f}); a guesser is right {right:.1%} of the time"
    )


def _interval(known: Sequence[float], unknown: Sequence[float]) -> tuple[float, float]:
    """The 95 % bootstrap interval of the difference of medians."""
    rng = random.Random(7)  # noqa: S311
    differences = sorted(
        statistics.median(rng.choices(known, k=len(known))) - statistics.median(rng.choices(unknown, k=len(unknown)))
        for _ in range(_RESAMPLED)
    )
    return differences[round(0.025 * _RESAMPLED)], differences[round(0.975 * _RESAMPLED) - 1]


def _slower(one: Sequence[float], other: Sequence[float]) -> float:
    """The share of pairs in which ``one`` took longer, half of the ties: U ÷ (n · m)."""
    others = sorted(other)
    below = sum(bisect_left(others, each) + bisect_right(others, each) for each in one) / 2
    return below / (len(one) * len(other))


def _person(number: int) -> TokenSet:
    """An invented person like no other: two given names, a full date, a birthplace."""
    rng = random.Random(f"known/{number}")  # noqa: S311
    surname, *given = ("".join(rng.choices("abcdeilmnorstuv", k=size)).capitalize() for size in (11, 8, 8))
    traits = {
        "nom_naissance": surname,
        "prenoms": given,
        "sexe": "F",
        "date_naissance": f"{rng.randint(1940, 2005)}-{rng.randint(1, 12):02}-{rng.randint(2, 28):02}",
        "code_cog_insee_commune_naissance": "45234",
    }
    return tokens_of(parse_identity(traits), _TOKENISER)


def _record(number: int, made: TokenSet) -> dict[str, object]:
    return {"record_key": record_key(number), "sections": ["droits"], **made.to_wire()}
