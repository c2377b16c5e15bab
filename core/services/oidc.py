"""Log-in by OpenID Connect: code flow with PKCE S256, state and nonce; whatever the provider says is checked before it counts."""

import base64
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from threading import Lock
from time import monotonic, time
from typing import Any, Final, cast

import httpx2
from authlib.integrations.httpx_client import OAuth2Client, OAuthError  # type: ignore[import-untyped]
from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from core.certificates import authorities
from core.door_key import open_door_key
from core.errors import BadConfiguration, NotAuthenticated, Refused, Unavailable
from core.settings import Settings, read_secret

CALLBACK: Final = "/sign-in/oidc/callback"
LIFETIME_S: Final = 600
_KNOWN_FOR_S: Final = 3600
_KEYS_AGAIN_S: Final = 60
_LEEWAY_S: Final = 60
_LARGEST_ANSWER: Final = 1 << 20
# Signatures by a private key only: with a shared secret or none anybody could write an ID token.
ALGORITHMS: Final = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"]
_PURPOSE: Final = "oidc"

AWAY: Final = "The log-in service cannot be reached; sign in with a password, or try again in a minute."
OTHER_BROWSER: Final = "This log-in was not begun in this browser, or too long ago; begin again."
NOT_CHECKED: Final = "What the log-in service answered could not be verified; nobody was signed in."
CANCELLED: Final = "The log-in was cancelled at the log-in service."
NOT_LET_IN: Final = "The log-in service did not let you in; ask its administrator."


@dataclass(frozen=True)
class Begun:
    """A log-in on its way through the provider; only the browser that began it has this, sealed, in a cookie."""

    state: str
    nonce: str
    verifier: str
    next: str
    at: float


@dataclass(frozen=True)
class Person:
    """Whom the provider vouches for."""

    issuer: str
    subject: str
    name: str
    groups: tuple[str, ...]


