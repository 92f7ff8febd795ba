"""jeton's verifier and four other libraries, about the same mutated tokens.

What jeton accepts, all of them accept with the same claims. What only others accept is in a list of named differences, in
which jeton is stricter; each of them must occur, so that the list stays true.

Control: a library that accepts everything, and one that reads another subject, are found.

It could pass wrongly if no mutated token were accepted by anybody: both kinds of agreement are counted.
"""

import base64
import hashlib
import json
import os
import random
import re
import subprocess
import time
from pathlib import Path

import jwt
import pytest
from conftest import BINARY
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey

ROOT = Path(__file__).parents[2]
SEED = int(os.environ.get("SEED") or 20261202)
COUNT = {"few": 2_000, "many": 20_000, "all": 200_000}[os.environ.get("EFFORT") or "few"]
ISSUER, AUDIENCE = "https://tokens.example.org", "https://api.example.org"
NOW = int(time.time())
CLAIMS = {
    "iss": ISSUER,
    "sub": "team-0123456789abcdef",
    "aud": AUDIENCE,
    "client_id": "team-0123456789abcdef",
    "iat": NOW - 60,
    "exp": NOW + 3600,
    "jti": "01934d6e-7a00-7000-8000-0000000000ab",
    "scope": "projects:read content:write",
    "org": "00000000-0000-0000-0000-000000000007",
    "projects": [1, 2],
    "status": {"status_list": {"idx": 4711, "uri": f"{ISSUER}/status-lists/1"}},
}
# Values of the wrong type or range, or of another deployment, or merely unusual.
VALUES = [
    None, True, False, 0, 1, -1, 1.0, 1.5, "", " ", "x", "0", [], {}, [""], ["x"], [None], {"a": 1}, "*", 2**31, 2**53 + 1, 2**63, 2**64,
    NOW, NOW + 1, NOW - 1, NOW + 3600, NOW + 86_400, 253_402_300_799, 253_402_300_800, str(NOW + 60), float(NOW + 60), ISSUER, ISSUER + "/", AUDIENCE,
    [AUDIENCE], ["x", AUDIENCE], [AUDIENCE, 1], "at+jwt", "AT+JWT", "application/at+jwt", "JWT", "jwt", "none", "HS256", ["b64"], "é", "a\u0000b", " a",
]  # fmt: skip
MORE_OF_THE_HEADER = {
    "crit": [[], ["b64"], ["exp"], "b64", ["x"]], "b64": [True, False], "cty": ["JWT"], "jku": ["https://x.example/"], "jwk": [{}],
    "x5u": ["https://x.example/"], "x5c": [["AA"]], "zip": ["DEF"], "enc": ["A128GCM"], "nonce": ["x"], "": [1], "x": [1], "Alg": ["none"],
}  # fmt: skip


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class Signer:
    """A key and what others know of it."""

    def __init__(self, algorithm: str):
        self.algorithm = algorithm
        if algorithm == "ES256":
            self.private = ec.generate_private_key(ec.SECP256R1())
            numbers = self.private.public_key().public_numbers()
            members = {"crv": "P-256", "kty": "EC", "x": encoded(numbers.x.to_bytes(32)), "y": encoded(numbers.y.to_bytes(32))}
        else:
            self.private = ed25519.Ed25519PrivateKey.generate()
            members = {"crv": "Ed25519", "kty": "OKP", "x": encoded(self.private.public_key().public_bytes_raw())}
        self.kid = encoded(hashlib.sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).digest())
        self.jwk = members | {"alg": algorithm, "use": "sig", "kid": self.kid}

    def sign(self, message: str) -> bytes:
        if self.algorithm == "EdDSA":
            return self.private.sign(message.encode())
        r, s = decode_dss_signature(self.private.sign(message.encode(), ec.ECDSA(SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)


def written(members: list[tuple[str, object]], chance: random.Random) -> bytes:
    """Writes an object, with repeated names if there are any, and sometimes with white space, escapes or another encoding."""
    style = chance.randrange(12)
    separators = (", ", ": ") if style == 0 else (",", ":")
    parts = []
    for name, value in members:
        key = json.dumps(name)
        if style == 1 and name:
            key = f'"\\u{ord(name[0]):04x}{name[1:]}"'
        text = json.dumps(value, separators=separators, ensure_ascii=style != 2)
        if style == 3 and isinstance(value, int) and not isinstance(value, bool):
            text = chance.choice([f"{value}.0", f"{value}e0", f"-{value}", f"0{value}", f"+{value}"])
        parts.append(f"{key}{separators[1]}{text}")
    text = "{" + separators[0].join(parts) + "}"
    match style:
        case 4:
            text = chance.choice([" ", "\n", "\t"]) + text + chance.choice([" ", "\n", ""])
        case 5:
            text = chance.choice(["\ufeff" + text, text + "\0", text + "x", text[:-1], text[:-1] + ",}", "[" + text + "]", text * 2])
    return text.encode("utf-8", "surrogatepass")


def mutated(content: dict, more: dict, chance: random.Random) -> list[tuple[str, object]]:
    """Changes, removes, repeats or adds members, mostly one."""
    members = list(content.items())
    for _ in range(chance.choice([0, 1, 1, 1, 2])):
        place = chance.randrange(len(members)) if members else 0
        match chance.randrange(6):
            case 0 | 1 if members:
                members[place] = (members[place][0], chance.choice(VALUES))
            case 2 if members:
                members.pop(place)
            case 3 if members:
                members.insert(chance.randrange(len(members) + 1), (members[place][0], chance.choice([members[place][1], *VALUES])))
            case 4:
                name = chance.choice(list(more))
                members.insert(chance.randrange(len(members) + 1), (name, chance.choice(more[name])))
            case _:
                chance.shuffle(members)
    return members


def framed(token: str, chance: random.Random) -> str:
    match chance.randrange(40):
        case 0:
            return token + chance.choice(["=", ".", " ", "\n", "\0", "é", ".x", "A"])
        case 1:
            return chance.choice([" ", "\n", ".", "x_", "ab_c_", "\ufeff", "Bearer "]) + token
        case 2:
            place = chance.randrange(len(token))
            return token[:place] + chance.choice("AZaz09-_+/=. \n%") + token[place + 1 :]
        case 3:
            place = chance.randrange(len(token))
            return token[:place] + token[place + 1 :]
        case 4:
            return token.replace("-", "+").replace("_", "/")
        case 5:
            return token.rpartition(".")[0] + "."
        case 6:
            # Unused bits of the last character, which lenient decoders ignore.
            alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
            return token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]
    return token


def tokens(signer: Signer, count: int, chance: random.Random) -> list[str]:
    header = {"alg": signer.algorithm, "kid": signer.kid, "typ": "at+jwt"}
    more_claims = {"nbf": [NOW - 1, NOW + 600, "x", 1.5], "team": ["team-0123456789abcdef", None, 1], "x": [1, {"y": [None]}], "admin": [True]}
    # The rarest of the named differences.
    later = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(CLAIMS | {'iat': NOW + 600}).encode())}"
    made = [f"{later}.{encoded(signer.sign(later))}"]
    for _ in range(count):
        which = chance.randrange(10)
        head = written(mutated(header, MORE_OF_THE_HEADER, chance) if which in (0, 1, 2) else list(header.items()), chance if which == 2 else random.Random(99))
        body = written(mutated(CLAIMS, more_claims, chance) if which > 2 else list(CLAIMS.items()), chance if which > 5 else random.Random(99))
        message = f"{encoded(head)}.{encoded(body)}"
        made.append(framed(f"{message}.{encoded(signer.sign(message))}", chance))
    return made


