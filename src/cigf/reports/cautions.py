"""What to be careful about in a run: found in its figures, never said of every run alike."""

from collections.abc import Iterable, Iterator

from cigf.reports.run_facts import MODEL, Quality, RunFacts

Caution = tuple[str, str]
"""A heading, and what to know."""

MANY_TOUCHED = 0.5
FEW_USERS = 500
FEW_PAIRS = 200
FADED = 0.02
"""A validation that fell by this share of its best value has clearly become worse."""
GAP = 0.2
NARROW = 0.1
"""Lists that show less than this share of the catalog are narrow."""


def cautions(facts: RunFacts) -> list[Caution]:
    """Return what stands out, the most important first."""
    quality = facts.quality
    found = [*_against_rules(quality), *_of_the_test(facts, quality)] if quality else [_UNTESTED]
    return [*found, *_of_training(facts), *_of_lists(facts)]


_UNTESTED = (
    "Nothing was held out.",
    "So this page cannot say how good the recommendations are. Prepare the data with a split that "
    "holds out some pairs, and train again.",
)


def percent(share: float) -> str:
    """Write a share as a percentage, small ones with a digit more."""
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"


_GROUPS = {"all": "over all pairs", "touched": "for touched pairs", "new": "for discoveries"}
_RULES = {"touched_first": "the touched-first rule", "popularity": "popularity"}


def _against_rules(quality: Quality) -> Iterator[Caution]:
    """Name, for each group of pairs, the rules that beat the model or cannot be told from it."""
    for group, pairs in _GROUPS.items():
        better, equal = [], []
        for rule, name in _RULES.items():
            difference = quality.differences.get((rule, quality.protocol, group))
            if difference is None or (rule, group) == ("touched_first", "new"):
                continue  # for discoveries that rule is popularity itself
            if difference.high < 0:
                better.append((rule, name))
            elif difference.low <= 0:
                equal.append((rule, name))
        if better:
            verb = "beats" if len(better) == 1 else "beat"
            yield (
                f"{_upper(_and(name for _, name in better))} {verb} the model {pairs}.",
                f"{_figures(quality, group, better)}. Such a rule learns nothing and costs "
                "nothing: use it there, or find out why.",
            )
        if equal:
            yield (
                f"The model and {_and(name for _, name in equal)} cannot be told apart {pairs}.",
                f"{_figures(quality, group, equal)}. The interval of the difference in NDCG holds "
                "zero.",
            )


def _figures(quality: Quality, group: str, rules: Iterable[tuple[str, str]]) -> str:
    values = [(name, quality.value(rule, group)) for rule, name in ((MODEL, "the model"), *rules)]
    figures = [f"{name} {percent(value.value)}" for name, value in values if value is not None]
    return f"{quality.names[0].upper()} ({quality.protocol}): {', '.join(figures)}"


def _and(names: Iterable[str]) -> str:
    return " and ".join(names)


def _upper(words: str) -> str:
    return words[:1].upper() + words[1:]


def _of_the_test(facts: RunFacts, quality: Quality) -> Iterator[Caution]:
    n_all, touched = quality.n_pairs["all"], quality.n_pairs["touched"]
    if touched > MANY_TOUCHED * n_all:
        yield (
            f"{percent(touched / n_all)} of the held-out pairs are of items the user had met "
            "before.",
            "A figure over all pairs therefore says mostly how well the model remembers what a "
            "user looked at. Read touched pairs and discoveries apart.",
        )
    if quality.n_users < FEW_USERS:
        value = quality.value(MODEL, "all")
        width = ""
        if value is not None and value.low is not None and value.high is not None:
            width = f" {quality.names[0].upper()} lies between {percent(value.low)} and "
            width += f"{percent(value.high)} with 95 % confidence."
        yield (
            f"Only {quality.n_users:,} users were tested.",
            f"Small differences are chance.{width}",
        )
    for group in ("touched", "new"):
        n = quality.n_pairs[group]
        if 0 < n < FEW_PAIRS and n_all >= FEW_PAIRS:
            yield f"Only {n:,} held-out pairs are {group}.", "Their figures are rough."
    if not facts.has_times:
        yield (
            "The log has no times.",
            "The held-out pairs are not the last ones, so the test asks for gaps to be filled, "
            "which is easier than to tell the future.",
        )
    if quality.part == "valid":
        yield (
            "These are validation pairs.",
            "No test pairs were held out. The epoch was chosen on these very pairs, so the figures "
            "are a little too good.",
        )


def _of_training(facts: RunFacts) -> Iterator[Caution]:
    validated = facts.validated
    if not validated:
        if len(facts.epochs) > 1:
            yield (
                "No epoch was validated.",
                "The last one was kept, be it good or not; nothing shows whether it was trained "
                "too little or too much.",
            )
        return
    values = [each["metrics"][facts.metric] for each in validated]
    place = max(range(len(values)), key=values.__getitem__)
    best, last = validated[place], validated[-1]
    if place == len(values) - 1 and len(values) > 1 and values[-1] > values[0]:
        yield (
            "The last validated epoch is the best one.",
            f"{facts.metric} was still rising in epoch {last['epoch']}: more epochs may help.",
        )
    elif values[place] - values[-1] > FADED * values[place] and last["loss"] < best["loss"]:
        yield (
            "The model began to overfit.",
            f"After epoch {best['epoch']} the loss fell from {best['loss']:.3f} to "
            f"{last['loss']:.3f}, but {facts.metric} on the validation pairs fell from "
            f"{values[place]:.3f} to {values[-1]:.3f}. Epoch {facts.info.get('selected_epoch')} "
            "was kept.",
        )
    yield from _gap(facts, values[place])


def _gap(facts: RunFacts, best: float) -> Iterator[Caution]:
    """Compare the selecting metric on validation and test."""
    quality, (metric, protocol, *rest) = facts.quality, facts.metric.split("/")
    if quality is None or quality.part != "test":
        return
    groups = quality.measured[MODEL].get(protocol, {})
    value = groups.get(rest[0] if rest else "all", {}).get(metric)
    if value is not None and value.value < (1 - GAP) * best:
        yield (
            "The test is clearly below the validation.",
            f"{facts.metric}: {best:.3f} on the validation pairs of the kept epoch, "
            f"{value.value:.3f} on the test pairs. What was held out for the two differs, or the "
            "epoch was chosen on too few pairs.",
        )


def _of_lists(facts: RunFacts) -> Iterator[Caution]:
    if facts.listed_users and facts.shown_items < NARROW:
        n_items = facts.description.n_items
        yield (
            f"The lists show {percent(facts.shown_items)} of the catalog.",
            f"Lists of ten for {facts.listed_users:,} users hold "
            f"{round(facts.shown_items * n_items):,} of {n_items:,} items; the others are never "
            "shown to them.",
        )
