"""DayZero's clients, which are its documented samples, use the native API."""

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx
import jwt
import pytest
from conftest import running
from native import ORGANIZATION, Native
from samples import curl, node, python

CURL = r"""curl -X POST 'https://api.ondayzero.com/api/v1/tokens' \
  -H 'Authorization: Bearer dz_your_token' \
  -H 'x-business-id: YOUR_BUSINESS_ID' \
  -H 'Content-Type: application/json' \
  -d '{
  "name": "string"
}'
"""
JAVASCRIPT = """const response = await fetch('https://api.ondayzero.com/api/v1/tokens', {
  method: 'POST',
  headers: {
    Authorization: 'Bearer dz_your_token',
    'x-business-id': 'YOUR_BUSINESS_ID',
    'Content-Type': 'application/json',
  },
  body: JSON.stringify({
  "name": "string"
}),
});
const data = await response.json();
"""
PYTHON = """import httpx

headers = {
    "Authorization": "Bearer dz_your_token",
    "x-business-id": "YOUR_BUSINESS_ID",
}

payload = {
  "name": "string"
}

response = httpx.post("https://api.ondayzero.com/api/v1/tokens", headers=headers, json=payload)
data = response.json()
"""


PREFIX = "dz_"
CONFIGURATION = f'[tokens]\nprefix = "{PREFIX}"\n'
# Members of `token_info` and of the response to a revocation, as DayZero documents them.
TOKEN_INFO = {
    *("id", "jti", "name", "description", "token_prefix", "token_type", "created_at", "last_used_at", "expires_at"),
    *("revoked_at", "revocation_reason"),
}
REVOKED = {"id", "jti", "name", "revoked_at", "revoked_by", "revocation_reason"}
LIST = {"items", "total", "limit", "next_cursor", "prev_cursor", "has_next", "has_prev"}


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    with running(tmp_path_factory.mktemp("dayzero"), CONFIGURATION) as server:
        yield Native.of(server)


@pytest.fixture(scope="module")
def business(native):
    """The id of the organization, which DayZero's clients send with every request."""
    return native.get(f"organizations/{ORGANIZATION}")["id"]


