"""``maillon index review``: the reviewer's queue, by kinds of token and flags; ``stats`` and ``notices`` beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from connectors.kit.edge import Edge
from connectors.kit.runtime.clock import SystemClock
from hub.cli.homes import hub_client
from hub.cli.output import home_option, json_option, print_answer, table

hub_home = click.option(
    "--home",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The hub's folder, or the DPO's with dpo.jwk and a copy of hub.toml.",
)
reason_option = click.option("--reason", required=True, help="In a few words, without any personal detail.")


@click.group()
def review() -> None:
    """Doubts about who is who: two persons, or one? Decided by a human, with the DPO's key.

    The hub knows no name and no date: what is shown are the kinds of token that agree or differ (docs/index.md) and
    flags. Every decision is written in the log.
    """


@review.command("list")
@hub_home
@click.option("--all", "decided", is_flag=True, help="Also those that were decided.")
@click.option("--limit", default=50, show_default=True)
@click.option("--after", help="Begin after this review.")
@json_option
def list_reviews(home: Path, decided: bool, limit: int, after: str | None, as_json: bool) -> None:
    """List the doubts that wait, oldest first.

    \b
    Example:  maillon index review list --home dpo
    """
    criteria = {"decided": decided, "limit": limit} | ({"cursor": after} if after else {})
    answer = hub_client(home, "dpo").ask_index("reviews/search", criteria)
    header = ("review", "since", "state", "why", "agree", "record of", "may be that of")
    rows = [
        (
            each["review_id"],
            each["opened_at"][:10],
            each["state"],
            each["doubt"],
            " ".join(each["kinds"]) or "–",
            ", ".join(each["partners"]["raised"]) or "–",
            ", ".join(each["partners"]["candidate"]) or "–",
        )
        for each in answer["reviews"]
    ]
    more = [f"More: --after {answer['next']}"] if answer["next"] else []
    print_answer(answer, as_json, *(table(header, rows) if rows else ["Nothing waits."]), *more)


@review.command("show")
@click.argument("review_id")
@hub_home
@json_option
def show(review_id: str, home: Path, as_json: bool) -> None:
    """Show one doubt: each record of one side beside each of the other. Written in the log.

    \b
    Example:  maillon index review show 6f1d2c3b-4a59-4687-9c7d-0e1f2a3b4c5d --home dpo
    """
    answer = hub_client(home, "dpo").ask_index("reviews/show", {"review_id": review_id})
    head = f"{answer['doubt']}, {answer['state']}; raised by {', '.join(answer['partners']['raised']) or 'nobody now'}"
    print_answer(answer, as_json, head, *pair_lines(answer["pairs"]))


@review.command("decide")
@click.argument("review_id")
@click.argument("decision", type=click.Choice(["link", "different", "ask"]))
@hub_home
@reason_option
@json_option
def decide(review_id: str, decision: str, home: Path, reason: str, as_json: bool) -> None:
    """Decide: `link` (one person), `different` (two, for good), `ask` (wait until a partner completes its own record).

    `link` on what was judged different, or split, undoes that. `ask` tells no partner anything: each sees what its own
    records lack, doubt or no doubt.

    \b
    Example:  maillon index review decide 6f1d2c3b-4a59-4687-9c7d-0e1f2a3b4c5d different --home dpo --reason "jumeaux"
    """
    asked = {"review_id": review_id, "decision": decision, "reason": reason}
    answer = hub_client(home, "dpo").ask_index("reviews/decide", asked)
    print_answer(answer, as_json, f"Review {answer['review_id']}: {answer['state']}.")


@click.command("stats")
@hub_home
@click.option("--as", "principal", default="dpo", show_default=True, type=click.Choice(["dpo", "operator"]))
@json_option
def stats(home: Path, principal: str, as_json: bool) -> None:
    """Count persons, records, links by rule, tokens by kind and epoch, doubts, floods. No person.

    \b
    Example:  maillon index stats --home dpo
    """
    answer = hub_client(home, "dpo" if principal == "dpo" else "operator").index_stats()
    single = [(name, "", str(answer[name])) for name in ("persons", "provisional", "floods", "kept_apart")]
    many = [
        (name, key, str(n)) for name in ("records", "links", "reviews", "tokens") for key, n in answer[name].items()
    ]
    epochs = [("records under epoch", str(each["epoch"]), str(each["records"])) for each in answer["epochs"]]
    print_answer(answer, as_json, *table(("what", "of", "number"), single + many + epochs))


@click.command("notices")
@home_option
@click.option("--limit", default=100, show_default=True)
@json_option
def notices(home: Path, limit: int, as_json: bool) -> None:
    """Show what this partner has to know of corrected links: data of another person it received, refs to renew.

    `autre_personne` names your own request (trace) and the source whose answer was another person's: take it out of the
    case. `reenregistrer` names a ref: its records get their own when they are registered again.

    \b
    Example:  maillon index notices --home departement
    """
    edge = Edge.open(home, SystemClock())
    answer = edge.hub.ask_index("link-notices/search", {"limit": limit})
    rows = [
        (
            each["at"][:10],
            each["kind"] + ("" if each["is_certain"] else " (possibly)"),
            each["trace_id"] or each["ref"] or "–",
            each["source"] or "–",
            str(len(each["fields"])),
        )
        for each in answer["notices"]
    ]
    header = ("told", "what", "your request, or ref", "from", "fields")
    print_answer(answer, as_json, *(table(header, rows) if rows else ["No link was corrected."]))


def pair_lines(pairs: Sequence[dict[str, Any]]) -> list[str]:
    """Lay pairs of records out for a person."""
    header = ("record of", "beside one of", "agree", "differ", "rules say", "lacks", "other lacks")
    show_list: Callable[[Sequence[str]], str] = lambda names: " ".join(names) or "–"  # noqa: E731
    rows = [
        (
            pair["record"]["partner"],
            pair["other"]["partner"],
            show_list(pair["agree"]),
            show_list(pair["differ"]),
            pair["rules_say"] or "–",
            show_list(pair["record"]["gaps"]),
            show_list(pair["other"]["gaps"]),
        )
        for pair in pairs
    ]
    return table(header, rows) if rows else ["No two records to compare."]
