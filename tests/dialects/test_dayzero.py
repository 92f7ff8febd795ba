"""DayZero's clients, which are its documented samples: the native API has all that they need."""

import pytest
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


@pytest.fixture
def native(server):
    return Native.of(server)


@pytest.mark.parametrize(
    ("run", "sample"), [(curl, CURL), (node, JAVASCRIPT), (python, PYTHON)], ids=["curl", "JavaScript", "Python"]
)
def test_the_documented_samples_make_a_token(native, tmp_path, run, sample):
    business = native.get(f"organizations/{ORGANIZATION}")["id"]
    minter = native.issue(owner="user", scopes=["tokens:read", "tokens:write"])["token"]
    replaced = {
        "https://api.ondayzero.com": native.server.url,
        "dz_your_token": minter,
        "YOUR_BUSINESS_ID": business,
    }
    answer = run(sample, replaced, tmp_path)
    assert answer.status == 201, answer
    token, info = answer.body["token"], answer.body["token_info"]
    assert native.is_active(token)
    assert info["name"] == "string" and info["token_type"] == "api"
