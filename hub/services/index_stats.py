"""How the index stands: counts, and no person."""

from __future__ import annotations

from typing import Any

from hub.store.session import UnitOfWork
from hub.store.statistics import Statistics


def stats(uow: UnitOfWork) -> dict[str, Any]:
    """Return the counts of schema ``index_stats``."""
    counts = Statistics(uow.connection)
    links = counts.links()
    return {
        "persons": counts.persons(),
        "provisional": counts.provisional(),
        "records": counts.records(),
        "links": links,
        "tokens": counts.tokens(),
        "epochs": [{"epoch": n, "records": count} for n, count in uow.rotations.records_by_epoch().items()],
        "reviews": uow.reviews.count(),
        "floods": links.get("foule", 0),
        "kept_apart": counts.kept_apart(),
    }
