"""The decision: a sieve of integer masks that leaves every wanted field with exactly one reason (DESIGN §6)."""

from __future__ import annotations

from typing import Final

from consent.model import Authority, Decision, PurposeRule, Question
from consent.policy import Policy

_NO_RULE: Final = PurposeRule(0, 0, 0, 0, 0)
_NO_ROLE: Final = (0, 0)
_new: Final = tuple.__new__
"""Builds the named tuple without its slower constructor; the order is that of :class:`Decision`."""


def decide(policy: Policy, question: Question, authority: Authority) -> Decision:
    """Return which wanted fields may leave, and for each other one why not. Never raises.

    ``allowed = wanted & role_permit & ~role_deny & purpose_cap & authority & ~protected``, where ``authority =
    (consent_permit & ~consent_deny) | (legal_base & informed & ~objection)``: accord counts for the fields under
    ``accord`` alone, an obligation needs only its text, an objection bites where its text lets it. An unknown name
    or any exception releases nothing. ``authority`` is the one ``lifecycle.authority`` built for this question.

    Written as a sieve, each step taking its fields out of what is left: the nine masks are disjoint and cover
    ``wanted`` by construction. Every operation on two hundred bits makes a new integer, so those that an empty mask
    would make pointless are skipped; what withholds is compared with 0, so that a mask that is no integer fails closed.
    """
    try:
        a = question.attributes
        role = question.role
        role_permit, role_deny = policy.role_table.get(
            (role, a.assigned, a.own, a.mission, a.aid)
        ) or policy.role_table.get((role, False, False, None, None), _NO_ROLE)
        source = question.source
        rule = policy.rule_table.get(
            (
                question.purpose,
                source if source in policy.named_sources else "",
                question.source_kind,
                question.recipient_kind,
            ),
            _NO_RULE,
        )
        accord, information, obligation, opposable, cap = rule
        permit, deny, weak, informed, objection, protected, consent_ids, refusal_ids, valid_until = authority

        wanted = question.wanted
        by_role = wanted & role_deny
        undenied = wanted ^ by_role
        ruled = undenied & role_permit
        left = within = ruled & cap
        allowed = shielded = denied = unproven = missing = objected = 0
        if protected != 0:
            shielded = left & protected
            left ^= shielded
        if accord:
            asked = left & accord
            if deny != 0:
                denied = asked & deny
                asked ^= denied
            allowed = asked & permit
            missing = asked ^ allowed
            if weak:
                unproven = missing & weak
                missing ^= unproven
        if information:
            told = left & information
            if objection != 0:
                objected = told & objection & opposable
                told ^= objected
            known = told & informed
            allowed |= known
            missing |= told ^ known
        if obligation:
            allowed |= left & obligation
        return _new(
            Decision,
            (
                allowed,
                by_role,
                undenied ^ ruled,
                ruled ^ within,
                shielded,
                denied,
                unproven,
                missing,
                objected,
                consent_ids,
                refusal_ids,
                valid_until,
                policy.version,
                rule,
            ),
        )
    except Exception:
        asked_for = getattr(question, "wanted", 0)
        return Decision(
            0,
            no_rule=asked_for if isinstance(asked_for, int) else 0,
            policy_version=getattr(policy, "version", ""),
        )
