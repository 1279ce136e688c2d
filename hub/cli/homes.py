"""Open the home a command was given: an edge's, or the hub's as its DPO or its operator."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from connectors.kit.hub_client import HubClient
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.runtime.keys import load_signing_key
from connectors.kit.transport import Transport
from connectors.kit.trust import RotatingKeys
from hub.home import HubHome
from hub.settings import load_settings


def hub_client(home: Path, principal: Literal["dpo", "operator"]) -> HubClient:
    """Return a client of the hub of ``home``, signing as its DPO or its operator with the key kept there."""
    files, clock = HubHome(home), SystemClock()
    key = load_signing_key(files.dpo if principal == "dpo" else files.operator)
    return HubClient(load_settings(home).url, RotatingKeys(key, principal, clock), clock, Transport())
