//! Code generation.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Data, DeriveInput, Error, Fields, Result};

use crate::attributes::{Attributes, Part, json};
use crate::field::Field;

/// Generates the implementations for a struct.
pub(crate) fn form(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(input, "a form is a struct"));
    };
    let Fields::Named(named) = &data.fields else {
        return Err(Error::new_spanned(input, "the fields of a form have names"));
    };
    let attributes = Attributes::read(&input.attrs)?;
    let fields = named
        .named
        .iter()
        .map(|field| Field::read(field, attributes.part));
    let fields: Vec<_> = fields.collect::<Result<_>>()?;

    let ident = &input.ident;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    let Attributes {
        constants,
        description,
        ..
    } = &attributes;
    let name = match &attributes.name {
        Some(name) => name.to_token_stream(),
        None => ident.to_string().to_token_stream(),
    };
    let example = attributes.example.as_ref().map(json);
    let example = example.map(|example| {
        quote! {
            fn example() -> Option<::serde_json::Value> {
                Some(#example)
            }
        }
    });
    let idents: Vec<_> = fields.iter().map(|field| field.ident).collect();
    let readers = fields.iter().map(Field::reader);
    let document = fields.iter().map(Field::document);
    let described = described(input, attributes.part);
    Ok(quote! {
        impl #generics crate::http::input::Form for #ident #arguments #bounds {
            const DESCRIPTION: &'static str = #description;
            #(#constants)*

            fn name() -> ::std::borrow::Cow<'static, str> {
                #name.into()
            }

            #example

            fn read_fields(fields: &mut crate::http::input::Fields<'_>) -> Option<Self> {
                // All fields are read before a failure returns, so that all violations are reported.
                #(let #idents = #readers;)*
                Some(Self { #(#idents: #idents?),* })
            }

            fn document(document: &mut crate::http::input::Document) {
                #(#document;)*
            }
        }

        #described
    })
}

/// Generates the implementations of utoipa's traits.
fn described(input: &DeriveInput, part: Part) -> TokenStream {
    let ident = &input.ident;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    let part = match part {
        Part::Body => return schema(input),
        Part::Path => quote!(Path),
        Part::Query => quote!(Query),
        Part::Header => quote!(Header),
    };
    quote! {
        impl #generics ::utoipa::IntoParams for #ident #arguments #bounds {
            fn into_params(
                _: impl Fn() -> Option<::utoipa::openapi::path::ParameterIn>,
            ) -> Vec<::utoipa::openapi::path::Parameter> {
                crate::http::input::parameters::<Self>(::utoipa::openapi::path::ParameterIn::#part)
            }
        }
    }
}

/// Generates the schema of a body from its `Form`.
fn schema(input: &DeriveInput) -> TokenStream {
    let ident = &input.ident;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    quote! {
        impl #generics ::utoipa::PartialSchema for #ident #arguments #bounds {
            fn schema() -> ::utoipa::openapi::RefOr<::utoipa::openapi::Schema> {
                crate::http::input::object::<Self>()
            }
        }

        impl #generics ::utoipa::ToSchema for #ident #arguments #bounds {
            fn name() -> ::std::borrow::Cow<'static, str> {
                <Self as crate::http::input::Form>::name()
            }

            fn schemas(schemas: &mut Vec<(String, ::utoipa::openapi::RefOr<::utoipa::openapi::Schema>)>) {
                crate::http::input::schemas::<Self>(schemas);
            }
        }
    }
}

#[cfg(test)]
mod tests;
