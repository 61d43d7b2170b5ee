"""RecommenderService: models, events and a bounded queue, without any HTTP."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cigf.data.behaviors import Behaviors
from cigf.errors import CigfError, ConfigError
from cigf.inference.quick_model import Ask
from cigf.service.asked import ListRequest
from cigf.service.event_log import Event, EventLog
from cigf.service.event_store import Done, EventStore
from cigf.service.model import List, ServedModel
from cigf.service.models import Models
from cigf.service.settings import Limits
from cigf.service.worker import Worker

if TYPE_CHECKING:
    from cigf.analysis.explanation import Explanation
    from cigf.inference.torch_side import TorchSide

_QUICK = 50_000
"""Up to so many scores, computing takes less time than handing over to another thread."""


_MOST_WHYS = 16
"""Most requests for explanations that wait."""


@dataclass(frozen=True, eq=False)
class _Job:
    model: ServedModel
    users: tuple[str | None, ...]
    done: list[Done]
    asks: list[Ask]


@dataclass(frozen=True, eq=False)
class _Why:
    model: ServedModel
    user: str
    item: str | None
    behavior: str | None
    k: int


class RecommenderService:
    """Answers requests from loaded models and from events posted since they were trained.

    All methods may be called from several threads. `close` it.

    Args:
        paths: Run or artifact folders by name; the first is the default.
        events: File of posted events; None: it takes none.
        limits: What it takes on.

    Raises:
        ArtifactError: A model cannot be loaded.
        EventLogError: The file cannot be used.
    """

    def __init__(
        self, paths: Mapping[str, Path], events: Path | None = None, limits: Limits | None = None
    ) -> None:
        self.limits = limits or Limits()
        self.models = Models(paths)
        self._store = EventStore(self.limits.remembered_events)
        self._log = None if events is None else EventLog(events)
        for event in () if self._log is None else self._log.replay():
            self._store.add(event)
        waiting = 4 * self.limits.max_concurrency
        most = self.limits.max_users_at_once
        self._lists: Worker[_Job, list[List]] = Worker(self._rank, waiting, most, "cigf-lists")
        self._writer: Worker[Sequence[Event], int] = Worker(
            self._write, waiting, 16 * self.limits.max_events, "cigf-events"
        )
        # Explaining takes long beside listing, so few of them may wait.
        self._whys: Worker[_Why, Explanation] = Worker(_explain, _MOST_WHYS, 1, "cigf-explain")
        self.is_open = True

    @property
    def takes_events(self) -> bool:
        """Whether there is a file for events."""
        return self._log is not None

    @property
    def torn(self) -> tuple[int, Path]:
        """Bytes that were torn at the end of the event log, and the file they were moved to."""
        return (0, Path()) if self._log is None else (self._log.n_torn, self._log.torn)

    @property
    def n_events(self) -> int:
        """Posted events held in memory."""
        return len(self._store)

    @property
    def n_waiting(self) -> int:
        """Requests for lists that wait."""
        return len(self._lists)

    def recommend(self, request: ListRequest) -> "Future[list[List]]":
        """Compute the lists of some users: at once if that is quick, else in another thread.

        Raises:
            UnknownIdError: There is no such model, or it knows none of the allowed items.
            DataError: There is no such behavior.
            OverloadedError: Too many requests wait.
        """
        model = self.models.get(request.model)
        _check_behaviors(request.done, model.behaviors)
        done = [self._done(user, request.done) for user in request.users]
        asks = [
            _as_before(model, user, each, model.ask(user, each, request.options))
            for user, each in zip(request.users, done, strict=True)
        ]
        job = _Job(model, request.users, done, asks)
        if is_quick(model, len(asks)) and all(map(model.is_at_hand, asks)):
            return _finished(self._rank([job])[0])
        return self._lists.submit(job, len(asks))

    def explain(
        self, model: ServedModel, user: str, item: str | None, behavior: str | None, k: int
    ) -> "Future[Explanation]":
        """Say why a user gets an item, by what the model learned from; in another thread.

        The future raises what `TrainedRecommender.explain` raises.

        Raises:
            OverloadedError: Too many requests wait.
        """
        return self._whys.submit(_Why(model, user, item, behavior, k))

    def add_events(self, events: Sequence[Event]) -> "Future[int]":
        """Begin to write events; done when they are safe on the disk and in use.

        Raises:
            ConfigError: The service takes no events.
            DataError: No model has such a behavior.
            OverloadedError: Too many requests wait.
        """
        if self._log is None:
            raise ConfigError("this server takes no events; start it with --events FILE")
        known = {name for model in self.models for name in model.behaviors}
        unknown = next((e.behavior for e in events if e.behavior not in known), None)
        if unknown is not None:
            self.models.get(None).behaviors.index(unknown)
        return self._writer.submit(events, len(events))

    def load_rest(self, tell: Callable[[str, BaseException], object]) -> None:
        """Begin to load what the first users with new events would wait for.

        Args:
            tell: Told of each model of which it cannot be loaded, by name, and why.
        """
        for model in self.models:
            if model.can_fold_in:
                model.torch.start().add_done_callback(partial(_tell_failure, tell, model.name))

    def close(self) -> None:
        """Finish what was begun, and close the event log."""
        if self.is_open:
            self.is_open = False
            self._lists.close()
            self._whys.close()
            self._writer.close()
            if self._log is not None:
                self._log.close()

    def _done(self, user: str | None, now: Done) -> Done:
        """Return all that a user did since training."""
        before = {} if user is None else self._store.of(user)
        if not (before and now):
            return now or before
        return {name: (*before.get(name, ()), *now.get(name, ())) for name in {**before, **now}}

    def _write(self, groups: list[Sequence[Event]]) -> list[int | Exception]:
        assert self._log is not None
        self._log.append([event for group in groups for event in group])
        for group in groups:
            for event in group:
                self._store.add(event)
        return [len(group) for group in groups]

    def _rank(self, jobs: list[_Job]) -> list[list[List] | Exception]:
        """Compute jobs; those of one model in one go."""
        results: dict[int, list[List] | Exception] = {}
        for model in {id(job.model): job.model for job in jobs}.values():
            numbers = [n for n, job in enumerate(jobs) if job.model is model]
            found = _rank_of(model, [jobs[n] for n in numbers], self.limits.max_users_at_once)
            results.update(zip(numbers, found, strict=True))
        return [results[number] for number in range(len(jobs))]


def _explain(jobs: list[_Why]) -> list["Explanation | Exception"]:
    found: list[Explanation | Exception] = []
    for job in jobs:
        try:
            found.append(job.model.explain(job.user, job.item, job.behavior, job.k))
        except CigfError as error:
            found.append(error)
    return found


def _tell_failure(
    tell: Callable[[str, BaseException], object], name: str, loaded: "Future[TorchSide]"
) -> None:
    error = loaded.exception()
    if error is not None:
        tell(name, error)


def is_quick(model: ServedModel, n_users: int) -> bool:
    """Tell whether lists are computed at once."""
    return n_users * len(model.items) <= _QUICK


def _as_before(model: ServedModel, user: str | None, done: Done, ask: Ask) -> Ask:
    """Give a list its user as she was represented before, if she has done nothing since."""
    if user is None or not model.needs_folding(ask):
        return ask
    return replace(ask, folded=model.recent.get(user, done))


def _finished(result: list[List] | Exception) -> "Future[list[List]]":
    future: Future[list[List]] = Future()
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
    return future


def _rank_of(model: ServedModel, jobs: list[_Job], most: int) -> list[list[List] | Exception]:
    """Compute the jobs of a model, of at most so many users in one product."""
    try:
        asks = model.fold([ask for job in jobs for ask in job.asks])
        parts = (asks[begin : begin + most] for begin in range(0, len(asks), most))
        ranked = [each for part in parts for each in model.quick.rank(part)]
    except CigfError as error:
        if len(jobs) == 1:
            return [error]
        # One cannot be done; the others are not to fail with it.
        return [result for job in jobs for result in _rank_of(model, [job], most)]
    users = [user for job in jobs for user in job.users]
    done = [each for job in jobs for each in job.done]
    for user, each, ask in zip(users, done, asks, strict=True):
        if user is not None and ask.folded is not None:
            model.recent.put(user, each, ask.folded)
    lists = iter(map(model.answer, users, asks, ranked))
    return [[next(lists) for _ in job.asks] for job in jobs]


def _check_behaviors(done: Done, behaviors: Behaviors) -> None:
    for name in done:
        behaviors.index(name)
