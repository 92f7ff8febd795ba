//! The conversion between our values and columns.

use std::net::IpAddr;
use std::sync::Arc;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Row, RowIndex};
use uuid::Uuid;

use jeton_core::clock::Timestamp;
use jeton_core::directory::{Email, Name, OrganizationId, Policy, Role, TeamId, UserId};
use jeton_core::token::filter::Remit;
use jeton_core::token::{Filter, Slot};
use jeton_store::{KeyState, Surface};

/// The columns of a row, read in the order of the query.
pub(super) struct Columns<'row> {
    row: &'row Row<'row>,
    next: usize,
}

impl<'row> Columns<'row> {
    pub(super) fn of(row: &'row Row<'row>) -> Self {
        Self { row, next: 0 }
    }

    /// Returns the columns from a position on.
    pub(super) fn from(row: &'row Row<'row>, position: usize) -> Self {
        Self { row, next: position }
    }

    pub(super) fn take<T: Column>(&mut self) -> rusqlite::Result<T> {
        let column = self.next;
        self.next += 1;
        get(self.row, column)
    }

    /// Skips a column.
    pub(super) fn skip(&mut self) {
        self.next += 1;
    }

    /// Returns whether the next column is NULL, without consuming it.
    pub(super) fn is_null(&self) -> rusqlite::Result<bool> {
        Ok(self.row.get_ref(self.next)? == ValueRef::Null)
    }

    /// Reads a text column with a parsing function.
    pub(super) fn parse<T>(&mut self, parse: impl FnOnce(&str) -> Option<T>) -> rusqlite::Result<T> {
        let column = self.next;
        self.next += 1;
        let value = self.row.get_ref(column)?;
        value
            .as_str()
            .and_then(|text| parse(text).ok_or(FromSqlError::InvalidType))
            .map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(column, value.data_type(), Box::new(error))
            })
    }
}

/// A value that is read from a column. Apart from SQLite's own trait, which cannot be implemented here for
/// types of another crate.
pub(super) trait Column: Sized {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self>;
}

/// A value that is bound to a statement.
pub(super) trait Parameter {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>>;
}

/// Returns one column of a row.
pub(super) fn get<T: Column>(row: &Row<'_>, index: impl RowIndex) -> rusqlite::Result<T> {
    row.get(index).map(|Read(value)| value)
}

struct Read<T>(T);

impl<T: Column> FromSql for Read<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        T::read(value).map(Self)
    }
}

/// A parameter in SQLite's form.
pub(super) struct Sql<'a, T: ?Sized>(pub(super) &'a T);

impl<T: Parameter + ?Sized> ToSql for Sql<'_, T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.write()
    }
}

/// Builds the parameters of a statement, in their order.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$(&$crate::values::Sql(&$value) as &dyn rusqlite::ToSql),*] as &[&dyn rusqlite::ToSql]
    };
}
pub(super) use params;

impl<T: Parameter + ?Sized> Parameter for &T {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        T::write(self)
    }
}

impl<T: Parameter + ?Sized> Parameter for Box<T> {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        T::write(self)
    }
}

impl<T: Parameter> Parameter for Option<T> {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Some(value) => value.write(),
            None => Ok(ToSqlOutput::Borrowed(ValueRef::Null)),
        }
    }
}

impl<T: Column> Column for Option<T> {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Null => Ok(None),
            value => T::read(value).map(Some),
        }
    }
}

/// Implements the traits for values that SQLite knows itself.
macro_rules! plain {
    (parameters: $($parameter:ty)*; columns: $($column:ty)*;) => {
        $(impl Parameter for $parameter {
            fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                self.to_sql()
            }
        })*
        $(impl Column for $column {
            fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
                Self::column_result(value)
            }
        })*
    };
}

plain! {
    parameters: bool i64 u32 u64 usize [u8; 16] [u8; 32];
    columns: bool i32 i64 u32 u64 usize [u8; 16] [u8; 32] String Arc<str>;
}

