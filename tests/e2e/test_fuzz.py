"""A fuzzer that reads the gateway's own document finds nothing that the gateway did not think of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.conftest import Stack

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "unsupported_method",
)
SECONDS = 40


def test_a_schema_driven_fuzzer_finds_no_defect(stack: Stack, tmp_path: Path) -> None:
    """Whatever a fuzzer makes of the OpenAPI document is answered with a status and a body that the document names."""
    fuzzer = Path(sys.executable).with_name("schemathesis")
    found = subprocess.run(
        [
            *(fuzzer, "run", f"{stack.gateways[0]}/openapi.json"),
            *("--header", f"Authorization: Bearer {stack.token}", "--header", "Prefer: wait=0"),
            *("--checks", ",".join(CHECKS), "--phases", "examples,fuzzing", "--max-time", str(SECONDS)),
            *("--seed", "20260101", "--workers", "1", "--no-color", "--warnings", "off"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-8_000:] + found.stderr[-2_000:]
    log = (stack.home.log / "gateway-1.log").read_text()
    assert '"event":"defect"' not in log
