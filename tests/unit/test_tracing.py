"""Trace context and spans: what is read and passed on, and that one request is one tree that shows every hop."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from broker.bus.settings import SettingsError
from broker.bus.spans import MOST_A_SECOND, Spans
from broker.bus.tracing import Source, TraceContext, begun, connect, read

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = f"00-{TRACE}-{SPAN}-01"
AGENT_HOPS = {"lane": 1_010, "opened": 1_020, "judged": 1_030, "fetched": 1_050, "recorded": 1_060}
HOPS = {"received": 1_000, **AGENT_HOPS, "replied": 1_070}


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (CALLER, True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-02", False),
        (f"00-{TRACE}-{SPAN}-ff", True),
        (f"01-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", True),
    ],
)
def test_a_valid_context_is_read(header: str, sampled: bool) -> None:  # noqa: FBT001  # the table's column
    """Version 00 is read whole, a later one as far as version 00 goes, and of the flags only the lowest."""
    assert read(header) == TraceContext(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f"cc-{TRACE}-{SPAN}-01.what",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0x",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00_{TRACE}_{SPAN}_01",
        f"0-{TRACE}-{SPAN}-01",
        f" {CALLER}",
        CALLER.replace("0", "０"),
    ],
)
def test_an_invalid_context_is_none(header: str | None) -> None:
    """A header that breaks the form of its version, or bears a forbidden value, names no context."""
    assert read(header) is None


@given(st.text(max_size=200))
def test_no_header_is_an_error(header: str) -> None:
    """Whatever a caller writes, reading ends in a context or in none."""
    context = read(header)
    assert context is None or len(context.header) == 55


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_what_is_written_is_read(trace: int, span: int, sampled: bool) -> None:  # noqa: FBT001  # drawn by hypothesis
    """A context survives its header."""
    context = TraceContext(f"{trace:032x}", f"{span:016x}", sampled)
    assert read(context.header) == context


def test_a_call_in_a_trace_goes_on_in_it() -> None:
    """Our span is a child of the caller's, with its trace and flag, whatever we would choose ourselves."""
    for flag in (True, False):
        here = begun([f" {TraceContext(TRACE, SPAN, flag).header}\t"], sampled=not flag)
        assert (here.trace_id, here.parent_id, here.sampled) == (TRACE, SPAN, flag)
        assert here.span_id != SPAN


@pytest.mark.parametrize("headers", [[], ["nonsense"], [CALLER, CALLER], [f"{CALLER},{CALLER}"]])
def test_a_call_without_a_valid_context_begins_a_trace(headers: list[str]) -> None:
    """No header, an invalid one or two of them: a new trace begins, and its flag is ours to choose."""
    for flag in (True, False):
        here = begun(headers, sampled=flag)
        assert here.trace_id != TRACE
        assert (read(here.header), here.parent_id, here.sampled) == (here._replace(parent_id=""), "", flag)


