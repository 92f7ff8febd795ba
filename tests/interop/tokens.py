"""Valid tokens and forged ones.

The strongest forgeries bear a right signature: the tests own the server's folder of keys, and sign with what is in it.
"""

import base64
import hmac
import json
import time
from dataclasses import dataclass, field

import httpx
import jwt
from conftest import Server
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

AUDIENCE = "https://api.example.org"
NEW_KEY = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
}


@dataclass(frozen=True)
class Authority:
    """A running server with its private key: creates and revokes tokens, and signs forged ones."""

    server: Server
    session: str
    kid: str
    algorithm: str
    key: object = field(repr=False)

    @classmethod
    def of(cls, server: Server) -> "Authority":
        (published,) = httpx.get(f"{server.url}/.well-known/jwks.json").json()["keys"]
        key = load_pem_private_key((server.keys / f"{published['kid']}.pem").read_bytes(), password=None)
        return cls(server, server.session(), published["kid"], published["alg"], key)

    @property
    def issuer(self) -> str:
        return self.server.url

    def post(self, path: str, body: object) -> dict:
        answer = httpx.post(
            f"{self.server.url}/api/v1/{path}", headers={"Authorization": f"Bearer {self.session}"}, json=body
        )
        assert answer.is_success, answer.text
        return answer.json()

    def issue(self, **wishes) -> str:
        """Creates a token of the organization for the recipes' audience."""
        defaults = {
            "name": "interop",
            "organization": "default",
            "owner": "organization",
            "audience": AUDIENCE,
            "scopes": ["projects:read", "content:write"],
            "expires_in": "1h",
        }
        return self.post("tokens", defaults | wishes)["token"]

    def introspector(self) -> str:
        """Creates the token with which a service of the organization introspects others."""
        return self.issue(scopes=["tokens:introspect"], audience=self.issuer)

    def is_active(self, token: str) -> bool:
        """Returns whether a token is active, by introspection with the administrator's session."""
        answer = httpx.post(
            f"{self.server.url}/oauth/introspect",
            headers={"Authorization": f"Bearer {self.session}"},
            data={"token": token},
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["active"]

    def revoke(self, token: str) -> None:
        self.post(f"tokens/{claims(token)['jti']}/revoke", {"reason": "a test"})

    def sign(self, content: dict, *, key=None, **header) -> str:
        """Signs with the server's own key, or with another one under its key id."""
        head = {"typ": "at+jwt", "kid": self.kid} | header
        return jwt.encode(content, key or self.key, algorithm=self.algorithm, headers=head)


def encoded(content: bytes | dict) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def claims(token: str) -> dict:
    return json.loads(decoded(token.split(".")[1]))


def issued(authority: Authority) -> str:
    return authority.issue()


def issued_to_several(authority: Authority) -> str:
    """`aud` is an array here, which a comparison of texts cannot match."""
    return authority.issue(audience=["https://other.example.org", AUDIENCE])


def signed_by_the_test(authority: Authority) -> str:
    """The control: shows that the forgeries below are refused for their only change."""
    return authority.sign(claims(authority.issue()))


def tampered(authority: Authority) -> str:
    token = authority.issue()
    header, _, signature = token.split(".")
    more = claims(token) | {"scope": "projects:read content:write tokens:write"}
    return f"{header}.{encoded(more)}.{signature}"


def signed_by_another_key(authority: Authority) -> str:
    return authority.sign(claims(authority.issue()), key=NEW_KEY[authority.algorithm]())


def of_an_unpublished_key(authority: Authority) -> str:
    return authority.sign(claims(authority.issue()), key=NEW_KEY[authority.algorithm](), kid="A" * 43)


def with_its_own_key(authority: Authority) -> str:
    """The key is in the header (`jwk`), where a verifier must not look for it."""
    key = NEW_KEY[authority.algorithm]()
    algorithm = jwt.get_algorithm_by_name(authority.algorithm)
    return authority.sign(claims(authority.issue()), key=key, jwk=algorithm.to_jwk(key.public_key(), as_dict=True))


def unsigned(authority: Authority) -> str:
    _, payload, _ = authority.issue().split(".")
    return f"{encoded({'alg': 'none', 'kid': authority.kid, 'typ': 'at+jwt'})}.{payload}."


def signed_with_the_public_key_as_a_secret(authority: Authority) -> str:
    _, payload, _ = authority.issue().split(".")
    text = f"{encoded({'alg': 'HS256', 'kid': authority.kid, 'typ': 'at+jwt'})}.{payload}"
    pem = authority.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return f"{text}.{encoded(hmac.digest(pem, text.encode(), 'sha256'))}"


def changed(authority: Authority, **changes) -> str:
    return authority.sign(claims(authority.issue()) | changes)


def expired(authority: Authority) -> str:
    # Earlier than the minute of leeway that some libraries allow.
    now = int(time.time())
    return changed(authority, iat=now - 7200, exp=now - 3600)


def for_another_audience(authority: Authority) -> str:
    """The verifying service's name with a suffix, and without its last letter."""
    return authority.issue(audience=[f"{AUDIENCE}.evil.example", AUDIENCE[:-1]])


def of_another_issuer(authority: Authority) -> str:
    return changed(authority, iss=f"{authority.issuer}.evil.example")


def of_a_shorter_issuer(authority: Authority) -> str:
    return changed(authority, iss=authority.issuer[:-1])


def of_another_type(authority: Authority) -> str:
    return authority.sign(claims(authority.issue()), typ="JWT")


def of_no_type(authority: Authority) -> str:
    return authority.sign(claims(authority.issue()), typ=None)


def without_the_scope(authority: Authority) -> str:
    """A valid token without the scope that the recipes for proxies require."""
    return authority.issue(scopes=["content:write"])


def a_session(authority: Authority) -> str:
    """A session token, signed by the server."""
    return authority.session


ACCEPTED = [issued, issued_to_several, signed_by_the_test]
WRONG_SIGNATURE = [
    tampered,
    signed_by_another_key,
    of_an_unpublished_key,
    with_its_own_key,
    unsigned,
    signed_with_the_public_key_as_a_secret,
]
WRONG_CLAIMS = [expired, for_another_audience, of_another_issuer, of_a_shorter_issuer]
WRONG_TYPE = [of_another_type, of_no_type]
REFUSED = [*WRONG_SIGNATURE, *WRONG_CLAIMS, *WRONG_TYPE, a_session]
