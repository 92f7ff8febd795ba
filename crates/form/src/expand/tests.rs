use syn::parse_quote;

use super::*;

fn refused(input: &DeriveInput) -> String {
    match form(input) {
        Ok(expanded) => format!("accepted: {expanded}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn misuse_is_a_compile_error() {
    for (input, message) in [
        (
            parse_quote!(
                #[form(body)]
                enum X {
                    A,
                }
            ),
            "a form is a struct",
        ),
        (
            parse_quote!(
                #[form(body)]
                struct X(String);
            ),
            "the fields of a form have names",
        ),
        (
            parse_quote!(
                struct X {
                    a: String,
                }
            ),
            "say what the form is read from: #[form(body)], path, query or header",
        ),
        (
            parse_quote!(
                #[form(body, query)]
                struct X {
                    a: String,
                }
            ),
            "this is given twice",
        ),
        (
            parse_quote!(
                #[form(boddy)]
                struct X {
                    a: String,
                }
            ),
            "unknown attribute of a form",
        ),
        (
            parse_quote!(
                #[form(query, name = "X")]
                struct X {
                    a: String,
                }
            ),
            "only a body has a schema with a name and an example",
        ),
        (
            parse_quote!(
                #[form(body)]
                struct X {
                    #[form(legnth(max = 1))]
                    a: String,
                }
            ),
            "unknown attribute of a form's field",
        ),
        (
            parse_quote!(
                #[form(body)]
                struct X {
                    #[form(length(most = 1))]
                    a: String,
                }
            ),
            "a bound is min or max",
        ),
        (
            parse_quote!(
                #[form(body)]
                struct X {
                    #[form(length(max = 1, max = 2))]
                    a: String,
                }
            ),
            "this is given twice",
        ),
        (
            parse_quote!(
                #[form(body)]
                struct X {
                    #[form(given)]
                    a: String,
                }
            ),
            "given is for an Option, which says whether the field is there",
        ),
        (
            parse_quote!(
                #[form(body)]
                struct X {
                    #[form(default = None)]
                    a: Option<i64>,
                }
            ),
            "an Option is None when it is absent: it has no other default",
        ),
        (
            parse_quote!(
                #[form(query)]
                struct X {
                    a: Option<Option<i64>>,
                }
            ),
            "only a body can say null",
        ),
        (
            parse_quote!(
                #[form(body)]
                struct X {
                    #[form(nested, length(max = 1))]
                    a: Y,
                }
            ),
            "a nested or flattened form has its bounds and examples at its own fields",
        ),
        (
            parse_quote!(
                #[form(body)]
                struct X {
                    #[form(nested, flatten)]
                    a: Y,
                }
            ),
            "give at most one of default, given, nested and flatten, the last alone",
        ),
    ] {
        assert_eq!(refused(&input), message);
    }
}

/// `src/http/input/tests` checks that the generated code compiles and works.
#[test]
fn a_field_is_read_and_described_under_one_name_with_the_same_bounds() {
    let input = parse_quote! {
        /// A form.
        #[form(header, unknown = Forbidden)]
        struct X<F: Form> {
            /// The first.
            #[form(length(min = 1, max = 9))]
            x_a: Option<String>,
            #[form(flatten)]
            rest: F,
        }
    };
    let expanded = form(&input).map(|tokens| tokens.to_string()).unwrap_or_default();
    for part in [
        "impl < F : Form > crate :: http :: input :: Form for X < F >",
        "Unknown :: Forbidden",
        r#"fields . optional :: < String > ("x-a" ,"#,
        "length (value , Some (1) , Some (9))",
        r#"name : "x-a" , description : "The first.""#,
        "length : (Some (1) , Some (9))",
        "< F as crate :: http :: input :: Form > :: document (document)",
        "ParameterIn :: Header",
    ] {
        assert!(expanded.contains(part), "{part} in {expanded}");
    }
}
