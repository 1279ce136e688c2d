"""The one notation of the CCAS that no shared transform reads: the lines of its register of aids."""

from __future__ import annotations

from typing import Any

from connectors.kit.transforms.amounts import money
from connectors.kit.transforms.base import Table
from connectors.kit.transforms.codes import code
from connectors.kit.transforms.dates import calendar_date


def aides(value: Any, table: Table) -> list[dict[str, Any]]:
    """Chaque ligne en `{decision, date, montant}`, le montant seulement s’il est écrit."""
    return [
        {"decision": code(line["decision"], table), "date": calendar_date(line["date_decision"], {})}
        | ({} if line["montant"] is None else {"montant": money(line["montant"], {})})
        for line in value
    ]


TRANSFORMS = {"aides": aides}
