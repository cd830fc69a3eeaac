"""A file that is being downloaded, on disk: its beginning, its digest and its end."""

from pathlib import Path
from typing import Final

import pytest

from broker.client.parts import DiskPart
from schemas.answers import CertificateFile
from schemas.form import sm3_hex

FILE: Final = bytes(range(256)) * 9_000  # more than is read at once
TOLD: Final = CertificateFile(
    certificate_id="1.2",
    certificate_type_code="t",
    certificate_status="VALID",
    certificate_type="证",
    certificate_number="1",
    issue_dept="部门",
    issue_date="2026-01-01",
    file_format="ofd",
    file_kind="original",
    file_digest=sm3_hex(FILE),
    file_size=len(FILE),
)


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "a.ofd"


def test_a_part_goes_on_in_another_process(to: Path) -> None:
    """What one part has taken by the time it is let go of is the beginning of the next, and counts in its digest."""
    first = DiskPart(to, TOLD)
    for start in range(0, 2_000_000, 1_000):
        first.append(FILE[start : start + 1_000])
    first.close()
    second = DiskPart(to, TOLD)
    assert second.size == 2_000_000
    second.append(FILE[2_000_000:])
    assert second.digest() == second.digest() == TOLD.file_digest
    assert second.finish() == to
    assert to.read_bytes() == FILE


def test_a_part_begins_anew(to: Path) -> None:
    """A part that is begun anew has nothing of what it had before, on disk or in its digest."""
    part = DiskPart(to, TOLD)
    part.append(b"wrong")
    part.restart()
    assert (part.size, list(to.parent.iterdir())) == (0, [])
    part.append(FILE)
    assert part.digest() == TOLD.file_digest
    assert part.finish().read_bytes() == FILE


def test_a_part_that_is_too_long(to: Path) -> None:
    """More than the file has is no beginning of it."""
    to.with_name(f"{to.name}.{TOLD.file_digest[:16]}.part").write_bytes(FILE + b"!")
    assert (DiskPart(to, TOLD).size, list(to.parent.iterdir())) == (0, [])


def test_nothing_came_of_it(to: Path) -> None:
    """A part that never got a byte leaves no file behind."""
    DiskPart(to, TOLD).close()
    assert not list(to.parent.iterdir())
