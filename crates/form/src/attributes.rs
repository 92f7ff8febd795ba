//! The attributes of the struct, and helpers shared with field attributes.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, ExprLit, Lit, Meta, Result};

/// The part of a request that a form is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Body,
    Path,
    Query,
    Header,
}

/// The `#[form(…)]` attributes of a struct.
pub(crate) struct Attributes {
    pub(crate) part: Part,
    /// The name of the schema, as an expression.
    pub(crate) name: Option<Expr>,
    pub(crate) example: Option<Expr>,
    /// Associated constants of `Form`, such as `const UNKNOWN: Unknown = Unknown::Forbidden;`.
    pub(crate) constants: Vec<TokenStream>,
    pub(crate) description: String,
}

impl Attributes {
    pub(crate) fn read(attributes: &[Attribute]) -> Result<Self> {
        let (mut part, mut name, mut example) = (None, None::<Expr>, None::<Expr>);
        let mut constants = Vec::new();
        each(attributes, |meta| {
            let key = meta.path.require_ident()?.to_string();
            match key.as_str() {
                "body" => only(&mut part, Part::Body, meta),
                "path" => only(&mut part, Part::Path, meta),
                "query" => only(&mut part, Part::Query, meta),
                "header" => only(&mut part, Part::Header, meta),
                "name" => only(&mut name, meta.value()?.parse()?, meta),
                "example" => only(&mut example, meta.value()?.parse()?, meta),
                "presence" => constant(&mut constants, "BODY", "Presence", meta),
                "encoding" => constant(&mut constants, "ENCODING", "Encoding", meta),
                "repeated" => constant(&mut constants, "REPEATED", "Repeated", meta),
                "unknown" => constant(&mut constants, "UNKNOWN", "Unknown", meta),
                "echo" => constant(&mut constants, "ECHO", "Echo", meta),
                _ => Err(meta.error("unknown attribute of a form")),
            }
        })?;
        let part = part.ok_or_else(|| {
            let message = "say what the form is read from: #[form(body)], path, query or header";
            Error::new(Span::call_site(), message)
        })?;
        if part != Part::Body
            && let Some(stray) = name.as_ref().or(example.as_ref())
        {
            return Err(Error::new(
                stray.span(),
                "only a body has a schema with a name and an example",
            ));
        }
        Ok(Self {
            part,
            name,
            example,
            constants,
            description: description(attributes),
        })
    }
}

/// Calls `read` with each entry of each `#[form(…)]`.
pub(crate) fn each(
    attributes: &[Attribute],
    mut read: impl FnMut(&ParseNestedMeta<'_>) -> Result<()>,
) -> Result<()> {
    for attribute in attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("form"))
    {
        attribute.parse_nested_meta(|meta| read(&meta))?;
    }
    Ok(())
}

/// Stores a value, and fails if the attribute is repeated.
pub(crate) fn only<T>(slot: &mut Option<T>, value: T, meta: &ParseNestedMeta<'_>) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(meta.error("this is given twice")),
    }
}

/// Returns the doc comment's lines, without the space that follows `///`.
pub(crate) fn description(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text), ..
            }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns an expression for an example as a JSON value.
pub(crate) fn json(example: &Expr) -> TokenStream {
    match example {
        Expr::Macro(call) if call.mac.path.is_ident("json") => {
            let tokens = &call.mac.tokens;
            quote!(::serde_json::json!(#tokens))
        }
        other => quote!(::serde_json::Value::from(#other)),
    }
}

fn constant(
    constants: &mut Vec<TokenStream>,
    name: &str,
    kind: &str,
    meta: &ParseNestedMeta<'_>,
) -> Result<()> {
    let (name, kind) = (format_ident!("{name}"), format_ident!("{kind}"));
    let variant: Expr = meta.value()?.parse()?;
    constants.push(quote! {
        const #name: crate::http::input::#kind = crate::http::input::#kind::#variant;
    });
    Ok(())
}
