"""What is over ends, at its hour and not before, each batch beside one event of the log; cut short, it goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from connectors.kit.policy_folder import PACKAGED_CONFIG
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from consent.ledger.leaf import EventClass
from hub.deadlines import FILE, Reason, load_deadlines
from hub.jobs.retention import keep, keeper_of
from hub.services import retention
from hub.services.retention import end_what_is_over, first_month_kept
from hub.store import erasure_tables, tables
from hub.store.secrets import SecretStore
from hub.store.trace import end_of_traces, month_of
from tests.erasure.conftest import NOTHING_KEPT, PROOF_KEPT, Life, erase, is_whole, later, live, person_of
from tests.hub.conftest import World


def count(world: World, table: object, *where: object) -> int:
    query = select(func.count()).select_from(table).where(*where)  # type: ignore[arg-type]
    return int(world.hub.reads.run(lambda uow: uow.connection.execute(query).scalar_one()))


def retention_events(world: World) -> list[str]:
    seqs = world.hub.reads.run(
        lambda uow: (
            uow.connection.execute(
                select(tables.journal.c.seq).where(tables.journal.c["class"] == EventClass.RETENTION.value)
            )
            .scalars()
            .all()
        )
    )
    return [str(world.hub.reads.run(lambda uow, seq=seq: uow.subjects.about_no_one(seq)).body["event"]) for seq in seqs]


@given(st.datetimes(timezones=st.just(UTC)).filter(lambda at: 1950 < at.year < 2200), st.integers(1, 36))
def test_the_month_that_ends_is_the_one_whose_traces_end(at: datetime, months: int) -> None:
    kept = first_month_kept(at, months)
    assert end_of_traces(month_of(kept), months) > at
    assert end_of_traces(month_of(kept - timedelta(microseconds=1)), months) <= at


def test_traces_die_with_their_month_and_not_a_moment_before(world: World, life: Life) -> None:
    january = count(world, tables.access_event)
    assert january == 3  # decided, ordered, delivered
    later(world, days=20)  # 4 February
    world.pull(life.refs["departement"])
    world.clock.at = datetime(2027, 1, 31, 23, 59, 59, tzinfo=UTC)
    assert end_what_is_over(keeper_of(world.hub), world.clock.now()).total == 0
    assert retention_events(world) == []
    world.clock.at = datetime(2027, 2, 1, tzinfo=UTC)
    ended = end_what_is_over(keeper_of(world.hub), world.clock.now())
    matches = 4  # one for each registration
    assert (ended.month_keys, ended.traces) == (1, january + matches)
    left = world.hub.reads.run(lambda uow: uow.connection.execute(select(tables.access_event.c.at)).scalars().all())
    assert left
    assert all(at >= datetime(2026, 2, 1, tzinfo=UTC) for at in left)
    assert count(world, tables.match_event) == 0
    seqs = select(tables.access_event.c.seq)
    for child in (tables.access_field, tables.access_agent):
        assert count(world, child, child.c.seq.not_in(seqs)) == 0
    assert retention_events(world) == [retention.TRACES]
    assert is_whole(world)
    # Again, nothing.
    assert end_what_is_over(keeper_of(world.hub), world.clock.now()).total == 0
    assert retention_events(world) == [retention.TRACES]


def test_a_hub_that_was_off_for_years_catches_up_in_batches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 7)
    lives = [live(world, number) for number in range(1, 4)]
    erase(world, lives[0].refs["departement"], PROOF_KEPT)
    before = count(world, tables.access_event) + count(world, tables.match_event)
    later(world, days=3000)
    ended = keep(world.hub)
    assert ended > before
    assert count(world, tables.access_event) == count(world, tables.match_event) == 0
    assert count(world, erasure_tables.kept_consent) == 0
    assert retention_events(world) == [retention.TRACES] * -(-before // 7) + [retention.PROOFS]
    # Agreements of people who were not erased are no trace: they stay.
    assert count(world, tables.consent_event) == 2
    assert is_whole(world)


@pytest.mark.parametrize("step", ["expired_tags", "expire", "end_proofs"])
def test_cut_short_it_is_clean_and_goes_on(
    world: World, life: Life, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    erase(world, life.refs["departement"], PROOF_KEPT)
    live(world, 2)
    later(world, days=3000)

    def power_cut(*args: object, **kwargs: object) -> None:
        raise MaillonError(ErrorKind.STORAGE, "cut")

    with monkeypatch.context() as cut:
        cut.setattr(SecretStore, step, power_cut)
        with pytest.raises(MaillonError):
            keep(world.hub)
    assert is_whole(world)
    keep(world.hub)
    assert is_whole(world)
    assert count(world, tables.access_event) == 0
    assert keep(world.hub) == 0


def test_a_shorter_or_longer_period_is_kept_to(world: World, life: Life) -> None:
    """A month ends at the earlier of what was planned when its key was made and what the configuration says now."""
    january = world.clock.now()
    keeper = keeper_of(world.hub)
    shorter = replace(keeper, deadlines=replace(keeper.deadlines, trace_months=2))
    longer = replace(keeper, deadlines=replace(keeper.deadlines, trace_months=30))
    assert end_what_is_over(shorter, january + timedelta(days=70)).total == 0
    assert end_what_is_over(longer, january + timedelta(days=370)).total == 0
    person = person_of(world, life.refs["departement"])
    assert person is not None
    assert len(world.hub.secrets.traces_of(person)) == 1
    ended = end_what_is_over(longer, january + timedelta(days=400))
    assert ended.month_keys == 1
    assert ended.traces >= 7
    assert world.hub.secrets.traces_of(person) == []
    assert is_whole(world)
    live(world, 2)
    assert end_what_is_over(shorter, january + timedelta(days=90)).month_keys == 1
    assert count(world, tables.access_event) == 0
    assert is_whole(world)


def test_former_references_go_some_days_after_the_new_ones_were_taken(world: World, life: Life) -> None:
    keeper, refs = keeper_of(world.hub), count(world, tables.person_ref)
    world.ok("operator", "/v1/index/rotations", {"what": "refs", "partner": "caf"})
    world.ok("caf", "/v1/refs/map", {"after": None})
    world.clock.advance(timedelta(days=30))
    assert end_what_is_over(keeper, world.clock.now()).refs == 0
    later(world, days=0)
    world.ok("caf", "/v1/refs/acknowledgement", {"epoch": 2})
    assert count(world, tables.person_ref) == refs + 1
    assert end_what_is_over(keeper, world.clock.now() + timedelta(days=6, hours=23)).refs == 0
    assert end_what_is_over(keeper, world.clock.now() + timedelta(days=7)).refs == 1
    assert retention_events(world) == [retention.REFS]
    assert count(world, tables.person_ref) == refs
    assert person_of(world, life.refs["caf"], "caf") is None
    assert is_whole(world)


# --- config/retention.toml --------------------------------------------------------------------------------------------


def test_the_periods_that_are_shipped() -> None:
    deadlines = load_deadlines(PACKAGED_CONFIG)
    assert (deadlines.trace_months, deadlines.backup_days) == (12, 30)
    assert deadlines.secrets_backup_days <= 7
    assert {NOTHING_KEPT, PROOF_KEPT} <= set(deadlines.reasons)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda text: text.replace("[traces]", "[trace]"), "trace"),
        (lambda text: text.replace("mois = 12", "moi = 12"), "traces.moi"),
        (lambda text: text.replace("mois = 12", "mois = 0"), "traces.mois"),
        (lambda text: text.replace("mois = 12", "mois = 12.5"), "traces.mois"),
        (lambda text: text.replace("mois = 12", "mois = true"), "traces.mois"),
        (lambda text: text.replace("secrets = 7\n", ""), "sauvegardes.secrets"),
        (lambda text: text.replace("secrets = 7\n", "secrets = 4000\n"), "sauvegardes.secrets"),
        (lambda text: text.replace("preuve_annees = 5", "preuve_annees = -1", 1), "motifs.accord_retire.preuve_annees"),
        (lambda text: text.replace('texte = "RGPD 17-1-c"\n', ""), "motifs.opposition.texte"),
        (lambda text: text.replace('texte = "RGPD 17-1-c"', 'texte = " "'), "motifs.opposition.texte"),
        (lambda text: text.replace("motifs.opposition", "motifs.Opposition"), "motifs.Opposition"),
        (lambda text: text.split("[motifs.")[0] + "[motifs]\n", "motifs"),
        (lambda text: text + "motifs = ", "unreadable"),
        (lambda _: None, "missing"),
    ],
)
def test_a_name_or_number_that_means_nothing_stops_the_start(
    tmp_path: Path, change: Callable[[str], str | None], named: str
) -> None:
    folder = tmp_path / "config"
    shutil.copytree(PACKAGED_CONFIG, folder)
    text = change((folder / FILE).read_text("utf-8"))
    (folder / FILE).unlink()
    if text is not None:
        (folder / FILE).write_text(text, "utf-8")
    with pytest.raises(MaillonError) as refused:
        load_deadlines(folder)
    assert refused.value.kind is ErrorKind.CONFIGURATION
    assert refused.value.detail.startswith(FILE)
    assert named in refused.value.detail


def test_an_anniversary_that_does_not_exist_is_the_day_after() -> None:
    leap = Reason("x", "x", "x", 5).proof_until(datetime(2028, 2, 29, 8, tzinfo=UTC))
    assert leap == datetime(2033, 3, 1, 8, tzinfo=UTC)
    assert Reason("x", "x", "x", 0).proof_until(datetime(2028, 2, 29, tzinfo=UTC)) is None


def test_who_never_agreed_to_anything_leaves_no_proof(world: World) -> None:
    assert erase(world, world.register("departement", 9), PROOF_KEPT)["erasure"]["proof_until"] is None
