import sys

from client import AuthenticatedClient
from client.api.tokens import create_token, list_tokens, revoke_token
from client.models import CreatedToken, CreateToken, Owner, RevokedToken, TokenInfo, TokenList

url, session = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=session)


def listed() -> list[TokenInfo]:
    page = list_tokens.sync(client=client, q="openapi-python-client")
    assert isinstance(page, TokenList), page
    return page.items


order = CreateToken(name="openapi-python-client", organization="default", owner=Owner.ORGANIZATION)
created = create_token.sync(client=client, body=order)
assert isinstance(created, CreatedToken), created
number = created.token_info.id
print(any(token.id == number and token.status == "active" for token in listed()))
revoked = revoke_token.sync(number, client=client)
assert isinstance(revoked, RevokedToken), revoked
print(not any(token.id == number for token in listed()))
