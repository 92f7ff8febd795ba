//! A service that accepts the tokens of an authority.
//!
//! ```sh
//! JETON_ISSUER=http://127.0.0.1:8080 JETON_AUDIENCE=https://api.example.org JETON_TOKEN_FILE=token \
//!     cargo run -p jeton-verifier --features axum --example service
//! curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3000/whoami
//! ```

use std::env::var;
use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use jeton_verifier::axum::{Authorized, resource_metadata};
use jeton_verifier::tower::VerifyLayer;
use jeton_verifier::{Requirements, Verifier};
use tokio::net::TcpListener;

async fn whoami(Authorized(claims): Authorized) -> String {
    format!("You are {}.\n", claims.subject)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let verifier = Verifier::builder(var("JETON_ISSUER")?, var("JETON_AUDIENCE")?)
        .token_file(var("JETON_TOKEN_FILE")?)
        .max_staleness(Duration::from_secs(60))
        .build()?;

    let scope = var("JETON_SCOPE").unwrap_or_else(|_| "projects:read".to_owned());
    let layer = VerifyLayer::new(verifier.clone()).require(Requirements::new().scope(scope.as_str()));
    let app = Router::new()
        .route("/whoami", get(whoami))
        .route_layer(layer.announce_metadata())
        .merge(resource_metadata(&verifier, &[scope.as_str()]));

    let listener = TcpListener::bind(var("LISTEN").unwrap_or_else(|_| "127.0.0.1:3000".to_owned())).await?;
    let address = listener.local_addr()?;
    // Until then, the route answers 503.
    tokio::spawn(async move {
        verifier.ready().await;
        println!("http://{address}/whoami");
    });
    axum::serve(listener, app).await?;
    Ok(())
}
