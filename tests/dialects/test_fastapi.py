"""The native API beside FastAPI with the published model: both answer every request of a long list alike."""

import asyncio
import json
import random
from datetime import datetime
from typing import Annotated, Literal

import httpx
import pytest
from conftest import running
from fastapi import FastAPI, Query
from native import ORGANIZATION, Native
from pydantic import Field, create_model

# In the order of DayZero's documents, in which FastAPI lists the errors.
BODY = ["name", "description", "expires_in_days"]
QUERY = ["include_revoked", "cursor", "limit", "direction", "include_total_count", "sort_by", "descending"]
TYPES = {"string": str, "integer": int, "boolean": bool}
BOUNDS = {"minLength": "min_length", "maxLength": "max_length", "minimum": "ge", "maximum": "le"}
# How many bodies, and how many queries.
MANY = 1000


def model(name, schemas, required=()):
    """Returns a model with the types, bounds and defaults of the OpenAPI document."""

    def field(name, schema):
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        kind = Literal[*schema["enum"]] if "enum" in schema else TYPES[types[0]]
        bounds = {ours: schema[theirs] for theirs, ours in BOUNDS.items() if theirs in schema}
        if name in required:
            return kind, Field(**bounds)
        return (kind if "default" in schema else kind | None), Field(schema.get("default"), **bounds)

    return create_model(name, **{name: field(name, schema) for name, schema in schemas.items()})


def fastapi(document):
    """Returns an application with the models of the document."""
    schema = document["components"]["schemas"]["CreateToken"]
    create = model("CreateToken", {name: schema["properties"][name] for name in BODY}, schema["required"])
    parameters = {one["name"]: one["schema"] for one in document["paths"]["/api/v1/tokens"]["get"]["parameters"]}
    wanted = model("Wanted", {name: parameters[name] for name in QUERY})
    app = FastAPI()

    @app.post("/api/v1/tokens", status_code=201)
    async def create_token(body: create):
        return body

    @app.get("/api/v1/tokens")
    async def list_tokens(query: Annotated[wanted, Query()]):
        return query

    return app


