"""Rotations of keys over HTTP: begun by the operator, watched by the DPO too; a partner takes its new refs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.trust import DirectoryPartner
from hub.services import link_rotation, pepper_rotation, ref_rotation
from hub.services.runtime import Hub
from hub.services.signin import Principal
from hub.web.common.http import answer, body


def routes(
    hub: Hub,
    operator: Callable[[], Principal],
    overseer: Callable[[], Principal],
    partner: Callable[[], DirectoryPartner],
) -> Blueprint:
    """Return the routes; each of the callables gives the caller, or refuses it."""
    made = Blueprint("rotations", __name__)

    @made.get("/v1/index/rotations")
    def show() -> Response:
        overseer()
        return answer(hub.reads.run(lambda uow: _standing(uow, hub)))

    @made.post("/v1/index/rotations")
    def begin() -> Response:
        operator()
        asked = body("rotation_request")
        if asked["what"] == "pepper":
            hub.writer.run(lambda uow: pepper_rotation.begin(uow, hub.keyring))
        elif asked["what"] == "link":
            hub.writer.run(link_rotation.begin)
        elif asked["what"] == "retire_link":
            epoch, force = asked.get("epoch"), asked.get("force", False)
            if epoch is None:
                raise MaillonError(ErrorKind.SCHEMA, "which epoch is needed", pointer="/epoch")
            hub.writer.run(lambda uow: link_rotation.retire(uow, epoch, force=force))
        else:
            slug = asked.get("partner")
            if slug is None:
                raise MaillonError(ErrorKind.SCHEMA, "whose refs is needed", pointer="/partner")
            hub.writer.run(lambda uow: ref_rotation.begin(uow, hub.keyring, slug))
        return answer(hub.reads.run(lambda uow: _standing(uow, hub)))

    @made.post("/v1/refs/map")
    def ref_map() -> Response:
        return answer(ref_rotation.offer(hub, partner(), body("ref_map_request")["after"]))

    @made.post("/v1/refs/acknowledgement")
    def acknowledge() -> Response:
        return answer(ref_rotation.acknowledge(hub, partner().slug, body("ref_acknowledgement")["epoch"]))

    return made


def _standing(uow: Any, hub: Hub) -> dict[str, Any]:
    return {
        "pepper": pepper_rotation.status(uow, hub.keyring),
        "refs": ref_rotation.status(uow, hub.keyring),
        "link": link_rotation.status(uow),
    }
