"""The Python client of a node's gateways (docs/client.md)."""

from broker.client.answers import Answer
from broker.client.clients import AsyncClient, Client
from broker.client.errors import ClientError, MalformedError, PendingError, RefusedError, UnreachableError
from schemas.sharing import CodeOperator, Head

__all__ = [
    "Answer",
    "AsyncClient",
    "Client",
    "ClientError",
    "CodeOperator",
    "Head",
    "MalformedError",
    "PendingError",
    "RefusedError",
    "UnreachableError",
]
