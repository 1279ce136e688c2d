# ruff: noqa: E501  (a table: one line a mutation)
"""The rules of release broken by hand, one at a time: each must turn a test red.

``python -m tests.consent.mutations`` runs them all and prints the page ``tests/consent/MUTATIONS.md``. Each mutation is
applied to a copy of ``consent/`` and judged in a forked process, so that nothing else sees it.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import rfc8785  # noqa: F401  (loaded once, before the forks)
from hypothesis import HealthCheck, settings

import schemas.registry  # noqa: F401

ROOT = Path(__file__).parents[2]
RULES, REGIMES, MANDATES = "rules", "regimes", "mandates"
LIFE, ORDER, RECORDS, POLICY = "lifecycle", "order", "records", "policy"
AT_ONCE = 2
OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "--assert=plain", "--noconftest", "--no-header", f"--rootdir={ROOT}")
"""Nothing that costs more than the tests themselves: a hundred runs are waited for."""


class Mutation(NamedTuple):
    """``old``, standing ``times`` times in ``consent/<module>.py``, becomes ``new`` where it stands first; ``tests``
    is the file ``test_<tests>.py`` that has to notice."""

    what: str
    module: str
    old: str
    new: str
    tests: str = RULES
    times: int = 1


MUTATIONS = (
    # decide
    Mutation("a prohibition of the role is forgotten", "decide", "by_role = wanted & role_deny", "by_role = 0"),
    Mutation("the role need not permit", "decide", "ruled = undenied & role_permit", "ruled = undenied"),
    Mutation("an unknown role sees everything", "decide", "_NO_ROLE: Final = (0, 0)", "_NO_ROLE: Final = (-1, 0)"),
    Mutation(
        "an unknown attribute gives a wide variant",
        "decide",
        "(role, False, False, None, None)",
        "(role, True, True, None, None)",
    ),
    Mutation("the purpose does not cap", "decide", "left = within = ruled & cap", "left = within = ruled"),
    Mutation(
        "an unknown purpose is an obligation", "decide", "PurposeRule(0, 0, 0, 0, 0)", "PurposeRule(0, 0, -1, 0, -1)"
    ),
    Mutation("a row naming its source is not looked up", "decide", 'source if source in policy.named_sources else ""', '""', REGIMES),
    Mutation("a protection is forgotten", "decide", "shielded = left & protected", "shielded = 0"),
    Mutation("an agreement counts under every regime", "decide", "asked = left & accord", "asked = left", REGIMES),
    Mutation("a refusal is forgotten", "decide", "denied = asked & deny", "denied = 0"),
    Mutation("a refusal that is no mask is passed over", "decide", "if deny != 0:", "if deny:"),
    Mutation("no agreement is needed", "decide", "allowed = asked & permit", "allowed = asked"),
    Mutation("a weak proof is enough", "decide", "allowed = asked & permit", "allowed = asked & (permit | weak)"),
    Mutation("weak proof is told as no agreement", "decide", "unproven = missing & weak", "unproven = 0"),
    Mutation("an objection is forgotten", "decide", "objected = told & objection & opposable", "objected = 0", REGIMES),
    Mutation(
        "an objection bites where the text forbids one",
        "decide",
        "told & objection & opposable",
        "told & objection", REGIMES,
    ),
    Mutation("nobody need be informed", "decide", "known = told & informed", "known = told"),
    Mutation("an agreement is taken for information", "decide", "told & informed", "told & (informed | permit)", REGIMES),
    Mutation("an obligation asks for information", "decide", "left & obligation", "left & obligation & informed"),
    Mutation("an obligation passes a protection", "decide", "left & obligation", "within & obligation"),
    Mutation("an exception releases what was wanted", "decide", "Decision(\n            0,", "Decision(\n            asked_for,"),
    # authority
    Mutation("an agreement starts late", "lifecycle", "self.start <= at", "self.start < at"),
    Mutation("an agreement lasts one instant more", "lifecycle", "at < self.end", "at <= self.end"),
    Mutation("an agreement never expires", "lifecycle", "given if live and _was", "given if _was"),
    Mutation("a refusal never expires", "lifecycle", "status is _S.DENIED and live", "status is _S.DENIED"),
    Mutation("a withdrawal changes nothing", "lifecycle", "(_S.GRANTED, _K.REVOKED): _S.REVOKED", "(_S.GRANTED, _K.REVOKED): _S.GRANTED"),
    Mutation("an invalidation changes nothing", "lifecycle", "(_S.GRANTED, _K.INVALIDATED): _S.INVALIDATED", "(_S.GRANTED, _K.INVALIDATED): _S.GRANTED"),
    Mutation("any text shown will do", "lifecycle", "live and _was_shown(record, regime, policy)", "live"),
    Mutation(
        "a notice of another regime will do",
        "lifecycle",
        "regime = Regime.ACCORD if status is _S.GRANTED else Regime.INFORMATION",
        "regime = record.notice and next((n.regime for n in policy.notices if n.notice_id == record.notice.notice_id), None)",
    ),
    Mutation("the proof is not looked at", "lifecycle", "agreed & proofs[record.evidence]", "agreed"),
    Mutation("an agreement serves another purpose", "lifecycle", "elif record.purpose == question.purpose:", "else:"),
    Mutation(
        "an agreement serves another source or recipient",
        "lifecycle",
        "record.given.fields & speaks_for if record.given.covers(question) else 0",
        "record.given.fields & speaks_for",
    ),
    Mutation(
        "a refusal bites beyond its scope",
        "lifecycle",
        "record.refused.fields & speaks_for if record.refused.covers(question) else 0",
        "record.refused.fields & speaks_for",
    ),
    Mutation("a frozen person is not", "lifecycle", "protected = policy.index.full", "protected |= 0"),
    Mutation("a protection gives no mask", "lifecycle", "protected |= record.refused.fields", "protected |= 0"),
    Mutation("a mandate is not looked at", "lifecycle", "mandate.scope if mandate.decides(question.at) else 0", "mandate.scope", MANDATES),
    Mutation(
        "a mandate has no scope",
        "lifecycle",
        "mandate.scope if mandate.decides(question.at) else 0",
        "policy.index.full if mandate.decides(question.at) else 0", MANDATES,
    ),
    Mutation("one parent always suffices", "lifecycle", "once if usual_act else twice", "once", MANDATES),
    Mutation("both parents are always needed", "lifecycle", "once if usual_act else twice", "twice", MANDATES),
    Mutation(
        "one parent counts twice",
        "lifecycle",
        "parents[parent] = parents.get(parent, 0) | fields",
        'parents[f"{parent}{len(parents)}"] = fields', MANDATES,
    ),
    Mutation("parents' fields add up", "lifecycle", "twice |= once & fields", "twice |= once | fields if once else 0", MANDATES),
    Mutation("a judgment settles nothing", "lifecycle", "_union(s.judged for s in said if s.agreed or s.denied)", "0", MANDATES),
    Mutation("a judgment nobody used settles", "lifecycle", "for s in said if s.agreed or s.denied)", "for s in said)", MANDATES),
    Mutation("a judgment silences everyone", "lifecycle", "if s.parent else s", "if not s.judged else s", MANDATES),
    Mutation("an upheld objection does not bite", "lifecycle", "_OPPOSED: Final = (_S.OBJECTED, _S.UPHELD)", "_OPPOSED: Final = (_S.OBJECTED,)", REGIMES),
    Mutation("a pending objection does not bite", "lifecycle", "_OPPOSED: Final = (_S.OBJECTED, _S.UPHELD)", "_OPPOSED: Final = (_S.UPHELD,)", REGIMES),
    Mutation("objecting to one field un-informs of all", "lifecycle", "informed=given if status in _INFORMED else 0", "informed=given if status is _S.INFORMED else 0", REGIMES),
    Mutation("the next change is missed at its instant", "lifecycle", "if turn > question.at", "if turn >= question.at"),
    Mutation("a mandate's end is no change", "lifecycle", "yield from (record.mandate.start, record.mandate.end)", "return"),
    Mutation("weak records are named as giving", "lifecycle", "if s.proven & permit or s.informed", "if s.agreed or s.informed"),
    # fold
    Mutation("any event may come next", "lifecycle", 'raise TransitionRefused("transition")', "status = before.status if before else _S.GRANTED", LIFE),
    Mutation("the chain is not checked", "lifecycle", "(event.seq, event.prev) != expected", "event.seq < 0", LIFE),
    Mutation("a record changes its purpose", "lifecycle", "if event.purpose not in (None, before.purpose):", "if False:", LIFE),
    Mutation("narrowing widens", "lifecycle", "and not event.scope.within(before.given)", "and False", LIFE),
    Mutation("a guardian lifts the person's refusal", "lifecycle", "(lifts_refusal or event.kind is _K.RENEWED)", "(event.kind is _K.RENEWED)", LIFE),
    Mutation("a guardian renews the person's agreement", "lifecycle", "(lifts_refusal or event.kind is _K.RENEWED)", "lifts_refusal", LIFE),
    Mutation("narrowing prolongs", "lifecycle", "end=min(ends)", "end=event.end"),
    Mutation("narrowing starts earlier", "lifecycle", "start=max(before.start, event.start)", "start=min(before.start, event.start)"),
    Mutation("renewing keeps the old proof", "lifecycle", "evidence=event.evidence,\n                mandate", "mandate"),
    Mutation("a second protection replaces the first", "lifecycle", "before.refused.fields | event.scope.fields", "event.scope.fields"),
    Mutation("an objection rejected is kept", "lifecycle", "case EventKind.REVOKED | EventKind.OBJECTION_REJECTED:\n            after = replace(after, refused=NOTHING)", "case EventKind.REVOKED:\n            after = replace(after, status=_S.UPHELD)", REGIMES),
    # mandates
    Mutation("a curator decides", "mandates", "self.nature in DECIDING and ", "", MANDATES),
    Mutation("a mandate for property decides", "mandates", "PERSONNE in self.champ and ", "", MANDATES),
    Mutation("a mandate lasts one instant more", "mandates", "at < self.end", "at <= self.end", MANDATES),
    Mutation("a mandate starts late", "mandates", "self.start <= at", "self.start < at", MANDATES),
    # records
    Mutation("the source is not looked at", "records", "if self.sources and question.source not in self.sources:", "if False:"),
    Mutation("the recipient's role is not looked at", "records", "(not roles or question.role in roles)", "True"),
    Mutation("the recipient is not looked at", "records", "partner == question.recipient and ", ""),
    Mutation("a narrower scope may add roles", "records", "roles <= theirs[partner]", "True", LIFE),
    Mutation("a narrower scope may open to every role", "records", "bool(roles) and ", "", LIFE),
    Mutation("E1 needs no second agent", "records", 'at.text("second_agent") == at.text("agent")', "False", RECORDS),
    Mutation("E2 needs no proof", "records", 'at.text("evidence_hash")', "pass", RECORDS),
    Mutation("an institution agrees for the person", "records", 'actor == "institution" and kind in _SAID', "False", RECORDS),
    Mutation("an agreement may last for ever", "records", "if self.kind in _PROVEN and self.end is None:", "if False:", RECORDS),
    # policy
    Mutation("a variant ignores who is assigned", "policy", "(attributes.assigned or not variant.assigned)", "True"),
    Mutation("a variant ignores whose notes they are", "policy", "(attributes.own or not variant.own)", "True"),
    Mutation("a variant ignores the mission", "policy", "(not variant.missions or attributes.mission in variant.missions)", "True"),
    Mutation("a variant ignores the aid", "policy", "(not variant.aids or attributes.aid in variant.aids)", "True", POLICY),
    Mutation("prohibitions are not compiled", "policy", "if role.code in denial.roles:", "if False:"),
    Mutation("a class asks for no proof of its own", "policy", "max(purpose.minimum_evidence, source.class_evidence[classe])", "purpose.minimum_evidence"),
    Mutation("a purpose asks for no proof of its own", "policy", "max(purpose.minimum_evidence, source.class_evidence[classe])", "source.class_evidence[classe]"),
    Mutation("a named source's row adds to its kind's", "policy", "row.fields & ~settled", "row.fields", POLICY),
    Mutation("a field may have two regimes", "policy", "if fields & cap:", "if False:", POLICY),
    Mutation("a row escapes the ceiling", "policy_source", '= table.mask("champs", index) & ceiling', '= table.mask("champs", index)'),
    Mutation("every partner is a recipient", "policy_source", "if len(recipients) == len(_PARTNER_KINDS):", "if False:", POLICY),
    Mutation("control is a purpose", "policy_source", "if _NOT_A_PURPOSE.search(", "if False and (", POLICY),
    Mutation("a text may be missing", "policy_source", "if not value:\n            raise", "if False:\n            raise", POLICY),
    Mutation("unknown keys pass", "policy_source", "if self._value:\n            raise", "if False:\n            raise", POLICY),
    # a source's check of an order
    Mutation("an order for another source passes", "order", 'order.get("source") != me', "False", ORDER),
    Mutation("an expired order passes", "order", "if not _alive(order, ORDER_LIFETIME, now):", "if False:", ORDER),
    Mutation("an expired request passes", "order", "if not _alive(request, REQUEST_LIFETIME, now):", "if False:", ORDER),
    Mutation("an order lives one instant more", "order", "now.timestamp() < expires", "now.timestamp() <= expires", ORDER),
    Mutation("an order may live long", "order", "not 0 < expires - issued <= lifetime.total_seconds()", "not 0 < expires - issued", ORDER),
    Mutation("an order goes to someone who did not ask", "order", 'order.get("recipient") != requester', "False", ORDER),
    Mutation("another policy's order passes", "order", 'order.get("policy_version") != policy.version', "False", ORDER),
    Mutation("a role the directory does not give passes", "order", "or role not in recipient.roles", "", ORDER),
    Mutation("more than was asked may be ordered", "order", "or wanted & ~_mask(request, policy.index)", "", ORDER),
    Mutation("anyone may collect", "order", "and collector.can_collect", "", ORDER),
    Mutation("the hub's word is enough", "order", ".allowed != wanted", ".allowed < 0", ORDER),
)  # fmt: skip


class FirstRed:
    """Remembers the first test that failed. The real configuration is left out: its tests take seconds; and so are the
    published files, which may be absent."""

    name = ""
    left_out = frozenset({"real_policy", "config_files", "shared_data"})

    def pytest_collection_modifyitems(self, items: list[pytest.Function]) -> None:
        items[:] = [item for item in items if not self.left_out & set(item.fixturenames)]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.name:
            self.name = report.nodeid.split("::")[-1].split("[")[0]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.name:
            self.name = "(does not load)"


def judge(mutation: Mutation | None, folder: Path, files: Sequence[Path]) -> str:
    """Return the first test of ``files`` that turns red with the mutated copy in ``folder``; empty when none does.

    Never returns to a caller that still needs ``consent``: it belongs in a process of its own.
    """
    shutil.copytree(ROOT / "consent", folder / "consent", ignore=shutil.ignore_patterns("__pycache__"))
    if mutation:
        file = folder / "consent" / f"{mutation.module}.py"
        text = file.read_text("utf-8")
        if text.count(mutation.old) != mutation.times:
            return "(no longer fits the source)"
        file.write_text(text.replace(mutation.old, mutation.new, 1), "utf-8")
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    for source in sorted((folder / "consent").glob("*.py")):
        importlib.import_module(f"consent.{source.stem}" if source.stem != "__init__" else "consent")
    # The same examples each time, however long they take: the published page says which test turns red first.
    settings.register_profile("mutations", derandomize=True, deadline=None, suppress_health_check=[*HealthCheck])
    settings.load_profile("mutations")
    red = FirstRed()
    pytest.main([*OPTIONS, *map(str, files)], plugins=[red])
    return red.name


def run(mutations: Sequence[Mutation], tests: Path) -> Iterator[tuple[Mutation | None, str]]:
    """Yield each of ``mutations`` with the test in folder ``tests`` that turned red; first None, the unbroken source,
    with none."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    waiting: list[Mutation | None] = [None, *mutations]
    everything = sorted({tests / f"test_{mutation.tests}.py" for mutation in mutations})
    answers: dict[int, str] = {}
    running: dict[int, tuple[int, int, str]] = {}
    for number in range(len(waiting) + AT_ONCE):
        if len(running) == AT_ONCE or (running and number >= len(waiting)):
            pid, _ = os.waitpid(next(iter(running)), 0)
            done, pipe, folder = running.pop(pid)
            with os.fdopen(pipe, encoding="utf-8") as answer:
                answers[done] = answer.read()
            shutil.rmtree(folder)
        if number < len(waiting):
            mutation = waiting[number]
            files = [tests / f"test_{mutation.tests}.py"] if mutation else everything
            running |= _start(number, mutation, files)
    for number, mutation in enumerate(waiting):
        yield mutation, answers[number]


