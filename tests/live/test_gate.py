"""What an API may be: its settings, how long it may ask to be left alone, and whose turn it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from connectors.kit.live.gate import Closed, Gate, retry_after
from connectors.kit.partner import PartnerFolder
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from tests.kit.world import AT
from tests.live.caisse import partner


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda text: text.replace("api.endpoints.droit_api", "api.endpoints.autre"), "endpoints.autre"),
        (lambda text: text.replace('= "annee_naissance"', '= "annee"'), "annee is not a trait"),
        (lambda text: text.replace('required = ["nomNaissance", "prenoms[]"]', 'required = ["x"]'), "required"),
        (lambda text: text.replace("[api.limits]", "[api.limits]\norder_seconds = 7"), "order_seconds"),
        (lambda text: text.replace("[api.limits]", "[api.limits]\nconnect_seconds = 4"), "connect_seconds"),
        (lambda text: text.replace("https://api.example.fr", "http://api.example.fr"), "https is required"),
        (lambda text: text.replace('path = "/v3/droit/identite"', 'path = "v3"'), "path"),
        (lambda text: text.replace("[api.endpoints.droit_api.params]", "[autres]"), "autres"),
        (lambda text: re.sub(r"(?s)\[api.endpoints.droit_api.params\].*?\n\n", "", text), "params: is needed"),
        (lambda text: text + '[[api.maintenance]]\nstart = "2026-01-02"\nend = "2026-01-01"\n', "maintenance"),
    ],
)
def test_an_api_that_cannot_be_is_refused_by_its_place(
    tmp_path: Path, change: Callable[[str], str], place: str
) -> None:
    folder = partner(tmp_path).path
    manifest = (folder / "manifest.toml").read_text()
    (folder / "manifest.toml").write_text(change(manifest))
    with pytest.raises(MaillonError) as caught:
        PartnerFolder.load(folder)
    assert caught.value.kind in (ErrorKind.CONFIGURATION, ErrorKind.TLS_REQUIRED)
    assert place in caught.value.detail


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("5", 5.0), (" 0 ", 0.0), ("", None), ("soon", None), ("-3", None), ("9" * 40, 1e6), ("\u0665", None)),
        *(("Thu, 15 Jan 2026 09:02:00 GMT", 120.0), ("Thu, 15 Jan 2026 08:00:00 GMT", 0.0)),
        *(("Thu, 15 Jan 2026 10:02:00 +0100", 120.0), ("Thu, 15 Jan 2026 09:02:00", 120.0)),
        *((f"Thu, 15 Jan {'9' * digits} 09:02:00 GMT", None) for digits in (5, 20)),
        *(("Fri, 31 Dec 9999 23:59:59 -2359", 251633919539.0), ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0)),
    ],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    assert retry_after(text, AT) == seconds


def test_a_pause_nobody_could_mean_is_cut(tmp_path: Path) -> None:
    folder = partner(tmp_path)
    assert folder.api is not None
    gate = Gate(replace(folder.api.limits), (), AT)
    gate.asked_to_wait(AT, 1e6, "maintenance")
    assert gate.state(AT + timedelta(minutes=59)) == "maintenance"
    assert gate.state(AT + timedelta(minutes=60)) == "closed"


def test_a_clock_set_back_makes_nobody_wait_for_the_hours_set_back() -> None:
    """What waits waits as long as it had to: a pause, an open breaker, an empty bucket, an answer kept."""
    from connectors.kit.live.spec import Limits

    back, limits = AT - timedelta(hours=3), Limits(rate=1, burst=1, failures=1, open_seconds=30)
    paused = Gate(limits, (), AT)
    paused.asked_to_wait(AT, 60, "indisponible")
    assert isinstance(paused.enter(back, 50), Closed)
    assert paused.enter(back + timedelta(seconds=59), 50) == 1
    broken = Gate(limits, (), AT)
    broken.failed(AT)
    assert broken.state(back) == "open"
    assert broken.state(back + timedelta(seconds=29)) == "open"
    assert broken.state(back + timedelta(seconds=30)) == "half_open"
    spent = Gate(limits, (), AT)
    assert spent.enter(AT, 5) == 0
    assert spent.enter(back, 5) == 1
    assert spent.enter(back + timedelta(seconds=1), 5) == 1


def test_threads_that_come_in_another_order_move_no_clock() -> None:
    from connectors.kit.live.spec import Limits

    gate = Gate(Limits(failures=1, open_seconds=30), (), AT)
    gate.failed(AT)
    for late in (1, 4, 1):
        assert gate.state(AT - timedelta(seconds=late)) == "open"
    assert gate.state(AT + timedelta(seconds=29)) == "open"


def test_a_call_waits_for_its_turn_when_it_has_the_time() -> None:
    from connectors.kit.live.spec import Limits

    gate = Gate(Limits(rate=1, burst=1), (), AT)
    later: Callable[[float], datetime] = lambda seconds: AT + timedelta(seconds=seconds)  # noqa: E731
    assert gate.enter(AT, 5) == 0
    assert gate.enter(AT, 5) == 1
    assert gate.enter(later(0.5), 5) == 1.5
    gate.asked_to_wait(later(1), 3, "indisponible")
    assert gate.enter(later(2), 5) == 2
