"""The face: problems, strict bodies, what anyone may read, and logs without identifiers."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import fields, replace
from pathlib import Path

import orjson
import pytest
import structlog
import yaml
from sqlalchemy import select
from structlog.testing import LogCapture

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.seal import Typ, peek
from consent.model import EventKind
from hub.jobs.scheduler import purge
from hub.problems import PROBLEMS, problem_of
from hub.services import log
from hub.services.policy import CurrentPolicy
from hub.settings import Settings, home_from_environment, load_settings
from hub.store import tables
from schemas.registry import validator
from tests.hub.conftest import World, body_of, problem, tokens

ROOT = Path(__file__).resolve().parents[2]


def test_every_kind_of_refusal_is_a_problem_with_its_page() -> None:
    assert set(PROBLEMS) == set(ErrorKind)
    for kind, entry in PROBLEMS.items():
        page = (ROOT / "docs" / "problems" / f"{kind.value}.md").read_text("utf-8")
        assert page.startswith(f"# `{kind.value}` · {entry.status}\n")
        assert entry.title in page
        assert entry.english in page
        status, body = problem_of(MaillonError(kind, "detail", pointer="/a"))
        validator("problem").check(body)
        assert status == entry.status >= 400
    pages = {path.stem for path in (ROOT / "docs" / "problems").glob("*.md")}
    assert pages - {"README"} == {kind.value for kind in ErrorKind}


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    names = {field.name for field in fields(Settings)} - {"home"}
    listed = {
        name.strip("` ") for row in page.splitlines() if row.startswith("| `") for name in row.split("|")[1].split(",")
    }
    assert listed == names
    for field in fields(Settings):
        if isinstance(field.default, int | float | str) and not isinstance(field.default, bool):
            assert f"| `{field.default}` |" in page, field.name


def test_settings_refuse_what_cannot_work(world: World, tmp_path: Path) -> None:
    for changes, kind in (
        ({"listen_host": "0.0.0.0"}, ErrorKind.TLS_REQUIRED),  # noqa: S104 (that is the point)
        ({"listen_host": "hub.example.fr"}, ErrorKind.TLS_REQUIRED),
        ({"tls_cert": tmp_path / "none.pem"}, ErrorKind.CONFIGURATION),
        ({"edge_ca": tmp_path / "none.pem"}, ErrorKind.CONFIGURATION),
        ({"answer_seconds": 8.0}, ErrorKind.CONFIGURATION),
        ({"tick_ms": -1}, ErrorKind.CONFIGURATION),
        ({"threads": 0}, ErrorKind.CONFIGURATION),
        ({"url": "hub.example.fr"}, ErrorKind.CONFIGURATION),
        ({"dpo_key": {"kty": "OKP"}}, ErrorKind.CONFIGURATION),
    ):
        with pytest.raises(MaillonError) as refused:
            replace(world.settings, **changes)
        assert refused.value.kind is kind


def test_settings_come_from_the_file_and_the_environment_wins(world: World) -> None:
    home = world.home.path
    assert load_settings(home, {"MAILLON_HUB_TICK_MS": "7"}).tick_ms == 7
    assert load_settings(home, {"MAILLON_HUB_CO_HOSTED": "caf,cpam"}).co_hosted == ("caf", "cpam")
    for content, environment in (
        ("colour = 1\n", {}),
        ("tick_ms = 'x'\n", {}),
        ("", {"MAILLON_HUB_THREADS": "many"}),
        ("=", {}),
    ):
        original = world.home.settings.read_text()
        world.home.settings.write_text(content + original)
        with pytest.raises(MaillonError) as refused:
            load_settings(home, environment)
        assert refused.value.kind is ErrorKind.CONFIGURATION
        world.home.settings.write_text(original)
    with pytest.raises(MaillonError):
        home_from_environment({})


def test_a_hub_is_never_made_over_another(world: World) -> None:
    with pytest.raises(MaillonError) as refused:
        world.home.create(url="http://x", host="127.0.0.1", port=1, operator="x", clock=world.clock)
    assert refused.value.kind is ErrorKind.CONFLICT
    assert world.client.get("/health").status_code == 200


def test_secret_files_are_private(world: World) -> None:
    for path in (world.home.keyring, world.home.identity, world.home.seal, world.home.dpo, world.home.operator):
        assert path.stat().st_mode & 0o077 == 0


def test_what_anyone_may_read(world: World) -> None:
    health = world.client.get("/health").get_json()
    validator("health").check(health)
    assert health["co_hosted"] is False
    notices = world.client.get("/v1/notices").get_json()
    validator("notices").check(notices)
    assert len(notices["notices"]) >= 4
    assert yaml.safe_load(world.client.get("/v1/openapi.yaml").data)["openapi"].startswith("3.1")
    directory = world.client.get("/v1/directory")
    assert directory.content_type == "application/jose"
    assert peek(directory.text, Typ.DIRECTORY)["version"] == 1


def test_health_says_when_an_edge_runs_on_the_same_machine(world: World) -> None:
    entry = world.entries["caf"]
    world.entries["caf"] = type(entry).from_wire(entry.to_wire() | {"endpoint": "http://127.0.0.1:9000"})
    world.sign_directory()
    world.hub.directory.refresh()
    assert world.client.get("/health").get_json()["co_hosted"] is True


def test_every_route_is_in_the_openapi_and_the_other_way_round(world: World) -> None:
    described = yaml.safe_load((ROOT / "schemas" / "openapi.yaml").read_text("utf-8"))["paths"]
    served = {
        (re.sub(r"<\w+:(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in world.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert served == {(path, method) for path, methods in described.items() for method in methods}


def test_no_path_holds_a_parameter_but_of_the_log(world: World) -> None:
    """A tile's place, which is public, and a receipt's random id, which answers its collector alone."""
    holding = {rule.rule for rule in world.app.url_map.iter_rules() if rule.arguments}
    assert holding == {"/log/tile/<path:path>", "/log/receipts/<uuid:receipt_id>"}


@pytest.mark.parametrize(
    ("data", "content_type", "kind"),
    [
        (b"{", "application/json", ErrorKind.MALFORMED),
        (b'{"ref":"a","ref":"b"}', "application/json", ErrorKind.MALFORMED),
        (b'{"ref":NaN}', "application/json", ErrorKind.MALFORMED),
        (b'{"ref":"\xff"}', "application/json", ErrorKind.MALFORMED),
        (b"[" * 100_000, "application/json", ErrorKind.MALFORMED),
        (b"[]", "application/json", ErrorKind.MALFORMED),
        (b"{}", "application/json", ErrorKind.SCHEMA),
        (b'{"ref":"Dupont"}', "application/json", ErrorKind.SCHEMA),
        (b'{"ref":"AAAAAAAAAAAAAAAAAAAAAA"}', "text/plain", ErrorKind.MALFORMED),
        (b"x" * (5 * 1024 * 1024), "application/json", ErrorKind.TOO_LARGE),
    ],
    ids=["cut", "duplicate", "nan", "utf-8", "deep", "list", "missing", "value", "type", "large"],
)
def test_bad_bodies_get_a_problem_that_repeats_nothing(
    world: World, data: bytes, content_type: str, kind: ErrorKind
) -> None:
    headers = {"Authorization": f"Bearer {world.token('caf')}"}
    answer = world.client.post("/v1/consents/search", data=data, content_type=content_type, headers=headers)
    validator("problem").check(problem(answer, kind))
    assert "Dupont" not in answer.text


def test_elsewhere_is_not_found(world: World) -> None:
    problem(world.client.get("/v1/persons/Dupont"), ErrorKind.NOT_FOUND)
    problem(world.client.get("/v1/pulls"), ErrorKind.NOT_FOUND)


def test_an_unforeseen_failure_tells_a_correlation_id_and_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("DUPONT 1 85 05 78 006 084")

    capture = LogCapture()
    structlog.configure(processors=[capture])
    monkeypatch.setattr("hub.services.consents.search", fail)
    answer = world.post("caf", "/v1/consents/search", {"ref": "A" * 22})
    assert answer.status_code == 500
    body = problem(answer, ErrorKind.INTERNAL)
    validator("problem").check(body)
    assert set(body) == {"type", "title", "status", "detail", "instance"}
    logged = [entry for entry in capture.entries if entry["event"] == "hub:failed"]
    assert logged[0]["correlation"] == body["instance"].removeprefix("urn:uuid:")
    assert "DUPONT" not in repr(capture.entries) + answer.text
    structlog.reset_defaults()


def test_logs_hold_method_route_status_and_duration_only(world: World) -> None:
    capture = LogCapture()
    structlog.configure(processors=[capture])
    known = {slug: world.register(slug, 1) for slug in world.partners}
    record = world.consent(known["departement"], EventKind.GRANTED)["record_id"]
    sent = world.request(known["departement"])
    trace = world.ok("departement", "/v1/pulls", body_of(sent))["trace_id"]
    world.log()
    world.client.get("/v1/persons/Dupont?nom=Martin")
    world.post("departement", "/v1/consents/search", {"ref": "Dupont"})
    purge(world.hub)
    requests = [entry for entry in capture.entries if entry["event"] == "http"]
    structlog.reset_defaults()
    assert len(requests) > 10
    for entry in requests:
        assert set(entry) == {"event", "log_level", "method", "route", "status", "duration_ms"}
    text = json.dumps(capture.entries)
    secrets = [*known.values(), record, trace, sent.salt, "Dupont", "Martin", world.token("caf")]
    secrets += [pair[1] for pair in tokens(1).to_wire()["tokens"]]  # type: ignore[attr-defined]
    assert [secret for secret in secrets if str(secret) in text] == []


def test_used_once_values_are_forgotten_when_they_no_longer_matter(world: World) -> None:
    from datetime import timedelta

    world.pull("A" * 22)
    assert purge(world.hub) == 0
    world.clock.advance(timedelta(seconds=66))
    assert purge(world.hub) == 2


def test_a_directory_that_is_not_the_roots_leaves_the_old_one(world: World) -> None:
    before = world.directory.version
    world.home.directory.write_text(world.home.directory.read_text()[:-5] + "AAAA\n")
    with pytest.raises(MaillonError) as refused:
        world.hub.directory.refresh()
    assert refused.value.kind is ErrorKind.UNTRUSTED_DIRECTORY
    assert world.directory.version == before
    assert world.client.get("/health").status_code == 200


def test_an_older_directory_is_refused(world: World) -> None:
    old = world.home.directory_token()
    world.sign_directory()
    assert world.hub.directory.refresh()
    with pytest.raises(MaillonError):
        world.home.install_directory(old, world.root.public_jwk, world.clock)
    world.home.directory.write_text(old)
    with pytest.raises(MaillonError) as refused:
        world.hub.directory.refresh()
    assert refused.value.kind is ErrorKind.UNTRUSTED_DIRECTORY


def test_a_directory_that_ran_out_stops_everything(world: World) -> None:
    from datetime import timedelta

    world.clock.advance(timedelta(days=91))
    assert world.client.get("/health").status_code == 503
    problem(world.sign_in(world.assertion("caf")), ErrorKind.UNTRUSTED_DIRECTORY)
    world.sign_directory()
    assert world.hub.directory.refresh()
    assert world.client.get("/health").status_code == 200


def test_a_bad_policy_keeps_the_old_one(tmp_path: Path, world: World) -> None:
    folder = tmp_path / "config"
    shutil.copytree(world.settings.config_dir, folder)
    policy = CurrentPolicy(folder, world.hub.writer)
    before = policy.get()
    assert not policy.refresh()
    (folder / "roles.toml").write_text("x = 1\n")
    with pytest.raises(MaillonError) as refused:
        policy.refresh()
    assert refused.value.kind is ErrorKind.CONFIGURATION
    assert policy.get() is before


def _logged(world: World) -> list[str]:
    table = tables.policy_version
    return list(world.hub.reads.run(lambda uow: uow.connection.execute(select(table.c.version)).scalars()))


def test_every_policy_is_in_the_log_before_it_is_in_force(tmp_path: Path, world: World) -> None:
    folder = tmp_path / "config"
    shutil.copytree(world.settings.config_dir, folder)
    first = world.hub.policy.get().version
    policy = CurrentPolicy(folder, world.hub.writer)  # the same one: started again
    assert _logged(world) == [first]
    roles = (folder / "roles.toml").read_text()
    (folder / "roles.toml").write_text(roles + "\n# unchanged but for a comment\n")
    assert not policy.refresh()
    rules = folder / "purposes.toml"
    rules.write_text(rules.read_text().replace('preuve_minimale = "E1"', 'preuve_minimale = "E2"', 1))
    world.hub.sequencer.halt("for a moment")
    with pytest.raises(MaillonError):
        policy.refresh()
    assert policy.get().version == first
    world.hub.sequencer._halted = None
    assert policy.refresh()
    assert _logged(world) == [first, policy.get().version]
    opened = world.hub.reads.run(lambda uow: log.opening_about_no_one(uow, uow.journal.length()))
    assert opened.body == {"event": "policy:version:loaded", "version": policy.get().version}


def test_a_full_disk_says_so_and_acknowledges_nothing(world: World) -> None:
    ref = world.register("departement", 1)
    body = world.event(ref, EventKind.GRANTED)
    world.token("departement")

    def limit(uow: object, pages: int | None) -> None:
        connection = uow.connection  # type: ignore[attr-defined]
        connection.exec_driver_sql(
            f"PRAGMA max_page_count={pages or connection.exec_driver_sql('PRAGMA page_count').scalar_one()}"
        )

    world.hub.writer.run(lambda uow: limit(uow, None))
    refusals = 0
    for n in range(400):
        answer = world.post("departement", "/v1/consents", body if n == 0 else world.event(ref, EventKind.GRANTED))
        if answer.status_code != 201:
            refusals += 1
            problem(answer, ErrorKind.STORAGE)
            break
    assert refusals == 1
    world.hub.writer._engine.dispose()
    world.hub.writer.run(lambda uow: limit(uow, 1_000_000))
    kept = world.ok("departement", "/v1/consents/search", {"ref": ref})["records"]
    assert len(kept) == n
    assert orjson.loads(answer.data)["status"] == 503
    assert world.post("departement", "/v1/consents", world.event(ref, EventKind.GRANTED)).status_code == 201
