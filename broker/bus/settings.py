"""Settings of the processes: a TOML file, read once, typed and frozen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

if TYPE_CHECKING:
    from collections.abc import Callable

_Port = Annotated[int, Meta(ge=0, le=65_535)]


class SettingsError(ValueError):
    """The settings file is missing or wrong; the message says which name and what to write there."""


class Common(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every process needs: its name, Kafka, and the registrar's public key: the root of trust."""

    name: str
    kafka: str
    registrar: Path
    metrics_port: _Port = 0
    otlp: Annotated[str, Meta(pattern="^(https?://.+)?$")] = ""  # an OpenTelemetry collector: http://127.0.0.1:4318


class GatewaySettings(Common, frozen=True, kw_only=True, forbid_unknown_fields=True):
    node: str
    redis: str
    keys: Path
    host: str = "127.0.0.1"
    port: _Port
    public_url: str = ""  # where callers reach the node: in files' addresses, and an assertion's `aud`
    objects: str  # where files too large for a reply are fetched from: file:///folder, s3://bucket
    max_in_flight: int = 8_192
    max_in_flight_per_lane: int = 4_096
    max_in_flight_per_application: int = 4_096


class WorkerSettings(Common, frozen=True, kw_only=True, forbid_unknown_fields=True):
    province: str
    redis: str
    keys: Path
    store: Path
    objects: str  # where files too large for a reply are put, sealed
    engine: Annotated[str, Meta(pattern="^(faust|aiokafka)$")] = "faust"
    lots_in_work: Annotated[int, Meta(ge=1, le=256)] = 16


class FollowerSettings(Common, frozen=True, kw_only=True, forbid_unknown_fields=True):
    party: str
    redis: str


class RegistrarSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    kafka: str
    keys: Path
    metrics_port: _Port = 0
    renew_seconds: Annotated[int, Meta(ge=1)] = 21_600


S = TypeVar("S", GatewaySettings, WorkerSettings, FollowerSettings, RegistrarSettings)


def read_settings(path: Path, kind: type[S]) -> S:
    """Settings of one process; raises SettingsError with the name that is wrong."""
    decode: Callable[..., S] = msgspec.toml.decode
    try:
        return decode(path.read_bytes(), type=kind, dec_hook=_path)
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}; `make up` writes one for each process") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from error


def _path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(kind)