# Values as JSON and as texts.
TEXTS = ["", "n", "n" * 255, "n" * 256, "\u00fc" * 255, "\U0001f511" * 256, "d" * 2000, "d" * 2001, "true", "30"]
INTEGERS = [
    *("0", "-0", "1", "30", "365", "366", "-1", "1.0", "-0.0", "1.5", "3e2", "1e-1", "1E2", "365.0", "366.0", "1e30"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", "1e308", "9" * 30, "9" * 308),
    *("-" + "9" * 308, "0.1e1", "12345678901234567890.0", "9007199254740993.0", "0.9999999999999999999"),
]
DIGITS = [
    *("0", "1", "30", " 30 ", "\t3\n", "\u00a030", "+30", "-1", "-0", "- 3", "--3", "030", "3_0", "3__0", "_30", "30_"),
    *("30.0", "3_0.0", "30.", ".0", "1.5", "3e1", "0x1f", "\u0663\u0660", "\uff13\uff10", "", " ", "abc", "NaN"),
    *("1000", "1001", "null", "true", "9" * 20, "-" + "9" * 20, "9" * 4300),
]
OTHERS = ["null", "true", "false", "[]", "{}", "[1]", '{"name": "ci"}', '["ci"]', "[[]]"]
BOOLEANS = ["true", "1", "yes", "on", "t", "y", "TRUE", "off", "0", "N", "", "maybe", "2", " true", "null"]


def days(*values):
    """Returns bodies with these numbers of days, as JSON."""
    return [f'{{"name": "ci", "expires_in_days": {value}}}' for value in values]


# What jeton answers otherwise, as docs/migrating/dayzero.md says, with the type of its only error.
OTHERWISE = {
    "an integer beyond the range of a float": (days("9" * 309, "-" + "9" * 4300), "json_invalid"),
    "a number beyond the range of a float": (days("1e400", "-1e400"), "json_invalid"),
    "a number that JSON does not have": (days("NaN", "Infinity", "-Infinity"), "json_invalid"),
    "half of a pair of surrogates": ([r'{"name": "\ud800"}', r'{"name": "\udc00\ud800"}'], "json_invalid"),
    "more than 32 levels": (['{"name": "ci", "unheard_of": ' + "[" * 32 + "]" * 32 + "}"], "json_invalid"),
    "a text of more than 4300 digits": (days(json.dumps("9" * 4301), json.dumps("1" + "0" * 5000)), "less_than_equal"),
    "U+0000": ([r'{"name": "c\u0000i"}'], "value_error"),
}


def bodies(chance):
    """Returns bodies: no objects, each value of each field, then several fields with random values."""
    fields = {
        "name": [*map(json.dumps, TEXTS), *INTEGERS[:6], *OTHERS],
        "description": [*map(json.dumps, TEXTS), *INTEGERS[:6], *OTHERS],
        "expires_in_days": [*INTEGERS, *map(json.dumps, DIGITS), *OTHERS],
        "unheard_of": [*INTEGERS[:6], *OTHERS],
    }
    made = ["", " {} ", "null", "[]", '"ci"', "5", "true", '[{"name": "ci"}]', '{"name": "ci", "name": 5}', "\ufeff{}"]
    made += [f'{{"name": "ci", "{name}": {value}}}' for name in fields for value in fields[name]]
    while len(made) < MANY:
        names = [name for name in fields if chance.random() < 0.7]
        chance.shuffle(names)
        made.append("{" + ", ".join(f'"{name}": {chance.choice(fields[name])}' for name in names) + "}")
    return made


def queries(chance):
    """Returns queries: each value of each parameter, then several with random values, also of one name."""
    parameters = dict.fromkeys(["include_revoked", "include_total_count", "descending"], BOOLEANS) | {
        "cursor": ["c" * 2049],
        "limit": DIGITS,
        "direction": ["next", "prev", "Next", "", "up"],
        "sort_by": ["created_at", "name", "id", "", "-name"],
    }
    made = [[(name, value)] for name in parameters for value in parameters[name]]
    while len(made) < MANY:
        names = chance.choices(list(parameters), k=chance.randint(1, 6))
        made.append([(name, chance.choice(parameters[name])) for name in names])
    return made


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    with running(tmp_path_factory.mktemp("fastapi")) as server:
        yield Native.of(server)


@pytest.fixture(scope="module")
def both(native):
    """Returns a function that sends requests to jeton and to FastAPI and returns each with both answers."""
    document = httpx.get(f"{native.server.url}/openapi.json").json()
    # A client of DayZero, whose unknown fields are ignored.
    headers = native.authorization | {"x-business-id": native.get(f"organizations/{ORGANIZATION}")["id"]}

    async def send(requests):
        # An exception of the application is 500.
        application = httpx.ASGITransport(fastapi(document), raise_app_exceptions=False)
        async with (
            httpx.AsyncClient(base_url=native.server.url, headers=headers, timeout=30) as jeton,
            httpx.AsyncClient(base_url="http://fastapi", transport=application) as theirs,
        ):
            answers = []
            for request in requests:
                sent = request | {"url": "/api/v1/tokens"}
                answers.append((request, await jeton.request(**sent), await theirs.request(**sent)))
            return answers

    return lambda requests: asyncio.run(send(requests))


def post(body):
    return {"method": "POST", "content": body.encode(), "headers": {"Content-Type": "application/json"}}


def made(answer):
    """Returns the fields of the request that made a token."""
    info = answer.json()["token_info"]
    created, expires = (datetime.fromisoformat(info[name]) for name in ("created_at", "expires_at"))
    return {"name": info["name"], "description": info["description"], "expires_in_days": (expires - created).days}


def test_fastapi_answers_every_body_alike(both):
    refused = 0
    for request, ours, theirs in both(map(post, bodies(random.Random(1)))):
        assert ours.status_code == theirs.status_code, (request, ours.text, theirs.text)
        if ours.status_code == 201:
            # DayZero's default.
            expected = theirs.json() | {"expires_in_days": theirs.json()["expires_in_days"] or 365}
            assert made(ours) == expected, request
        else:
            assert (ours.status_code, ours.json()) == (422, theirs.json()), request
            refused += 1
    assert MANY / 2 < refused < MANY - 50


def test_fastapi_answers_every_query_alike(both):
    refused = 0
    for request, ours, theirs in both({"method": "GET", "params": query} for query in queries(random.Random(2))):
        assert ours.status_code == theirs.status_code, (request, ours.text, theirs.text)
        if ours.status_code != 200:
            assert (ours.status_code, ours.json()) == (422, theirs.json()), request
            refused += 1
    assert MANY / 2 < refused < MANY - 50


@pytest.mark.parametrize(("bodies", "kind"), OTHERWISE.values(), ids=OTHERWISE)
def test_what_jeton_answers_otherwise(both, bodies, kind):
    for _, ours, theirs in both(map(post, bodies)):
        assert ours.status_code == 422
        assert [violation["type"] for violation in ours.json()["detail"]] == [kind]
        assert theirs.status_code != 422 or theirs.json() != ours.json()
