//! `#[derive(Form)]`: declares each field of a request once.
//!
//! From one struct the derive generates the parser of its fields (`Form`) and their OpenAPI description
//! (`ToSchema` for a body, `IntoParams` for other parts), so that type, bounds, defaults and
//! documentation cannot disagree. The generated code uses `crate::http::input` of jeton.
//!
//! ```
//! /// A new token.
//! #[derive(Form)]
//! #[form(body, name = "CreateToken", unknown = Forbidden, example = json!({"name": "ci"}))]
//! struct CreateForm {
//!     /// A name for people.
//!     #[form(length(min = 1, max = 255))]
//!     name: String,                       // required
//!     #[form(range(min = 1, max = 365))]
//!     expires_in_days: Option<i64>,       // optional: absent and `null` are `None`
//!     #[form(default = OwnerKind::User)]
//!     owner: OwnerKind,                   // absent is the default, `null` is wrong
//!     #[form(given)]
//!     active: Option<bool>,               // absent is `None`, `null` is wrong
//!     description: Option<Option<String>>, // absent is `None`, `null` is `Some(None)`
//!     #[form(nested)]
//!     policy: Option<Policy>,             // an object with a form of its own
//! }
//! ```
//!
//! # On the struct
//!
//! | attribute | meaning |
//! |---|---|
//! | `body`, `path`, `query`, `header` | The part of the request; exactly one. |
//! | `name = …` | The name of a body's schema, a text; the struct's own by default. |
//! | `example = …` | An example of the body: `json!(…)` or a literal. |
//! | `presence`, `encoding`, `repeated`, `unknown`, `echo` | `= Variant` of the type of that name in `crate::http::input`. |
//!
//! The doc comment is the schema's description.
//!
//! # On a field
//!
//! | attribute | meaning |
//! |---|---|
//! | `name = "…"` | The name on the wire; the field's own by default, in a header with `-` for `_`. |
//! | `length(min = …, max = …)` | Bounds of a text in characters, or of a list in elements. |
//! | `range(min = …, max = …)` | Bounds of an integer. |
//! | `default = …` | The value when the field is absent. |
//! | `given` | On an `Option`: `null` is wrong. |
//! | `nested` | An object with a form of its own: `Option<R>` or `Vec<R>`. Of a plain `R`, absent and `null` are the empty object. |
//! | `flatten` | The fields of another form, in the same object. |
//! | `example = …` | An example: `json!(…)` or a literal. |
//!
//! The doc comment is the field's description.

mod attributes;
mod expand;
mod field;

use proc_macro::TokenStream;

/// Generates `Form`, and `ToSchema` or `IntoParams`. See the crate's documentation.
#[proc_macro_derive(Form, attributes(form))]
pub fn derive_form(input: TokenStream) -> TokenStream {
    let form = syn::parse(input).and_then(|input| expand::form(&input));
    form.unwrap_or_else(|error| error.to_compile_error()).into()
}
