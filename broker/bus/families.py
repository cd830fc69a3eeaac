"""What a metric is here: a row of the table, labels with closed sets, and children that are made once and then kept."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Summary, disable_created_metrics
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

disable_created_metrics()  # type: ignore[no-untyped-call]  # else a second series for each child, which nothing reads

_KINDS: dict[str, Any] = {"counter": Counter, "gauge": Gauge, "histogram": Histogram, "summary": Summary}
_FEW = 12
_MOST_KEPT = 4_096  # what a call site hands in to be folded need not be closed


class Form(NamedTuple):
    """Values that are not listed but known by their form: a topic, a version."""

    pattern: re.Pattern[str]

    def __contains__(self, value: object) -> bool:
        return isinstance(value, str) and self.pattern.fullmatch(value) is not None


class Label(NamedTuple):
    """One label: what may be told, and how a call site's value becomes it.

    `most` is how many values one process can tell, by its role: as many as are listed unless said.
    """

    name: str
    values: tuple[str, ...] | Form
    most: Mapping[str, int] = MappingProxyType({})
    fold: Callable[[Any], str] = str

    @property
    def listed(self) -> tuple[str, ...]:
        """Its values, none when they only have a form."""
        return () if isinstance(self.values, Form) else self.values

    def count(self, role: str) -> int:
        return self.most.get(role, len(self.listed))


class Row(NamedTuple):
    """One metric as it is told: `name` with its suffix, who tells it, and the bounds of a histogram's buckets."""

    kind: str
    name: str
    help: str
    roles: frozenset[str]
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def samples(self) -> int:
        """Series of one child: a histogram has `+Inf`, `_sum` and `_count` beside its buckets."""
        return {"histogram": len(self.buckets) + 3, "summary": 2}.get(self.kind, 1)

    def series(self, role: str) -> int:
        """The most series of it that one process of this role can tell."""
        return math.prod(label.count(role) for label in self.labels) * self.samples if role in self.roles else 0

    def collector(self, registry: CollectorRegistry | None) -> Any:
        """A new metric of this row; not registered anywhere without a registry."""
        more = {"buckets": self.buckets} if self.buckets else {}
        names = [label.name for label in self.labels]
        return _KINDS[self.kind](self.name, self.help, names, registry=registry, **more)

    def begun(self) -> list[tuple[str, ...]]:
        """The children that are told from the start, at zero, so that a first increase is seen: those of few values."""
        if self.kind not in ("counter", "gauge") or any(label.most for label in self.labels):
            return []
        combinations = list(itertools.product(*(label.listed for label in self.labels)))
        return combinations if len(combinations) <= _FEW else []


M = TypeVar("M", bound=Collector)


class Family(Generic[M]):
    """The children of one labelled metric.

    A label value that the table does not declare is told nowhere and only counted: it would be a defect of ours, and
    it must neither end anybody's work nor stand in a metric (I6, I8).
    """

    def __init__(self, row: Row, metric: Any, undeclared: Counter) -> None:
        self._row, self._metric, self._undeclared = row, metric, undeclared
        self._nowhere: M = row._replace(labels=()).collector(None)
        self._children: dict[tuple[object, ...], M] = {}
        for values in row.begun():
            metric.labels(*values)

    def labels(self, *values: object) -> M:
        """The child of these values, in the order of the row's labels."""
        child = self._children.get(values)
        return child if child is not None else self._admitted(values)

    def _admitted(self, values: tuple[object, ...]) -> M:
        labels = self._row.labels
        told = [label.fold(value) for label, value in zip(labels, values, strict=False)]
        declared = len(values) == len(labels) and all(
            one in label.values for label, one in zip(labels, told, strict=True)
        )
        if not declared:
            self._undeclared.inc()
            return self._nowhere
        child: M = self._metric.labels(*told)
        if len(self._children) < _MOST_KEPT:
            self._children[values] = child
        return child


class Table:
    """The rows by name, each with its metric in the registry of the process; `undeclared` is the first of them."""

    def __init__(self, undeclared: Row) -> None:
        self.rows: dict[str, Row] = {}
        self._collectors: dict[str, Collector] = {}
        self.undeclared: Counter = self._add(undeclared)

    def counter(self, name: str, told: str, roles: str) -> Counter:
        """One series; `roles` are the commands of the processes that tell it."""
        metric: Counter = self._add(_row("counter", name, told, roles))
        return metric

    def gauge(self, name: str, told: str, roles: str) -> Gauge:
        metric: Gauge = self._add(_row("gauge", name, told, roles))
        return metric

    def histogram(self, name: str, told: str, roles: str, buckets: tuple[float, ...]) -> Histogram:
        metric: Histogram = self._add(_row("histogram", name, told, roles)._replace(buckets=buckets))
        return metric

    def counters(self, name: str, told: str, roles: str, *labels: Label) -> Family[Counter]:
        """A series for each combination of values that has come up."""
        return self._family(_row("counter", name, told, roles, labels))

    def gauges(self, name: str, told: str, roles: str, *labels: Label) -> Family[Gauge]:
        return self._family(_row("gauge", name, told, roles, labels))

    def summaries(self, name: str, told: str, roles: str, *labels: Label) -> Family[Summary]:
        return self._family(_row("summary", name, told, roles, labels))

    def histograms(
        self, name: str, told: str, roles: str, *labels: Label, buckets: tuple[float, ...]
    ) -> Family[Histogram]:
        return self._family(_row("histogram", name, told, roles, labels)._replace(buckets=buckets))

    def keep(self, role: str) -> None:
        """Tell from now on only what processes of this role tell."""
        for name in [name for name in self._collectors if role not in self.rows[name].roles]:
            REGISTRY.unregister(self._collectors.pop(name))

    def _family(self, row: Row) -> Family[Any]:
        return Family(row, self._add(row), self.undeclared)

    def _add(self, row: Row) -> Any:
        metric = row.collector(REGISTRY)
        self.rows[row.name], self._collectors[row.name] = row, metric
        return metric


def _row(kind: str, name: str, told: str, roles: str, labels: tuple[Label, ...] = ()) -> Row:
    return Row(kind, name, told, frozenset(roles.split()), labels)
