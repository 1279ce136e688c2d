"""The fragment a source signs and seals: the ordered fields of one person, and no ref or local id."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from connectors.kit import seal
from connectors.kit.runtime.clock import to_epoch, whole_seconds
from connectors.kit.runtime.keys import thumbprint
from connectors.kit.seal import Typ
from connectors.kit.tokens import TokenSet, subject_proofs
from connectors.kit.transport import NON_AUTORISE
from connectors.kit.trust import OperationalKeys

SANS_DOSSIER: Final = "sans_dossier"
NON_RENSEIGNE: Final = "non_renseigne"

Json = dict[str, Any]


def build_statements(
    held: Mapping[str, Any] | None, ordered: Sequence[str], free: Collection[str], source: str, at: datetime
) -> dict[str, Json]:
    """Return one statement per ordered path: what is ``held`` (a stored fragment), or why there is none.

    A path outside ``free`` (the partner's own rules) is ``non_autorise``. Where nothing is held, the absence is the
    one the source stated for every other field beside it (a right it said the person has not: ``sans_droit``);
    ``non_renseigne`` when it does hold a value beside it; else ``sans_dossier``.
    """
    statements: Mapping[str, Json] = {} if held is None else held["statements"]
    return {
        path: statements[path]
        if path in free and path in statements
        else _absence(_why(path, statements) if path in free else NON_AUTORISE, source, at)
        for path in ordered
    }


def seal_fragment(
    statements: Mapping[str, Json],
    tokens: TokenSet,
    keys: OperationalKeys,
    order: Mapping[str, Any],
    order_digest: str,
    request_digest: str,
    recipient_key: Mapping[str, str],
    at: datetime,
) -> str:
    """Return ``statements`` signed by this source and sealed to ``recipient_key``, bound to order and request.

    The subject proofs, for the order's digest, show the recipient that this is the person it asked about.
    """
    payload = {
        "v": 1,
        "source": keys.slug,
        "order_id": order["order_id"],
        "order_digest": order_digest,
        "request_digest": request_digest,
        "recipient_key": thumbprint(recipient_key),
        "iat": to_epoch(at),
        "subject_proofs": subject_proofs(tokens, order_digest),
        "fragment": {"v": 1, "statements": dict(statements)},
    }
    return seal.seal(keys.sign(payload, Typ.FRAGMENT).encode("ascii"), Typ.SEALED_FRAGMENT, recipient_key)


def _why(path: str, statements: Mapping[str, Json]) -> str:
    group = path.rpartition(".")[0] + "."
    beside = {said.get("absence") for other, said in statements.items() if other.startswith(group)}
    if None in beside:
        return NON_RENSEIGNE
    (only,) = beside if len(beside) == 1 else (SANS_DOSSIER,)
    return str(only)


def _absence(code: str, source: str, at: datetime) -> Json:
    return {"absence": code, "source": source, "date_collecte": whole_seconds(at)}
