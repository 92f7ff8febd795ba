"""Libraries that check no type refuse a status list that is presented as an access token.

Anyone can fetch a list, and it bears the authority's signature. Its issuer and audience are those of no token.
"""

import httpx
import pytest
import tokens
from conftest import running
from programs import Program
from recipes import Recipe
from tokens import AUDIENCE, Authority

pytestmark = pytest.mark.interop

# What each program begins with: the key set as PEM by `kid`, and the token of standard input.
START = """
import { createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
const issuer = "http://127.0.0.1:8080", audience = "https://api.example.com";
const jwksUrl = `${issuer}/.well-known/jwks.json`;
const { keys } = await (await fetch(jwksUrl)).json();
const pem = (kid) => createPublicKey({ key: keys.find((key) => key.kid === kid), format: "jwk" })
  .export({ type: "spki", format: "pem" });
const token = readFileSync(0, "utf8").trim();
const options = { allowedIss: issuer, allowedAud: audience, algorithms: ["ES256"] };
"""
# The plugins of fastify answer a request that bears the token.
ASK = """
await app.ready();
const answer = await app.inject({ url: "/", headers: { authorization: `Bearer ${token}` } });
if (answer.statusCode !== 200) throw new Error(answer.body);
console.log(answer.body);
"""
PROGRAMS = {
    "fast-jwt": """
import { createVerifier } from "fast-jwt";
const verify = createVerifier({ key: async ({ header }) => pem(header.kid), ...options });
console.log(`accepted ${(await verify(token)).sub}`);
""",
    "@fastify/jwt": """
import fastify from "fastify";
import jwt from "@fastify/jwt";
const app = fastify();
await app.register(jwt, {
  secret: async (request, { header }) => pem(header.kid), decode: { complete: true }, verify: options,
});
app.get("/", { onRequest: (request) => request.jwtVerify() }, async (request) => `accepted ${request.user.sub}`);
"""
    + ASK,
    "fastify-jwt-jwks": """
import fastify from "fastify";
import jwks from "fastify-jwt-jwks";
const app = fastify();
await app.register(jwks, { jwksUrl, issuer, audience });
app.get("/", { preValidation: app.authenticate }, async (request) => `accepted ${request.user.sub}`);
"""
    + ASK,
}
# The libraries' own words for another issuer or audience.
WORDS = "The (iss|aud) claim value is not allowed"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    # fastify-jwt-jwks takes RS256 and EdDSA only.
    with running(tmp_path_factory.mktemp("authority"), "[keys]\nalgorithm = \"EdDSA\"\n") as server:
        yield Authority.of(server)


@pytest.fixture(scope="module", params=PROGRAMS)
def program(request, authority, tmp_path_factory):
    recipe = Recipe(request.param, "js", START + PROGRAMS[request.param])
    return Program.of(recipe, authority, tmp_path_factory.mktemp("program"))


def published_list(authority):
    authority.issue()
    answer = httpx.get(f"{authority.issuer}/status-lists/1")
    assert answer.is_success and answer.text.count(".") == 2, answer
    return answer.text


@pytest.mark.parametrize("good", tokens.ACCEPTED)
def test_a_good_token_is_taken(program, authority, good):
    program.accepts(good(authority))


def test_a_status_list_is_no_token(program, authority):
    program.refuses(published_list(authority), WORDS)


def test_a_list_with_the_issuer_and_audience_of_a_token_would_be_taken(program, authority):
    """The control: nothing else keeps the list out."""
    claims = tokens.claims(published_list(authority)) | {"iss": authority.issuer, "aud": AUDIENCE}
    program.accepts(authority.sign(claims, typ="statuslist+jwt"))
