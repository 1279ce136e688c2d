"""When ``maillon pull`` says that it was done in part: a script asks again for what may still come, and for no more."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from connectors.kit.assembly import Assembled, Finding, Report
from hub.cli.main import cli
from hub.cli.pull import is_partial
from schemas import registry

HELD = {"valeur": 412, "source": "caf", "date_collecte": "2026-11-02T08:00:00Z"}
ABSENCES = tuple(registry.schema("dossier")["$defs"]["absence"]["enum"])
MAY_STILL_COME = {"indisponible", "maintenance"}


def got(*said: dict[str, Any], gap: str = "", reports: tuple[Report, ...] = ()) -> Assembled:
    gaps = [{"source": "cpam", "outcome": gap}] if gap else []
    dossier = {"sections": {"droits": {"rsa": {"etat": list(said)}}}, "gaps": gaps, "withheld": {}}
    return Assembled(dossier, "t", "accompagnement_global", (), reports)


def test_a_whole_dossier_is_none() -> None:
    assert not is_partial(got(HELD))
    assert not is_partial(got())


@pytest.mark.parametrize("absence", ABSENCES)
def test_an_absence_counts_if_asking_again_may_help_wherever_it_is_said(absence: str) -> None:
    absent = {"absence": absence, "source": "cpam", "date_collecte": HELD["date_collecte"]}
    asked_again = absence in MAY_STILL_COME
    assert is_partial(got(absent)) is asked_again, "all that a source said"
    assert is_partial(got(HELD, absent)) is asked_again, "one field of it"
    assert is_partial(got(HELD, gap=absence)) is asked_again, "the source itself"


def test_what_was_kept_out_counts() -> None:
    assert is_partial(got(HELD, reports=(Report("caf", Finding.EXCESS, "0" * 64),)))


def test_help_names_the_exit_codes() -> None:
    told = CliRunner().invoke(cli, ["pull", "--help"], terminal_width=120).output
    assert [line.split()[0] for line in told.partition("Exit codes:")[2].splitlines()[:4]] == ["0", "1", "3", "4"]
    for absence in MAY_STILL_COME:
        assert absence in told
