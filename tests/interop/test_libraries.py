"""Every library's recipe accepts valid tokens and refuses each forgery for the right reason."""

import pytest
import tokens
from conftest import running
from programs import PHP_LIBRARY, Program
from recipes import RECIPES
from tokens import Authority

# Forgeries by what is wrong with them; each test has the library's own messages.
FORGERIES = {
    "signature": [tokens.tampered, tokens.signed_by_another_key, tokens.with_its_own_key],
    "key": [tokens.of_an_unpublished_key],
    "unsigned": [tokens.unsigned],
    "algorithm": [tokens.signed_with_the_public_key_as_a_secret],
    "expired": [tokens.expired],
    "audience": [tokens.for_another_audience],
    "issuer": [tokens.of_another_issuer, tokens.of_a_shorter_issuer],
    "type": [tokens.of_another_type, tokens.of_no_type],
    "session": [tokens.a_session],
}
OUR_TYPE = "not an access token"
WORDS = {
    "pyjwt": {
        "signature": "InvalidSignatureError",
        "key": "PyJWKClientError: Unable to find a signing key",
        "unsigned": "InvalidAlgorithmError",
        "algorithm": "InvalidAlgorithmError",
        "expired": "ExpiredSignatureError",
        "audience": "InvalidAudienceError",
        "issuer": "InvalidIssuerError",
        "type": OUR_TYPE,
        "session": "InvalidAudienceError",
    },
    "joserfc": {
        "signature": "BadSignatureError",
        "key": "No key for kid",
        "unsigned": "Algorithm of 'none' is not allowed",
        "algorithm": "Algorithm of 'HS256' is not allowed",
        "expired": "ExpiredTokenError",
        "audience": "InvalidClaimError.*'aud'",
        "issuer": "InvalidClaimError.*'iss'",
        "type": OUR_TYPE,
        "session": OUR_TYPE,
    },
    "authlib": {
        "signature": "BadSignatureError",
        "key": "No key for kid",
        "unsigned": "Algorithm of 'none' is not recommended",
        "algorithm": "No key for kid",
        "expired": "ExpiredTokenError",
        "audience": "InvalidClaimError.*'aud'",
        "issuer": "InvalidClaimError.*'iss'",
        "type": f"InvalidClaimError.*'typ'|{OUR_TYPE}",
        "session": "InvalidClaimError.*'typ'",
    },
    "jose": {
        "signature": "ERR_JWS_SIGNATURE_VERIFICATION_FAILED",
        "key": "ERR_JWKS_NO_MATCHING_KEY",
        "unsigned": "ERR_JOSE_ALG_NOT_ALLOWED",
        "algorithm": "ERR_JOSE_ALG_NOT_ALLOWED",
        "expired": "ERR_JWT_EXPIRED",
        "audience": "claim: 'aud'",
        "issuer": "claim: 'iss'",
        "type": "claim: 'typ'",
        "session": "claim: 'typ'",
    },
    "jsonwebtoken": {
        "signature": "JsonWebTokenError: invalid signature",
        "key": "SigningKeyNotFoundError",
        "unsigned": "JsonWebTokenError: jwt signature is required",
        "algorithm": "JsonWebTokenError: invalid algorithm",
        "expired": "TokenExpiredError",
        "audience": "JsonWebTokenError: jwt audience invalid",
        "issuer": "JsonWebTokenError: jwt issuer invalid",
        "type": OUR_TYPE,
        "session": "JsonWebTokenError: jwt audience invalid",
    },
    "golang-jwt": {
        "signature": "crypto/ecdsa: verification error",
        "key": "no key AAA",
        "unsigned": "signing method none is invalid",
        "algorithm": "signing method HS256 is invalid",
        "expired": "Token is expired",
        "audience": "another audience",
        "issuer": "another issuer",
        "type": OUR_TYPE,
        "session": OUR_TYPE,
    },
    "ruby-jwt": {
        "signature": "Signature verification failed",
        "key": "Could not find public key for kid",
        "unsigned": "Expected a different algorithm",
        "algorithm": "Expected a different algorithm",
        "expired": "Signature has expired",
        "audience": "Invalid audience",
        "issuer": "Invalid issuer",
        "type": OUR_TYPE,
        "session": "Invalid audience",
    },
    "perl-crypt-jwt": {
        "signature": "JWS: invalid signature",
        "key": "kid_keys lookup failed",
        "unsigned": "alg 'none' not allowed",
        "algorithm": "alg 'HS256' not accepted_alg",
        "expired": "exp claim check failed",
        "audience": "aud claim code check failed",
        "issuer": "iss claim scalar check failed",
        "type": OUR_TYPE,
        "session": "aud claim code check failed",
    },
    "php-firebase-jwt": {
        "signature": "SignatureInvalidException",
        "key": '"kid" invalid',
        "unsigned": "Algorithm not supported",
        "algorithm": "Incorrect key for this algorithm",
        "expired": "ExpiredException",
        "audience": "another issuer or audience",
        "issuer": "another issuer or audience",
        "type": OUR_TYPE,
        "session": OUR_TYPE,
    },
}
EVERYWHERE = {"pyjwt", "jose", "golang-jwt"}


