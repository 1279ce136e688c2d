"""The one notation of the département's export that no shared transform reads: its appointments."""

from __future__ import annotations

import re
from typing import Any

from connectors.kit.port import Reason
from connectors.kit.transforms.base import Refused, Table
from connectors.kit.transforms.codes import code
from connectors.kit.transforms.dates import calendar_date

_APPOINTMENT = re.compile(r"(\S+)(?: ([0-2][0-9]:[0-5][0-9]))? (\S+)(?: @ (.+))?")


def rendez_vous(value: Any, table: Table) -> list[dict[str, str]]:
    """``2026-02-03 14:30 honoré @ Maison des solidarités | 10/03/2026 prévu`` as ``[{date, heure, etat, lieu}]``."""
    found = []
    for written in str(value).split("|"):
        parts = _APPOINTMENT.fullmatch(written.strip())
        if parts is None:
            raise Refused(Reason.BAD_VALUE, "rendez_vous")
        day, hour, state, place = parts.groups()
        appointment = {"date": calendar_date(day, {}), "heure": hour, "etat": code(state, table), "lieu": place}
        found.append({name: item for name, item in appointment.items() if item is not None})
    return found


TRANSFORMS = {"rendez_vous": rendez_vous}
