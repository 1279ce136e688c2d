"""A partner's edge that takes its new refs from a real hub, page by page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from connectors.kit.edge_store import EdgeStore
from connectors.kit.ref_map import take_new_refs
from connectors.kit.runtime.errors import ErrorKind
from connectors.kit.tokens import TokenSet
from connectors.kit.transport import ProblemError
from hub.log_check.fsck import fsck
from hub.log_check.trust import trust_of_home
from hub.services.register import resolve
from tests.hub.conftest import World, record_key, tokens

PATH = "/v1/index/rotations"


class Edge:
    """A partner's edge: its real store, and the hub behind the test client."""

    def __init__(self, world: World, slug: str, folder: Path) -> None:
        self.world, self.slug = world, slug
        self.store = EdgeStore.open(folder / f"{slug}.db", b"e" * 32)
        self.die_after: int | None = None
        """Pages after which it dies; 0: before the first."""

    def register(self, person: int, key: int | None = None, *, doubtful: bool = False) -> str:
        key, made = person if key is None else key, tokens(person)
        local = f"L{key}"
        if doubtful:
            made = TokenSet(tuple(each for each in made.tokens if each[0] == "gdp"), made.flags)
        self.store.upsert_subject(local, {"nom": local}, made)
        record = {"record_key": record_key(key), "sections": ["droits"], **made.to_wire()}
        answer = self.world.ok(self.slug, "/v1/registrations", {"records": [record]})["registrations"][0]
        self.store.set_ref(local, answer["ref"])
        ref = self.store.ref_of(local)
        assert ref is not None
        return ref

    def ref(self, person: int) -> str:
        found = self.store.ref_of(f"L{person}")
        assert found is not None
        return found

    def ref_map(self, after: str | None = None) -> dict[str, Any]:
        if self.die_after is not None:
            if self.die_after == 0:
                raise ConnectionError
            self.die_after -= 1
        return self._post("/v1/refs/map", {"after": after})

    def acknowledge_refs(self, epoch: int) -> dict[str, Any]:
        if self.die_after == 0:
            raise ConnectionError
        return self._post("/v1/refs/acknowledgement", {"epoch": epoch})

    def _post(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        answer = self.world.post(self.slug, path, document)
        if answer.status_code >= 400:
            kind = ErrorKind(answer.get_json()["type"].rpartition("/")[2])
            raise ProblemError(kind, "refused", answer.status_code, None, None)
        found: dict[str, Any] = answer.get_json()
        return found

    def take(self, die_after: int | None = None) -> int:
        self.die_after = die_after
        try:
            return take_new_refs(
                self,
                self.store.refs,
                self.slug,
                self.world.partners[self.slug].seal_key,
                self.world.directory,
                self.world.clock.now,
            )
        except ConnectionError:
            return -1
        finally:
            self.die_after = None


def begin_refs(world: World, slug: str = "caf") -> dict[str, Any]:
    standing = world.ok("operator", PATH, {"what": "refs", "partner": slug})["refs"]
    return next(each for each in standing if each["partner"] == slug)


def person_meant(world: World, ref: str, slug: str = "caf") -> str | None:
    return world.hub.reads.run(lambda uow: resolve(uow, world.hub.keyring, slug, ref))


def log_is_whole(world: World) -> bool:
    home = world.home.path
    return fsck(home / "hub.db", trust_of_home(home / "hub.db", world.directory), home=home).finding is None