def marks(name):
    """Debian 12 has no package of the PHP library; without it, that recipe is skipped."""
    absent = name == "php-firebase-jwt" and not PHP_LIBRARY.exists()
    without = [pytest.mark.skip(reason=f"{PHP_LIBRARY} is not installed")] if absent else []
    return without + ([] if name in EVERYWHERE else [pytest.mark.interop])


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    with running(tmp_path_factory.mktemp("authority")) as server:
        yield Authority.of(server)


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=marks(name)) for name in WORDS],
)
def library(request):
    return request.param


@pytest.fixture(scope="module")
def program(library, authority, tmp_path_factory):
    return Program.of(RECIPES[library], authority, tmp_path_factory.mktemp(library))


@pytest.mark.parametrize("good", tokens.ACCEPTED)
def test_a_good_token_is_taken(program, authority, good):
    program.accepts(good(authority))


@pytest.mark.parametrize(
    ("wrong", "forged"), [(wrong, forged) for wrong, forgeries in FORGERIES.items() for forged in forgeries]
)
def test_a_forgery_is_refused_for_what_is_wrong_with_it(library, program, authority, wrong, forged):
    program.refuses(forged(authority), WORDS[library][wrong])


# Each check removed from one recipe, and the forgery that is then accepted.
@pytest.mark.parametrize(
    ("check", "without", "forged", "reason"),
    [
        ('options={"require"', 'options={"verify_signature": False, "require"', tokens.tampered, "signature"),
        (", issuer=ISSUER", "", tokens.of_another_issuer, "issuer"),
        ('"require": [', '"verify_exp": False, "require": [', tokens.expired, "expired"),
        ('"require": [', '"verify_aud": False, "require": [', tokens.for_another_audience, "audience"),
        ('.get("typ") != "at+jwt"', '.get("typ") == "at jwt"', tokens.of_another_type, "type"),
    ],
)
def test_a_recipe_that_checks_less_is_found_out(authority, tmp_path, check, without, forged, reason):
    recipe = RECIPES["pyjwt"]
    text = recipe.filled(issuer=authority.issuer, audience=tokens.AUDIENCE)
    assert check in text
    careless = Program.written(recipe, text.replace(check, without), tmp_path)
    careless.accepts(tokens.issued(authority))
    with pytest.raises(AssertionError):
        careless.refuses(forged(authority), WORDS["pyjwt"][reason])


def test_a_program_that_fails_for_another_reason_is_found_out(authority, tmp_path):
    broken = Program.written(RECIPES["pyjwt"], "import nothing_of_this_name\n", tmp_path)
    with pytest.raises(AssertionError):
        broken.refuses(tokens.tampered(authority), WORDS["pyjwt"]["signature"])
