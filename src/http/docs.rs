//! The API reference at `/docs`: Swagger UI over the OpenAPI documents.
//!
//! A script from a foreign document would act on the API's origin with the token entered into
//! *Authorize*. So the page reads no parameter from its address (`?url=`, `?configUrl=`), loads nothing
//! from other origins and stores no token, and only the files it needs are served.

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::Redirect;
use axum::routing::get;
use serde_json::{Value, json};

use crate::http::Document;

/// The script that starts Swagger UI, with `CONFIG` in place of the configuration.
const INITIALIZER: &str = include_str!("docs/initializer.js");

const CSS: &str = "text/css";
const SCRIPT: &str = "text/javascript";

/// Includes a file of `assets/swagger-ui`.
macro_rules! asset {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/swagger-ui/", $name))
    };
}

/// The files below `/docs/` that are the same for every server, with their types. The page is the one without a
/// name.
const FILES: [(&str, &str, &[u8]); 7] = [
    ("", "text/html", asset!("index.html")),
    ("index.css", CSS, asset!("index.css")),
    ("swagger-ui.css", CSS, asset!("swagger-ui.css")),
    ("swagger-ui-bundle.js", SCRIPT, asset!("swagger-ui-bundle.js")),
    (
        "swagger-ui-standalone-preset.js",
        SCRIPT,
        asset!("swagger-ui-standalone-preset.js"),
    ),
    ("favicon-16x16.png", "image/png", asset!("favicon-16x16.png")),
    ("favicon-32x32.png", "image/png", asset!("favicon-32x32.png")),
];

const HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        // The hash of the only inline style, in the logo.
        "default-src 'none'; script-src 'self'; \
         style-src 'self' 'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='; \
         img-src 'self' data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "public, max-age=3600"),
];

/// Serves `GET /docs` and the files below it without authentication. The router has no fallback, so
/// that unknown paths reach the router that it is merged into.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let initializer = (
        "swagger-initializer.js",
        SCRIPT,
        Bytes::from(INITIALIZER.replace("CONFIG", &format!("{:#}", config()))),
    );
    FILES
        .map(|(name, content_type, content)| (name, content_type, Bytes::from_static(content)))
        .into_iter()
        .chain([initializer])
        .fold(Router::new(), |router, (name, content_type, content)| {
            let answer = ([(header::CONTENT_TYPE, content_type)], HEADERS, content);
            router.route(&format!("/docs/{name}"), get(async || answer))
        })
        // The page refers to its files by relative paths, which need the trailing slash. The redirects are relative
        // too: a proxy may serve the API below a path of its own.
        .route("/docs", get(async || (HEADERS, Redirect::permanent("docs/"))))
        .route(
            "/",
            get(async || (StatusCode::FOUND, [(header::LOCATION, "docs/")])),
        )
}

