"""A person's copy that somebody tampered with: whatever is taken out, added or altered shows."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consent.ledger.person_check import verify_person
from consent.ledger.verify import TrustedKeys
from hub.app import close_hub
from tests.hub.conftest import World
from tests.hub.copying import Document, closed_of, copied, judged, keys_of, live, made, names


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Document, Document, TrustedKeys]:
    """Copies of two persons of one hub, which no test changes, and the keys."""
    world = World(tmp_path_factory.mktemp("hub"))
    refs = [live(world, person) for person in (1, 2)]
    one, other = (copied(world, each["departement"]) for each in refs)
    keys = keys_of(world)
    close_hub(world.hub)
    return one, other, keys


def test_every_event_taken_out_is_found_and_named(shared: tuple[Document, Document, TrustedKeys]) -> None:
    one, _, keys = shared
    chain = one["chains"][0]
    for at in range(len(chain)):
        altered = {**one, "chains": [chain[:at] + chain[at + 1 :]]}
        verdict = verify_person(altered, keys)
        assert verdict.code == ("head" if at == len(chain) - 1 else "gap")
        assert (verdict.chain, verdict.n) == (1, at if verdict.code == "head" else at + 1)
        assert f"{verdict.n} :" in verdict.reason("fr")


def test_the_tail_cut_anywhere_is_found(shared: tuple[Document, Document, TrustedKeys]) -> None:
    one, _, keys = shared
    chain = one["chains"][0]
    for end in range(len(chain)):
        assert verify_person({**one, "chains": [chain[:end]]}, keys).code == ("head" if end else "gap")
    assert verify_person({**one, "chains": []}, keys).code == "head"
    # An older reading of the log is no making of a copy: the end cannot be put there.
    reads = [at for at, name in enumerate(names(chain)) if name == "access:log:read"]
    assert len(reads) == 2
    assert verify_person({**one, "chains": [chain[: reads[0] + 1]]}, keys).code == "head"


def test_every_two_events_exchanged_are_found(shared: tuple[Document, Document, TrustedKeys]) -> None:
    one, _, keys = shared
    chain = one["chains"][0]
    for i in range(len(chain)):
        for j in range(i):
            swapped = list(chain)
            swapped[i], swapped[j] = swapped[j], swapped[i]
            verdict = verify_person({**one, "chains": [swapped]}, keys)
            assert verdict.code == "gap"
            assert verdict.n == j + 1


def test_another_persons_events_never_fit(shared: tuple[Document, Document, TrustedKeys]) -> None:
    one, other, keys = shared
    mine, theirs = one["chains"][0], other["chains"][0]
    note = other["checkpoint"]  # the later tree: it holds the leaves of both, under other paths
    assert verify_person({**one, "checkpoint": note}, keys).code == "root"
    for at in range(1, len(theirs)):
        mixed = {**other, "chains": [[*theirs[:at], *_repathed(mine[at:], theirs)]]}
        assert verify_person(mixed, keys).code in ("root", "index", "proof_length", "chain")
    # Even proved to be in the same tree: the chain tells.
    assert verify_person({**other, "chains": [theirs, theirs]}, keys).code == "heads"


def _repathed(events: list[Document], like: list[Document]) -> list[Document]:
    return [{**event, "path": like[-1]["path"]} for event in events]


def test_two_chains_mixed_under_one_checkpoint(world: World) -> None:
    """Both persons' events proved under the same tree: nothing but the chain can tell them apart."""
    refs = [live(world, person)["departement"] for person in (1, 2)]
    readings = [made(world, ref)["reading"] for ref in refs]
    one, other = (copied(world, ref, reading=each) for ref, each in zip(refs, readings, strict=True))
    assert one["checkpoint"] == other["checkpoint"]
    mine, theirs = one["chains"][0], other["chains"][0]
    for at in range(1, len(mine)):
        mixed = {**one, "chains": [[*mine[:at], *theirs[at:]]]}
        verdict = judged(world, mixed)
        assert (verdict.code, verdict.n) == ("chain", at + 1)
        one_event = {**one, "chains": [[*mine[:at], theirs[at], *mine[at + 1 :]]]}
        verdict = judged(world, one_event)
        assert (verdict.code, verdict.n) == ("chain", at + 1)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_nothing_can_be_altered_anywhere(shared: tuple[Document, Document, TrustedKeys], data: st.DataObject) -> None:
    """One leaf of the JSON, changed into anything of its kind: refused, or it says exactly the same."""
    one, _, keys = shared
    altered = copy.deepcopy(one)
    node: Any = altered
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else list(range(len(node)))))
        if not isinstance(node[key], dict | list) or not node[key]:
            break
        node = node[key]
    old = node[key]
    node[key] = data.draw(_other(old))
    verdict = verify_person(altered, keys)
    assert verdict.code is not None, (key, old, node[key])


def _other(old: Any) -> st.SearchStrategy[Any]:
    if isinstance(old, bool):
        return st.just(not old)
    if isinstance(old, int):
        return st.integers(-2, 2**40).filter(lambda new: new != old)
    if isinstance(old, str):
        at = st.integers(0, max(0, len(old) - 1))
        return st.one_of(
            at.map(lambda i: old[:i] + ("A" if old[i : i + 1] != "A" else "B") + old[i + 1 :]), st.just(None)
        )
    return st.sampled_from([1, "x", {}, [0]])


def test_an_event_that_is_not_opened_is_counted_and_holds_its_place(
    shared: tuple[Document, Document, TrustedKeys],
) -> None:
    one, _, keys = shared
    chain = one["chains"][0]
    for at in range(len(chain) - 1):
        hidden = {**one, "chains": [[*chain[:at], closed_of(chain[at]), *chain[at + 1 :]]]}
        verdict = verify_person(hidden, keys)
        assert (verdict.code, verdict.closed) == (None, 1)
    at = 3
    # Another leaf of the log in its place does not hold it.
    stranger = closed_of(chain[0]) | {"first": at + 1, "n": at + 1}
    verdict = verify_person({**one, "chains": [[*chain[:at], stranger, *chain[at + 1 :]]]}, keys)
    assert (verdict.code, verdict.n) == ("chain", at + 2)
