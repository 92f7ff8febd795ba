//! An issuer that signs any header and any claims, also those that the crate refuses to sign.

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_verifier::{
    Algorithm, Claims, Expected, Header, KeySet, NEVER, PublicKey, Rejection, StatusReference, TokenType,
    Unverified,
};
use serde_json::json;
use uuid::Uuid;

pub(crate) const ISSUER: &str = "https://tokens.example.org";
pub(crate) const AUDIENCE: &str = "https://api.example.org";
pub(crate) const NOW: i64 = 1_800_000_000;

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

pub(crate) struct Issuer {
    pair: Pair,
    pub(crate) jwk: serde_json::Value,
    pub(crate) key: PublicKey,
}

pub(crate) static ES256: LazyLock<Issuer> = LazyLock::new(|| {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let jwk = json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "x": base64(x), "y": base64(y)});
    Issuer::new(Pair::Es256(pair), jwk)
});

pub(crate) static EDDSA: LazyLock<Issuer> = LazyLock::new(|| {
    let pair = Ed25519KeyPair::generate().unwrap();
    let jwk =
        json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": base64(pair.public_key().as_ref())});
    Issuer::new(Pair::EdDsa(pair), jwk)
});

pub(crate) static RS256: LazyLock<Issuer> = LazyLock::new(|| {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
    let jwk = json!({"kty": "RSA", "alg": "RS256", "n": base64(&n), "e": base64(&e)});
    Issuer::new(Pair::Rs256(pair), jwk)
});

pub(crate) fn issuers() -> [&'static Issuer; 3] {
    [&ES256, &EDDSA, &RS256]
}

impl Issuer {
    fn new(pair: Pair, jwk: serde_json::Value) -> Self {
        let key = PublicKey::from_json(&jwk.to_string()).unwrap();
        Self { pair, jwk, key }
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.key.algorithm()
    }

    pub(crate) fn sign(&self, message: &str) -> Vec<u8> {
        let (random, message) = (SystemRandom::new(), message.as_bytes());
        match &self.pair {
            Pair::Es256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::EdDsa(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        }
    }

    pub(crate) fn header(&self, token_type: TokenType) -> Header {
        Header {
            algorithm: self.algorithm(),
            kid: self.key.kid().clone(),
            token_type,
        }
    }

    /// Returns the JSON of a valid header.
    pub(crate) fn header_json(&self) -> String {
        format!(
            r#"{{"alg":"{}","kid":"{}","typ":"at+jwt"}}"#,
            self.algorithm(),
            self.key.kid()
        )
    }

    /// Returns a correctly signed token with any header and claims.
    pub(crate) fn token(&self, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
        let message = format!("{}.{}", base64(header.as_ref()), base64(claims.as_ref()));
        let signature = self.sign(&message);
        format!("{message}.{}", base64(&signature))
    }

    /// Returns a valid token.
    pub(crate) fn good_token(&self) -> String {
        self.token(self.header_json(), claims_json().to_string())
    }
}

/// Parses a token, verifies it with the key that it names, and checks the expectations.
pub(crate) fn check(token: &str) -> Result<Claims, Rejection> {
    let keys: KeySet = issuers().into_iter().map(|issuer| issuer.key.clone()).collect();
    keys.verify(Unverified::parse(token)?)?
        .judge(&expected())
        .cloned()
}

pub(crate) fn expected() -> Expected<'static> {
    Expected {
        issuer: ISSUER,
        audience: Some(AUDIENCE),
        token_type: TokenType::Access,
        now: NOW,
        leeway: 0,
    }
}

pub(crate) fn claims() -> Claims {
    Claims {
        issuer: ISSUER.to_owned(),
        subject: "team-0123456789abcdef".to_owned(),
        audience: vec![AUDIENCE.to_owned()],
        client_id: "team-0123456789abcdef".to_owned(),
        issued_at: NOW - 60,
        expires_at: NEVER,
        jti: Uuid::from_u128(0x0193_4d6e_7a00_7000_8000_0000_0000_00ab),
        scope: Some(vec!["projects:read".to_owned(), "content:write".to_owned()]),
        organization: Some(Uuid::from_u128(7)),
        team: Some("team-0123456789abcdef".to_owned()),
        projects: Some(vec![1, 2_147_483_647]),
        status: StatusReference {
            index: 4711,
            uri: format!("{ISSUER}/status/1"),
        },
    }
}

/// Returns the same claims, written independently of the crate.
pub(crate) fn claims_json() -> serde_json::Value {
    json!({
        "iss": ISSUER,
        "sub": "team-0123456789abcdef",
        "aud": AUDIENCE,
        "client_id": "team-0123456789abcdef",
        "iat": NOW - 60,
        "exp": 253_402_300_799_i64,
        "jti": "01934d6e-7a00-7000-8000-0000000000ab",
        "scope": "projects:read content:write",
        "org": "00000000-0000-0000-0000-000000000007",
        "team": "team-0123456789abcdef",
        "projects": [1, 2_147_483_647],
        "status": {"status_list": {"idx": 4711, "uri": format!("{ISSUER}/status/1")}},
    })
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
