import sys

from client import ApiClient, Configuration, CreateToken, Owner, TokenInfo, TokensApi

_, session = sys.argv[1:]
# The address is that of the document.
tokens = TokensApi(ApiClient(Configuration(access_token=session)))


def listed() -> list[TokenInfo]:
    return tokens.list_tokens(q="openapi-generator").items


order = CreateToken(name="openapi-generator", organization="default", owner=Owner.ORGANIZATION)
number = tokens.create_token(order).token_info.id
print(any(token.id == number and token.status == "active" for token in listed()))
tokens.revoke_token(number)
print(not any(token.id == number for token in listed()))