@dataclass(frozen=True)
class DayZero:
    """A client as DayZero documents it."""

    native: Native
    token: str
    headers: dict[str, str]

    def send(self, method, path, **request) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} | self.headers | request.pop("headers", {})
        return httpx.request(
            method, f"{self.native.server.url}/api/v1/tokens{path}", headers=headers, timeout=30, **request
        )

    def create(self, **body) -> dict:
        answer = self.send("POST", "", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def list(self, **query) -> dict:
        answer = self.send("GET", "", params=query)
        assert answer.status_code == 200, answer.text
        assert LIST <= set(answer.json())
        return answer.json()


@pytest.fixture(scope="module")
def client(native, business):
    """A user's token that creates and lists that user's tokens."""
    ada = native.joined_by("ada@example.org")
    # A token's tokens do not outlive it.
    wishes = {"owner": "user", "scopes": ["tokens:read", "tokens:write"], "expires_in": "2y"}
    token = ada.issue(**wishes)["token"]
    return DayZero(ada, token, {"x-business-id": business})


@pytest.mark.parametrize(
    ("run", "sample"), [(curl, CURL), (node, JAVASCRIPT), (python, PYTHON)], ids=["curl", "JavaScript", "Python"]
)
def test_the_documented_samples_make_a_token_with_every_documented_field(client, native, tmp_path, run, sample):
    replaced = {
        "https://api.ondayzero.com": native.server.url,
        "dz_your_token": client.token,
        "YOUR_BUSINESS_ID": client.headers["x-business-id"],
    }
    answer = run(sample, replaced, tmp_path)
    assert answer.status == 201, answer
    assert answer.headers["content-type"] == "application/json"
    token, info = answer.body["token"], answer.body["token_info"]
    assert token.startswith("dz_eyJ") and native.is_active(token)
    claims = jwt.decode(token.removeprefix(PREFIX), options={"verify_signature": False})
    assert set(info) >= TOKEN_INFO
    assert info["jti"] == claims["jti"]
    assert (info["name"], info["description"], info["token_type"]) == ("string", None, "api")
    assert info["token_prefix"].startswith(PREFIX) and token.startswith(info["token_prefix"].removesuffix("..."))
    assert re.fullmatch(r"....-..-..T..:..:..\....Z", info["created_at"])
    created, expires = (datetime.fromisoformat(info[name]) for name in ("created_at", "expires_at"))
    assert expires - created == timedelta(days=365)
    assert (info["last_used_at"], info["revoked_at"], info["revocation_reason"]) == (None, None, None)


NAME, DAYS = ["body", "name"], ["body", "expires_in_days"]
NO_OBJECT = "Input should be a valid dictionary or object to extract fields from"
NO_INTEGER = "Input should be a valid integer"
LEAST, MOST = {"min_length": 1}, {"max_length": 255}


def fault(kind, loc, msg, given, ctx=None):
    return {"type": kind, "loc": loc, "msg": msg, "input": given} | ({"ctx": ctx} if ctx else {})


def of_days(kind, msg, given, ctx=None):
    return json.dumps({"name": "ci", "expires_in_days": given}), [fault(kind, DAYS, msg, given, ctx)]


# Every row of FastAPI's and pydantic's responses for a model with DayZero's limits.
WRONG = {
    "nothing": ("", [fault("missing", ["body"], "Field required", None)]),
    "no name": ("{}", [fault("missing", NAME, "Field required", {})]),
    "a list": ("[]", [fault("model_attributes_type", ["body"], NO_OBJECT, [])]),
    "a text": ('"s"', [fault("model_attributes_type", ["body"], NO_OBJECT, "s")]),
    "null": ("null", [fault("model_attributes_type", ["body"], NO_OBJECT, None)]),
    "an empty name": (
        '{"name":""}',
        [fault("string_too_short", NAME, "String should have at least 1 character", "", LEAST)],
    ),
    "a long name": (
        json.dumps({"name": "n" * 256}),
        [fault("string_too_long", NAME, "String should have at most 255 characters", "n" * 256, MOST)],
    ),
    "a number as name": ('{"name":5}', [fault("string_type", NAME, "Input should be a valid string", 5)]),
    "null as name": ('{"name":null}', [fault("string_type", NAME, "Input should be a valid string", None)]),
    "a number as description": (
        '{"name":"ci","description":5}',
        [fault("string_type", ["body", "description"], "Input should be a valid string", 5)],
    ),
    "no days": of_days("greater_than_equal", "Input should be greater than or equal to 1", 0, {"ge": 1}),
    "less than no days": of_days("greater_than_equal", "Input should be greater than or equal to 1", -1, {"ge": 1}),
    "too many days": of_days("less_than_equal", "Input should be less than or equal to 365", 366, {"le": 365}),
    "words for days": of_days("int_parsing", f"{NO_INTEGER}, unable to parse string as an integer", "abc"),
    "a fraction in words": of_days("int_parsing", f"{NO_INTEGER}, unable to parse string as an integer", "1.5"),
    "a fraction": of_days("int_from_float", f"{NO_INTEGER}, got a number with a fractional part", 1.5),
    "a list of days": of_days("int_type", NO_INTEGER, []),
    "several": (
        '{"name":"","description":5,"expires_in_days":0}',
        [
            fault("string_too_short", NAME, "String should have at least 1 character", "", LEAST),
            fault("string_type", ["body", "description"], "Input should be a valid string", 5),
            fault("greater_than_equal", DAYS, "Input should be greater than or equal to 1", 0, {"ge": 1}),
        ],
    ),
}


@pytest.mark.parametrize(("body", "detail"), WRONG.values(), ids=WRONG)
def test_every_wrong_body_is_answered_as_by_fastapi(client, body, detail):
    answer = client.send("POST", "", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"detail": detail}


def damaged():
    """Yields a valid body with one character removed, and with one replaced."""
    good = '{"name": "a\\u00fc\\n", "expires_in_days": -1.5e+3, "x": [null, true, {"y": []}]}'
    for at in range(len(good)):
        for instead in ["", *' "\\{}[]:,0-x\t']:
            yield good[:at] + instead + good[at + 1 :]
        yield good[:at]


def is_malformed(body):
    try:
        return json.loads(body) and False
    except json.JSONDecodeError:
        return True


def test_malformed_json_is_said_to_be_that_wherever_it_breaks(client):
    bodies = [body for body in damaged() if body and is_malformed(body)]
    assert len(bodies) > 500
    headers = {"Authorization": f"Bearer {client.token}", "Content-Type": "application/json"} | client.headers
    with httpx.Client(headers=headers, timeout=30) as http:
        for body in bodies:
            answer = http.post(f"{client.native.server.url}/api/v1/tokens", content=body)
            assert answer.status_code == 422, body
            [violation] = answer.json()["detail"]
            # Position and message of the error depend on the parser.
            (where, offset), words = violation.pop("loc"), violation.pop("ctx")
            assert where == "body" and 0 <= offset <= len(body) and list(words) == ["error"], body
            assert violation == {"type": "json_invalid", "msg": "JSON decode error", "input": {}}, body


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/octet-stream"])
def test_a_body_of_another_media_type_is_a_text(client, media_type):
    body = '{"name":"ci"}'
    answer = client.send("POST", "", content=body, headers={"Content-Type": media_type})
    expected = fault("model_attributes_type", ["body"], NO_OBJECT, body)
    assert (answer.status_code, answer.json()) == (422, {"detail": [expected]})


@pytest.mark.parametrize(
    ("query", "kind", "msg", "ctx"),
    [
        (
            "include_revoked=maybe",
            "bool_parsing",
            "Input should be a valid boolean, unable to interpret input",
            None,
        ),
        ("limit=0", "greater_than_equal", "Input should be greater than or equal to 1", {"ge": 1}),
        ("limit=1001", "less_than_equal", "Input should be less than or equal to 1000", {"le": 1000}),
        ("limit=x", "int_parsing", f"{NO_INTEGER}, unable to parse string as an integer", None),
    ],
)
def test_every_wrong_query_is_answered_as_by_fastapi(client, query, kind, msg, ctx):
    name, _, value = query.partition("=")
    answer = client.send("GET", f"?{query}")
    expected = fault(kind, ["query", name], msg, value, ctx)
    assert (answer.status_code, answer.json()) == (422, {"detail": [expected]})


@pytest.mark.parametrize(
    ("body", "media_type", "days"),
    [
        ('{"name":"ci","expires_in_days":"30"}', "application/json", 30),
        ('{"name":"ci","expires_in_days":2.0}', "application/json", 2),
        ('{"name":"ci","expires_in_days":true}', "application/json", 1),
        ('{"name":"ci","expires_in_days":null}', "application/json", 365),
        ('{"name":"ci","unheard_of":[]}', "application/json; charset=utf-8", 365),
        ('{"name":"ci"}', "application/vnd.api+json", 365),
        # Newer releases of FastAPI refuse a body without a media type; older ones accept it, like jeton.
        ('{"name":"ci"}', None, 365),
    ],
)
def test_what_fastapi_takes_is_taken(client, body, media_type, days):
    answer = client.send("POST", "", content=body, headers={"Content-Type": media_type} if media_type else {})
    assert answer.status_code == 201, answer.text
    info = answer.json()["token_info"]
    created, expires = (datetime.fromisoformat(info[name]) for name in ("created_at", "expires_at"))
    assert expires - created == timedelta(days=days)


@pytest.mark.parametrize("yes", ["true", "1", "yes", "on", "t", "y", "TRUE"])
def test_every_word_for_yes_is_one(client, yes):
    assert client.list(include_total_count=yes, include_revoked=yes)["total"] is not None
    assert client.list(include_total_count="off")["total"] is None


def refusal(answer, status):
    """Returns the message of an error in FastAPI's format."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    detail = answer.json()["detail"]
    assert type(detail) is str and detail
    return detail


def test_a_credential_that_is_no_good_is_401(client, native):
    revoked = native.issue(owner="user", scopes=["tokens:read", "tokens:write"])
    native.post(f"tokens/{revoked['token_info']['id']}/revoke", {})
    for authorization in ["", "Bearer", "Bearer dz_nonsense", "Digest x", f"Bearer {revoked['token']}"]:
        # Other errors are not reported yet.
        refusal(client.send("POST", "", content="{", headers={"Authorization": authorization}), 401)


def test_whoever_lacks_a_scope_is_403_and_what_is_anothers_is_404(client, native):
    reader = native.issue(owner="user", scopes=["tokens:read"])
    weak = DayZero(client.native, reader["token"], client.headers)
    refusal(weak.send("POST", "", json={"name": "ci"}), 403)
    # The user may not manage the administrator's token.
    refusal(client.send("POST", f"/{reader['token_info']['id']}/revoke"), 404)
    for absent in ["4711", "5d0c2f6e-8a8b-4c0e-9f3b-0c5a7d1e2f34", "nonsense"]:
        refusal(client.send("POST", f"/{absent}/revoke"), 404)


def test_an_unknown_address_a_wrong_method_and_a_trailing_slash(client):
    refusal(client.send("GET", "/1/unheard-of"), 404)
    # FastAPI would redirect to the path without the slash; clients do not follow redirects by default.
    refusal(client.send("GET", "/"), 404)
    answer = client.send("PUT", "", json={"name": "ci"})
    refusal(answer, 405)
    assert set(answer.headers["allow"].split(",")) >= {"GET", "POST"}


def test_the_business_of_the_header_is_where_the_token_is_good(native, business):
    other = native.post("organizations", {"name": "elsewhere"})["id"]
    foreign = native.joined_by("eve@example.org")
    # A session, whose user belongs to both.
    both = DayZero(native, native.session, {})
    for organization in [business, other]:
        made = both.send("POST", "", json={"name": "ci"}, headers={"x-business-id": organization})
        assert made.status_code == 201, made.text
        assert made.json()["token_info"]["organization"] == organization
    assert "x-business-id" in refusal(both.send("POST", "", json={"name": "ci"}), 400)
    # A user with only one organization need not name it.
    one = DayZero(foreign, foreign.session, {})
    assert one.create(name="ci")["token_info"]["organization"] == business
    for unknown in [other, "5d0c2f6e-8a8b-4c0e-9f3b-0c5a7d1e2f34", "nonsense"]:
        answer = one.send("POST", "", json={"name": "ci"}, headers={"x-business-id": unknown})
        refusal(answer, 404)
        refusal(one.send("GET", "", headers={"x-business-id": unknown}), 404)


def test_a_list_is_read_both_ways(native, business):
    walker = native.joined_by("walker@example.org")
    client = DayZero(walker, walker.session, {"x-business-id": business})
    made = [client.create(name=f"token {number}")["token_info"]["id"] for number in range(7)]

    def read_all(direction, **query):
        found, cursor = [], {}
        while True:
            page = client.list(limit=3, direction=direction, **query, **cursor)
            ids = [token["id"] for token in page["items"]]
            forward = direction == "next"
            found = found + ids if forward else ids + found
            if not page["has_next" if forward else "has_prev"]:
                assert page["next_cursor" if forward else "prev_cursor"] is None
                return found
            cursor = {"cursor": page["next_cursor" if forward else "prev_cursor"]}

    newest_first = made[::-1]
    assert read_all("next") == read_all("prev") == newest_first
    assert read_all("next", descending="false") == read_all("prev", descending="false") == made
    assert read_all("next", sort_by="name", descending="false") == made
    first = client.list(limit=3, include_total_count="true")
    assert (first["total"], first["limit"], first["has_prev"], first["has_next"]) == (7, 3, False, True)
    second = client.list(limit=3, cursor=first["next_cursor"])
    back = client.list(limit=3, cursor=second["prev_cursor"], direction="prev")
    assert [token["id"] for token in back["items"]] == newest_first[:3]
    assert client.list()["limit"] == 50
    refusal(client.send("GET", "?cursor=nonsense"), 400)
    client.send("POST", f"/{made[0]}/revoke")
    assert read_all("next") == newest_first[:-1]
    assert read_all("next", include_revoked="true") == newest_first


def test_the_list_of_ones_own_is_owner_user(native, business):
    """DayZero lists the caller's own tokens; here an administrator sees all tokens by default."""
    theirs = native.joined_by("quiet@example.org").issue(owner="user")["token_info"]["id"]
    mine = native.issue(owner="user")["token_info"]["id"]
    administrator = DayZero(native, native.session, {"x-business-id": business})
    listed = [token["id"] for token in administrator.list(limit=1000)["items"]]
    assert {theirs, mine} <= set(listed)
    own = [token["id"] for token in administrator.list(limit=1000, owner="user")["items"]]
    assert mine in own and theirs not in own


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({}, None),
        ({"content": "", "headers": {"Content-Type": "application/json"}}, None),
        ({"content": "null", "headers": {"Content-Type": "application/json"}}, None),
        ({"json": {}}, None),
        ({"json": {"reason": None}}, None),
        ({"json": {"reason": "leaked"}}, "leaked"),
        ({"json": {"unheard_of": 1}}, None),
    ],
    ids=["no body", "an empty body", "null", "{}", "no reason", "a reason", "an unknown field"],
)
def test_revoking_takes_every_form_of_its_body(client, native, request_, reason):
    made = client.create(name="ci")
    identity = made["token_info"]["id"]
    answer = client.send("POST", f"/{identity}/revoke", **request_)
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert set(body) >= REVOKED
    assert (body["id"], body["jti"], body["name"]) == (identity, made["token_info"]["jti"], "ci")
    assert body["revocation_reason"] == reason and datetime.fromisoformat(body["revoked_at"]).tzinfo
    assert not native.is_active(made["token"])
    used = DayZero(client.native, made["token"], client.headers).send("GET", "")
    refusal(used, 401)


