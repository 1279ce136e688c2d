"""An edge in mode ``client``: made from its home, and what its habilitation lets go."""

from __future__ import annotations

import time
from dataclasses import dataclass

from connectors.kit.edge_home import EdgeHome, EdgeSettings
from connectors.kit.live.client import ApiClient, check_token
from connectors.kit.live.gate import Gate
from connectors.kit.live.holdings import LiveHoldings, Persons
from connectors.kit.live.spec import HABILITATION, PERIMETER, Limits
from connectors.kit.partner import PartnerFolder
from connectors.kit.runtime import keys
from connectors.kit.runtime.clock import Clock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.tokens import Tokeniser
from connectors.kit.transport import Transport
from connectors.kit.trust import Directory


@dataclass(frozen=True, slots=True)
class ClientRelease:
    """The partner's rules under a habilitation: one purpose, and the kind of the partner that holds it alone.

    What an administration may ask an API for, it may ask for itself; it may not fetch for others.
    """

    partner: PartnerFolder
    directory: Directory

    def releases(self, recipient_kind: str, purpose: str) -> frozenset[str]:
        """Return the paths that may go; see ``orders.ReleasePolicy``."""
        api = self.partner.api
        holder = next((each for each in self.directory.partners() if each.slug == self.partner.operator), None)
        if api is None or holder is None or purpose != api.purpose or recipient_kind != holder.kind:
            return frozenset()
        return self.partner.releases(recipient_kind, purpose)


def open_live(
    files: EdgeHome,
    settings: EdgeSettings,
    partner: PartnerFolder,
    persons: Persons,
    tokeniser: Tokeniser,
    clock: Clock,
) -> LiveHoldings:
    """Return what answers for an edge in mode ``client``.

    Raises ``MaillonError(CONFIGURATION)`` without an ``[api]``, a token that is none, a habilitation the API asks for.
    """
    spec = partner.api
    if spec is None:
        raise MaillonError(ErrorKind.CONFIGURATION, "mode: the partner folder has no [api]")
    asks_for = {trait for endpoint in spec.endpoints.values() for trait in endpoint.params.values()}
    if HABILITATION in asks_for and not settings.api_habilitation:
        raise MaillonError(ErrorKind.CONFIGURATION, "api_habilitation: this API asks for it")
    if PERIMETER in asks_for and not settings.api_perimeter:
        raise MaillonError(ErrorKind.CONFIGURATION, "api_perimeter: this API asks for it")
    limits = spec.limits
    client = ApiClient(
        limits=limits,
        transport=api_transport(files, settings, limits),
        gate=Gate(limits, spec.maintenance, clock.now()),
        clock=clock,
        sleep=time.sleep,
        base_url=(settings.api_url or spec.base_url).rstrip("/"),
        token=read_token(files, settings),
        habilitation=settings.api_habilitation,
        perimeter=tuple(code.strip() for code in settings.api_perimeter.split(",")),
    )
    return LiveHoldings(partner, spec, client, persons, tokeniser, clock)


def api_transport(files: EdgeHome, settings: EdgeSettings, limits: Limits) -> Transport:
    """Return the way to the partner's API or feed, by the authority and the proxy the settings name."""
    return Transport(
        ca_file=files.path / settings.api_ca if settings.api_ca else None,
        proxy=settings.api_proxy,
        connect=limits.connect_seconds,
        answer=limits.order_seconds,
    )


def read_token(files: EdgeHome, settings: EdgeSettings) -> str | None:
    """Return the bearer token of the partner's API; raises ``MaillonError(CONFIGURATION)`` for a file that is wrong."""
    if not settings.api_token:
        return None
    return check_token(keys.read_private(files.path / settings.api_token).decode("utf-8", "replace"))
