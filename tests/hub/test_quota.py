"""Each partner has its hour's worth, and no partner another's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.kit.runtime.errors import ErrorKind
from hub.app import close_hub
from hub.web.common.quota import Quota, QuotaExceeded
from tests.hub.conftest import World, body_of, problem, record_key, tokens


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, registrations_per_hour=3, lookups_per_hour=2)
    yield world
    close_hub(world.hub)


def test_a_bucket_fills_evenly_and_a_refusal_takes_nothing() -> None:
    now = [0.0]
    quota = Quota("x", 3600, now=lambda: now[0])
    quota.take("caf", 3600)
    quota.take("cpam", 3600)
    for _ in range(3):
        with pytest.raises(QuotaExceeded) as refused:
            quota.take("caf", 10)
        assert refused.value.retry_after == 10
    now[0] = 9.0
    with pytest.raises(QuotaExceeded) as refused:
        quota.take("caf", 10)
    assert refused.value.retry_after == 1
    now[0] = 10.0
    quota.take("caf", 10)
    now[0] = 1e6
    quota.take("caf", 3600)
    with pytest.raises(QuotaExceeded):
        quota.take("caf")


def test_zero_is_no_bound() -> None:
    quota = Quota("x", 0)
    for _ in range(10):
        quota.take("caf", 10**9)


def test_registrations_beyond_the_hour_are_refused_whole_and_change_nothing(narrow: World) -> None:
    records = [{"record_key": record_key(n), "sections": [], **tokens(n).to_wire()} for n in range(1, 5)]
    answer = narrow.post("caf", "/v1/registrations", {"records": records})
    assert "registrations_per_hour" in problem(answer, ErrorKind.TOO_MANY)["detail"]
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 3600
    assert narrow.hub.reads.run(lambda uow: uow.persons.count()) == 0
    assert narrow.post("caf", "/v1/registrations", {"records": records[:3]}).status_code == 200
    assert narrow.post("caf", "/v1/registrations", {"records": records[:1]}).status_code == 429
    assert narrow.post("cpam", "/v1/registrations", {"records": records[:3]}).status_code == 200


@pytest.mark.parametrize("known", [True, False])
def test_lookups_are_counted_alike_whoever_they_are_about(narrow: World, known: bool) -> None:
    ref = narrow.register("departement", 1) if known else "A" * 22
    sent = [narrow.post("departement", "/v1/pulls", body_of(narrow.request(ref))).status_code for _ in range(3)]
    assert sent == [200, 200, 429]
    problem(narrow.post("departement", "/v1/consents/search", {"ref": ref}), ErrorKind.TOO_MANY)
    problem(narrow.post("departement", "/v1/access-log/search", {"view": "partenaire"}), ErrorKind.TOO_MANY)
    assert narrow.post("dpo", "/v1/access-log/search", {"view": "dpo"}).status_code == 200
