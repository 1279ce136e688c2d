"""What a source edge checks in a release order before it lets a field go (docs/protocol.md, checks 2, 3, 5).

Signatures, certificates, replays, subject proofs and the partner's own policy are checked by the caller; here stands
what can be judged from the messages alone. The hub is not believed: the same ``authority`` and ``decide`` are run again
on the consent events the order carries.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from consent.decide import decide
from consent.lifecycle import TransitionRefused, authority, fold
from consent.model import Attributes, FieldIndex, Question, UnknownField
from consent.policy import Policy
from consent.records import ConsentEvent

ORDER_LIFETIME: Final = timedelta(seconds=10)
REQUEST_LIFETIME: Final = timedelta(seconds=60)
CLOCK_SKEW: Final = timedelta(seconds=5)
"""How far ahead another machine's clock may be."""


class OrderRefused(Exception):  # noqa: N818  (a shared name)
    """The order is refused; ``code`` is one of the reasons of docs/protocol.md."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class PartnerFacts(Protocol):
    """What the root-signed directory says of a partner."""

    @property
    def kind(self) -> str: ...
    @property
    def roles(self) -> Collection[str]: ...
    @property
    def can_collect(self) -> bool: ...


def check_order(
    order: Mapping[str, object],
    request: Mapping[str, object],
    events: Sequence[ConsentEvent],
    policy: Policy,
    partners: Mapping[str, PartnerFacts],
    me: str,
    now: datetime,
) -> int:
    """Return the mask of the ordered fields, all of them allowed, or raise :class:`OrderRefused`.

    ``order`` and ``request`` are payloads whose signatures and schemas were checked, ``events`` the consent events of
    ``order.authorities`` in their order, ``partners`` the active partners of the directory by slug, ``me`` this
    source's slug. Instants in both payloads are whole seconds since 1970.
    """
    requester = str(request.get("requester"))
    if order.get("source") != me:
        raise OrderRefused("wrong_source")
    if not _alive(order, ORDER_LIFETIME, now):
        raise OrderRefused("expired")
    if order.get("recipient") != requester:
        raise OrderRefused("request_signature")
    if not _alive(request, REQUEST_LIFETIME, now):
        raise OrderRefused("request_expired")
    if order.get("policy_version") != policy.version:
        raise OrderRefused("policy_version")
    recipient, source, role = partners.get(requester), partners.get(me), str(request.get("role"))
    if recipient is None or source is None or role not in recipient.roles:
        raise OrderRefused("directory")
    wanted = _mask(order, policy.index)
    if not wanted or wanted & ~_mask(request, policy.index):
        raise OrderRefused("fields_beyond_request")
    if not all((collector := partners.get(event.collector)) and collector.can_collect for event in events):
        raise OrderRefused("authority_signature")
    question = Question(
        purpose=str(request.get("purpose")),
        role=role,
        attributes=read_attributes(request.get("attributes")),
        source=me,
        source_kind=source.kind,
        recipient=requester,
        recipient_kind=recipient.kind,
        wanted=wanted,
        at=now,
    )
    try:
        state = fold(events)
    except TransitionRefused:
        raise OrderRefused("no_authority") from None
    if decide(policy, question, authority(state, policy, question)).allowed != wanted:
        raise OrderRefused("no_authority")
    return wanted


def read_attributes(value: object) -> Attributes:
    """Return the attributes of a request's ``attributes`` object; anything missing or odd is the narrowest."""
    given = value if isinstance(value, Mapping) else {}
    mission, aid = given.get("mission"), given.get("aid")
    return Attributes(
        assigned=given.get("assigned") is True,
        own=given.get("own") is True,
        mission=mission if isinstance(mission, str) else None,
        aid=aid if isinstance(aid, str) else None,
    )


def _alive(payload: Mapping[str, object], lifetime: timedelta, now: datetime) -> bool:
    issued, expires = payload.get("iat"), payload.get("exp")
    if type(issued) is not int or type(expires) is not int or not 0 < expires - issued <= lifetime.total_seconds():
        return False
    return issued <= (now + CLOCK_SKEW).timestamp() and now.timestamp() < expires


def _mask(payload: Mapping[str, object], index: FieldIndex) -> int:
    names = payload.get("fields")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise OrderRefused("fields_beyond_request")
    try:
        return index.mask(names)
    except UnknownField:
        raise OrderRefused("fields_beyond_request") from None
