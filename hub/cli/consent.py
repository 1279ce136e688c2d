"""``maillon consent``: what a person said, taken down at a desk by a partner that may collect it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, TypeVar

import click

from connectors.kit.consent_events import Collection, Previous, Template, evidence_digest, sign_event
from connectors.kit.edge import Edge
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.tokens import TokenSet
from consent.model import EventKind, Regime, UnknownField
from consent.policy import Notice
from hub.cli.consent_receipt import keep, receipt, receipt_options
from hub.cli.output import home_option, json_option, print_answer, table

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_DURATION = timedelta(days=365)
RETENTION = "P2Y"
"""Two years after the last contact (CNIL 2021-028, to be confirmed by your DPO)."""
WITHDRAWAL = "À l'accueil ou auprès de la personne qui vous accompagne, sans donner de raison."
CONTACT = "contact.*"
"""Always agreed to apart, so that its absence proves nothing (DESIGN §5)."""


@dataclass(frozen=True)
class Desk:
    """The collector's edge with one person in front of it."""

    edge: Edge
    ref: str
    tokens: TokenSet

    @classmethod
    def open(cls, home: Path, local_id: str) -> Desk:
        """Open the edge of ``home`` for the person it knows as ``local_id``; ``MaillonError(UNKNOWN_SUBJECT)``."""
        edge = Edge.open(home, SystemClock())
        ref, tokens = edge.store.ref_of(local_id), edge.store.tokens_of(local_id)
        if ref is None or tokens is None:
            edge.close()
            raise MaillonError(ErrorKind.UNKNOWN_SUBJECT, "this person is not registered by this edge")
        return cls(edge, ref, tokens)

    def send(self, template: Template) -> dict[str, Any]:
        """Sign the event of ``template`` and hand it to the hub; return the hub's answer."""
        edge = self.edge
        event = sign_event(template, self.ref, self.tokens, edge.operational(), edge.policy, edge.clock.now())
        return edge.hub.send_event(event.jws, event.ref, event.salt)

    def record(self, record_id: str) -> dict[str, Any]:
        """Return one record of the person; ``MaillonError(UNKNOWN_RECORD)`` when there is none of that id."""
        rows: list[dict[str, Any]] = self.edge.hub.search_consents(self.ref)["records"]
        found = next((row for row in rows if row["record_id"] == record_id), None)
        if found is None:
            raise MaillonError(ErrorKind.UNKNOWN_RECORD, "no such record for this person")
        return found

    def notice(self, notice_id: str, regime: Regime) -> Notice:
        """Return the newest version of a notice of that regime; ``MaillonError(UNKNOWN_NOTICE)``."""
        known = [n for n in self.edge.policy.notices if n.notice_id == notice_id and n.regime is regime]
        if not known:
            raise MaillonError(ErrorKind.UNKNOWN_NOTICE, f"no notice of that name under the regime {regime.value}")
        return max(known, key=lambda notice: notice.version)

    def fields(self, selectors: Sequence[str], notice: Notice, sources: Sequence[str]) -> tuple[str, ...]:
        """Return the dossier paths of ``selectors``, kept to what the notice's purpose covers from ``sources``.

        With no selector: all that is covered, contact details apart.
        """
        index, directory = self.edge.policy.index, self.edge.directory
        covered = 0
        for slug in sources:
            rows = self.edge.policy.rows(notice.purpose, slug, directory.partner(slug).kind, self.edge.partner.kind)
            covered |= reduce(or_, (mask for row, mask in rows if row.regime is notice.regime), 0)
        chosen = select(self.edge, selectors) if selectors else ~select(self.edge, [CONTACT])
        return index.paths(covered & chosen)


def select(edge: Edge, selectors: Sequence[str]) -> int:
    """Return the mask of ``selectors``; ``MaillonError(UNKNOWN_FIELD)``."""
    try:
        return reduce(or_, (edge.policy.index.select(selector) for selector in selectors), 0)
    except UnknownField:
        raise MaillonError(ErrorKind.UNKNOWN_FIELD, "a selector names no field of the dossier") from None


def follows(record: dict[str, Any]) -> Previous:
    """Return what the record's next event has to follow."""
    return Previous(record_id=record["record_id"], seq=record["seq"], digest=record["last_event"])