def without_prefix(token: str) -> str:
    """Returns what other libraries must be given (docs/verifying.md)."""
    return re.sub("^[A-Za-z0-9]{1,16}_(?=eyJ)", "", token)


def comparable(claims: dict) -> dict:
    """Returns the claims that both read; an audience may be written as a text or a list."""
    audience = claims["aud"]
    return {name: claims.get(name) for name in ("iss", "sub", "iat", "exp", "jti", "scope")} | {
        "aud": audience if isinstance(audience, list) else [audience]
    }


def verdicts_of_jeton(signer: Signer, made: list[str], folder: Path) -> list[dict]:
    keys = folder / "keys.json"
    keys.write_text(json.dumps({"keys": [signer.jwk]}))
    program = Path(BINARY).parent / "examples" / "verdicts"
    lines = "\n".join(json.dumps(token) for token in made)
    done = subprocess.run([program, keys, ISSUER, AUDIENCE, str(int(time.time()))], input=lines, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def pyjwt(signer: Signer, made: list[str]) -> list[dict | None]:
    key = jwt.PyJWK(signer.jwk)

    def verdict(token):
        try:
            return jwt.decode(token, key, algorithms=[signer.algorithm], audience=AUDIENCE, issuer=ISSUER, options={"require": ["exp", "iat", "sub", "jti", "aud", "iss"]})
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            return None

    return [verdict(token) for token in made]


def joserfc(signer: Signer, made: list[str]) -> list[dict | None]:
    from joserfc import jwt as rfc
    from joserfc.errors import JoseError

    key = (ECKey if signer.algorithm == "ES256" else OKPKey).import_key(signer.jwk)
    registry = rfc.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER}, aud={"essential": True, "value": AUDIENCE}, exp={"essential": True}, iat={"essential": True},
        sub={"essential": True}, jti={"essential": True},
    )  # fmt: skip
    strict = jws.JWSRegistry(algorithms=[signer.algorithm])

    def verdict(token):
        try:
            claims = rfc.decode(token, key, algorithms=[signer.algorithm], registry=strict).claims
            registry.validate(claims)
            return claims
        except (JoseError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
            return None

    return [verdict(token) for token in made]


def in_node(signer: Signer, made: list[str]) -> dict[str, list[dict | None]]:
    modules = ROOT / "tests/interop"
    if not (modules / "node_modules/jose").exists():
        pytest.fail("run `make test`, which installs jose and jsonwebtoken")
    first = json.dumps({"jwk": signer.jwk, "issuer": ISSUER, "audience": AUDIENCE})
    lines = "\n".join([first, *(json.dumps(token) for token in made)]) + "\n"
    done = subprocess.run(["node", ROOT / "tests/python/differential.mjs", modules], input=lines, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    return {name: [verdict[name] for verdict in verdicts] for name in verdicts[0]}


class Pairs(dict):
    """An object, and whether a name was repeated in it."""

    def __init__(self, pairs):
        super().__init__(pairs)
        self.is_repeated = len(self) < len(pairs)


def difference(token: str) -> str | None:
    """Names the rule of jeton that a token breaks which another library accepts."""
    segments = token.split(".")
    try:
        head, body, _ = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in segments)
        if token != f"{encoded(head)}.{encoded(body)}.{segments[2]}" or len(segments[2]) != 86 or not re.fullmatch("[A-Za-z0-9_-]*[AQgw]", segments[2]):
            return "an encoding or JSON that is not strict"
        header, claims = (json.loads(part.decode(), object_pairs_hook=Pairs) for part in (head, body))
    except ValueError:
        return "an encoding or JSON that is not strict"
    if not isinstance(header, dict) or not isinstance(claims, dict):
        return None
    if header.is_repeated or claims.is_repeated:
        return "a repeated name"
    if not header.keys() <= {"alg", "kid", "typ"}:
        return "a further member of the header"
    if header.keys() != {"alg", "kid", "typ"} or not isinstance(header["kid"], str):
        return "a missing member of the header"
    if not isinstance(header["typ"], str) or header["typ"].lower().removeprefix("application/") != "at+jwt":
        return "another type"
    if len(header["kid"]) != 43 or header["alg"] not in ("ES256", "EdDSA"):
        return "another key id"
    if has_wrong_claims(claims):
        return "a claim that is missing, of the wrong type or out of range"
    if claims["iat"] > NOW:
        return "an instant of issue that has not come"
    return None


def has_wrong_claims(claims: dict) -> bool:
    """Returns whether a claim is not as RFC 9068 and docs/verifying.md have it. Written apart from jeton's own rules."""

    def is_text(value) -> bool:
        return isinstance(value, str) and value != "" and not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in value)

    def is_date(value) -> bool:
        return type(value) is int and 0 <= value <= 253_402_300_799

    def is_uuid(value) -> bool:
        return isinstance(value, str) and re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value) is not None

    def is_list(value, of) -> bool:
        return isinstance(value, list) and all(of(item) for item in value)

    if any(not is_text(claims.get(name)) for name in ("iss", "sub", "client_id")) or not is_uuid(claims.get("jti")):
        return True
    if not is_date(claims.get("iat")) or not is_date(claims.get("exp")) or claims["exp"] < claims["iat"]:
        return True
    audience = claims.get("aud")
    if not is_text(audience) and not (is_list(audience, is_text) and audience):
        return True
    status = claims.get("status")
    listed = status.get("status_list") if isinstance(status, dict) else None
    if not isinstance(listed, dict) or type(listed.get("idx")) is not int or not is_text(listed.get("uri")):
        return True
    rules = {
        "scope": lambda value: isinstance(value, str) and re.fullmatch(r"[!#-\[\]-~]+( [!#-\[\]-~]+)*", value),
        "org": is_uuid,
        "team": is_text,
        "projects": lambda value: is_list(value, lambda number: type(number) is int and 0 <= number < 2**31),
        "nbf": lambda value: is_date(value) and value <= claims["iat"],
    }
    return any(name in claims and not rule(claims[name]) for name, rule in rules.items())