/// The parameters of `SwaggerUIBundle`.
fn config() -> Value {
    json!({
        "dom_id": "#swagger-ui",
        // Relative to the page, as are its files.
        "urls": Document::ALL.map(|one| json!({ "name": one.title(), "url": one.path_from_docs() })),
        "layout": "StandaloneLayout",
        "queryConfigEnabled": false,
        "persistAuthorization": false,
        // The default validator is a third-party server, which would learn the document's address.
        "validatorUrl": "none",
        "tryItOutEnabled": true,
        "deepLinking": true,
        "displayRequestDuration": true,
        "defaultModelsExpandDepth": 0,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{Request, Response, StatusCode};
    use tower::ServiceExt;

    use super::*;

    async fn ask(path: &str) -> Response<Body> {
        let request = Request::get(path).body(Body::empty()).unwrap();
        router::<()>().oneshot(request).await.unwrap()
    }

    async fn text(path: &str) -> String {
        let body = to_bytes(ask(path).await.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn every_file_of_the_page_is_there_with_its_type_and_headers() {
        for (path, content_type) in [
            ("/docs/", "text/html"),
            ("/docs/index.css", "text/css"),
            ("/docs/swagger-ui.css", "text/css"),
            ("/docs/swagger-ui-bundle.js", "text/javascript"),
            ("/docs/swagger-ui-standalone-preset.js", "text/javascript"),
            ("/docs/swagger-initializer.js", "text/javascript"),
            ("/docs/favicon-16x16.png", "image/png"),
            ("/docs/favicon-32x32.png", "image/png"),
        ] {
            let answer = ask(path).await;
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            assert_eq!(answer.headers()[header::CONTENT_TYPE], content_type, "{path}");
            for (name, value) in HEADERS {
                assert_eq!(answer.headers()[&name], value, "{path}");
            }
        }
    }

    #[tokio::test]
    async fn the_page_names_only_files_that_are_served() {
        let page = text("/docs/").await;
        let names: Vec<_> = page
            .split('"')
            .filter_map(|part| part.strip_prefix("./"))
            .collect();
        assert_eq!(names.len(), FILES.len(), "{names:?}");
        for name in names {
            assert_eq!(
                ask(&format!("/docs/{name}")).await.status(),
                StatusCode::OK,
                "{name}"
            );
        }
    }

    #[tokio::test]
    async fn unused_files_are_not_served() {
        for path in [
            "/docs/swagger-ui-es-bundle.js",
            "/docs/swagger-ui-es-bundle-core.js",
            "/docs/swagger-ui.js",
            "/docs/oauth2-redirect.html",
            "/docs/README.md",
            "/docs/index.html/",
            "/docs/../docs/index.css",
            "/docs/..%2f..%2fCargo.toml",
            "/docs/%2e%2e/Cargo.toml",
            "/docs//etc/passwd",
            "/docs/.",
        ] {
            assert_eq!(ask(path).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[tokio::test]
    async fn the_address_without_a_slash_leads_to_the_page() {
        let answer = ask("/docs").await;
        assert_eq!(answer.status(), StatusCode::PERMANENT_REDIRECT);
        assert_eq!(answer.headers()[header::LOCATION], "docs/");
        let answer = ask("/").await;
        assert_eq!(answer.status(), StatusCode::FOUND);
        assert_eq!(answer.headers()[header::LOCATION], "docs/");
    }

    /// Version 5.32.6 of Swagger UI has a DOMPurify with known bypasses.
    #[test]
    fn the_served_scripts_are_those_of_the_readme_of_the_assets() {
        let versions: Vec<_> = FILES
            .into_iter()
            .filter(|(name, ..)| name.ends_with(".js"))
            .flat_map(|(name, _, content)| {
                let script = std::str::from_utf8(content).unwrap();
                ["DOMPurify.version=\"", "PACKAGE_VERSION:\""].map(|before| {
                    let (_, rest) = script.split_once(before)?;
                    Some((name, rest.split_once('"')?.0.to_owned()))
                })
            })
            .flatten()
            .collect();
        assert_eq!(
            versions,
            ["3.4.17", "5.35.0"].map(|version| ("swagger-ui-bundle.js", version.to_owned()))
        );
    }

    #[tokio::test]
    async fn the_configuration_is_ours_and_takes_nothing_from_the_address() {
        let plain = text("/docs/swagger-initializer.js").await;
        assert_eq!(
            plain,
            text("/docs/swagger-initializer.js?url=https://example.org/evil.json").await
        );
        for line in [
            "\"url\": \"../openapi.json\"",
            "\"queryConfigEnabled\": false",
            "\"persistAuthorization\": false",
            "\"layout\": \"StandaloneLayout\"",
            "restoreAuthorization: () => () => {}",
            "\"tryItOutEnabled\": true",
        ] {
            assert!(plain.contains(line), "{line} in {plain}");
        }
        assert!(!plain.contains("petstore") && !plain.contains("CONFIG"));
    }
}
