"""The ``[api]`` of a manifest: everything about a partner's API that is data (``docs/partners-guide.md``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from connectors.kit.identity import TRAITS
from connectors.kit.live.calendar import Window, window
from connectors.kit.port import Json
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.transport import check_url

DATE_PARTS: Final = ("annee_naissance", "mois_naissance", "jour_naissance")
HABILITATION: Final = "habilitation"
"""In place of a trait: the number of the administration that holds the habilitation (``edge.toml``)."""
PERIMETER: Final = "perimetre"
"""In place of a trait: the codes of the territory the administration may ask about (``edge.toml``)."""
SCHOOL_YEAR: Final = "annee_scolaire"
"""In place of a trait: the year in which the present school year began, in September."""
SOURCES: Final = frozenset((*TRAITS, *DATE_PARTS, HABILITATION, PERIMETER, SCHOOL_YEAR))
OURS: Final = frozenset((HABILITATION, PERIMETER))
"""What a question says of who asks, and nothing of the person."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and counts that keep a failing API from costing more than itself."""

    connect_seconds: float = 3.0
    order_seconds: float = 6.0
    """All the calls of one order together, tries included: the hub waits 7 s for the answer."""
    ttl_seconds: float = 900.0
    """How long an answer may serve again. It is in memory only."""
    rate: float = 10.0
    """Calls per second, on average; ``burst`` at once."""
    burst: int = 20
    tries: int = 2
    failures: int = 5
    """Failures in a row that open the breaker, for ``open_seconds``, twice as long each time up to sixteen times."""
    open_seconds: float = 30.0


PAGE_LIMITS: Final = Limits(order_seconds=60.0, tries=4)
"""Nobody waits for a page: more time, and more tries, than an order has."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How one format is asked for about one person."""

    format: str
    path: str
    params: Mapping[str, str]
    """The API's parameter name (with ``[]`` when it takes a list that way) → trait."""
    required: frozenset[str]
    """Parameters without which the question makes no sense: it is then not asked."""
    variants: tuple[Mapping[str, str], ...]
    """Further parameters, one set after the other until one is not answered by « not found »; one empty set: none."""
    cases: tuple[str, ...]
    """Folders of published cases the simulator plays here."""


@dataclass(frozen=True, slots=True)
class ApiSpec:
    """One partner's API."""

    base_url: str
    purpose: str
    """The one purpose the habilitation is for."""
    limits: Limits
    maintenance: tuple[Window, ...]
    endpoints: Mapping[str, Endpoint]


@dataclass(frozen=True, slots=True)
class FeedSpec:
    """A partner's feed: pages of one format, each with the cursor of the next."""

    format: str
    base_url: str
    path: str
    cursor_parameter: str
    cursor_header: str
    """Response header that holds the next cursor; without it the page was the last for now."""
    jitter_seconds: int = 60
    """Each poll starts up to so many seconds late, so that edges do not all come at once."""
    most_pages: int = 1000
    """Pages in one poll; the next one goes on from there."""
    limits: Limits = PAGE_LIMITS
    """Of one page with its tries."""
    maintenance: tuple[Window, ...] = ()


def load_feed(table: Json, formats: frozenset[str]) -> FeedSpec:
    """Read the ``[feed]`` table of a manifest, its shape already checked; raises as :func:`load_api`."""
    check_url(table["base_url"], "manifest.toml: feed.base_url")
    if table["format"] not in formats:
        raise MaillonError(ErrorKind.CONFIGURATION, "manifest.toml: feed.format: is not a format of this partner")
    return FeedSpec(
        **table
        | {
            "base_url": table["base_url"].rstrip("/"),
            "limits": replace(PAGE_LIMITS, **table.get("limits", {})),
            "maintenance": _windows(table, "feed"),
        }
    )


def load_api(table: Json, formats: frozenset[str]) -> ApiSpec:
    """Read the ``[api]`` table of a manifest, its shape already checked.

    Raises ``MaillonError(CONFIGURATION)`` naming a format or a trait that is none, an impossible limit or window.
    """
    check_url(table["base_url"], "manifest.toml: api.base_url")
    endpoints = {}
    for name, row in table["endpoints"].items():
        if name not in formats:
            raise _wrong(f"endpoints.{name}", "is not a format of this partner")
        params = dict(row.get("params", table.get("params", {})))
        if not params:
            raise _wrong(f"endpoints.{name}.params", "is needed, here or for all endpoints")
        if unknown := sorted(set(params.values()) - SOURCES):
            raise _wrong(f"endpoints.{name}.params", f"{unknown[0]} is not a trait")
        required = frozenset(row.get("required", table.get("required", [])))
        if unknown := sorted(required - set(params)):
            raise _wrong(f"endpoints.{name}.required", f"{unknown[0]} is not one of its params")
        variants = tuple(MappingProxyType(dict(each)) for each in row.get("variants", [{}]))
        if taken := sorted({key for each in variants for key in each} & set(params)):
            raise _wrong(f"endpoints.{name}.variants", f"{taken[0]} is one of its params")
        cases = tuple(row.get("cases", []))
        endpoints[name] = Endpoint(name, row["path"], MappingProxyType(params), required, variants, cases)
    limits, windows = Limits(**table.get("limits", {})), _windows(table, "api")
    return ApiSpec(table["base_url"].rstrip("/"), table["purpose"], limits, windows, MappingProxyType(endpoints))


def _windows(table: Json, whose: str) -> tuple[Window, ...]:
    try:
        return tuple(window(row) for row in table.get("maintenance", []))
    except ValueError as error:
        raise MaillonError(ErrorKind.CONFIGURATION, f"manifest.toml: {whose}.maintenance: {error}") from None


def _wrong(where: str, what: str) -> MaillonError:
    return MaillonError(ErrorKind.CONFIGURATION, f"manifest.toml: api.{where}: {what}")
