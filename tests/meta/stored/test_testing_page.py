"""Does TESTING.md hold the tables that the stored results of the catalogue, the variants and the mutants give?"""

import pytest

from cnnspec.facts import reading
from cnnspec.faults import power, store
from cnnspec.reports import markdown
from tests.meta.faults.healthy.variants import VARIANTS
from tests.meta.mutation import scores

PAGE = reading.PROJECT / "TESTING.md"


def of_faults():
    """The table of the stored rows by kind, and that of the tiers which named them."""
    rows = store.CATALOGUE.read(store.PATH)
    tiers = [[tier, str(count)] for tier, count in power.by_tier(rows).items()]
    tables = markdown.table(power.HEADER, power.by_kind(rows)), markdown.table(("named first by", "faults"), tiers)
    return "\n\n".join(each.strip() for each in tables) + "\n"


def of_mutants():
    """The table of the stored scores by part of the code."""
    rows = scores.SCORES.read(scores.FOLDER / "scores.csv")
    return markdown.table(scores.HEADER, scores.table(rows)).strip() + "\n"


def of_variants():
    """The table of the last stored row of each healthy variant, in the order of the list."""
    rows = {row["variant"]: row for row in store.VARIANTS.read(store.VARIANTS_PATH)}
    header = ("healthy variant", "framework", "verdict", "passed", "known differences", "largest share of a bound")
    cells = [
        [name, *(rows[name][key] for key in ("framework", "verdict", "passed", "known_differences")), share(rows[name])]
        for name in VARIANTS
        if name in rows
    ]
    return markdown.table(header, cells).strip() + "\n"


def share(row):
    """The largest share of a bound that a run used, in per cent."""
    return f"{float(row['tightest']):.0%}"


def test_no_stored_healthy_variant_is_accused():
    """Every stored variant is one of the list, and passes."""
    rows = {row["variant"]: row["verdict"] for row in store.VARIANTS.read(store.VARIANTS_PATH)}
    assert set(rows) <= set(VARIANTS)
    assert set(rows.values()) == {"pass"}


@pytest.mark.parametrize(("mark", "made"), [("catalogue", of_faults), ("variants", of_variants), ("mutants", of_mutants)])
def test_the_page_has_the_table(mark, made):
    """Between its marks the page holds what the stored rows give."""
    told = PAGE.read_text(encoding="utf-8").partition(f"<!-- {mark} -->\n")[2].partition(f"<!-- end of {mark} -->")[0]
    assert told == made(), f"the table is now\n{made()}"