class Provider:
    """The one OpenID provider of this node; its document and keys are kept for an hour."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.issuer = settings.oidc_issuer or ""
        self._lock = Lock()
        self._known: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None

    def begin(self, next_page: str) -> tuple[str, str]:
        """(address at the provider, sealed cookie). Raises Unavailable."""
        known = self._discovered()
        state, nonce, verifier = (secrets.token_urlsafe(length) for length in (32, 32, 48))
        begun = Begun(state, nonce, verifier, next_page, time())
        with self._client(known) as client:
            address, _ = client.create_authorization_url(
                known["authorization_endpoint"],
                state=begun.state,
                nonce=begun.nonce,
                code_verifier=begun.verifier,
                scope=_scope(known),
            )
        sealed = open_door_key(self._settings).seal(_PURPOSE, self.issuer, json.dumps(asdict(begun)).encode())
        return str(address), base64.urlsafe_b64encode(sealed).decode()

    def finish(self, cookie: str | None, answer: Mapping[str, str]) -> tuple[Person, str]:
        """(who it is, the page they wanted). Raises NotAuthenticated with the reason, Unavailable."""
        begun = self._begun(cookie)
        if not hmac.compare_digest(begun.state.encode(), answer.get("state", "").encode()):
            raise NotAuthenticated(OTHER_BROWSER)
        if answer.get("iss", self.issuer) != self.issuer:  # RFC 9207: the answer of another provider
            raise NotAuthenticated(NOT_CHECKED)
        if error := answer.get("error"):
            raise NotAuthenticated(CANCELLED if error == "access_denied" else NOT_LET_IN)
        known = self._discovered()
        if known.get("authorization_response_iss_parameter_supported") and "iss" not in answer:
            raise NotAuthenticated(NOT_CHECKED)
        token = self._redeem(known, begun, answer.get("code", ""))
        claims = self._verified(known, begun, token)
        return self._person(claims, self._more(known, claims, token)), begun.next

    def _begun(self, cookie: str | None) -> Begun:
        try:
            sealed = base64.urlsafe_b64decode(cookie or "")
            begun = Begun(**json.loads(open_door_key(self._settings).open(_PURPOSE, self.issuer, sealed)))
        except (Refused, ValueError, TypeError):
            raise NotAuthenticated(OTHER_BROWSER) from None
        if not 0 <= time() - begun.at <= LIFETIME_S:
            raise NotAuthenticated(OTHER_BROWSER)
        return begun

    def _redeem(self, known: Mapping[str, Any], begun: Begun, code: str) -> dict[str, Any]:
        try:
            with self._client(known) as client:
                return dict(
                    client.fetch_token(
                        known["token_endpoint"],
                        grant_type="authorization_code",
                        code=code,
                        code_verifier=begun.verifier,
                    )
                )
        except OAuthError as exc:
            # A wrong secret is the operator's to mend; a code that is stale or somebody else's is the visitor's.
            raise NotAuthenticated(OTHER_BROWSER if exc.error == "invalid_grant" else NOT_LET_IN) from None
        except (httpx2.HTTPError, ValueError):
            raise Unavailable(AWAY) from None

    def _verified(self, known: Mapping[str, Any], begun: Begun, token: Mapping[str, Any]) -> dict[str, Any]:
        """The claims of the ID token: signature, iss, aud, azp, exp, iat, nonce and at_hash hold (OpenID Connect Core, 3.1.3.7)."""
        written = str(token.get("id_token", ""))
        try:
            try:
                decoded = jwt.decode(written, self._key_set(known), algorithms=ALGORITHMS)
            except InvalidKeyIdError:  # the provider has changed its keys
                decoded = jwt.decode(written, self._key_set(known, again=True), algorithms=ALGORITHMS)
            expected = {"iss": self.issuer, "aud": self._settings.oidc_client_id}
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                {name: {"essential": True, "value": value} for name, value in expected.items()},
                {
                    "nonce": begun.nonce,
                    "client_id": self._settings.oidc_client_id,
                    "access_token": token.get("access_token"),
                },
            )
            claims.validate(leeway=_LEEWAY_S)
        except (JoseError, ValueError, TypeError, KeyError):
            raise NotAuthenticated(NOT_CHECKED) from None
        if not claims.get("sub") or not isinstance(claims["sub"], str) or len(claims["sub"]) > 255:
            raise NotAuthenticated(NOT_CHECKED)
        return dict(claims)

    def _more(self, known: Mapping[str, Any], claims: Mapping[str, Any], token: Mapping[str, Any]) -> Mapping[str, Any]:
        """Name and groups may stand at the userinfo endpoint only; its subject must be the ID token's."""
        endpoint = known.get("userinfo_endpoint")
        if endpoint is None or ("groups" in claims and ("preferred_username" in claims or "name" in claims)):
            return claims
        more = self._json(endpoint, {"Authorization": f"Bearer {token.get('access_token', '')}"})
        if more.get("sub") != claims["sub"]:
            raise NotAuthenticated(NOT_CHECKED)
        return {**more, **claims}

    def _person(self, claims: Mapping[str, Any], more: Mapping[str, Any]) -> Person:
        named = (more.get(name) for name in ("preferred_username", "name"))
        name = next((value for value in named if isinstance(value, str) and value.strip()), "")
        groups = more.get("groups", [])
        listed = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
        return Person(self.issuer, claims["sub"], name, tuple(group for group in listed if isinstance(group, str)))

    def _client(self, known: Mapping[str, Any]) -> OAuth2Client:
        path = self._settings.oidc_client_secret_file
        secret = read_secret(path, "SONOBANK_OIDC_CLIENT_SECRET_FILE") if path else None
        offered = known.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        method = "client_secret_basic" if "client_secret_basic" in offered else "client_secret_post"
        return OAuth2Client(
            client_id=self._settings.oidc_client_id,
            client_secret=secret,
            token_endpoint_auth_method=method if secret else "none",
            redirect_uri=self._settings.base_url + CALLBACK,
            code_challenge_method="S256",
            timeout=httpx2.Timeout(10),
            follow_redirects=False,
            trust_env=False,
        )

    def _discovered(self) -> dict[str, Any]:
        """The provider's own description (OpenID Connect Discovery, 4); it must name itself as we do."""
        with self._lock:
            if self._known and monotonic() - self._known[0] < _KNOWN_FOR_S:
                return self._known[1]
            found = self._json(self.issuer.rstrip("/") + "/.well-known/openid-configuration")
            endpoints = ("authorization_endpoint", "token_endpoint", "jwks_uri")
            if found.get("issuer") != self.issuer or not all(isinstance(found.get(name), str) for name in endpoints):
                raise BadConfiguration("SONOBANK_OIDC_ISSUER is not the issuer that the provider's document names.")
            self._known = (monotonic(), found)
            return found

    def _key_set(self, known: Mapping[str, Any], *, again: bool = False) -> KeySet:
        with self._lock:
            age = monotonic() - self._keys[0] if self._keys else _KNOWN_FOR_S
            if self._keys is None or age >= _KNOWN_FOR_S or (again and age >= _KEYS_AGAIN_S):
                self._keys = (monotonic(), KeySet.import_key_set(cast(Any, self._json(known["jwks_uri"]))))
            return self._keys[1]

    def _json(self, address: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """A JSON object of the provider. Raises Unavailable."""
        if not address.startswith("https://") and not self.issuer.startswith("http://"):
            raise BadConfiguration("The provider's document names an address without TLS.")
        try:
            with httpx2.Client(timeout=10, follow_redirects=False, trust_env=False, verify=authorities()) as client:
                answer = client.get(address, headers=dict(headers or {}))
            found = answer.json() if answer.status_code == 200 and len(answer.content) <= _LARGEST_ANSWER else None
        except (httpx2.HTTPError, ValueError):
            raise Unavailable(AWAY) from None
        if not isinstance(found, dict):
            raise Unavailable(AWAY)
        return found


def _scope(known: Mapping[str, Any]) -> str:
    """`groups` is asked for only where it is known: others refuse a scope that they do not know."""
    return " ".join(["openid", "profile", *({"groups"} & set(known.get("scopes_supported", [])))])