def scope_of(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record's fields, sources and recipients as the members of a ``Template``."""
    return {
        "fields": tuple(record["fields"]),
        "sources": tuple(record["sources"]),
        "recipients": tuple((row["partner"], tuple(row["roles"])) for row in record["recipients"]),
    }


def person_options(command: F) -> F:
    """Add ``--home``, ``--person`` and ``--json``."""
    command = click.option("--person", required=True, help="This partner's own number for the person.")(command)
    return home_option(json_option(command))


def scope_options(command: F) -> F:
    """Add what an agreement, a refusal or an information names: text, fields, sources, recipients."""
    for option in (
        click.option("--notice", "notice_id", required=True, help="The text shown, e.g. accompagnement_global."),
        click.option("--language", default="fr", show_default=True, type=click.Choice(["fr", "en", "falc"])),
        click.option("--field", "selectors", multiple=True, help="e.g. droits.rsa.* (default: all but contact.*)."),
        click.option("--source", "sources", multiple=True, required=True, help="Partner that holds; may be repeated."),
        click.option(
            "--recipient", "recipients", multiple=True, help="partner or partner:role,role (default: this one)."
        ),
    ):
        command = option(command)
    return command


def evidence_options(command: F) -> F:
    """Add how it was taken down and proven (DOMAIN §6), and where the receipt goes."""
    command = receipt_options(command)
    for option in (
        click.option("--channel", default="guichet", show_default=True, type=click.Choice(["guichet", "papier"])),
        click.option("--evidence", default="E1", show_default=True, type=click.Choice(["E0", "E1", "E2", "E3"])),
        click.option("--agent", required=True, help="Who takes it down; leaves the edge as a keyed digest only."),
        click.option("--second-agent", help="Who witnessed it; E1 needs one."),
        click.option("--evidence-file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="E2, E3."),
    ):
        command = option(command)
    return command


def collection(
    desk: Desk, channel: str, evidence: str, agent: str, second_agent: str | None, evidence_file: Path | None
) -> Collection:
    """Return how it was collected; only digests of the agents and of the proof."""
    return Collection(
        channel=channel,
        evidence=evidence,
        agent=desk.edge.tag("agent", agent),
        second_agent=desk.edge.tag("agent", second_agent) if second_agent else None,
        evidence_hash=evidence_digest(evidence_file.read_bytes()) if evidence_file else None,
    )


def parse_recipients(edge: Edge, recipients: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return (partner, roles) of each ``partner[:role,role]``; this partner, any role, when none is given."""
    pairs = (recipient.partition(":") for recipient in recipients or (edge.slug,))
    return tuple((partner, tuple(role for role in roles.split(",") if role)) for partner, _, roles in pairs)


@click.group("consent")
def consent() -> None:
    """Take down what a person says: J'accepte, Je refuse, Je retire mon accord, Je m'oppose."""


def _say(kind: EventKind, regime: Regime) -> Callable[..., None]:
    def command(
        home: Path,
        person: str,
        notice_id: str,
        language: str,
        selectors: tuple[str, ...],
        sources: tuple[str, ...],
        recipients: tuple[str, ...],
        channel: str,
        evidence: str,
        agent: str,
        second_agent: str | None,
        evidence_file: Path | None,
        until: datetime | None,
        as_json: bool,
    ) -> None:
        desk = Desk.open(home, person)
        notice, to = desk.notice(notice_id, regime), parse_recipients(desk.edge, recipients)
        now = desk.edge.clock.now()
        answer = desk.send(
            Template(
                kind=kind,
                collection=collection(desk, channel, evidence, agent, second_agent, evidence_file),
                purpose=notice.purpose,
                fields=desk.fields(selectors, notice, sources),
                sources=sources,
                recipients=to,
                controllers=tuple(partner for partner, _ in to),
                notice=(notice, language),
                end=until.replace(tzinfo=UTC) if until else now + DEFAULT_DURATION,
                retention=RETENTION,
                withdrawal_method=WITHDRAWAL,
                actor="institution" if kind is EventKind.INFORMED else "personne",
            )
        )
        _print(desk, home, answer, as_json)

    return command


def _print(desk: Desk, home: Path, answer: dict[str, Any], as_json: bool) -> None:
    lines = keep(desk.edge, home, answer)
    said = f"Record {answer['record_id']}: {answer['state']} (event {answer['seq']}). Receipt {answer['receipt_id']}."
    print_answer(answer, as_json, said, *lines)


_until = click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="End, not included (default: one year).")


def _saying(name: str, kind: EventKind, regime: Regime, help_text: str) -> None:
    command = _until(evidence_options(scope_options(person_options(_say(kind, regime)))))
    consent.command(name, help=help_text)(command)


_saying(
    "grant",
    EventKind.GRANTED,
    Regime.ACCORD,
    """The person agrees (« J'accepte »).

    \b
    Example:  maillon consent grant --home departement --person D-1 --notice accompagnement_global \\
                --source caf --source cpam --recipient departement:referent_parcours \\
                --evidence E1 --agent a.martin --second-agent b.durand
    """,
)
_saying(
    "deny",
    EventKind.DENIED,
    Regime.ACCORD,
    """The person refuses (« Je refuse »): stronger than any agreement, whenever given.

    \b
    Example:  maillon consent deny --home departement --person D-1 --notice accompagnement_global \\
                --source caf --field ressources.* --agent a.martin --second-agent b.durand
    """,
)
_saying(
    "inform",
    EventKind.INFORMED,
    Regime.INFORMATION,
    """The person was informed (« On vous informe »), where a text needs that and not an agreement.

    \b
    Example:  maillon consent inform --home departement --person D-1 --notice acces_aux_droits \\
                --source caf --agent a.martin --second-agent b.durand
    """,
)


@consent.command("narrow")
@person_options
@click.option("--record", "record_id", help="The agreement to narrow.")
@click.option("--remove", "removed", multiple=True, help="Fields no longer agreed to, e.g. contact.*")
@click.option(
    "--protect", is_flag=True, help="For every purpose and reader: protection renforcée of the --remove fields."
)
@evidence_options
def narrow(
    home: Path,
    person: str,
    record_id: str | None,
    removed: tuple[str, ...],
    protect: bool,
    channel: str,
    evidence: str,
    agent: str,
    second_agent: str | None,
    evidence_file: Path | None,
    as_json: bool,
) -> None:
    """Take fields out of an agreement, or (--protect) out of everything.

    \b
    Example:  maillon consent narrow --home departement --person D-1 --record ID --remove ressources.* \\
                --agent a.martin --second-agent b.durand
    """
    if protect == bool(record_id) or not removed:
        raise click.UsageError("--remove, and one of --record and --protect")
    desk = Desk.open(home, person)
    taken = collection(desk, channel, evidence, agent, second_agent, evidence_file)
    gone, index = select(desk.edge, removed), desk.edge.policy.index
    if record_id is None:
        template = Template(
            kind=EventKind.PROTECTED, collection=taken, fields=index.paths(gone), cause="protection_renforcee"
        )
    else:
        record = desk.record(record_id)
        template = Template(
            kind=EventKind.NARROWED,
            collection=taken,
            purpose=record["purpose"],
            end=None if record["valid_to"] is None else datetime.fromisoformat(record["valid_to"]),
            retention=RETENTION,
            withdrawal_method=WITHDRAWAL,
            follows=follows(record),
            **scope_of(record) | {"fields": index.paths(index.mask(record["fields"]) & ~gone)},
        )
    _print(desk, home, desk.send(template), as_json)


def _answer_to(kind: EventKind) -> Callable[..., None]:
    def command(
        home: Path,
        person: str,
        record_id: str,
        channel: str,
        evidence: str,
        agent: str,
        second_agent: str | None,
        evidence_file: Path | None,
        as_json: bool,
    ) -> None:
        desk = Desk.open(home, person)
        record = desk.record(record_id)
        # A withdrawal takes back all that was said; an objection names what it is against.
        against: dict[str, Any] = {} if kind is EventKind.REVOKED else scope_of(record)
        template = Template(
            kind=kind,
            collection=collection(desk, channel, evidence, agent, second_agent, evidence_file),
            purpose=record["purpose"],
            follows=follows(record),
            **against,
        )
        _print(desk, home, desk.send(template), as_json)

    return command


def _answering(name: str, kind: EventKind, help_text: str) -> None:
    record = click.option("--record", "record_id", required=True, help="See: maillon consent show")
    consent.command(name, help=help_text)(record(evidence_options(person_options(_answer_to(kind)))))


_answering(
    "withdraw",
    EventKind.REVOKED,
    """The person takes back what was said (« Je retire mon accord »). Once acknowledged, nothing more is released.

    \b
    Example:  maillon consent withdraw --home departement --person D-1 --record ID --evidence E0 --agent a.martin
    """,
)
_answering(
    "object",
    EventKind.OBJECTED,
    """The person objects (« Je m'oppose ») to what she was informed of; suspends it where its text allows.

    \b
    Example:  maillon consent object --home departement --person D-1 --record ID --evidence E0 --agent a.martin
    """,
)


consent.add_command(receipt)


@consent.command("show")
@person_options
def show(home: Path, person: str, as_json: bool) -> None:
    """Show what the person said so far, as far as this partner may know it.

    \b
    Example:  maillon consent show --home departement --person D-1
    """
    desk = Desk.open(home, person)
    records = desk.edge.hub.search_consents(desk.ref)["records"]
    header = ("record", "state", "purpose", "until", "fields", "sources")
    rows = [
        (
            r["record_id"],
            r["state"],
            r["purpose"] or "–",
            r["valid_to"] or "–",
            str(len(r["fields"])),
            ", ".join(r["sources"]),
        )
        for r in records
    ]
    print_answer({"records": records}, as_json, *(table(header, rows) if rows else ["Nothing was said yet."]))
