//! OpenAPI schemas and parameters of forms.

use serde_json::Value;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Array, Object, ObjectBuilder, OneOf, OneOfBuilder, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr, Required, Schema};

use super::field::Field;
use super::{Form, Request, Unknown};

/// The fields of a form for its OpenAPI schema.
#[derive(Default)]
pub(crate) struct Document {
    members: Vec<Member>,
    schemas: Vec<(String, RefOr<Schema>)>,
}

/// The declaration of a field.
#[derive(Debug)]
pub(crate) struct FieldDescription {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) need: Need,
    /// The minimum and maximum number of characters or elements.
    pub(crate) length: (Option<usize>, Option<usize>),
    /// The minimum and maximum value.
    pub(crate) range: (Option<i64>, Option<i64>),
    pub(crate) example: Option<Value>,
}

/// Whether a field is required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Required,
    /// The field may be absent, and `null` is an error.
    Optional,
    /// The field may be absent or `null`.
    Nullable,
}

struct Member {
    described: FieldDescription,
    schema: Schema,
    /// The name of the schema in the document's components.
    reference: Option<String>,
    default: Option<Value>,
}

impl Document {
    /// Adds a field.
    pub(crate) fn field<T: Field>(&mut self, described: FieldDescription) {
        self.value::<T>(described, None);
    }

    /// Adds a field with a default value.
    pub(crate) fn defaulting<T: Field>(&mut self, described: FieldDescription, default: T) {
        self.value::<T>(described, default.to_default());
    }

    /// Adds an object field with its own form.
    pub(crate) fn nested<R: Request>(&mut self, described: FieldDescription) {
        self.define::<R::Form>();
        self.members.push(Member {
            described,
            schema: form::<R::Form>(),
            reference: Some(R::Form::name().into_owned()),
            default: None,
        });
    }

    /// Adds an object field that counts as empty when absent: it is required if one of its fields is. A
    /// form without fields is omitted.
    pub(crate) fn nested_or_empty<R: Request>(&mut self, described: FieldDescription) {
        let members = Self::of::<R::Form>().members;
        let is_required = |member: &Member| member.described.need == Need::Required;
        let need = match members.iter().any(is_required) {
            true => Need::Required,
            false => Need::Nullable,
        };
        if !members.is_empty() {
            self.nested::<R>(FieldDescription { need, ..described });
        }
    }

    /// Adds a field that is a list of objects.
    pub(crate) fn nested_list<R: Request>(&mut self, described: FieldDescription) {
        self.define::<R::Form>();
        self.members.push(Member {
            described,
            schema: Array::new(Ref::from_schema_name(R::Form::name())).into(),
            reference: None,
            default: None,
        });
    }

    /// Adds a required field that is an object, or a list of other objects.
    pub(crate) fn nested_or_list<One: Request, Each: Request>(&mut self, described: FieldDescription) {
        self.define::<One::Form>();
        self.define::<Each::Form>();
        let one = Ref::from_schema_name(One::Form::name());
        let list = Array::new(Ref::from_schema_name(Each::Form::name()));
        self.members.push(Member {
            described,
            schema: OneOfBuilder::new().item(one).item(list).into(),
            reference: None,
            default: None,
        });
    }

    fn of<F: Form>() -> Self {
        let mut document = Self::default();
        F::document(&mut document);
        document
    }

    fn value<T: Field>(&mut self, described: FieldDescription, default: Option<Value>) {
        if let Some(name) = T::NAME {
            self.schemas.push((name.to_owned(), T::schema().into()));
        }
        self.members.push(Member {
            described,
            schema: T::schema(),
            reference: T::NAME.map(str::to_owned),
            default,
        });
    }

    fn define<F: Form>(&mut self) {
        self.schemas.push((F::name().into_owned(), object::<F>()));
        schemas::<F>(&mut self.schemas);
    }
}

/// Returns the schema of a body.
pub(crate) fn object<F: Form>() -> RefOr<Schema> {
    form::<F>().into()
}

/// Adds the schemas that a body's schema refers to, by name.
pub(crate) fn schemas<F: Form>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
    schemas.extend(Document::of::<F>().schemas);
}

