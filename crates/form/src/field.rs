//! Code generation for a field: its parser and its OpenAPI schema.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::meta::ParseNestedMeta;
use syn::{Error, Expr, GenericArgument, Ident, PathArguments, Result, Type};

use crate::attributes::{Part, description, each, json, only};

/// A field with its attributes.
pub(crate) struct Field<'a> {
    /// The field of the struct.
    pub(crate) ident: &'a Ident,
    /// Its name on the wire.
    name: String,
    kind: Kind<'a>,
    length: Option<Bounds>,
    range: Option<Bounds>,
    example: Option<Expr>,
    description: String,
}

/// How absent and `null` values are handled, with the type of the value itself.
enum Kind<'a> {
    Required(&'a Type),
    Default(&'a Type, Expr),
    Optional(&'a Type),
    Given(&'a Type),
    Change(&'a Type),
    Nested(&'a Type),
    NestedOrEmpty(&'a Type),
    NestedList(&'a Type),
    Flatten(&'a Type),
}

/// A minimum and a maximum.
struct Bounds {
    min: Option<Expr>,
    max: Option<Expr>,
}

impl<'a> Field<'a> {
    pub(crate) fn read(field: &'a syn::Field, part: Part) -> Result<Self> {
        let ident = field.ident.as_ref();
        let ident = ident.ok_or_else(|| Error::new_spanned(field, "the fields of a form have names"))?;
        let (mut name, mut length, mut range, mut example) = (None, None, None, None);
        let (mut default, mut given, mut nested, mut flatten) = (None, None, None, None);
        each(&field.attrs, |meta| {
            let key = meta.path.require_ident()?.to_string();
            match key.as_str() {
                "name" => only(&mut name, meta.value()?.parse::<syn::LitStr>()?.value(), meta),
                "length" => only(&mut length, Bounds::read(meta)?, meta),
                "range" => only(&mut range, Bounds::read(meta)?, meta),
                "example" => only(&mut example, meta.value()?.parse()?, meta),
                "default" => only(&mut default, meta.value()?.parse()?, meta),
                "given" => only(&mut given, (), meta),
                "nested" => only(&mut nested, (), meta),
                "flatten" => only(&mut flatten, (), meta),
                _ => Err(meta.error("unknown attribute of a form's field")),
            }
        })?;
        let wrong = |message| Err(Error::new_spanned(field, message));
        let (optional, list) = (inner(&field.ty, "Option"), inner(&field.ty, "Vec"));
        let is_form = nested.is_some() || flatten.is_some();
        let is_list = nested.is_some() && list.is_some();
        if is_form && (length.is_some() && !is_list || range.is_some() || example.is_some()) {
            return wrong("a nested or flattened form has its bounds and examples at its own fields");
        }
        let kind = match (default, given, nested, flatten) {
            (None, None, None, Some(())) if name.is_none() => Kind::Flatten(&field.ty),
            (None, None, Some(()), None) => match (optional, list) {
                (Some(form), _) => Kind::Nested(form),
                (_, Some(form)) => Kind::NestedList(form),
                (None, None) => Kind::NestedOrEmpty(&field.ty),
            },
            (Some(default), None, None, None) => match optional {
                None => Kind::Default(&field.ty, default),
                Some(_) => return wrong("an Option is None when it is absent: it has no other default"),
            },
            (None, Some(()), None, None) => match optional {
                Some(value) if inner(value, "Option").is_none() => Kind::Given(value),
                _ => return wrong("given is for an Option, which says whether the field is there"),
            },
            (None, None, None, None) => match optional {
                None => Kind::Required(&field.ty),
                Some(value) => match inner(value, "Option") {
                    None => Kind::Optional(value),
                    Some(value) => Kind::Change(value),
                },
            },
            _ => return wrong("give at most one of default, given, nested and flatten, the last alone"),
        };
        if part != Part::Body && matches!(kind, Kind::Change(_)) {
            return wrong("only a body can say null");
        }
        let unnamed = || match part {
            Part::Header => ident.to_string().replace('_', "-"),
            Part::Body | Part::Path | Part::Query => ident.to_string(),
        };
        Ok(Self {
            ident,
            name: name.unwrap_or_else(unnamed),
            kind,
            length,
            range,
            example,
            description: description(&field.attrs),
        })
    }

    /// Generates the expression that reads the field: `None` if the field is invalid.
    pub(crate) fn reader(&self) -> TokenStream {
        let (name, bounds) = (&self.name, self.bound_check());
        match &self.kind {
            Kind::Required(value) => quote!(fields.required::<#value>(#name, #bounds)),
            Kind::Default(value, default) => quote!(fields.or::<#value>(#name, #default, #bounds)),
            Kind::Optional(value) => quote!(fields.optional::<#value>(#name, #bounds)),
            Kind::Given(value) => quote!(fields.given::<#value>(#name, #bounds)),
            Kind::Change(value) => quote!(fields.change::<#value>(#name, #bounds)),
            Kind::Nested(form) => quote!(fields.nested::<#form>(#name)),
            Kind::NestedOrEmpty(form) => quote!(fields.nested_or_empty::<#form>(#name)),
            Kind::NestedList(form) => quote!(fields.nested_list::<#form>(#name, #bounds)),
            Kind::Flatten(form) => quote!(<#form as crate::http::input::Form>::read_fields(fields)),
        }
    }

    /// Generates the OpenAPI description of the field.
    pub(crate) fn document(&self) -> TokenStream {
        let (name, description) = (&self.name, &self.description);
        let (min_length, max_length) = limits(self.length.as_ref());
        let (minimum, maximum) = limits(self.range.as_ref());
        let example = match &self.example {
            Some(example) => {
                let example = json(example);
                quote!(Some(#example))
            }
            None => quote!(None),
        };
        let need = |need: TokenStream| {
            quote! {
                crate::http::input::FieldDescription {
                    name: #name,
                    description: #description,
                    need: crate::http::input::Need::#need,
                    length: (#min_length, #max_length),
                    range: (#minimum, #maximum),
                    example: #example,
                }
            }
        };
        let (required, absent) = (need(quote!(Required)), need(quote!(Optional)));
        let nullable = need(quote!(Nullable));
        match &self.kind {
            Kind::Required(value) => quote!(document.field::<#value>(#required)),
            Kind::Default(value, default) => quote!(document.defaulting::<#value>(#absent, #default)),
            Kind::Given(value) => quote!(document.field::<#value>(#absent)),
            Kind::Optional(value) | Kind::Change(value) => quote!(document.field::<#value>(#nullable)),
            Kind::Nested(form) => quote!(document.nested::<#form>(#nullable)),
            Kind::NestedOrEmpty(form) => quote!(document.nested_or_empty::<#form>(#absent)),
            Kind::NestedList(form) => quote!(document.nested_list::<#form>(#required)),
            Kind::Flatten(form) => quote!(<#form as crate::http::input::Form>::document(document)),
        }
    }

    /// Generates a function that returns the bound that a value violates.
    fn bound_check(&self) -> TokenStream {
        let bounds = [("length", &self.length), ("range", &self.range)];
        let calls = bounds.into_iter().filter_map(|(function, bounds)| {
            let (min, max) = limits(Some(bounds.as_ref()?));
            let function = quote::format_ident!("{function}");
            Some(quote!(.or_else(|| crate::http::input::#function(value, #min, #max))))
        });
        let calls: TokenStream = calls.collect();
        if calls.is_empty() {
            return quote!(|_| None);
        }
        quote!(|value| None #calls)
    }
}

impl Bounds {
    fn read(meta: &ParseNestedMeta<'_>) -> Result<Self> {
        let (mut min, mut max) = (None, None);
        meta.parse_nested_meta(|bound| {
            if bound.path.is_ident("min") {
                only(&mut min, bound.value()?.parse()?, &bound)
            } else if bound.path.is_ident("max") {
                only(&mut max, bound.value()?.parse()?, &bound)
            } else {
                Err(bound.error("a bound is min or max"))
            }
        })?;
        Ok(Self { min, max })
    }
}

/// Generates both bounds as expressions of type `Option<_>`.
fn limits(bounds: Option<&Bounds>) -> (TokenStream, TokenStream) {
    let limit = |limit: Option<&Expr>| match limit {
        Some(limit) => {
            let limit = limit.to_token_stream();
            quote!(Some(#limit))
        }
        None => quote!(None),
    };
    let min = bounds.and_then(|bounds| bounds.min.as_ref());
    let max = bounds.and_then(|bounds| bounds.max.as_ref());
    (limit(min), limit(max))
}

/// Returns the type inside `Option<…>` or `Vec<…>`.
fn inner<'a>(kind: &'a Type, wrapper: &str) -> Option<&'a Type> {
    let Type::Path(path) = kind else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == wrapper)?;
    match &last.arguments {
        PathArguments::AngleBracketed(arguments) => match arguments.args.first()? {
            GenericArgument::Type(inner) => Some(inner),
            _ => None,
        },
        _ => None,
    }
}
