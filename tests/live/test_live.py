"""An API asked for one person, over real HTTP to the simulator, on good days and bad ones."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.kit.live.client import deadline, parameters
from connectors.kit.runtime.clock import FakeClock
from connectors.kit.source_fragment import build_statements
from tests.kit.world import AT
from tests.live.caisse import ANNE, HOUSEHOLD, QF, QUOTIENT, RIGHT, RSA, START, STATE, partner
from tests.live.scenes import SLOW, scene

# Good days ------------------------------------------------------------------------------------------------------


def test_the_answer_is_mapped_for_the_person_asked_alone(tmp_path: Path) -> None:
    with scene(tmp_path, clock=FakeClock(AT)) as s:
        said = s.ask()
        assert said[QUOTIENT]["valeur"]["valeur"] == 412
        assert said[QUOTIENT]["date_effet"] == "2026-01-01"
        assert said[START]["valeur"] == "2024-03-01"
        assert {each["date_collecte"] for each in said.values()} == {"2026-01-15T09:00:00Z"}
        assert {each["source"] for each in said.values()} == {"caisse"}
        # The household's answer named Paul first: nothing of his is in Anne's fragment.
        assert said["identite.nom_naissance"]["valeur"] == "BERTHELOT"
        assert said["foyer.membres"]["valeur"] == [{"lien": "CJT"}]
        assert "MORVAN" not in str(said)


def test_only_endpoints_that_can_answer_are_asked(tmp_path: Path) -> None:
    with scene(tmp_path) as s:
        assert s.outcome(wanted=(STATE,)) == {"valeur"}
        assert s.api.counts() == {
            "path:/v3/droit/identite": 1,
            "requests": 1,
            "status:200": 1,
        }
        assert s.ask(wanted=("contact.email",)) == {}
        assert s.calls == 1


def test_outcomes_stay_distinct(tmp_path: Path) -> None:
    with scene(tmp_path) as s:
        assert s.outcome("L2", (STATE, START)) == {"sans_droit"}
        assert s.outcome("L3", (STATE, START)) == {"sans_dossier"}, "404: the API knows no such person"
        assert s.outcome("L9", (STATE, START)) == {"personne_inconnue"}, "no trait to ask with"
        assert s.calls == 2


def test_other_fields_of_the_order_say_why_they_are_empty(tmp_path: Path) -> None:
    with scene(tmp_path) as s:
        held = s.live.fragment_of("L2", (STATE,), s.clock.now() + timedelta(seconds=9))
        ordered = [STATE, "droits.rsa.montant", "contact.email"]
        said = build_statements(held, ordered, ordered, "caisse", AT)
    assert [said[path].get("absence") for path in ordered] == ["sans_droit", "sans_droit", "sans_dossier"]


def test_an_answer_serves_again_for_its_time_and_no_longer(tmp_path: Path) -> None:
    clock = FakeClock(AT)
    with scene(tmp_path, clock=clock, ttl_seconds=600) as s:
        first = s.ask(wanted=(STATE,))
        clock.advance(timedelta(seconds=599))
        again = s.ask(wanted=(STATE,))
        assert s.calls == 1
        assert again == first, "with the time it was fetched, not the time it was asked again"
        clock.advance(timedelta(seconds=1))
        later = s.ask(wanted=(STATE,))
        assert s.calls == 2
        assert later[STATE]["date_collecte"] == "2026-01-15T09:10:00Z"
        assert len(s.live._kept) == 1
        s.live.forget_expired(clock.now() + timedelta(seconds=600))
        assert s.live._kept == {}


def test_without_a_ttl_nothing_serves_twice(tmp_path: Path) -> None:
    with scene(tmp_path, ttl_seconds=0) as s:
        s.ask(wanted=(STATE,))
        s.ask(wanted=(STATE,))
        assert s.calls == 2


def test_the_question(tmp_path: Path) -> None:
    folder = partner(tmp_path)
    assert folder.api is not None
    ask = lambda traits: parameters(folder.api.endpoints[RSA], traits, "222", AT)  # type: ignore[union-attr]  # noqa: E731
    assert ask(ANNE) == {
        "recipient": "222",
        "nomNaissance": "BERTHELOT",
        "prenoms[]": ["Anne", "Lise"],
        "anneeDateNaissance": 1984,
        "moisDateNaissance": 5,
        "jourDateNaissance": 9,
        "sexeEtatCivil": "F",
        "codeCogInseeCommuneNaissance": "08480",
    }
    partial = ask({**ANNE, "date_naissance": "1984-05", "prenoms": "Anne, Lise", "sexe": "2"})
    assert partial["prenoms[]"] == ["Anne", "Lise"]
    assert partial["sexeEtatCivil"] == "F"
    assert "jourDateNaissance" not in partial


def test_the_habilitation_s_token_goes_with_every_call(tmp_path: Path) -> None:
    for theirs, expected in (("jeton", "valeur"), ("autre", "non_autorise")):
        with scene(tmp_path, token=theirs) as s:
            assert s.outcome(wanted=(STATE,)) == {expected}


# Bad days, one fault at a time ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("drop", "indisponible"),
        ("truncate", "indisponible"),
        ("truncate=0", "indisponible"),
        ("500", "indisponible"),
        ("502", "indisponible"),
        ("503", "indisponible"),
        ("504", "indisponible"),
        ("429=60", "indisponible"),
        ("429", "indisponible"),
        ("503=60", "maintenance"),
        ("maintenance=0-60", "maintenance"),
        ("content_type", "indisponible"),
        ("garbage", "indisponible"),
        ("garbage=2000000", "indisponible"),
        ("garbage=0", "indisponible"),
        ("403", "non_autorise"),
        ("404", "sans_dossier"),
        ("418", "indisponible"),
        ("remove=beneficiaire", "indisponible"),
        ("rename=data", "indisponible"),
    ],
)
def test_a_fault_is_an_absence_of_its_own_in_time(tmp_path: Path, fault: str, expected: str) -> None:
    clock = FakeClock(AT)  # what is waited for is counted, however long this machine takes
    with scene(tmp_path, fault, clock=clock) as s:
        assert s.outcome(wanted=(STATE, START)) == {expected}
        assert clock.now() - AT <= timedelta(seconds=s.client.limits.order_seconds)
        assert s.live._kept == {} or expected in ("non_autorise", "sans_dossier")


@pytest.mark.parametrize("fault", [f"latency={SLOW}", f"drip={SLOW}"])
def test_a_slow_answer_is_left_in_time(tmp_path: Path, fault: str) -> None:
    with scene(tmp_path, fault, order_seconds=1.0) as s:
        start = time.monotonic()
        assert s.outcome(wanted=(STATE, START)) == {"indisponible"}
        assert time.monotonic() - start < SLOW / 2
        assert s.live._kept == {}


def test_a_source_that_fails_once_is_asked_again(tmp_path: Path) -> None:
    for fault in ("drop#1", "500#1", "garbage#1", "429=1#1"):
        with scene(tmp_path, fault) as s:
            assert s.outcome(wanted=(STATE,)) == {"valeur"}, fault
            assert s.calls == 2


def test_retry_after_is_honoured_by_everyone(tmp_path: Path) -> None:
    clock = FakeClock(AT)
    with scene(tmp_path, "503=120#1", clock=clock) as s:
        assert s.outcome("L1", (STATE,)) == {"maintenance"}
        assert s.outcome("L2", (STATE,)) == {"maintenance"}
        assert s.calls == 1, "nobody asks while it wants peace"
        assert s.live.state() == "maintenance"
        clock.advance(timedelta(seconds=121))
        assert s.outcome("L2", (STATE,)) == {"sans_droit"}


def test_one_endpoint_that_fails_costs_the_other_nothing(tmp_path: Path) -> None:
    cases = {QF: [{**HOUSEHOLD, "status": 502, "payload": "<html>"}], RSA: [RIGHT]}
    with scene(tmp_path, cases=cases) as s:
        said = s.ask()
        assert said[QUOTIENT]["absence"] == "indisponible"
        assert said[STATE]["valeur"] == "ouvert"


def test_the_calendar_is_kept_without_a_call(tmp_path: Path) -> None:
    more = '[[api.maintenance]]\ndays = ["jeudi"]\nfrom = "09:30"\nto = "10:30"\n'
    clock = FakeClock(AT)  # a Thursday, 10:00 in Paris
    with scene(tmp_path, clock=clock, more=more) as s:
        assert s.outcome(wanted=(STATE,)) == {"maintenance"}
        assert (s.calls, s.live.state()) == (0, "maintenance")
        clock.advance(timedelta(minutes=30))
        assert s.outcome(wanted=(STATE,)) == {"valeur"}


def test_the_breaker_opens_and_one_call_decides(tmp_path: Path) -> None:
    clock = FakeClock(AT)
    with scene(tmp_path, "500#1-6", clock=clock, failures=4, tries=1, open_seconds=30) as s:
        for _ in range(4):
            assert s.outcome(wanted=(STATE,)) == {"indisponible"}
        assert s.live.state() == "open"
        for _ in range(5):
            assert s.outcome(wanted=(STATE,)) == {"indisponible"}
        assert s.calls == 4, "an open breaker asks nothing"
        for waited, calls in ((30, 5), (60, 6)):
            clock.advance(timedelta(seconds=waited - 1))
            assert s.outcome(wanted=(STATE,)) == {"indisponible"}
            assert s.calls == calls - 1
            clock.advance(timedelta(seconds=1))
            assert s.live.state() == "half_open"
            assert s.outcome(wanted=(STATE,)) == {"indisponible"}
            assert s.calls == calls
        clock.advance(timedelta(seconds=120))
        assert s.outcome(wanted=(STATE,)) == {"valeur"}
        assert s.live.state() == "closed"


def test_the_rate_is_kept(tmp_path: Path) -> None:
    clock = FakeClock(AT)
    with scene(tmp_path, clock=clock, rate=0.1, burst=2, ttl_seconds=0, tries=1) as s:
        assert [s.outcome(wanted=(STATE,)) for _ in range(3)] == [{"valeur"}, {"valeur"}, {"indisponible"}]
        assert s.calls == 2
        assert s.live.state() == "closed", "our own limit is no failure of theirs"
        clock.advance(timedelta(seconds=10))
        assert s.outcome(wanted=(STATE,)) == {"valeur"}


def test_an_answer_about_somebody_else_is_not_used(tmp_path: Path) -> None:
    other = {
        **HOUSEHOLD,
        "payload": {
            "data": {
                **HOUSEHOLD["payload"]["data"],
                "adultes": [{"nom": "AUTRE", "prenoms": "Zoé", "ne_le": "1990-01-01"}],
            }
        },
    }  # type: ignore[index]
    with scene(tmp_path, cases={QF: [other], RSA: [RIGHT]}) as s:
        said = s.ask()
        assert said[QUOTIENT]["absence"] == "indisponible"
        assert "AUTRE" not in str(said)


def test_the_order_s_own_end_is_the_limit(tmp_path: Path) -> None:
    assert deadline(AT, 6, AT + timedelta(seconds=1)) == AT + timedelta(seconds=0.5), "there is time left to answer"
    assert deadline(AT, 6, AT + timedelta(seconds=9)) == AT + timedelta(seconds=6)
    with scene(tmp_path, f"latency={SLOW}") as s:
        start = time.monotonic()
        held = s.live.fragment_of("L1", (STATE,), s.clock.now() + timedelta(seconds=1))
        assert time.monotonic() - start < s.client.limits.order_seconds
        assert held is not None
        assert held["statements"][STATE]["absence"] == "indisponible"


def test_many_at_once_on_a_slow_day(tmp_path: Path) -> None:
    """Forty orders against an API slower than an order may last: every one is answered in time."""
    with scene(tmp_path, f"latency={SLOW}", order_seconds=1.0, tries=1, failures=3) as s:
        outcomes: list[set[str]] = []
        threads = [threading.Thread(target=lambda: outcomes.append(s.outcome(wanted=(STATE,)))) for _ in range(40)]
        start = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - start < SLOW / 2
        assert outcomes == [{"indisponible"}] * 40
        assert s.outcome(wanted=(STATE,)) == {"indisponible"}


def test_nothing_of_the_question_or_the_answer_is_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for fault in ("garbage", "503=9", "drop", "remove=beneficiaire", "500"):
        with scene(tmp_path, fault) as s:
            s.ask()
    printed = capsys.readouterr()
    assert "live:" in printed.out
    for word in ("BERTHELOT", "Anne", "1984", "08480", "22290001400016", "MORVAN"):
        assert word not in printed.out + printed.err


def test_a_clock_set_back_keeps_no_answer_longer(tmp_path: Path) -> None:
    clock = FakeClock(AT)
    with scene(tmp_path, clock=clock, ttl_seconds=60) as s:
        assert s.outcome(wanted=(STATE,)) == {"valeur"}
        clock.advance(timedelta(hours=-3))
        assert s.outcome(wanted=(STATE,)) == {"valeur"}
        assert s.calls == 2, "what was fetched later than now is asked for again"
        clock.advance(timedelta(hours=-3))
        s.live.forget_expired(clock.now())
        assert s.live._kept == {}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("drop", "unavailable: ConnectionError"),
        ("truncate", "unavailable: ProtocolError"),
        ("garbage=2000000", "too-large: answer above 1048576 bytes"),
        ("content_type=text/html", "not an answer: HTTP 200, text/html, "),
        ("content_type=Berthelot", "not an answer: HTTP 200, no content type, "),
        ("garbage=7", "not an answer: HTTP 200, application/json, 7 bytes"),
        ("remove=beneficiaire", "beneficiaire"),
    ],
)
def test_the_log_names_what_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str, said: str) -> None:
    with scene(tmp_path, fault, tries=1) as s:
        assert s.outcome(wanted=(STATE,)) == {"indisponible"}
    told = capsys.readouterr().out
    assert said in told
    assert "erthelot" not in told.lower()
