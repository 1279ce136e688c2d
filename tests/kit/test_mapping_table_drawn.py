"""Rules of any shape and cells of any kind, by column and one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kit.port import Quarantined, Reason
from connectors.kit.readers.table import Cell, Typed
from tests.kit.tables import COLUMNS, Given, both, goes_by_column, the_format

EXPRESSIONS = (
    *(
        "record.cle",
        "record.nom",
        "record.a",
        "record.b",
        "record.vu",
        'record.\\"nom naissance\\"',
        "it.a",
        "record.z",
    ),
    *("record.a.b", "record.a == 'x'", "record.a != `null`", "length(record.a)", "join('-', [record.a, record.b])"),
    *("to_number(record.a)", "sort([record.a, record.b])", "not_null(record.z, record.a)", "[record.a, record.b]"),
    *("{x: record.a}", "[record.a, record.b][?@] | [0]", "'fixe'", "`3`", "`true`", "`[1, 2]`", "`null`"),
    *("record.a && record.b", "record.a || record.b", "!record.a", "to_array(record.a)[0]", "[record.a][]"),
    *("type(record.a)", "to_string(record.b)", "max([record.a, record.b])", "starts_with(record.a, 'x')"),
    *(
        "[record.a, record.b][0:1]",
        "map(&@, [record.a])",
        "record.a[0]",
        "[record.a, record.b][*]",
        "record.a < record.b",
    ),
    *("sum([to_number(record.a)])", "contains([record.a], record.b)", "reverse(record.a)", "' '"),
)
DATES = ("record.b", "record.vu", "record.vu", "record.vu")
BEYOND = ("record", "keys(record)", "values(record)", "identite", "record.*", "record.[a, b]", "role", "liens[0].role")
TRANSFORMS = ("", "text", "as_is", "texts", "joined", "first_two", "emptied", "choosy", "integer", "boolean", "codes")
FIELDS = (
    *("accompagnement.phase", "accompagnement.organisme_referent", "contact.telephone"),
    *("accompagnement.contrat_engagement.date", "identifiants.id_si_departement", "contact.code_postal"),
    *("identite.nom_usage", "foyer.nombre_enfants_a_charge", "contact.est_sans_domicile_fixe"),
)
CELLS: tuple[Cell, ...] = (
    *(None, "", " ", "NULL", "1", "x", "T", "zz", "007", "MaÃ«lle", "Zoé", "\x07", "=1+1", "2026-01-09", "2027-01-01"),
    *("10/06/2025", "x" * 12, "x" * 128, "x" * 129, "x" * 4096, "x" * 4097, " x ", "a;b"),
    *(Typed("1", "number"), Typed("", "number"), Typed("2026-01-09", "date"), Typed("", "date"), Typed(" ", "date")),
    *(Typed("", "formula"), Typed("", "error"), Typed("10:00", "time"), Typed("2026-01-09T10:00:00", "date")),
)
PLAIN: Mapping[str, tuple[Cell, ...]] = {
    "cle": ("7", "8", "", "1"),
    "nom": ("GAC", "LE BRAS"),
    "a": ("1", "x", "T", None),
    "b": ("1", "zz", Typed("2026-01-09", "date"), Typed("", "date")),
    "nom naissance": ("GAC", "GAC", "GAC", ""),
    "vu": ("2001-01-09", "2001-01-10", "", "2027-01-01"),
}


@st.composite
def mappings(draw: st.DrawFn) -> str:
    def value(more: str = "", also: Sequence[str] = ()) -> str:
        expression = st.sampled_from((*EXPRESSIONS, *EXPRESSIONS[:5] * 6, *also))
        several = draw(st.integers(0, 4)) == 0
        source = f"[{', '.join(_quoted(draw(expression)) for _ in range(2))}]" if several else _quoted(draw(expression))
        transform = draw(st.sampled_from((*TRANSFORMS[:1] * 12, *TRANSFORMS)))
        way = f', with = "{transform}"' if transform else draw(st.sampled_from(("", "", "", ', table = "t"')))
        return f"{{ from = {source}{way}{more} }}"

    def sometimes(text: str) -> str:
        return text if draw(st.integers(0, 3)) == 0 else ""

    rules = sometimes(f"as_of = {_quoted(draw(st.sampled_from(DATES)))}\n")
    rules += sometimes(f"date_effet = {_quoted(draw(st.sampled_from(DATES)))}\n")
    keys = [
        '"record.cle"',
        value(),
        '{ from = "identite", with = "civil_key" }',
        '{ from = "identite", with = "strict" }',
    ]
    parts = draw(st.lists(st.sampled_from([*keys[:1] * 6, *keys]), min_size=1, max_size=3))
    rules += f"[formats.f.subjects.p]\nlocal_id = [{', '.join(parts)}]\n[formats.f.subjects.p.identity]\n"
    rules += 'nom_naissance = "record.nom"\n'
    rules += sometimes('nom_usage = "record.b"\n') + sometimes(f"prenoms = {value()}\n") + sometimes("sexe = \"'F'\"\n")
    rules += sometimes('date_naissance = "record.vu"\n') + sometimes(f"code_cog_insee_pays_naissance = {value()}\n")
    rules += '[formats.f.subjects.p.fields]\n"accompagnement.referent" = "record.cle"\n'
    for path in draw(st.lists(st.sampled_from(FIELDS), max_size=2, unique=True)):
        more = ", optional = true" if draw(st.integers(0, 3)) else ""
        more += sometimes(', absent = "sans_droit"')
        more += sometimes(f", when = {_quoted(draw(st.sampled_from(EXPRESSIONS)))}")
        more += sometimes(f", date_effet = {_quoted(draw(st.sampled_from(DATES)))}")
        rules += f'"{path}" = {value(more, BEYOND[:1])}\n'
    return rules


def _quoted(expression: str) -> str:
    return f'"{expression}"'


def compared(data: st.DataObject, rules: str) -> tuple[bool, int]:
    """Whether lines drawn for ``rules`` go by column, and how many of them are told, once both ways say the same."""
    columns = ("cle", *data.draw(st.permutations(COLUMNS[1:]))[: data.draw(st.integers(1, 5))])
    line = st.lists(st.sampled_from(CELLS), max_size=len(columns) + 1)
    usual = st.tuples(*(st.sampled_from((*PLAIN[name] * 120, *CELLS)) for name in columns))
    faults = st.sampled_from([Reason.MALFORMED, Quarantined("document", "", Reason.TRUNCATED)])
    lines = data.draw(st.lists(st.one_of(usual, usual, usual, line, faults), max_size=10))
    native = the_format(Given([columns, *lines]), rules)
    native.reader.at_once = data.draw(st.sampled_from((1, 2, 3, 64)))  # type: ignore[attr-defined]
    skip = data.draw(st.integers(0, len(lines) + 1)) if data.draw(st.booleans()) else 0
    by_column, one_by_one = both(native, skip=skip)
    assert by_column == one_by_one
    told_of = sum(shown.startswith("('line") and "'statements'" in shown for shown, *_ in by_column)
    return goes_by_column(native, columns), told_of


@settings(max_examples=500, deadline=None)
@given(st.data(), mappings())
def test_any_rules_of_any_cells(data: st.DataObject, rules: str) -> None:
    compared(data, rules)


def test_the_rules_went_both_ways() -> None:
    """Of draws that are always the same: whether each way is gone must not hang on chance."""
    seen: list[tuple[bool, int]] = []

    @settings(max_examples=150, derandomize=True, database=None)
    @given(st.data(), mappings())
    def draw(data: st.DataObject, rules: str) -> None:
        seen.append(compared(data, rules))

    draw()
    assert sum(by_column for by_column, _ in seen) > 90, seen
    assert sum(told_of for _, told_of in seen) > 5, seen