NAMED = {
    "a repeated name",
    "a further member of the header",
    "a missing member of the header",
    "another type",
    "another key id",
    "a claim that is missing, of the wrong type or out of range",
    "an instant of issue that has not come",
    "an encoding or JSON that is not strict",
}


def contradictions(made, ours, theirs, unnamed) -> list[str]:
    found = []
    for number, token in enumerate(made):
        mine, other = ours[number].get("claims"), theirs[number]
        if mine is not None and other is None:
            found.append(f"only jeton accepts {token}")
        elif mine is not None and comparable(mine) != comparable(other):
            found.append(f"{token} is read as {mine} and {other}")
        elif mine is None and other is not None:
            name = difference(token)
            unnamed.setdefault(name, 0)
            unnamed[name] += 1
            if name not in NAMED:
                found.append(f"only the other accepts {token}: {ours[number]['refused']}")
    return found


# joserfc warns of EdDSA, whose name RFC 9864 replaces by Ed25519.
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_what_jeton_accepts_others_accept_with_the_same_claims(algorithm, tmp_path):
    print(f"SEED={SEED}, {COUNT} tokens")
    chance = random.Random(f"{SEED} {algorithm}")
    signer = Signer(algorithm)
    made = tokens(signer, COUNT, chance)
    ours = verdicts_of_jeton(signer, made, tmp_path)
    accepted = sum("claims" in verdict for verdict in ours)
    assert COUNT / 20 < accepted < COUNT * 0.9, accepted
    made = [without_prefix(token) for token in made]
    libraries = {"PyJWT": pyjwt(signer, made), "joserfc": joserfc(signer, made)} | in_node(signer, made)
    seen = {}
    for name, theirs in libraries.items():
        differences = {}
        found = contradictions(made, ours, theirs, differences)
        print(name, sum(verdict is not None for verdict in theirs), "accepted;", differences)
        assert not found, f"{name}: {len(found)}\n" + "\n".join(found[:5])
        seen |= differences
    assert NAMED <= seen.keys(), NAMED - seen.keys()

    # The controls: each lie about one token is found.
    good = next(number for number, verdict in enumerate(ours) if "claims" in verdict)
    lie = list(libraries["joserfc"])
    lie[good] = None
    assert len(contradictions(made, ours, lie, {})) == 1
    lie[good] = dict(libraries["joserfc"][good]) | {"sub": "another"}
    assert len(contradictions(made, ours, lie, {})) == 1
