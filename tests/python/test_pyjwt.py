"""PyJWT, an independent library, verifies a valid token and refuses every altered one."""

import base64
import hmac
import json
import uuid

import httpx
import jwt
import pytest
from conftest import running
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

REQUIRED_BY_RFC_9068 = ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"]
PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}


@pytest.fixture(scope="module", params=["ES256", "EdDSA", "RS256"])
def server(request, tmp_path_factory):
    """A server per algorithm; the first is the default and needs no configuration."""
    algorithm = request.param
    configuration = "" if algorithm == "ES256" else f'[keys]\nalgorithm = "{algorithm}"\n'
    with running(tmp_path_factory.mktemp(algorithm), configuration) as server:
        assert published(server)[0]["alg"] == algorithm
        yield server


@pytest.fixture(scope="module")
def created(server):
    """Creates a token for thirty days and returns the response: the secret and its metadata."""
    answer = httpx.post(
        f"{server.url}/api/v1/tokens",
        headers={"Authorization": f"Bearer {server.session()}"},
        json={
            "name": "verified by PyJWT",
            "organization": "default",
            "scopes": ["projects:read", "content:write"],
            "expires_in_days": 30,
        },
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def token(created):
    return created["token"]


def published(server):
    answer = httpx.get(f"{server.url}/.well-known/jwks.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/jwk-set+json"
    return answer.json()["keys"]


def verify(server, token, **expectations):
    """Verifies like a service: the key by `kid` from the key set, the algorithm from that key."""
    key = jwt.PyJWKClient(f"{server.url}/.well-known/jwks.json").get_signing_key_from_jwt(token)
    expected = {"audience": server.url, "issuer": server.url} | expectations
    return jwt.decode_complete(
        token, key, algorithms=[key.algorithm_name], options={"require": REQUIRED_BY_RFC_9068}, **expected
    )


def accepted_by_the_authority(server, token):
    answer = httpx.get(f"{server.url}/api/v1/tokens/current", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code in (200, 401), answer.text
    return answer.status_code == 200


def test_a_live_token_is_verified_with_the_published_key(server, created, token):
    verified = verify(server, token)
    header, claims, info = verified["header"], verified["payload"], created["token_info"]

    assert header.keys() == {"alg", "kid", "typ"}
    assert header["typ"] == "at+jwt"

    assert claims["iss"] == server.url
    assert claims["aud"] in (server.url, [server.url])
    assert claims["jti"] == info["jti"]
    assert claims["exp"] - claims["iat"] == 30 * 24 * 60 * 60
    assert claims["scope"].split(" ") == info["scopes"] == ["projects:read", "content:write"]
    assert claims["sub"] == claims["client_id"]
    assert claims["sub"].startswith("user-")
    assert "nbf" not in claims
    uuid.UUID(claims["org"])
    status_list = claims["status"]["status_list"]
    assert type(status_list["idx"]) is int
    assert status_list["uri"].startswith(f"{server.url}/")
    for number in ("exp", "iat"):
        assert type(claims[number]) is int, "a float is a date only to some parsers"

    assert accepted_by_the_authority(server, token)


def test_the_key_set_has_public_members_only(server):
    for key in published(server):
        assert key["use"] == "sig"
        assert key["kid"]
        assert not PRIVATE_MEMBERS & key.keys()


def test_another_audience_or_issuer_is_refused(server, token):
    with pytest.raises(jwt.InvalidAudienceError):
        verify(server, token, audience="https://other.example.org")
    with pytest.raises(jwt.InvalidIssuerError):
        verify(server, token, issuer="https://other.example.org")


def encoded(content):
    raw = content if isinstance(content, bytes) else json.dumps(content, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def with_more_scope(header, payload, signature, key):
    claims = json.loads(decoded(payload))
    claims["scope"] += " tokens:write"
    return f"{header}.{encoded(claims)}.{signature}"


def with_later_expiry(header, payload, signature, key):
    claims = json.loads(decoded(payload))
    claims["exp"] += 1
    return f"{header}.{encoded(claims)}.{signature}"


def with_another_type(header, payload, signature, key):
    return f"{encoded(json.loads(decoded(header)) | {'typ': 'JWT'})}.{payload}.{signature}"


def with_one_bit_of_the_signature_turned(header, payload, signature, key):
    raw = bytearray(decoded(signature))
    raw[len(raw) // 2] ^= 1
    return f"{header}.{payload}.{encoded(bytes(raw))}"


def without_signature(header, payload, signature, key):
    return f"{header}.{payload}."


def with_algorithm_none(header, payload, signature, key):
    return f"{encoded(json.loads(decoded(header)) | {'alg': 'none'})}.{payload}."


def signed_with_the_public_key_as_a_secret(header, payload, signature, key):
    """Algorithm confusion: the verifier's public key as an HMAC key."""
    pem = key.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    unsigned = f"{encoded(json.loads(decoded(header)) | {'alg': 'HS256'})}.{payload}"
    return f"{unsigned}.{encoded(hmac.digest(pem, unsigned.encode(), 'sha256'))}"


def with_a_key_nobody_published(header, payload, signature, key):
    return f"{encoded(json.loads(decoded(header)) | {'kid': 'A' * 43})}.{payload}.{signature}"


@pytest.mark.parametrize(
    ("altered", "refusal"),
    [
        (with_more_scope, jwt.InvalidSignatureError),
        (with_later_expiry, jwt.InvalidSignatureError),
        (with_another_type, jwt.InvalidSignatureError),
        (with_one_bit_of_the_signature_turned, jwt.InvalidSignatureError),
        (without_signature, jwt.InvalidSignatureError),
        (with_algorithm_none, jwt.InvalidAlgorithmError),
        (signed_with_the_public_key_as_a_secret, jwt.InvalidAlgorithmError),
        (with_a_key_nobody_published, jwt.PyJWKClientError),
    ],
)
def test_an_altered_token_is_refused_here_and_by_the_authority(server, token, altered, refusal):
    key = jwt.PyJWKClient(f"{server.url}/.well-known/jwks.json").get_signing_key_from_jwt(token)
    forged = altered(*token.split("."), key)
    with pytest.raises(refusal):
        verify(server, forged)
    assert not accepted_by_the_authority(server, forged)
