//! Texts that are presented in place of a token, made from a good one.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jeton::keys::SigningKey;
use jeton_verifier::strip_prefix;
use serde_json::{Value, json};

/// Who can make a forgery, which decides how it must be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker {
    /// Anybody: nothing of it is signed.
    Anybody,
    /// A thief of the private key, but the header or a claim is malformed: as if it were not signed.
    ThiefMalformed,
    /// A thief of the private key. `offline`: a verifier that does not ask the authority cannot tell.
    Thief { offline: bool },
    /// The authority, for another purpose.
    Authority,
}

#[derive(Debug, Clone)]
pub(super) struct Forgery {
    pub(super) what: String,
    pub(super) maker: Maker,
    pub(super) text: Vec<u8>,
}

/// A good token, and the private key that signed it.
pub(super) struct Original<'a> {
    pub(super) token: &'a str,
    pub(super) key: &'a SigningKey,
    /// A key of another deployment.
    pub(super) foreign: &'a SigningKey,
}

/// The parts of a token.
struct Parts {
    header: String,
    claims: String,
    signature: String,
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decoded(segment: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(segment).unwrap()
}

impl Original<'_> {
    fn parts(&self) -> Parts {
        let mut segments = strip_prefix(self.token).split('.').map(str::to_owned);
        let mut next = || segments.next().unwrap();
        Parts {
            header: next(),
            claims: next(),
            signature: next(),
        }
    }

    fn signed(&self, message: &str) -> String {
        format!(
            "{message}.{}",
            encoded(self.key.sign(message.as_bytes()).unwrap())
        )
    }

    /// Returns all forgeries. The token itself is not among them, in none of its spellings.
    pub(super) fn forgeries(&self) -> Vec<Forgery> {
        let mut all = Vec::new();
        self.headers(&mut all);
        self.shared_secrets(&mut all);
        self.frames(&mut all);
        self.signatures(&mut all);
        self.malformed_claims(&mut all);
        self.other_claims(&mut all);
        all
    }

