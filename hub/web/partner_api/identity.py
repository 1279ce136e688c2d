"""Whose records are whose, over HTTP: the reviewer's queue and splits for the DPO, notices for partners, counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response

from connectors.kit.trust import DirectoryPartner
from hub.services import audit, index_stats, link_notices, looks, person_copy, review
from hub.services.matching import By
from hub.services.runtime import Hub
from hub.services.signin import Principal
from hub.web.common.http import answer, body


def routes(
    hub: Hub,
    dpo: Callable[[], Principal],
    overseer: Callable[[], Principal],
    partner: Callable[[], DirectoryPartner],
) -> Blueprint:
    """Return the routes; each of the callables gives the caller, or refuses it."""
    made = Blueprint("identity", __name__)

    @made.post("/v1/reviews/search")
    def reviews() -> Response:
        dpo()
        criteria = body("review_search")
        return answer(hub.reads.run(lambda uow: review.search(uow, criteria)))

    @made.post("/v1/reviews/show")
    def show() -> Response:
        reader, review_id, policy = audit.Reader(dpo().slug), body("review_lookup")["review_id"], hub.policy.get()

        def read(uow: Any) -> dict[str, Any]:
            shown = review.show(uow, hub.keyring, review_id)
            audit.log_index_reading(uow, policy, reader, None, {"review_id": review_id}, len(shown["pairs"]))
            return shown

        return answer(hub.writer.run(read))

    @made.post("/v1/reviews/traits")
    def traits() -> Response:
        dpo()
        request = looks.examine(body("review_look"), hub.settings.dpo_key, hub.clock.now())
        return answer(looks.look(hub, request))

    @made.post("/v1/reviews/decide")
    def decide() -> Response:
        actor, asked = dpo().slug, body("review_decision")
        by = By(actor, asked["reason"])
        return answer(hub.writer.run(lambda uow: review.decide(uow, asked["review_id"], asked["decision"], by)))

    @made.post("/v1/persons/records")
    def records() -> Response:
        reader, asked, policy = audit.Reader(dpo().slug), body("person_lookup"), hub.policy.get()

        def read(uow: Any) -> dict[str, Any]:
            person, shown = review.show_person(uow, hub.keyring, asked["partner"], asked["ref"])
            named = {"partner": asked["partner"], "complaint": asked["complaint"]}
            audit.log_index_reading(uow, policy, reader, person, named, len(shown["records"]))
            return shown

        return answer(hub.writer.run(read))

    @made.post("/v1/persons/copy")
    def copy() -> Response:
        reader, asked, policy = audit.Reader(dpo().slug), body("person_copy_request"), hub.policy.get()
        reading = asked.get("reading")
        if reading is None:
            reading = hub.writer.run(lambda uow: person_copy.read(uow, hub.keyring, policy, reader, asked))
        # After the commit: the copy stands under the checkpoint signed with it, or a later one.
        return answer(hub.reads.run(lambda uow: person_copy.copy(uow, hub.keyring, asked, reading)))

    @made.post("/v1/persons/split")
    def split() -> Response:
        actor, asked = dpo().slug, body("split_request")
        by = By(actor, f"{asked['complaint']}: {asked['reason']}")
        return answer(
            hub.writer.run(
                lambda uow: review.split_person(uow, hub.keyring, asked["partner"], asked["ref"], asked["records"], by)
            )
        )

    @made.post("/v1/link-notices/search")
    def notices() -> Response:
        slug, asked = partner().slug, body("link_notice_search")
        limit, after = asked["limit"], asked.get("cursor")
        return answer(hub.reads.run(lambda uow: link_notices.search(uow, hub.keyring, slug, limit, after)))

    @made.get("/v1/index/stats")
    def stats() -> Response:
        overseer()
        return answer(hub.reads.run(index_stats.stats))

    return made
