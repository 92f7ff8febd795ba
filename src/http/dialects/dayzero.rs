//! DayZero's API: the part of the native API that its clients use.

use crate::http::openapi::About;

/// The preface of the OpenAPI document.
pub(in crate::http) const ABOUT: About = About {
    title: "DayZero",
    description: "\
The part of jeton's own API that DayZero's existing clients use, with the paths, bodies and errors of DayZero. \
`docs/migrating/dayzero.md` lists the differences from DayZero. The document `jeton` has the whole API.

**Try it here:** call `POST /api/v1/login` with your e-mail address and password, copy `token` from the response \
into *Authorize* (`bearer`), then call `POST /api/v1/tokens` with the example body.

`x-business-id` takes the id or the name of an organization; `GET /api/v1/organizations` lists them.",
    tags: &[],
    schemas: Vec::new,
};

/// The operations of the native API that the document has.
pub(in crate::http) const OPERATIONS: [&str; 5] = [
    "login",
    "list_organizations",
    "create_token",
    "list_tokens",
    "revoke_token",
];
