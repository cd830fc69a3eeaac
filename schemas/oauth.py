"""How an application gets its token: both sides' words for it (RFC 6749 §4.4, RFC 7523)."""

from typing import Final

TOKEN_PATH: Final = "/oauth2/token"  # noqa: S105  # where tokens are got, not one of them
GRANT_TYPE: Final = "client_credentials"
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
