"""Rehearsals: what a change of access would do to the requests that were recorded. Nothing is changed by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from hatchpay.access.differences import Differences, Group
from hatchpay.access.recorded import ReadFields
from hatchpay.access.replay import Comparison, Standing
from hatchpay.access.routes import RouteTable
from hatchpay.admin.ports import Directory
from hatchpay.admin.rehearsal_views import Change, DifferenceGroup, DifferencesView, PolicyText, RehearsalView
from hatchpay.admin.supposed import WithPolicy, supposed
from hatchpay.admin.views import Actor
from hatchpay.admin.work import demand_everything, within_units
from hatchpay.audit.ports import Replay
from hatchpay.clock import Clock, format_time
from hatchpay.errors import InvalidInput

__all__ = ["DEFAULT_SPAN_US", "Rehearsal", "Rehearsals"]

DEFAULT_SPAN_US: Final = 30 * 24 * 3600 * 1_000_000


class Rehearsals:
    """`standing` is the access that is in force, `routes` the table that the gate asks.

    Where `with_policy` is missing, changes of policies are refused; where `read_fields` is, what policies ask of a body
    is undecided.
    """

    def __init__(
        self,
        directory: Directory,
        replay: Replay,
        standing: Callable[[], Standing],
        routes: RouteTable,
        clock: Clock,
        *,
        with_policy: WithPolicy | None = None,
        read_fields: ReadFields | None = None,
    ) -> None:
        self._directory = directory
        self._replay = replay
        self._standing = standing
        self._routes = routes
        self._clock = clock
        self._with_policy = with_policy
        self._read_fields = read_fields

    def prepare(self, actor: Actor, change: Change, from_us: int | None = None, to_us: int | None = None) -> Rehearsal:
        """To be run. Without `to_us` it reaches to now, without `from_us` 30 days back from there.

        Raises InvalidInput and Conflict for a change that could not be made, InvalidInput for an empty span, Forbidden
        (`grant_exceeds_caller`) for a policy of a caller who could not write it, Unauthenticated where the caller's key
        is no longer good, and DirectoryUnavailable.
        """
        to_us = self._clock() if to_us is None else to_us
        from_us = max(0, to_us - DEFAULT_SPAN_US) if from_us is None else from_us
        if from_us >= to_us:
            raise InvalidInput("from must be before to", field="from")
        before = self._standing()
        with self._directory.read() as view:
            if isinstance(change, PolicyText):
                # A policy tells by its outcome what stands in recorded bodies, one question at a time.
                demand_everything(view, actor, self._clock())
            after = supposed(view, actor, before, change, self._with_policy)
        comparison = Comparison(actor.principal.tenant_id, before, after, self._routes, self._read_fields)
        return Rehearsal(self._directory, self._replay, actor, comparison, from_us, to_us)


class Rehearsal:
    """One run. `done` of `total` records have been looked at; both may be read by other threads while it runs, and are
    0 before it does.
    """

    def __init__(
        self,
        directory: Directory,
        replay: Replay,
        actor: Actor,
        comparison: Comparison,
        from_us: int,
        to_us: int,
    ) -> None:
        self._directory = directory
        self._replay = replay
        self._actor = actor
        self._comparison = comparison
        self._span = (from_us, to_us)
        self._skipped: Counter[str] = Counter()
        self._undecided: Counter[str] = Counter()
        self._denied = Differences()
        self._allowed = Differences()
        self.done = 0
        self.total = 0

    def steps(self) -> Iterator[None]:
        """Goes through the record, batch by batch: whoever drives it may stop between two. Raises AuditUnavailable."""
        principal = self._actor.principal
        wanted = (principal.tenant_id, *self._span, principal.business_unit_ids)
        self.total = self._replay.count(*wanted)
        for batch in self._replay.records(*wanted):
            for record in batch:
                verdict = self._comparison.judge(record)
                match verdict.outcome:
                    case "same":
                        pass
                    case "denied":
                        self._denied.add(record, verdict)
                    case "allowed":
                        self._allowed.add(record, verdict)
                    case "skipped":
                        self._skipped[verdict.reason] += 1
                    case "undecided":
                        self._undecided[verdict.reason] += 1
            self.done += len(batch)
            # Some of it may have been written after it was counted.
            self.total = max(self.total, self.done)
            yield

    def result(self) -> RehearsalView:
        """Once all steps are done. Raises DirectoryUnavailable."""
        from_us, to_us = self._span
        denied, allowed = self._denied.largest(), self._allowed.largest()
        names = self._names({group.key_id for group in (*denied, *allowed) if group.key_id is not None})
        return RehearsalView(
            from_=format_time(from_us),
            to=format_time(to_us),
            requests=self.done,
            skipped=dict(sorted(self._skipped.items())),
            undecided=self._undecided.total(),
            undecided_because=dict(sorted(self._undecided.items())),
            denied=_view(self._denied, denied, names),
            allowed=_view(self._allowed, allowed, names),
        )

    def _names(self, key_ids: set[str]) -> dict[str, str]:
        limits = self._actor.principal.limits
        with self._directory.read() as view:
            keys = view.keys_by_id(self._actor.principal.tenant_id, key_ids)
        return {key.id: key.name for key in keys.values() if within_units(limits, key.business_unit_ids)}


def _view(all_of_them: Differences, groups: list[Group], names: dict[str, str]) -> DifferencesView:
    shown = tuple(_group(group, names) for group in groups)
    return DifferencesView(all_of_them.count, shown, all_of_them.group_count - len(shown))


def _group(group: Group, names: dict[str, str]) -> DifferenceGroup:
    is_key = group.principal_id == group.key_id
    return DifferenceGroup(
        principal_id=group.principal_id,
        key_id=group.key_id,
        name=names.get(group.key_id or "") if is_key else None,
        method=group.method,
        route=group.route,
        permission=group.permission,
        count=group.count,
        reason=group.reason,
        missing=group.missing,
        samples=tuple(group.samples),
        first_at=format_time(group.first_us),
        last_at=format_time(group.last_us),
    )