def test_revoking_twice_is_the_first_answer_again(client):
    identity = client.create(name="ci")["token_info"]["id"]
    first = client.send("POST", f"/{identity}/revoke", json={"reason": "leaked"})
    second = client.send("POST", f"/{identity}/revoke", json={"reason": "again"})
    assert (second.status_code, second.json()) == (201, first.json())


def test_what_is_said_of_oneself_is_not_believed(client):
    headers = {"x-user-email": "somebody-else@example.org"}
    made = client.send("POST", "", json={"name": "ci"}, headers=headers)
    assert made.status_code == 201, made.text
    info = made.json()["token_info"]
    revoked = client.send("POST", f"/{info['jti']}/revoke", headers=headers)
    assert revoked.status_code == 201, revoked.text
    assert "somebody-else" not in made.text + revoked.text
    assert revoked.json()["id"] == info["id"]


def test_the_wrong_reason_is_a_422(client):
    identity = client.create(name="ci")["token_info"]["id"]
    for body, kind, loc in [({"reason": 5}, "string_type", ["body", "reason"]), ([], "model_attributes_type", ["body"])]:
        answer = client.send("POST", f"/{identity}/revoke", json=body)
        assert answer.status_code == 422
        (found,) = answer.json()["detail"]
        assert (found["type"], found["loc"], found["input"]) == (kind, loc, body["reason"] if loc[1:] else body)


def test_ten_active_tokens_a_person_are_a_policy(native):
    """The limit is the organization's policy; none is built in."""
    limited = native.post("organizations", {"name": "limited", "policy": {"max_active_tokens_per_owner": 10}})
    client = DayZero(native, native.session, {"x-business-id": limited["id"]})
    made = [client.create(name="ci")["token_info"]["id"] for _ in range(10)]
    assert "10" in refusal(client.send("POST", "", json={"name": "one too many"}), 409)
    client.send("POST", f"/{made[0]}/revoke")
    client.create(name="in its place")
