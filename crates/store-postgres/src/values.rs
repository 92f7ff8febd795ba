//! The conversion between our values and columns.

use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;

use postgres_types::private::BytesMut;
use postgres_types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::failure::Failure;
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Email, Name, OrganizationId, Policy, Role, TeamId, UserId};
use jeton_core::token::filter::Remit;
use jeton_core::token::{Filter, Slot, TokenId};
use jeton_store::{KeyState, Surface};

/// The columns of a row, read in the order of the query.
pub(super) struct Columns<'row> {
    row: &'row Row,
    next: usize,
}

impl<'row> Columns<'row> {
    pub(super) fn of(row: &'row Row) -> Self {
        Self { row, next: 0 }
    }

    /// Returns the columns from a position on.
    pub(super) fn from(row: &'row Row, position: usize) -> Self {
        Self { row, next: position }
    }

    pub(super) fn take<T: Column>(&mut self) -> Result<T, Failure> {
        let column = self.next;
        self.next += 1;
        get(self.row, column)
    }

    /// Reads a text column with a parsing function.
    pub(super) fn parse<T>(&mut self, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Failure> {
        let column = self.next;
        self.next += 1;
        let text: &str = self.row.try_get(column)?;
        parse(text).ok_or(Failure::Value(column))
    }

    /// Returns whether the next column is NULL, without consuming it.
    pub(super) fn is_null(&self) -> Result<bool, Failure> {
        Ok(self.row.try_get::<_, Option<Anything>>(self.next)?.is_none())
    }
}

/// A value of any type that is not NULL.
struct Anything;

impl FromSql<'_> for Anything {
    fn from_sql(_: &Type, _: &[u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A value that is read from a column. Apart from the driver's own trait, which cannot be implemented here for types of
/// another crate.
pub(super) trait Column: Sized {
    fn read(row: &Row, column: usize) -> Result<Option<Self>, Failure>;
}

/// Returns one column of a row.
pub(super) fn get<T: Column>(row: &Row, column: usize) -> Result<T, Failure> {
    T::read(row, column)?.ok_or(Failure::Value(column))
}

impl<T: Column> Column for Option<T> {
    fn read(row: &Row, column: usize) -> Result<Option<Self>, Failure> {
        T::read(row, column).map(Some)
    }
}

/// Implements the trait for what the driver reads as another type: that type and the conversion.
macro_rules! columns {
    ($($value:ty: $raw:ty => $read:expr;)*) => {$(
        impl Column for $value {
            fn read(row: &Row, column: usize) -> Result<Option<Self>, Failure> {
                let read: fn($raw) -> Option<$value> = $read;
                let raw: Option<$raw> = row.try_get(column)?;
                raw.map(|raw| read(raw).ok_or(Failure::Value(column))).transpose()
            }
        }
    )*};
}

columns! {
    bool: bool => Some;
    i64: i64 => Some;
    i32: i64 => |raw| raw.try_into().ok();
    u32: i64 => |raw| raw.try_into().ok();
    u64: i64 => |raw| raw.try_into().ok();
    usize: i64 => |raw| raw.try_into().ok();
    [u8; 16]: &[u8] => |raw| raw.try_into().ok();
    [u8; 32]: &[u8] => |raw| raw.try_into().ok();
    String: String => Some;
    Arc<str>: &str => |text| Some(text.into());
    Uuid: Uuid => Some;
    Timestamp: i64 => Timestamp::from_millis;
    OrganizationId: Uuid => |id| Some(OrganizationId(id));
    IpAddr: &[u8] => address;
    Surface: i64 => surface;
    TeamId: &str => |text| text.parse().ok();
    UserId: &str => |text| text.parse().ok();
    Email: &str => |text| text.parse().ok();
    Name: &str => |text| text.parse().ok();
    Slot: &str => |text| text.parse().ok();
    Role: &str => |text| Role::ALL.into_iter().find(|role| role.as_str() == text);
    KeyState: &str => |text| KeyState::ALL.into_iter().find(|state| state.as_str() == text);
    Policy: &str => |text| serde_json::from_str(text).ok();
    Filter: &str => |text| serde_json::from_str(text).ok();
    Remit: &str => |text| serde_json::from_str(text).ok();
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let address = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    address
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// A surface is stored as its place in this list, from 1 on: new ones are added at the end.
const SURFACES: [Surface; 8] = [
    Surface::Native,
    Surface::OAuth,
    Surface::Cave,
    Surface::Terraform,
    Surface::Quant,
    Surface::Command,
    Surface::Server,
    Surface::Console,
];

fn surface(number: i64) -> Option<Surface> {
    let mut surfaces = SURFACES.into_iter().zip(1_i64..);
    surfaces
        .find(|(_, one)| *one == number)
        .map(|(surface, _)| surface)
}

/// A value as it is bound to a statement.
#[derive(Debug, Clone)]
pub(super) enum Bound {
    Null,
    Bool(bool),
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
    Uuid(Uuid),
    /// The elements of an array.
    Array(Vec<Bound>),
    /// Cannot be stored: the reason.
    Unfit(&'static str),
}

impl Bound {
    /// Returns the reason why the value cannot be stored, if it cannot.
    pub(super) fn unfit(&self) -> Option<&'static str> {
        match self {
            Self::Unfit(reason) => Some(reason),
            Self::Array(values) => values.iter().find_map(Self::unfit),
            _ => None,
        }
    }

    /// Returns an array of values.
    pub(super) fn array<T: Parameter>(values: impl IntoIterator<Item = T>) -> Self {
        Self::Array(values.into_iter().map(|value| value.bound()).collect())
    }
}

impl ToSql for Bound {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Bool(value) => value.to_sql_checked(ty, out),
            Self::Integer(value) => match *ty {
                Type::INT4 => i32::try_from(*value)?.to_sql_checked(ty, out),
                _ => value.to_sql_checked(ty, out),
            },
            Self::Text(value) => value.to_sql_checked(ty, out),
            Self::Bytes(value) => value.to_sql_checked(ty, out),
            Self::Uuid(value) => value.to_sql_checked(ty, out),
            Self::Array(values) => values.to_sql_checked(ty, out),
            Self::Unfit(reason) => Err((*reason).into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        // Each value checks the type itself.
        true
    }

    to_sql_checked!();
}

/// A value that can be bound to a statement.
pub(super) trait Parameter {
    fn bound(&self) -> Bound;
}

/// Builds an array of bound values.
macro_rules! bounds {
    ($($value:expr),* $(,)?) => {
        [$($crate::values::Parameter::bound(&$value)),*]
    };
}
pub(super) use bounds;

/// Builds the parameters of a statement, in their order.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &$crate::values::bounds![$($value),*] as &[$crate::values::Bound]
    };
}
pub(super) use params;

impl<T: Parameter + ?Sized> Parameter for &T {
    fn bound(&self) -> Bound {
        T::bound(self)
    }
}

impl<T: Parameter + ?Sized> Parameter for Box<T> {
    fn bound(&self) -> Bound {
        T::bound(self)
    }
}

impl<T: Parameter> Parameter for Option<T> {
    fn bound(&self) -> Bound {
        self.as_ref().map_or(Bound::Null, T::bound)
    }
}

/// Implements the trait: the value that each type is bound as.
macro_rules! parameters {
    ($($value:ty => $bound:expr;)*) => {$(
        impl Parameter for $value {
            fn bound(&self) -> Bound {
                let bound: fn(&$value) -> Bound = $bound;
                bound(self)
            }
        }
    )*};
}

fn integer<T: TryInto<i64> + Copy>(value: &T) -> Bound {
    (*value)
        .try_into()
        .map_or(Bound::Unfit("a number is too large"), Bound::Integer)
}

/// Input checks refuse U+0000, which PostgreSQL cannot store; a text that contains it here is a bug.
fn text(value: &str) -> Bound {
    match value.contains('\0') {
        false => Bound::Text(value.to_owned()),
        true => Bound::Unfit("a text holds U+0000"),
    }
}

fn json(value: &impl serde::Serialize) -> Bound {
    serde_json::to_string(value).map_or(Bound::Unfit("a value has no JSON"), Bound::Text)
}

parameters! {
    bool => |value| Bound::Bool(*value);
    i64 => integer;
    u32 => integer;
    u64 => integer;
    usize => integer;
    [u8; 16] => |value| Bound::Bytes(value.to_vec());
    [u8; 32] => |value| Bound::Bytes(value.to_vec());
    str => text;
    String => |value| text(value);
    Arc<str> => |value| text(value);
    Uuid => |value| Bound::Uuid(*value);
    Timestamp => |value| Bound::Integer(value.millis());
    TokenId => |value| Bound::Integer(value.0);
    OrganizationId => |value| Bound::Uuid(value.0);
    TeamId => |value| text(value.as_str());
    UserId => |value| text(value.as_str());
    Email => |value| text(value.as_str());
    Name => |value| text(value.as_str());
    Slot => |value| text(value.as_str());
    Role => |value| text(value.as_str());
    KeyState => |value| text(value.as_str());
    Policy => json;
    Filter => json;
    Remit => json;
    Bound => Bound::clone;
}

impl Parameter for IpAddr {
    fn bound(&self) -> Bound {
        Bound::Bytes(match self {
            Self::V4(address) => address.octets().to_vec(),
            Self::V6(address) => address.octets().to_vec(),
        })
    }
}

impl Parameter for Surface {
    fn bound(&self) -> Bound {
        let place = SURFACES.iter().zip(1_i64..).find(|(one, _)| *one == self);
        place.map_or(Bound::Null, |(_, number)| Bound::Integer(number))
    }
}

/// A text that is searched for and not stored: one with U+0000 is in no column.
pub(super) struct Sought<'a>(pub(super) &'a str);

impl Parameter for Sought<'_> {
    fn bound(&self) -> Bound {
        // U+FFFF is no character, so that nothing has it.
        Bound::Text(self.0.replace('\0', "\u{ffff}"))
    }
}