    fn headers(&self, all: &mut Vec<Forgery>) {
        let parts = self.parts();
        let text = String::from_utf8(decoded(&parts.header)).unwrap();
        let header: Value = serde_json::from_str(&text).unwrap();
        let body = &text[1..text.len() - 1];
        let mut texts: Vec<(String, Vec<u8>)> = Vec::new();
        let own_jwk = serde_json::to_value(self.key.public_jwk()).unwrap();
        let long = "A".repeat(4096);
        let kid = header["kid"].as_str().unwrap();
        let values: [(&str, Vec<Value>); 3] = [
            (
                "alg",
                vec![
                    "none".into(),
                    "None".into(),
                    "NONE".into(),
                    "nOnE".into(),
                    "".into(),
                    "HS256".into(),
                    "HS512".into(),
                    "es256".into(),
                    "ES384".into(),
                    "ES512".into(),
                    "ES256K".into(),
                    "PS256".into(),
                    "RS256".into(),
                    "EdDSA".into(),
                    "Ed25519".into(),
                    "dir".into(),
                    "RSA-OAEP".into(),
                    "PBES2-HS256+A128KW".into(),
                    json!(null),
                    json!(["ES256"]),
                    json!({"ES256": null}),
                    json!(1),
                    json!(true),
                ],
            ),
            (
                "kid",
                vec![
                    "".into(),
                    "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs".into(),
                    "../../dev/null".into(),
                    "'; --".into(),
                    long.into(),
                    format!("{kid}=").into(),
                    format!("{kid}\0").into(),
                    kid[1..].into(),
                    kid.to_uppercase().into(),
                    json!(1),
                    json!(null),
                    json!([kid]),
                    json!({"kid": kid}),
                    self.foreign.kid().as_str().into(),
                ],
            ),
            (
                "typ",
                vec![
                    "".into(),
                    "JWT".into(),
                    "jwt".into(),
                    "secevent+jwt".into(),
                    "statuslist+jwt".into(),
                    "session+jwt".into(),
                    "revocation-head+jwt".into(),
                    "revocation-snapshot+jwt".into(),
                    "token-introspection+jwt".into(),
                    "at+jwt\0".into(),
                    "at jwt".into(),
                    "at+jwt ".into(),
                    "text/at+jwt".into(),
                    json!(null),
                    json!(["at+jwt"]),
                    json!(1),
                ],
            ),
        ];
        for (name, values) in values {
            let absent: serde_json::Map<String, Value> = header
                .as_object()
                .unwrap()
                .iter()
                .filter(|(key, _)| *key != name)
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            texts.push((
                format!("{name} absent"),
                Value::from(absent).to_string().into_bytes(),
            ));
            for value in values {
                if header[name] == value {
                    continue;
                }
                let mut changed = header.clone();
                changed[name] = value.clone();
                texts.push((
                    format!("{name}: {}", short(&value.to_string())),
                    changed.to_string().into_bytes(),
                ));
            }
        }
        for (name, value) in [
            ("crit", json!([])),
            ("crit", json!(["b64"])),
            ("crit", json!(["exp"])),
            ("crit", json!(["alg"])),
            ("crit", json!("b64")),
            ("b64", json!(false)),
            ("b64", json!(true)),
            ("zip", json!("DEF")),
            ("cty", json!("JWT")),
            ("enc", json!("A256GCM")),
            ("jku", json!("http://127.0.0.1:1/jwks.json")),
            ("jwk", own_jwk),
            ("x5u", json!("http://127.0.0.1:1/")),
            ("x5c", json!(["AA"])),
            ("x5t", json!("AA")),
            ("x5t#S256", json!("AA")),
            ("p2c", json!(1_000_000_000)),
            ("iss", json!("x")),
            ("Alg", json!("none")),
            ("", json!(null)),
            ("nonce", json!("x")),
        ] {
            let mut changed = header.clone();
            changed[name] = value.clone();
            texts.push((
                format!("further {name}: {}", short(&value.to_string())),
                changed.to_string().into_bytes(),
            ));
        }
        for double in [
            r#""alg":"none""#,
            r#""\u0061lg":"none""#,
            r#""kid":"x""#,
            r#""k\u0069d":"x""#,
            r#""typ":"JWT""#,
            r#""t\u0079p":"at+jwt""#,
        ] {
            texts.push((
                format!("twice, first {double}"),
                format!("{{{double},{body}}}").into_bytes(),
            ));
            texts.push((
                format!("twice, last {double}"),
                format!("{{{body},{double}}}").into_bytes(),
            ));
        }
        for (what, bytes) in [
            ("empty", Vec::new()),
            ("{}", b"{}".to_vec()),
            ("null", b"null".to_vec()),
            ("an array", format!("[{text}]").into_bytes()),
            ("with NUL", format!("{text}\0").into_bytes()),
            ("two objects", text.repeat(2).into_bytes()),
            ("a byte order mark", format!("\u{feff}{text}").into_bytes()),
            ("a comma too many", format!("{{{body},}}").into_bytes()),
            ("no UTF-8", [text.as_bytes(), b"\xff"].concat()),
            (
                "a lone surrogate",
                format!("{{{body},\"\\ud800\":1}}").into_bytes(),
            ),
            (
                "nested",
                format!("{{{body},\"x\":{}{}}}", "[".repeat(2_000), "]".repeat(2_000)).into_bytes(),
            ),
        ] {
            texts.push((what.to_owned(), bytes));
        }
        for (what, text) in texts {
            let message = format!("{}.{}", encoded(&text), parts.claims);
            let kept = format!("{message}.{}", parts.signature);
            // A byte order mark in front of a header is `77u_` in base64url, which is a prefix like any other: this is the
            // token itself.
            if strip_prefix(&kept) != strip_prefix(self.token) {
                all.push(Forgery::new(format!("header {what}"), Maker::Anybody, kept));
            }
            all.push(Forgery::new(
                format!("header {what}, without a signature"),
                Maker::Anybody,
                format!("{message}."),
            ));
            // A type that is valid for another purpose is no malformed header: the signature is right.
            let maker = match what.starts_with("typ: ") && what.contains("+jwt\"") {
                true => Maker::Authority,
                false => Maker::ThiefMalformed,
            };
            all.push(Forgery::new(
                format!("header {what}, signed"),
                maker,
                self.signed(&message),
            ));
        }
    }

