"""Ask for a person's dossier: sign the request, send it through the hub, open and assemble what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_

import structlog

from connectors.kit.assembly import Assembled, assemble
from connectors.kit.edge import Edge
from connectors.kit.pull_request import Ask, sign_request
from connectors.kit.runtime import b64url
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from consent.model import Attributes, UnknownField

_log = structlog.get_logger("edge")


def pull(
    edge: Edge,
    local_id: str,
    *,
    purpose: str,
    role: str,
    agent: str,
    case: str,
    fields: Sequence[str] = ("*",),
    attributes: Attributes | None = None,
) -> Assembled:
    """Return the dossier of the person this edge knows as ``local_id``, as far as it may be seen.

    ``fields`` are selectors (``*``, ``droits.rsa.*``, an exact path); ``agent`` and ``case`` are this partner's own
    references and leave the edge only as keyed digests. Raises ``MaillonError``: ``UNKNOWN_FIELD``,
    ``UNKNOWN_SUBJECT`` when the person is not registered here, and whatever ``HubClient`` and ``assemble`` raise.
    """
    index = edge.policy.index
    try:
        wanted = index.paths(reduce(or_, (index.select(selector) for selector in fields), 0))
    except UnknownField:
        raise MaillonError(ErrorKind.UNKNOWN_FIELD, "a selector names no field", pointer="/fields") from None
    ref, tokens = edge.store.ref_of(local_id), edge.store.tokens_of(local_id)
    if ref is None or tokens is None:
        raise MaillonError(ErrorKind.UNKNOWN_SUBJECT, "not registered by this edge")
    ask = Ask(purpose, role, attributes or Attributes(), edge.tag("agent", agent), edge.tag("case", case), wanted)
    sent = sign_request(ask, ref, tokens, edge.operational(), edge.directory.version, edge.clock.now())
    answer = edge.hub.pull(sent.jws, sent.ref, sent.salt)
    assembled = assemble(answer, sent, tokens, edge.directory, edge.clock.now())
    for order, leaf in assembled.orders:
        # Both sides of an order look for it in the log: a source that colludes with the hub does not.
        edge.store.log.keep_order(b64url.decode(leaf, what="leaf"), order, sent.ref, edge.clock.now())
    for report in assembled.reports:
        _log.warning(
            "fragment:found-wanting",
            trace_id=assembled.trace_id,
            source=report.source,
            finding=report.finding.value,
            fragment=report.fragment,
            fields=report.fields,
        )
    return assembled
