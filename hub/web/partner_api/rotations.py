"""Rotations of keys over HTTP: begun by the operator, watched by the operator and the DPO."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response

from hub.services import pepper_rotation
from hub.services.runtime import Hub
from hub.services.signin import Principal
from hub.web.common.http import answer, body


def routes(hub: Hub, operator: Callable[[], Principal], overseer: Callable[[], Principal]) -> Blueprint:
    """Return the routes; each of the callables gives the caller, or refuses it."""
    made = Blueprint("rotations", __name__)

    @made.get("/v1/index/rotations")
    def show() -> Response:
        overseer()
        return answer(hub.reads.run(lambda uow: _standing(uow, hub)))

    @made.post("/v1/index/rotations")
    def begin() -> Response:
        operator()
        body("rotation_request")
        hub.writer.run(lambda uow: pepper_rotation.begin(uow, hub.keyring))
        return answer(hub.reads.run(lambda uow: _standing(uow, hub)))

    return made


def _standing(uow: Any, hub: Hub) -> dict[str, Any]:
    return {"pepper": pepper_rotation.status(uow, hub.keyring)}