def _start(number: int, mutation: Mutation | None, files: Sequence[Path]) -> dict[int, tuple[int, int, str]]:
    """Fork a process that judges one mutation and writes the name of the red test down a pipe."""
    folder = tempfile.mkdtemp()
    reading, writing = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.close(writing)
        return {pid: (number, reading, folder)}
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    try:
        os.write(writing, judge(mutation, Path(folder), files).encode())
    finally:
        os._exit(0)


def page(title: str, area: str, mutations: Sequence[Mutation]) -> str:
    """Return ``tests/<area>/MUTATIONS.md``."""
    lines = [
        f"# {title}",
        "",
        "Each line was applied to a copy of `consent/`; the test named is the first that turned red. Written by",
        f"`python -m tests.{area}.mutations > tests/{area}/MUTATIONS.md`; `test_mutations.py` runs them all again.",
        "",
        "| Broken rule | In | Turned red |",
        "| --- | --- | --- |",
    ]
    for mutation, red in run(mutations, ROOT / "tests" / area):
        if mutation is None:
            if red:
                raise SystemExit(f"red before anything was broken: {red}")
            continue
        lines.append(f"| {mutation.what} | `{mutation.module}.py` | {f'`{red}`' if red else '**nothing**'} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page("Rules of release broken by hand", "consent", MUTATIONS))