/// No stored text contains U+0000, which other databases cannot store. Input checks refuse it; a text that
/// contains it here is a bug.
impl Parameter for str {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self.contains('\0') {
            false => self.to_sql(),
            true => Err(rusqlite::Error::ToSqlConversionFailure(
                "a text holds U+0000".into(),
            )),
        }
    }
}

impl Parameter for String {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.as_str().write()
    }
}

impl Parameter for Arc<str> {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        (**self).write()
    }
}

/// A text that is searched for and not stored.
pub(super) struct Sought<'a>(pub(super) &'a str);

impl Parameter for Sought<'_> {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

/// A UUID as its 16 bytes.
pub(super) struct Bytes(pub(super) Uuid);

impl Parameter for Bytes {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.0.as_bytes())))
    }
}

impl Column for Bytes {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Uuid::from_slice(value.as_blob()?)
            .map(Self)
            .map_err(|error| FromSqlError::Other(Box::new(error)))
    }
}

impl Parameter for Timestamp {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.millis().into())
    }
}

impl Column for Timestamp {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let millis = value.as_i64()?;
        Self::from_millis(millis).ok_or(FromSqlError::OutOfRange(millis))
    }
}

/// The 4 or 16 bytes of an address.
impl Parameter for IpAddr {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::V4(address) => address.octets().to_vec().into(),
            Self::V6(address) => address.octets().to_vec().into(),
        })
    }
}

impl Column for IpAddr {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let bytes = value.as_blob()?;
        let address = <[u8; 4]>::try_from(bytes).map(Self::from);
        address
            .or_else(|_| <[u8; 16]>::try_from(bytes).map(Self::from))
            .map_err(|error| FromSqlError::Other(Box::new(error)))
    }
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

impl Parameter for Surface {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let place = SURFACES.iter().zip(1_i64..).find(|(one, _)| *one == self);
        Ok(place.map_or(0, |(_, number)| number).into())
    }
}

impl Column for Surface {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        let surface = SURFACES.into_iter().zip(1_i64..).find(|(_, one)| *one == number);
        surface
            .map(|(surface, _)| surface)
            .ok_or(FromSqlError::OutOfRange(number))
    }
}

impl Parameter for OrganizationId {
    fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.0.as_bytes())))
    }
}

impl Column for OrganizationId {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Bytes::read(value).map(|bytes| Self(bytes.0))
    }
}

/// Implements the traits for values that are stored as text: how they are written and parsed.
macro_rules! text {
    ($($value:ty => $write:expr, $read:expr;)*) => {$(
        impl Parameter for $value {
            fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                let write: fn(&$value) -> &str = $write;
                Ok(write(self).into())
            }
        }

        impl Column for $value {
            fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let read: fn(&str) -> Option<$value> = $read;
                read(value.as_str()?).ok_or(FromSqlError::InvalidType)
            }
        }
    )*};
}

text! {
    TeamId => TeamId::as_str, |text| text.parse().ok();
    UserId => UserId::as_str, |text| text.parse().ok();
    Email => Email::as_str, |text| text.parse().ok();
    Name => Name::as_str, |text| text.parse().ok();
    Slot => Slot::as_str, |text| text.parse().ok();
    Role => |role| role.as_str(), |text| Role::ALL.into_iter().find(|role| role.as_str() == text);
    KeyState => |state| state.as_str(), |text| KeyState::ALL.into_iter().find(|state| state.as_str() == text);
}

/// Implements the traits for values that are stored as JSON.
macro_rules! json {
    ($($value:ty)*) => {$(
        impl Parameter for $value {
            fn write(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                serde_json::to_string(self)
                    .map(Into::into)
                    .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
            }
        }

        impl Column for $value {
            fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
                serde_json::from_str(value.as_str()?).map_err(|error| FromSqlError::Other(Box::new(error)))
            }
        }
    )*};
}

json! { Policy Filter Remit }
