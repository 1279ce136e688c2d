"""A hub that holds a newer directory back: whoever has it says so in what it signs, and the sources are alarmed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kit import seal
from connectors.kit.edge_app import create_app
from connectors.kit.edge_store import EdgeStore
from connectors.kit.ledger.heard import PATIENCE, HeardDirectories
from connectors.kit.ledger.store import Alarm
from connectors.kit.seal import Typ
from tests.kit.consortium import Consortium, ask
from tests.kit.world import AT


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EdgeStore]:
    opened = EdgeStore.open(tmp_path / "edge.db", b"s" * 32)
    yield opened
    opened.close()


def in_force(store: EdgeStore) -> list[Alarm]:
    return [raised.code for raised in store.log.alarms()]


def test_a_newer_directory_elsewhere_is_an_alarm_after_five_minutes_and_ends_when_it_comes(store: EdgeStore) -> None:
    heard = HeardDirectories(store.log)
    for version in (1, 2, 3):
        heard.hear("caf", version, 3, AT)
    heard.review(3, AT + 2 * PATIENCE)
    assert in_force(store) == []  # the same, or older, says nothing
    heard.hear("caf", 4, 3, AT)
    heard.hear("cpam", 5, 3, AT + timedelta(minutes=2))
    heard.review(3, AT + PATIENCE - timedelta(seconds=1))
    assert in_force(store) == []  # it may be on its way
    heard.hear("caf", 6, 3, AT + PATIENCE)  # a still newer one does not begin anew
    heard.review(3, AT + PATIENCE)
    heard.review(3, AT + PATIENCE)
    assert in_force(store) == [Alarm.DIRECTORY_BEHIND]
    heard.review(5, AT + 2 * PATIENCE)
    assert in_force(store) == [Alarm.DIRECTORY_BEHIND]  # caf has 6
    heard.review(6, AT + 2 * PATIENCE)
    assert in_force(store) == []
    assert len(store.log.alarms(ended=True)) == 1


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["caf", "cpam"]), st.integers(1, 4), st.integers(0, 400), st.booleans()), max_size=12
    )
)
def test_it_is_told_as_a_naive_reader_would(tmp_path_factory: pytest.TempPathFactory, steps: list[Any]) -> None:
    """Each step: a partner says a version, seconds pass, perhaps the directory comes round, the edge looks."""
    store = EdgeStore.open(tmp_path_factory.mktemp("edge") / "edge.db", b"s" * 32)
    heard, now, own, waiting = HeardDirectories(store.log), AT, 1, dict[str, tuple[int, Any]]()
    alarmed: set[str] = set()
    for partner, version, seconds, comes in steps:
        heard.hear(partner, version, own, now)
        if version > own:
            waiting[partner] = (version, waiting[partner][1] if partner in waiting else now)
        now += timedelta(seconds=seconds)
        own = max([own, *(newer for newer, _ in waiting.values())]) if comes else own
        heard.review(own, now)
        waiting = {slug: each for slug, each in waiting.items() if each[0] > own}
        alarmed = {s for s in alarmed if s in waiting} | {s for s, each in waiting.items() if now - each[1] >= PATIENCE}
        assert len(in_force(store)) == len(alarmed)
    store.close()


def test_a_source_hears_of_it_in_the_order_it_answers(consortium: Consortium) -> None:
    """The hub gives the source version 1 for ever; the requester got version 2 from the root by hand."""
    source, requester = consortium.edges["caf"], consortium.edges["departement"]
    assert ask(consortium).reports == ()
    source.heard.review(source.directory.version, consortium.clock.now() + 2 * PATIENCE)
    assert source.store.log.counts() == {}
    token = consortium.root.sign_directory(consortium.rows, 2, consortium.clock.now())
    requester.home.keep_directory(type(requester.directory).verify(token, requester._root, consortium.clock.now(), 1))
    requester._directory = None
    assert requester.directory.version == 2
    got = ask(consortium)
    assert got.dossier["sections"], "it is answered all the same"
    consortium.clock.advance(PATIENCE)
    source.upkeep()  # the hub is down, or silent
    assert source.store.log.counts() == {"directory-behind": 1}
    health = create_app(source).test_client().get("/health").get_json()
    assert health["alarms"] == {"directory-behind": 1}
    source.home.keep_directory(type(source.directory).verify(token, source._root, consortium.clock.now(), 1))
    source._directory = None
    source.upkeep()
    assert source.store.log.counts() == {}


def test_the_version_is_the_requesters_own_word(consortium: Consortium) -> None:
    """It is inside what the requester signs: the hub can neither add nor change it."""
    got = consortium.edges["departement"]
    signed: list[str] = []
    pull = got.hub.pull
    got.hub.pull = lambda request, ref, salt: signed.append(request) or pull(request, ref, salt)  # type: ignore[method-assign,func-returns-value]
    ask(consortium)
    assert seal.peek(signed[0], Typ.REQUEST)["directory"] == got.directory.version