/// Returns the parameters of a path, query or header form.
pub(crate) fn parameters<F: Form>(place: ParameterIn) -> Vec<Parameter> {
    let parameter = |member: Member| {
        let FieldDescription {
            name,
            description,
            need,
            example,
            ..
        } = &member.described;
        let is_required = place == ParameterIn::Path || *need == Need::Required;
        // Swagger UI fills in examples. A filter would hide what the reader has just made.
        let shown = example.as_ref().filter(|_| !is_required);
        let shown = shown.map(|example| {
            example
                .as_str()
                .map_or_else(|| example.to_string(), str::to_owned)
        });
        let shown = shown.map(|example| format!(" Example: `{example}`."));
        let parameter = ParameterBuilder::new()
            .name(*name)
            .parameter_in(place.clone())
            .description(text(&format!("{description}{}", shown.unwrap_or_default())))
            .required(if is_required {
                Required::True
            } else {
                Required::False
            })
            .example(example.clone().filter(|_| is_required))
            .schema(Some(RefOr::T(member.bounded())));
        parameter.build()
    };
    let members = Document::of::<F>().members;
    members.into_iter().map(parameter).collect()
}

fn form<F: Form>() -> Schema {
    let mut object = ObjectBuilder::new().schema_type(Type::Object).build();
    object.description = text(F::DESCRIPTION);
    object.example = F::example();
    if F::UNKNOWN != Unknown::Ignored {
        let none = utoipa::openapi::schema::AdditionalProperties::FreeForm(false);
        object.additional_properties = Some(Box::new(none));
    }
    for member in Document::of::<F>().members {
        let name = member.described.name.to_owned();
        if member.described.need == Need::Required {
            object.required.push(name.clone());
        }
        object.properties.insert(name, member.property());
    }
    Schema::Object(object)
}

impl Member {
    /// Returns the schema with the field's bounds and default, inline.
    fn bounded(&self) -> Schema {
        let (min, max) = self.described.length;
        let (minimum, maximum) = self.described.range;
        let mut schema = self.schema.clone();
        match &mut schema {
            Schema::Object(object) => {
                object.min_length = min.or(object.min_length);
                object.max_length = max.or(object.max_length);
                object.minimum = minimum.map(Into::into).or(object.minimum.take());
                object.maximum = maximum.map(Into::into).or(object.maximum.take());
                object.default.clone_from(&self.default);
            }
            Schema::Array(array) => {
                array.min_items = min.or(array.min_items);
                array.max_items = max.or(array.max_items);
            }
            _ => {}
        }
        schema
    }

    /// Returns the schema as a property of an object.
    fn property(self) -> RefOr<Schema> {
        let is_nullable = self.described.need == Need::Nullable;
        let description = text(self.described.description);
        let example = self.described.example.clone();
        if let Some(name) = &self.reference {
            let mut reference = Ref::from_schema_name(name);
            reference.description = description.unwrap_or_default();
            reference.default = self.default;
            return match is_nullable {
                true => Schema::OneOf(or_null(reference)).into(),
                false => reference.into(),
            };
        }
        match self.bounded() {
            // A nullable enum must list `null` among its values.
            schema @ Schema::Object(Object {
                enum_values: Some(_), ..
            }) if is_nullable => {
                let mut either = or_null(schema);
                either.description = description;
                either.example = example;
                Schema::OneOf(either).into()
            }
            Schema::Object(mut object) => {
                object.description = description;
                object.example = example;
                nullable(&mut object.schema_type, is_nullable);
                Schema::Object(object).into()
            }
            Schema::Array(mut array) => {
                array.description = description;
                array.example = example;
                nullable(&mut array.schema_type, is_nullable);
                Schema::Array(array).into()
            }
            Schema::OneOf(mut either) => {
                either.description = description;
                either.example = example;
                if is_nullable {
                    either.items.push(null().into());
                }
                Schema::OneOf(either).into()
            }
            other => other.into(),
        }
    }
}

fn text(description: &str) -> Option<String> {
    Some(description.to_owned()).filter(|text| !text.is_empty())
}

/// Returns the schema of `null`.
pub(crate) fn null() -> Schema {
    ObjectBuilder::new().schema_type(Type::Null).into()
}

fn or_null(schema: impl Into<RefOr<Schema>>) -> OneOf {
    let mut either = OneOf::new();
    either.items = vec![schema.into(), null().into()];
    either
}

fn nullable(kind: &mut SchemaType, is_nullable: bool) {
    if let (true, SchemaType::Type(only)) = (is_nullable, &*kind) {
        *kind = SchemaType::Array(vec![only.clone(), Type::Null]);
    }
}
