"""The report of a run: from gathered facts to a page."""

from collections.abc import Sequence

from cigf.reports.cautions import cautions, percent
from cigf.reports.data_section import data_section
from cigf.reports.inside_section import inside_section
from cigf.reports.page import (
    Block,
    Cards,
    Cautions,
    Details,
    Lists,
    Page,
    Section,
    Table,
    Text,
)
from cigf.reports.quality_sections import quality_section, served_section, words_of
from cigf.reports.run_facts import MODEL, Quality, RunFacts
from cigf.reports.training_section import training_section


def run_page(facts: RunFacts) -> Page:
    """Return the page of a run."""
    found = [
        Section("careful", "What to be careful about", [Cautions(cautions(facts))]),
        quality_section(facts),
        served_section(facts),
        _users(facts),
        inside_section(facts),
        training_section(facts),
        data_section(facts),
        _settings(facts),
    ]
    versions = ", ".join(f"{name} {v}" for name, v in facts.info.get("versions", {}).items())
    return Page(
        title=f"Report of {facts.run}",
        lead=_lead(facts),
        blocks=[_cards(facts)],
        sections=[section for section in found if section is not None],
        footer=f"Written by {versions}. Data {facts.info.get('fingerprint', 'unknown')}, "
        f"seed {facts.info.get('seed', 'unknown')}.",
    )


def _lead(facts: RunFacts) -> str:
    description, quality = facts.description, facts.quality
    begin = (
        f"The model {facts.model} learned from what {description.n_users:,} users did with "
        f"{description.n_items:,} items ({', '.join(facts.behaviors)}), to tell whom to offer what "
        f"as the next {facts.behaviors[-1]}."
    )
    if quality is None or (mine := quality.value(MODEL, "all")) is None:
        return f"{begin} Nothing was held out to judge it by."
    others = " and ".join(
        f"{words_of(rule)} {percent(value.value)}"
        for rule in ("popularity", "touched_first")
        if (value := quality.value(rule, "all")) is not None
    )
    return (
        f"{begin} Of {quality.n_pairs['all']:,} held-out ones it puts {percent(mine.value)} among "
        f"the first {quality.k} {_competitors(quality)}; {others}."
    )


def _competitors(quality: Quality) -> str:
    return "of the whole catalog" if quality.protocol == "full" else "of 100 items"


def _cards(facts: RunFacts) -> Cards:
    cards = []
    quality = facts.quality
    for group, title in (("all", "all pairs"), ("touched", "touched"), ("new", "discoveries")):
        value = quality.value(MODEL, group) if quality else None
        if quality is None or value is None:
            continue
        rule = quality.value("popularity", group)
        remark = "" if rule is None else f"popularity: {percent(rule.value)}"
        cards.append((f"{quality.names[0].upper()}, {title}", percent(value.value), remark))
    seconds = facts.info.get("train_seconds")
    if seconds is not None:
        cards.append(("Training", duration(seconds), f"{facts.info.get('epochs')} epochs"))
    cards.append(("Users", f"{facts.description.n_users:,}", ""))
    cards.append(("Items", f"{facts.description.n_items:,}", ""))
    return Cards(cards)


def duration(seconds: int | float) -> str:
    """Write a time in the unit that suits it."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _users(facts: RunFacts) -> Section | None:
    if not facts.users:
        return None
    intro = Text(
        "Drawn at random, not chosen. What she did stands with the last first; a recommended item "
        "that she went on to take is marked.",
        is_note=True,
    )
    blocks: list[Block] = [intro]
    for each in facts.users:
        wanted = set(each.wanted)
        lists: dict[str, Sequence[tuple[str, str]]] = {
            name: [(item, "") for item in items] for name, items in each.history.items()
        }
        for name, items in each.recommended.items():
            lists[f"→ {name}"] = [(item, "taken next" * (item in wanted)) for item in items]
        note = f"Held out: {', '.join(each.wanted)}" if each.wanted else ""
        blocks.append(Lists(f"User {each.user}", note, lists))
    return Section("users", "Some users and their lists", blocks)


def _settings(facts: RunFacts) -> Section:
    info = facts.info
    names = ("dataset", "model", "seed", "status", "reason", "epochs", "selected_epoch", "threads")
    rows = [[name.replace("_", " "), str(info[name])] for name in names if name in info]
    if "train_seconds" in info:
        rows.append(["time of training", duration(info["train_seconds"])])
        if info.get("epochs"):
            rows.append(["time of an epoch", duration(info["train_seconds"] / info["epochs"])])
    options = [list(option[:3]) for option in facts.options]
    changed = [number for number, option in enumerate(facts.options) if option[3]]
    table = Table("Every option", ("section", "option", "value"), options, marked=changed)
    marked = "Marked: not the default of this model." if changed else "All are defaults."
    return Section(
        "settings",
        "Run times and configuration",
        [
            Table("The run", ("what", "value"), rows),
            Details("Every option", [Text(marked, is_note=True), table]),
        ],
    )
