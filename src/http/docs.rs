//! The API reference at `/docs`: Swagger UI over the OpenAPI documents.
//!
//! A script from a foreign document would act on the API's origin with the token entered into
//! *Authorize*. So the page reads no parameter from its address (`?url=`, `?configUrl=`), loads nothing
//! from other origins and stores no token, and only the files it needs are served.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::Redirect;
use axum::routing::get;
use utoipa_swagger_ui::{Config, Url};

use crate::http::Document;

/// The script that starts Swagger UI. The crate's has no place for a plugin.
const INITIALIZER: &str = include_str!("docs/initializer.js");

/// The served files. The crate embeds more, such as bundles for module loaders and the OAuth redirect
/// page.
const FILES: [&str; 8] = [
    "index.html",
    "index.css",
    "swagger-ui.css",
    "swagger-ui-bundle.js",
    "swagger-ui-standalone-preset.js",
    "swagger-initializer.js",
    "favicon-16x16.png",
    "favicon-32x32.png",
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
    let config = Arc::new(config());
    FILES
        .into_iter()
        .filter_map(|file| Some((file, embedded(file, &config)?)))
        .fold(Router::new(), |router, (file, (content_type, content))| {
            let name = if file == "index.html" { "" } else { file };
            let answer = ([(header::CONTENT_TYPE, content_type)], HEADERS, content);
            router.route(&format!("/docs/{name}"), get(async || answer))
        })
        // The page refers to its files by relative paths, which need the trailing slash. The redirects are relative
        // too: a proxy may serve the API below a path of its own.
        .route("/docs", get(async || (HEADERS, Redirect::permanent("docs/"))))
        .route(
            "/",
            get(async || (StatusCode::FOUND, [(header::LOCATION, "console/")])),
        )
}

fn config() -> Config<'static> {
    // Relative to the page, as are its files.
    Config::new(Document::ALL.map(|one| Url::new(one.title(), one.path_from_docs())))
        .query_config_enabled(false)
        .persist_authorization(false)
        // The default validator is a third-party server, which would learn the document's address.
        .validator_url("none")
        .try_it_out_enabled(true)
        .deep_linking(true)
        .display_request_duration(true)
        .default_models_expand_depth(0)
}

fn embedded(file: &str, config: &Arc<Config<'static>>) -> Option<(String, Bytes)> {
    if file == "swagger-initializer.js" {
        let config = serde_json::to_string_pretty(&**config).ok()?;
        let script = INITIALIZER.replace("CONFIG", &config);
        return Some(("text/javascript".to_owned(), script.into()));
    }
    let file = utoipa_swagger_ui::serve(file, Arc::clone(config)).ok()??;
    let content = match file.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    Some((file.content_type, content))
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
        assert_eq!(names.len(), FILES.len() - 1, "{names:?}");
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
        assert_eq!(answer.headers()[header::LOCATION], "console/");
    }

    /// The crate's own DOMPurify is 3.4.0, so another version also proves that the files in
    /// `assets/swagger-ui` are embedded.
    #[test]
    fn no_known_vulnerable_script_is_embedded_served_or_not() {
        let config = Arc::new(config());
        let versions: Vec<_> = [
            "swagger-ui-bundle.js",
            "swagger-ui-standalone-preset.js",
            "swagger-ui-es-bundle.js",
            "swagger-ui-es-bundle-core.js",
            "swagger-ui.js",
        ]
        .into_iter()
        .flat_map(|file| {
            let (_, content) = embedded(file, &config).unwrap();
            let script = String::from_utf8(content.to_vec()).unwrap();
            ["DOMPurify.version=\"", "PACKAGE_VERSION:\""].map(|before| {
                let (_, rest) = script.split_once(before)?;
                Some((file, rest.split_once('"')?.0.to_owned()))
            })
        })
        .flatten()
        .collect();
        assert_eq!(
            versions,
            ["3.4.17", "5.35.0"].map(|version| ("swagger-ui-bundle.js", version.to_owned())),
            "after a change in assets/swagger-ui: cargo clean -p utoipa-swagger-ui"
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
