"""The bounds no partner may lean on: its own records agree by themselves; a crowd links to nobody (docs/index.md)."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.kit.identity import parse_identity
from connectors.kit.tokens import tokens_of
from hub.cli.index_memory import MemoryIndex
from hub.index.placing import candidates, place
from hub.index.rules import CROWD, Candidate, Doubt, IndexRecord, Link, New, Review, Rule
from hub.index.settle import Flood, settle
from hub.store.index import IndexedToken
from tests.index.people import ANNE, NO_NIR, NO_PLACE, TOKENISER, Traits, anne, rare, record


def settled(incoming: IndexRecord, others: Sequence[IndexRecord], own: Sequence[IndexRecord] = ()) -> object:
    return settle(incoming, [Candidate("p", (*others, *own))], lambda _: own)


def test_another_partners_record_links_by_any_rule() -> None:
    assert settled(record(anne(nom_naissance="Dupond", nir=None)), [record(anne(**NO_NIR))]) == Link("p", Rule.ONE_EDIT)


def test_two_records_of_one_partner_agree_by_themselves_or_not_at_all() -> None:
    named, numbered = record(anne(**NO_NIR)), record(anne(nom_naissance="Kervella"))
    whole = record(anne())
    assert settled(numbered, [whole]) == Link("p", Rule.NIR)
    answer = settled(numbered, [whole], own=[named])
    assert isinstance(answer, Review)
    assert [each.doubt for each in answer.pattern] == [Doubt.OWN_EVIDENCE]
    assert settled(numbered, [whole], own=[numbered]) == Link("p", Rule.NIR)


def test_a_partner_keeps_its_own_persons_apart_by_a_letter_or_a_date() -> None:
    """Rules 3 and 4 do not join two local numbers of one partner: it had a reason for two."""
    for other in (rare(ANNE, **NO_NIR, nom_naissance="Dupond"), rare(ANNE, **NO_NIR | NO_PLACE)):
        mine = rare(ANNE, **NO_NIR)
        assert isinstance(settled(mine, [other]), Link)
        answer = settled(mine, [], own=[other])
        assert isinstance(answer, Review)
        assert answer.pattern[0].doubt is Doubt.OWN_EVIDENCE


def test_many_records_of_a_person_at_one_partner_are_a_humans_matter() -> None:
    answer = settled(record(anne()), [], own=[record(anne())] * CROWD)
    assert isinstance(answer, Review)
    assert answer.pattern[0].doubt is Doubt.CROWDED
    assert isinstance(settled(record(anne()), [], own=[record(anne())] * (CROWD - 1)), Link)


# --- look-ups --------------------------------------------------------------------------------------------------------


class Hub:
    """The memory's index, fed as the hub's registration feeds the store."""

    def __init__(self) -> None:
        self.index = MemoryIndex()
        self.asked = 0

    @staticmethod
    def indexed(traits: Traits) -> tuple[list[IndexedToken], IndexRecord]:
        made = tokens_of(parse_identity(traits), TOKENISER)
        tokens = [IndexedToken(kind, 1, int.from_bytes(t[:8], "big"), t[8:24]) for kind, t in made.tokens]
        kinds = {kind: frozenset(t.value for t in tokens if t.kind == kind) for kind, _ in made.tokens}
        return tokens, IndexRecord(kinds, made.flags)

    def candidates(self, traits: Traits) -> list[Candidate] | None:
        return candidates(self.index, *self.indexed(traits))

    def register(self, partner: str, rec_id: str, traits: Traits) -> object:
        tokens, made = self.indexed(traits)
        answer = place(self.index, partner, tokens, made)
        person = answer.person if isinstance(answer, Link) else self.index.new_person()
        self.index.add(person, partner, rec_id, tokens, made.flags)  # type: ignore[arg-type]
        if isinstance(answer, Review):
            self.asked += len(answer.persons)
            self.index.ask(person, answer.persons)  # type: ignore[arg-type]
        return answer


def test_a_flood_links_to_nobody_and_asks_few() -> None:
    """100,000 records of one name and date: after the first few, no human is asked about another."""
    hub = Hub()
    found = [hub.register("caf", str(n), anne(**NO_NIR, **NO_PLACE)) for n in range(3 * CROWD)]
    asked = hub.asked
    assert asked <= CROWD * CROWD
    assert all(isinstance(answer, Flood) for answer in found[CROWD + 1 :])
    found = [hub.register("cpam", f"{n}b", anne(**NO_NIR, **NO_PLACE)) for n in range(50)]
    assert all(isinstance(answer, Flood) for answer in found)
    assert hub.asked == asked


def test_the_same_record_sent_over_and_over_ends_in_a_flood_too() -> None:
    hub = Hub()
    found = [hub.register("caf", str(n), anne()) for n in range(4 * CROWD)]
    assert sum(isinstance(answer, Link) for answer in found) == CROWD - 1
    assert isinstance(found[-1], Flood)


def test_a_crowd_of_close_names_does_not_hide_the_person() -> None:
    """Namesakes of the year come after the exact look-up, and in a fixed number."""
    hub = Hub()
    for day in range(28):
        for month in ("04", "05", "06"):
            hub.register("caf", f"{month}{day}", anne(date_naissance=f"1980-{month}-{day + 1:02}", nir=None))
    hub.register("caf", "she", anne(**NO_NIR))
    answer = hub.register("cpam", "her", anne(**NO_NIR))
    assert isinstance(answer, Link | Review)
    if isinstance(answer, Review):
        assert "000000084" in answer.persons


def test_two_whole_dates_of_a_year_are_not_compared_by_the_year() -> None:
    hub = Hub()
    hub.register("caf", "a", anne(**NO_NIR, **NO_PLACE, date_naissance="1980-05-19"))
    assert hub.candidates(anne(**NO_NIR, **NO_PLACE)) == []
    assert hub.register("cpam", "b", anne(**NO_NIR, **NO_PLACE)) == New()
    assert len(hub.candidates(anne(**NO_NIR, **NO_PLACE, date_naissance="1980-01-01")) or ()) == 2
    assert isinstance(hub.register("cpam", "c", anne(**NO_NIR, date_naissance="1980")), Review)
