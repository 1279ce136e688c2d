"""What the DPO alone may ask: erase somebody, have the receipt again, read what the law keeps of an erased person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from hub.services import audit, erasure
from hub.services.runtime import Hub
from hub.services.signin import Principal
from hub.web.common.http import answer, body


def routes(hub: Hub, dpo: Callable[[], Principal]) -> Blueprint:
    """Return the routes; ``dpo`` gives the caller, or refuses it."""
    made = Blueprint("erasures", __name__)

    @made.post("/v1/erasures")
    def erase() -> Response:
        dpo()
        decision = erasure.examine(body("erasure_request"), hub.settings.dpo_key, hub.deadlines, hub.clock.now())
        erasure_id = erasure.erase(hub.eraser, decision)
        return answer(hub.reads.run(lambda uow: erasure.receipt(uow, erasure_id)), 201)

    @made.post("/v1/erasures/receipt")
    def receipt() -> Response:
        dpo()
        erasure_id = body("erasure_lookup")["erasure_id"]
        return answer(hub.reads.run(lambda uow: erasure.receipt(uow, erasure_id)))

    @made.post("/v1/erasures/agreements")
    def agreements() -> Response:
        reader, asked, policy = audit.Reader(dpo().slug), body("erasure_lookup"), hub.policy.get()
        if "complaint" not in asked:
            raise MaillonError(ErrorKind.SCHEMA, "what gives the right to read them is needed", pointer="/complaint")

        def read(uow: Any) -> list[str]:
            kept = erasure.kept_agreements(uow, asked["erasure_id"])
            audit.log_kept_agreements(uow, policy, reader, asked, len(kept))
            return kept

        return answer({"agreements": hub.writer.run(read)})

    return made