    /// The public key as a secret that both sides know (CVE-2015-9235 and its successors).
    fn shared_secrets(&self, all: &mut Vec<Forgery>) {
        let parts = self.parts();
        let header: Value = serde_json::from_slice(&decoded(&parts.header)).unwrap();
        let jwk = serde_json::to_value(self.key.public_jwk()).unwrap();
        let mut secrets = vec![("the JWK", jwk.to_string().into_bytes()), ("nothing", Vec::new())];
        let member = |name: &str| jwk[name].as_str().map(|text| (text.to_owned(), decoded(text)));
        if let (Some((x_text, x)), Some((_, y))) = (member("x"), member("y")) {
            let point = [&[4][..], &x, &y].concat();
            let der = [&SPKI_P256[..], &point].concat();
            let pem = format!(
                "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----",
                STANDARD.encode(&der)
            );
            secrets.extend([
                ("x", x),
                ("x as text", x_text.into_bytes()),
                ("the point", point),
                ("DER", der),
                ("PEM", pem.into_bytes()),
            ]);
        }
        let with_line: Vec<_> = secrets
            .iter()
            .map(|(what, secret)| (format!("{what} and a newline"), [&secret[..], b"\n"].concat()))
            .collect();
        let secrets = secrets
            .into_iter()
            .map(|(what, secret)| (what.to_owned(), secret))
            .chain(with_line);
        for (what, secret) in secrets {
            for (alg, kind) in [
                ("HS256", hmac::HMAC_SHA256),
                ("HS512", hmac::HMAC_SHA512),
                ("", hmac::HMAC_SHA256),
            ] {
                let mut changed = header.clone();
                if !alg.is_empty() {
                    changed["alg"] = alg.into();
                }
                let message = format!("{}.{}", encoded(changed.to_string()), parts.claims);
                let tag = hmac::sign(&hmac::Key::new(kind, &secret), message.as_bytes());
                let text = format!("{message}.{}", encoded(tag.as_ref()));
                all.push(Forgery::new(
                    format!("{alg} with {what} as secret"),
                    Maker::Anybody,
                    text,
                ));
            }
        }
    }