def test_without_a_collector_nothing_is_imported() -> None:
    """OpenTelemetry is off by default, and then not even loaded."""
    program = (
        "import sys; from broker.bus import tracing;"
        "assert tracing.connect('', role='gateway', process='x') is None;"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_collector_without_the_extra_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that name a collector where OpenTelemetry is not installed say what to install."""
    monkeypatch.delitem(sys.modules, "broker.bus.spans")
    monkeypatch.setitem(sys.modules, "opentelemetry.context", None)
    with pytest.raises(SettingsError, match=r"certlane\[otel\]"):
        connect("http://127.0.0.1:4318", role="gateway", process="x")


class Parties:
    """A gateway and the agents of two provinces that tell their spans to one collector, in memory."""

    def __init__(self) -> None:
        self._exporter, self.now = InMemorySpanExporter(), 0.0
        self.gateway, self.agent = (
            Spans(SimpleSpanProcessor(self._exporter), role=role, process=role, clock=lambda: self.now)
            for role in ("gateway", "worker")
        )

    def request(self, here: TraceContext) -> None:
        """A request that 32 answers and 34 does not, told by everybody who had it."""
        scenario = "YRD-310000-2026-00001@1"
        sources = [
            Source("32", "answered", 0, scenario, 1, HOPS),
            Source("34", "late", 7002, "", 1, {"received": 1_000}),
        ]
        self.agent.item(here.header, interface="I1", part=sources[0]._replace(hops=AGENT_HOPS))
        self.gateway.request(here, interface="I1", status=7003, began_ms=1_000, ended_ms=1_090, sources=sources)

    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())


@pytest.fixture
def parties() -> Parties:
    return Parties()


def tree(spans: list[ReadableSpan], parent: int) -> list[Any]:
    """Name, begin, end (ms) and children of every span below this one, in their order of time."""
    below = [span for span in spans if span.parent and span.parent.span_id == parent]
    below.sort(key=lambda span: (span.start_time or 0, span.end_time or 0))
    return [
        (span.name, (span.start_time or 0) // 10**6, (span.end_time or 0) // 10**6, tree(spans, span.context.span_id))
        for span in below
    ]


def test_one_request_is_one_tree_that_shows_every_hop(parties: Parties) -> None:
    """Below the caller's span stand the call, each province's part, and every leg of the way with its times."""
    parties.request(begun([CALLER], sampled=False))
    assert {span.context.trace_id for span in parties.spans()} == {int(TRACE, 16)}
    way: list[Any] = [
        ("produce", 1_000, 1_010, []),
        (
            "province",
            1_010,
            1_060,
            [
                ("wait in lane", 1_010, 1_020, []),
                ("judge", 1_020, 1_030, []),
                ("fetch", 1_030, 1_050, []),
                ("record", 1_050, 1_060, []),
            ],
        ),
        ("reply", 1_060, 1_070, []),
        ("answer", 1_070, 1_090, []),
    ]
    parts = [("ask", 1_000, 1_090, way), ("ask", 1_000, 1_090, [])]
    (call,) = tree(parties.spans(), int(SPAN, 16))
    assert call[:3] == ("POST /v1/SearchCertificate", 1_000, 1_090)
    assert sorted(call[3], key=lambda part: -len(part[3])) == parts


def test_a_trace_that_begins_here_has_a_root(parties: Parties) -> None:
    """Without a caller's context the call is the root, and every other span hangs below it."""
    here = begun([], sampled=True)
    parties.request(here)
    (root,) = [span for span in parties.spans() if span.parent is None]
    assert (root.context.trace_id, root.context.span_id) == (int(here.trace_id, 16), int(here.span_id, 16))
    ids = {span.context.span_id for span in parties.spans()}
    assert all(span.parent.span_id in ids for span in parties.spans() if span.parent)


def test_spans_say_nothing_of_anybody(parties: Parties) -> None:
    """Attributes are interface, province, state, status, scenario and attempt, and an unknown interface is no text."""
    parties.request(begun([CALLER], sampled=True))
    hostile = Source("32", "refused", 102, "", 1, AGENT_HOPS)
    parties.agent.item(CALLER, interface="李明 990101190001010019", part=hostile)
    named = {name for span in parties.spans() for name in span.attributes or {}}
    assert named == {f"certlane.{name}" for name in ("interface", "province", "state", "status", "scenario", "attempt")}
    assert {span.attributes["certlane.interface"] for span in parties.spans() if span.attributes} == {"I1", "other"}
    assert {name for span in parties.spans() for name in span.resource.attributes} == {
        "service.name",
        "service.instance.id",
    }


def test_what_failed_is_marked(parties: Parties) -> None:
    """The call that is partial and the part that is late are errors, the part that was answered is none."""
    parties.request(begun([CALLER], sampled=True))
    failed = {
        (span.name, (span.attributes or {}).get("certlane.province"))
        for span in parties.spans()
        if span.status.status_code is StatusCode.ERROR
    }
    assert failed == {("POST /v1/SearchCertificate", None), ("ask", "34")}


def test_a_trace_that_is_not_sampled_is_not_told(parties: Parties) -> None:
    """Without the caller's sampled flag nobody tells anything."""
    parties.request(begun([f"00-{TRACE}-{SPAN}-00"], sampled=True))
    parties.agent.item("", interface="I1", part=Source("32", "answered", 0, "", 1, AGENT_HOPS))
    assert parties.spans() == []


def test_so_many_a_second_and_no_more(parties: Parties) -> None:
    """Past the bound of a second nothing is told and new traces are not sampled; in the next second they are."""
    for _ in range(MOST_A_SECOND + 5):
        parties.request(begun([CALLER], sampled=True))
    assert [span.name for span in parties.spans()].count("POST /v1/SearchCertificate") == MOST_A_SECOND
    assert [span.name for span in parties.spans()].count("province") == MOST_A_SECOND
    assert not parties.gateway.admits()
    parties.now += 1
    assert parties.gateway.admits()


def test_clocks_that_differ_do_not_turn_time_round(parties: Parties) -> None:
    """A leg whose end lies before its begin, by another party's clock, takes no time."""
    hops = AGENT_HOPS | {"lane": 2_000}
    parties.agent.item(CALLER, interface="I4", part=Source("32", "answered", 0, "", 1, hops))
    assert all((span.end_time or 0) >= (span.start_time or 0) for span in parties.spans())


Got = list[tuple[str, bytes]]


class Collector(BaseHTTPRequestHandler):
    """A collector that hands on what it is sent."""

    got: Got

    def do_POST(self) -> None:
        self.got.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def collector() -> Iterator[tuple[str, Got]]:
    got: Got = []
    kind = type("Listening", (Collector,), {"got": got})
    with HTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", got
        server.shutdown()
        thread.join()


def test_spans_reach_a_collector(collector: tuple[str, Got], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was told is sent as OTLP over HTTP at the latest when the process ends."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    address, got = collector
    spans = connect(address, role="gateway", process="gateway-1")
    assert spans is not None
    here = begun([CALLER], sampled=True)
    spans.request(here, interface="I4", status=0, began_ms=1_000, ended_ms=1_009, sources=[])
    spans.close()
    ((path, body),) = got
    assert path == "/v1/traces"
    (told,) = ExportTraceServiceRequest.FromString(body).resource_spans
    (span,) = told.scope_spans[0].spans
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.span_id.hex()) == (TRACE, SPAN, here.span_id)


def test_a_collector_that_is_away_holds_nobody_up() -> None:
    """Nothing is raised or waited for when no collector is there, and closing ends by itself."""
    spans = connect("http://127.0.0.1:9", role="gateway", process="gateway-1")
    assert spans is not None
    spans.request(begun([], sampled=True), interface="I4", status=0, began_ms=1, ended_ms=2, sources=[])
    spans.close()
