"""The one table from a refusal to an RFC 9457 problem. Each kind has its page in ``docs/problems/``.

A problem names the failing thing and never a value. ``title`` is French, for the partner's people; ``english`` stands
beside it in the documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from connectors.kit.runtime.errors import ErrorKind, MaillonError

MEDIA_TYPE: Final = "application/problem+json"
TYPE_BASE: Final = "/problems/"
"""A reference relative to the hub; the page of each kind stands in ``docs/problems/``."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What a kind looks like on the wire."""

    status: int
    title: str
    english: str


_K = ErrorKind
PROBLEMS: Final[Mapping[ErrorKind, Problem]] = MappingProxyType(
    {
        _K.MALFORMED: Problem(400, "Message illisible", "Unreadable message"),
        _K.SCHEMA: Problem(422, "Message non conforme au schéma", "The message does not follow its schema"),
        _K.UNKNOWN_FIELD: Problem(422, "Champ inconnu du dossier", "Unknown dossier field"),
        _K.UNKNOWN_PURPOSE: Problem(422, "Finalité inconnue", "Unknown purpose"),
        _K.UNKNOWN_ROLE: Problem(
            422, "Rôle inconnu ou non tenu par ce partenaire", "Role unknown or not this partner's"
        ),
        _K.UNKNOWN_NOTICE: Problem(422, "Texte d’information inconnu", "Unknown notice"),
        _K.UNKNOWN_PARTNER: Problem(422, "Partenaire inconnu", "Unknown partner"),
        _K.UNKNOWN_SUBJECT: Problem(404, "Personne inconnue sous cette référence", "No one under this reference"),
        _K.UNKNOWN_RECORD: Problem(404, "Accord inconnu", "Unknown consent record"),
        _K.NOT_FOUND: Problem(404, "Introuvable", "Not found"),
        _K.TOO_LARGE: Problem(413, "Message trop volumineux", "Message too large"),
        _K.TOO_MANY: Problem(429, "Trop de demandes", "Too many requests"),
        _K.AUTHENTICATION: Problem(401, "Authentification refusée", "Authentication refused"),
        _K.FORBIDDEN: Problem(403, "Opération non permise", "Operation not allowed"),
        _K.SUSPENDED: Problem(403, "Partenaire suspendu", "Partner suspended"),
        _K.REPLAYED: Problem(409, "Message déjà utilisé", "Message already used"),
        _K.EXPIRED: Problem(400, "Message expiré", "Message expired"),
        _K.UNTRUSTED_DIRECTORY: Problem(503, "Annuaire sans confiance", "Untrusted directory"),
        _K.UNTRUSTED_KEY: Problem(403, "Clé sans confiance", "Untrusted key"),
        _K.BAD_SIGNATURE: Problem(403, "Signature refusée", "Signature refused"),
        _K.BAD_SEAL: Problem(400, "Scellement refusé", "Seal refused"),
        _K.WRONG_RECIPIENT: Problem(403, "Message adressé à un autre", "Message meant for someone else"),
        _K.WRONG_SUBJECT: Problem(403, "Message au sujet d’une autre personne", "Message about another person"),
        _K.ORDER_REFUSED: Problem(403, "Ordre refusé par la source", "Order refused by the source"),
        _K.FRAGMENT_REFUSED: Problem(502, "Fragment refusé", "Fragment refused"),
        _K.CONFLICT: Problem(409, "Contredit ce qui est enregistré", "Contradicts what is stored"),
        _K.TRANSITION: Problem(409, "Impossible dans l’état actuel de l’accord", "Not possible in the record's state"),
        _K.EVIDENCE: Problem(422, "Preuve insuffisante", "Evidence too weak"),
        _K.UNAVAILABLE: Problem(503, "Indisponible", "Unavailable"),
        _K.TIMEOUT: Problem(504, "Délai dépassé", "Timed out"),
        _K.CONFIGURATION: Problem(500, "Configuration incorrecte", "Wrong configuration"),
        _K.TLS_REQUIRED: Problem(500, "Chiffrement TLS obligatoire", "TLS required"),
        _K.STORAGE: Problem(
            503, "Enregistrement impossible, rien n’a été changé", "Could not store; nothing was changed"
        ),
        _K.LOG_STOPPED: Problem(
            503, "Journal arrêté : un témoin en connaît un autre", "The log is stopped: a witness knows another one"
        ),
        _K.INTERNAL: Problem(500, "Erreur interne", "Internal error"),
    }
)


def problem_of(error: MaillonError) -> tuple[int, dict[str, Any]]:
    """Return the HTTP status and the RFC 9457 body of a refusal."""
    problem = PROBLEMS[error.kind]
    body: dict[str, Any] = {
        "type": TYPE_BASE + error.kind.value,
        "title": problem.title,
        "status": problem.status,
        "detail": error.detail,
    }
    if error.pointer is not None:
        body["pointer"] = error.pointer
    return problem.status, body