    fn frames(&self, all: &mut Vec<Forgery>) {
        let bare = strip_prefix(self.token);
        let Parts {
            header,
            claims,
            signature,
        } = self.parts();
        let mut texts = vec![
            ("nothing but dots: 2".to_owned(), "..".to_owned()),
            ("8,000 dots".into(), ".".repeat(8_000)),
            ("one segment".into(), header.clone()),
            ("two segments".into(), format!("{header}.{claims}")),
            ("four segments".into(), format!("{bare}.{signature}")),
            (
                "five segments".into(),
                format!("{header}..{claims}.{signature}.{signature}"),
            ),
            ("six segments".into(), format!("{bare}.{bare}")),
            ("a dot before".into(), format!(".{bare}")),
            ("a dot after".into(), format!("{bare}.")),
            ("no header".into(), format!(".{claims}.{signature}")),
            ("no claims".into(), format!("{header}..{signature}")),
            (
                "claims and header exchanged".into(),
                format!("{claims}.{header}.{signature}"),
            ),
            ("too long".into(), format!("{bare}{}", "A".repeat(8_192))),
            (
                "flattened JSON".into(),
                format!(r#"{{"payload":"{claims}","protected":"{header}","signature":"{signature}"}}"#),
            ),
            (
                "general JSON".into(),
                format!(
                    r#"{{"payload":"{claims}","signatures":[{{"protected":"{header}","signature":"{signature}"}}]}}"#
                ),
            ),
            ("two prefixes".into(), format!("a_b_{bare}")),
            ("a prefix too long".into(), format!("0123456789abcdefg_{bare}")),
            ("a prefix of other characters".into(), format!("a-b_{bare}")),
            ("an empty prefix".into(), format!("_{bare}")),
            ("Bearer twice".into(), format!("Bearer {bare}")),
            ("a comma".into(), format!("{bare},{bare}")),
            ("a parameter".into(), format!("{bare};x=1")),
            ("percent-encoded dots".into(), bare.replace('.', "%2E")),
            ("dots of another script".into(), bare.replace('.', "\u{3002}")),
        ];
        for around in [
            "\"", "'", "%20", "=", "\u{e4}", "\u{a0}", "\u{200b}", "\u{feff}", "\0", "\x7f", "<", ">",
        ] {
            let what = around.escape_unicode();
            texts.push((format!("{what} after"), format!("{bare}{around}")));
            texts.push((format!("{what} before"), format!("{around}{bare}")));
        }
        for (place, name) in ["header", "claims", "signature"].into_iter().enumerate() {
            let segments = [&header, &claims, &signature];
            let part = segments[place];
            let mut variants = vec![
                format!("{part}="),
                format!("{part}=="),
                format!("{part}+"),
                format!("{part}/"),
                format!("{part}A"),
            ];
            if !part.len().is_multiple_of(4) {
                let last = ALPHABET.find(part.chars().last().unwrap()).unwrap();
                variants.push(format!(
                    "{}{}",
                    &part[..part.len() - 1],
                    &ALPHABET[last + 1..last + 2]
                ));
            }
            variants.extend([("-", "+"), ("_", "/")].map(|(ours, theirs)| part.replace(ours, theirs)));
            variants.push(part[..part.len() - 1].to_owned());
            variants.push(
                part.chars()
                    .map(|letter| {
                        if letter.is_ascii_lowercase() {
                            letter.to_ascii_uppercase()
                        } else {
                            letter.to_ascii_lowercase()
                        }
                    })
                    .collect(),
            );
            for (number, variant) in variants
                .into_iter()
                .enumerate()
                .filter(|(_, variant)| variant != part)
            {
                let mut changed = segments.map(String::clone);
                changed[place] = variant;
                texts.push((format!("{name} in spelling {number}"), changed.join(".")));
            }
        }
        all.extend(
            texts
                .into_iter()
                .map(|(what, text)| Forgery::new(what, Maker::Anybody, text)),
        );
        for (what, bytes) in [
            ("no UTF-8 after", [bare.as_bytes(), b"\xff"].concat()),
            ("half a character before", [b"\xc3", bare.as_bytes()].concat()),
        ] {
            all.push(Forgery {
                what: what.to_owned(),
                maker: Maker::Anybody,
                text: bytes,
            });
        }
    }

    fn signatures(&self, all: &mut Vec<Forgery>) {
        let parts = self.parts();
        let message = format!("{}.{}", parts.header, parts.claims);
        let good = decoded(&parts.signature);
        let half = good.len() / 2;
        let mut neutral = vec![0; good.len()];
        neutral[0] = 1;
        let (r, s) = good.split_at(half);
        let mut bad = vec![
            ("empty", Vec::new()),
            ("truncated", good[..good.len() - 1].to_vec()),
            ("half", r.to_vec()),
            ("extended", [&good[..], &[0]].concat()),
            ("twice", good.repeat(2)),
            ("all zero", vec![0; good.len()]),
            ("all ones", vec![0xff; good.len()]),
            ("a point of small order", neutral),
            (
                "r = s = 1",
                [vec![0; half - 1], vec![1], vec![0; half - 1], vec![1]].concat(),
            ),
            ("r = 0", [vec![0; half], s.to_vec()].concat()),
            ("s = 0", [r.to_vec(), vec![0; half]].concat()),
            ("r and s exchanged", [s, r].concat()),
            ("r = n, s = n", [P256_ORDER, P256_ORDER].concat()),
            ("r = n, s = 1", [&P256_ORDER[..], &[0; 31], &[1]].concat()),
            ("as DER", [&[0x30, 70, 2, 33, 0], r, &[2, 33, 0], s].concat()),
            ("of another message", self.key.sign(b"another message").unwrap()),
            (
                "of the claims alone",
                self.key.sign(parts.claims.as_bytes()).unwrap(),
            ),
            (
                "of the decoded parts",
                self.key
                    .sign(&[decoded(&parts.header), decoded(&parts.claims)].concat())
                    .unwrap(),
            ),
            (
                "by another deployment",
                self.foreign.sign(message.as_bytes()).unwrap(),
            ),
        ];
        for bit in [0, 7, 100, good.len() * 8 - 1] {
            let mut flipped = good.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            bad.push(("a bit flipped", flipped));
        }
        for (what, signature) in bad {
            all.push(Forgery::new(
                format!("signature {what}"),
                Maker::Anybody,
                format!("{message}.{}", encoded(signature)),
            ));
        }
    }

    fn malformed_claims(&self, all: &mut Vec<Forgery>) {
        let parts = self.parts();
        let text = String::from_utf8(decoded(&parts.claims)).unwrap();
        let body = &text[1..text.len() - 1];
        let claims: Value = serde_json::from_str(&text).unwrap();
        let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let dates = vec![
            json!(null),
            json!("1800000000"),
            json!([1]),
            json!({}),
            json!(true),
            json!(-1),
            json!(1.5),
            json!(253_402_300_800_u64),
            json!((1_u64 << 53) + 1),
            json!(1_u64 << 63),
            json!(u64::MAX),
            number("1e300"),
            number("18e8"),
            number("1800000000.0"),
        ];
        let texts = vec![
            json!(null),
            json!(""),
            json!(1),
            json!([]),
            json!({}),
            json!(["x"]),
            json!("a\u{0}b"),
        ];
        let ids = vec![
            json!(null),
            json!(""),
            json!(1),
            json!("x"),
            json!(["01934d6e-7a00-7000-8000-0000000000ab"]),
        ];
        let cases = [
            ("exp", dates.clone()),
            ("iat", dates),
            ("iss", texts.clone()),
            ("sub", texts.clone()),
            ("client_id", texts),
            ("jti", ids),
            (
                "aud",
                vec![json!(null), json!(""), json!([]), json!([1]), json!({}), json!(1)],
            ),
            (
                "scope",
                vec![
                    json!(null),
                    json!(["*"]),
                    json!(""),
                    json!(" a"),
                    json!("a  b"),
                    json!("a\tb"),
                    json!("a\"b"),
                    json!(1),
                ],
            ),
            (
                "projects",
                vec![
                    json!(null),
                    json!("1"),
                    json!([-1]),
                    json!(["1"]),
                    json!([2_147_483_648_u64]),
                    json!([1.0]),
                ],
            ),
            (
                "status",
                vec![
                    json!(null),
                    json!({}),
                    json!({"status_list": null}),
                    json!({"status_list": {"idx": -1, "uri": "u"}}),
                ],
            ),
        ];
        let mut made = Vec::new();
        for (name, values) in cases {
            for value in values {
                let mut changed = claims.clone();
                changed[name] = value.clone();
                made.push((format!("{name}: {value}"), changed.to_string().into_bytes()));
            }
            if !["scope", "projects"].contains(&name) {
                let mut changed = claims.clone();
                changed.as_object_mut().unwrap().remove(name);
                made.push((format!("{name} absent"), changed.to_string().into_bytes()));
            }
        }
        for double in [
            r#""jti":"01934d6e-7a00-7000-8000-0000000000ab""#,
            r#""scope":"*""#,
            r#""\u0073cope":"*""#,
            r#""exp":253402300799"#,
            r#""unknown":1,"unknown":1"#,
        ] {
            made.push((
                format!("twice, first {double}"),
                format!("{{{double},{body}}}").into_bytes(),
            ));
            made.push((
                format!("twice, last {double}"),
                format!("{{{body},{double}}}").into_bytes(),
            ));
        }
        let mut backwards = claims.clone();
        backwards["exp"] = json!(claims["iat"].as_i64().unwrap() - 1);
        made.push(("exp before iat".to_owned(), backwards.to_string().into_bytes()));
        for (what, bytes) in [
            ("empty", Vec::new()),
            ("null", b"null".to_vec()),
            ("[]", b"[]".to_vec()),
            ("{}", b"{}".to_vec()),
            ("in an array", format!("[{text}]").into_bytes()),
            ("with a byte order mark", format!("\u{feff}{text}").into_bytes()),
            ("two objects", text.repeat(2).into_bytes()),
            ("with NUL", format!("{text}\0").into_bytes()),
            ("with NaN", format!("{{{body},\"x\":NaN}}").into_bytes()),
            (
                "nested 17 deep",
                format!("{{{body},\"x\":{}{}}}", "[".repeat(17), "]".repeat(17)).into_bytes(),
            ),
            (
                "nested 2,000 deep",
                format!("{{{body},\"x\":{}{}}}", "[".repeat(2_000), "]".repeat(2_000)).into_bytes(),
            ),
            (
                "with a lone surrogate",
                format!("{{{body},\"\\ud800\":1}}").into_bytes(),
            ),
            (
                "no UTF-8",
                [&text.as_bytes()[..text.len() - 1], b",\"x\":\"\xff\"}"].concat(),
            ),
        ] {
            made.push((what.to_owned(), bytes));
        }
        for (what, text) in made {
            let message = format!("{}.{}", parts.header, encoded(&text));
            let kept = format!("{message}.{}", parts.signature);
            all.push(Forgery::new(format!("claims {what}"), Maker::Anybody, kept));
            all.push(Forgery::new(
                format!("claims {what}, signed"),
                Maker::ThiefMalformed,
                self.signed(&message),
            ));
        }
    }

    /// Claims that are well-formed, and not those of the record.
    fn other_claims(&self, all: &mut Vec<Forgery>) {
        let parts = self.parts();
        let claims: Value = serde_json::from_slice(&decoded(&parts.claims)).unwrap();
        let second = |name: &str, by: i64| json!({name: claims[name].as_i64().unwrap() + by});
        let issuer = claims["iss"].as_str().unwrap();
        let issued = claims["iat"].as_i64().unwrap();
        let nobody = "00000000-0000-4000-8000-000000000000";
        // The last tells whether a verifier that knows the key set and the feed accepts it.
        let cases = [
            (json!({"iss": format!("{issuer}/")}), false),
            (json!({"iss": &issuer[..issuer.len() - 1]}), false),
            (json!({"iss": issuer.to_uppercase()}), false),
            (json!({"iss": issuer.replace('1', "\u{ff11}")}), false),
            (json!({"aud": format!("{issuer}/")}), false),
            (json!({"aud": &issuer[..issuer.len() - 1]}), false),
            (json!({"aud": format!("{issuer}/session")}), false),
            (
                json!({"aud": (0..50).map(|number| number.to_string()).chain([issuer.to_owned()]).collect::<Vec<_>>()}),
                true,
            ),
            (json!({"iat": 4_000_000_000_i64}), false),
            (json!({"iat": issued - 7_200, "exp": issued - 3_600}), false),
            (json!({"iat": 0, "exp": 1}), false),
            (second("exp", 1), true),
            (second("exp", -1), true),
            (second("iat", -1), true),
            (json!({"sub": "user-0123456789abcdef"}), true),
            (json!({"client_id": "user-0123456789abcdef"}), true),
            (json!({"jti": nobody}), true),
            (json!({"scope": "projects:read"}), true),
            (json!({"scope": "*"}), true),
            (json!({"org": nobody}), true),
            (json!({"team": "team-0123456789abcdef"}), true),
            (json!({"projects": []}), true),
            (json!({"projects": [1]}), true),
            (
                json!({"status": {"status_list": {"idx": claims["status"]["status_list"]["idx"].as_u64().unwrap() ^ 1, "uri": claims["status"]["status_list"]["uri"]}}}),
                true,
            ),
        ];
        for (changes, offline) in cases {
            let mut changed = claims.clone();
            for (name, value) in changes.as_object().unwrap() {
                changed[name] = value.clone();
            }
            if changed == claims {
                continue;
            }
            let message = format!("{}.{}", parts.header, encoded(changed.to_string()));
            let kept = format!("{message}.{}", parts.signature);
            all.push(Forgery::new(format!("claims {changes}"), Maker::Anybody, kept));
            all.push(Forgery::new(
                format!("claims {changes}, signed"),
                Maker::Thief { offline },
                self.signed(&message),
            ));
        }
    }
}

impl Forgery {
    pub(super) fn new(what: String, maker: Maker, text: String) -> Self {
        Self {
            what,
            maker,
            text: text.into_bytes(),
        }
    }
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What precedes the point in a DER-encoded P-256 public key.
const SPKI_P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The order of P-256, in big-endian order.
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
