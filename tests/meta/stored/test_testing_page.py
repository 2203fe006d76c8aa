"""Does TESTING.md hold the table that the stored results of the catalogue give?"""

from cnnspec.facts import reading
from cnnspec.faults import power, store
from cnnspec.reports import markdown

PAGE = reading.PROJECT / "TESTING.md"
START, END = "<!-- catalogue -->\n", "<!-- end of catalogue -->"


def table():
    """The table of the stored rows by kind, and that of the tiers which named them."""
    rows = store.CATALOGUE.read(store.PATH)
    tiers = [[tier, str(count)] for tier, count in power.by_tier(rows).items()]
    tables = markdown.table(power.HEADER, power.by_kind(rows)), markdown.table(("named first by", "faults"), tiers)
    return "\n\n".join(each.strip() for each in tables) + "\n"


def test_the_page_has_the_table():
    """Between its marks the page holds what the stored rows give."""
    made = table()
    told = PAGE.read_text(encoding="utf-8").partition(START)[2].partition(END)[0]
    assert told == made, f"the table is now\n{made}"
