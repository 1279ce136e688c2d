"""A decision in words, field by field, on demand: what a usager or a DPO reads. Replayable from the logged masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from consent.model import Attributes, Decision, Question, Reason, Regime
from consent.policy import Policy, variant_applies

PHRASES: Final[Mapping[Reason, str]] = {
    Reason.OK: "Communiqué.",
    Reason.ROLE_DENY: "Un texte interdit ce champ à ce métier.",
    Reason.NO_RULE: "Ce métier n'a pas accès à ce champ.",
    Reason.PURPOSE_CAP: "Ce champ n'est pas nécessaire à cette finalité, pour cette source et ce destinataire.",
    Reason.PROTECTED: "La personne est protégée : ce champ ne sort pas.",
    Reason.CONSENT_DENY: "La personne a refusé.",
    Reason.EVIDENCE: "La personne a accepté, mais la preuve de son accord est trop faible pour ce champ.",
    Reason.NO_CONSENT: "Pas d'accord en cours, ou personne pas encore informée.",
    Reason.OBJECTION: "La personne s'est opposée.",
}
"""One sentence per reason, for a reader who knows the case."""


class PolicyMismatch(ValueError):  # noqa: N818  (names what happened)
    """The decision was taken under another policy: its bits cannot be read with this one."""


@dataclass(frozen=True, slots=True)
class FieldExplanation:
    """Why one field was released or not, and by which rules, texts and records."""

    path: str
    reason: Reason
    phrase: str
    rules: tuple[str, ...]
    """Ids: ``role:<code>[/<variant>]``, ``interdit:<id>``, ``finalite:<code>[/<row>]``."""
    regime: Regime | None
    texte: str | None
    records: tuple[str, ...]
    policy_version: str


def explain(
    policy: Policy, question: Question, decision: Decision, *, named_agent: bool = False
) -> tuple[FieldExplanation, ...]:
    """Return one explanation per wanted field, in document order.

    The masks are the decision's, so a logged decision explains itself; ``question`` names what was asked (its
    ``wanted`` and ``at`` are not used). A protection is told as a refusal by the person unless ``named_agent``, and
    then no record is named for either, so that they cannot be told apart. Raises :class:`PolicyMismatch`.
    """
    if decision.policy_version != policy.version:
        raise PolicyMismatch(decision.policy_version)
    found: dict[str, FieldExplanation] = {}
    for reason, mask in decision.masks():
        for path in policy.index.paths(mask):
            found[path] = _one(policy, question, decision, path, reason, named_agent)
    return tuple(found[path] for path in policy.index.all_paths if path in found)


def _one(
    policy: Policy, question: Question, decision: Decision, path: str, reason: Reason, named_agent: bool
) -> FieldExplanation:
    bit = policy.index.mask((path,))
    regime, texte = None, None
    rules: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    if reason is Reason.ROLE_DENY:
        denials = [d for d in policy.denials if d.fields & bit and question.role in d.roles]
        rules, texte = tuple(f"interdit:{d.denial_id}" for d in denials), " ; ".join(d.texte for d in denials)
    elif reason is Reason.NO_RULE:
        rules = (f"role:{question.role}",)
    elif reason is Reason.PURPOSE_CAP:
        rules = (*_role_rules(policy, question, bit), f"finalite:{question.purpose}")
    else:
        row = next(
            row
            for row, fields in policy.rows(
                question.purpose, question.source, question.source_kind, question.recipient_kind
            )
            if fields & bit
        )
        regime, texte = row.regime, row.texte
        rules = (*_role_rules(policy, question, bit), f"finalite:{question.purpose}/{row.row_id}")
        if reason is Reason.OK and regime is not Regime.OBLIGATION:
            records = decision.consent_ids
        elif reason in (Reason.CONSENT_DENY, Reason.OBJECTION) and named_agent:
            records = decision.refusal_ids
    if reason is Reason.PROTECTED and not named_agent:
        reason = Reason.CONSENT_DENY
    return FieldExplanation(path, reason, PHRASES[reason], rules, regime, texte, records, policy.version)


def _role_rules(policy: Policy, question: Question, bit: int) -> tuple[str, ...]:
    """Return the ids of the role's base and variants that permit the field."""
    role = policy.roles[question.role]
    a = question.attributes
    known = (role.code, a.assigned, a.own, a.mission, a.aid) in policy.role_table
    effective = a if known else Attributes()
    variants = (v for v in role.variants if v.permit & bit and variant_applies(v, effective))
    base = (f"role:{role.code}",) if role.permit & bit else ()
    return (*base, *(f"role:{role.code}/{v.variant_id}" for v in variants))


def to_log(decision: Decision) -> dict[str, object]:
    """Return the decision as JSON for the access record: hexadecimal masks by reason, ids, version, end."""
    return {
        "policy_version": decision.policy_version,
        "masks": {reason.value: f"{mask:x}" for reason, mask in decision.masks() if mask},
        "consent_ids": list(decision.consent_ids),
        "refusal_ids": list(decision.refusal_ids),
        "valid_until": decision.valid_until.isoformat() if decision.valid_until else None,
    }


def from_log(logged: Mapping[str, Any], policy: Policy, question: Question) -> Decision:
    """Return the decision that :func:`to_log` wrote, for :func:`explain`.

    ``policy`` is the one of its ``policy_version``, else :class:`PolicyMismatch`; ``question`` as then asked.
    """
    if logged["policy_version"] != policy.version:
        raise PolicyMismatch(str(logged["policy_version"]))
    ok, role_deny, no_rule, purpose_cap, protected, consent_deny, evidence, no_consent, objection = (
        int(logged["masks"].get(reason.value, "0"), 16) for reason in Reason
    )
    until = logged["valid_until"]
    return Decision(
        ok,
        role_deny,
        no_rule,
        purpose_cap,
        protected,
        consent_deny,
        evidence,
        no_consent,
        objection,
        consent_ids=tuple(logged["consent_ids"]),
        refusal_ids=tuple(logged["refusal_ids"]),
        valid_until=datetime.fromisoformat(until) if until else None,
        policy_version=policy.version,
        rule=policy.rule(question.purpose, question.source, question.source_kind, question.recipient_kind),
    )
