//! How our values stand in columns.

use rusqlite::Row;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::directory::{Email, Name, OrganizationId, Policy, Role, TeamId, UserId};
use crate::store::KeyState;
use crate::token::{Filter, Slot};

/// The columns of a row, taken in the order in which the query names them.
pub(super) struct Columns<'row> {
    row: &'row Row<'row>,
    next: usize,
}

impl<'row> Columns<'row> {
    pub(super) fn of(row: &'row Row<'row>) -> Self {
        Self { row, next: 0 }
    }

    /// The columns from the one that stands at a position.
    pub(super) fn from(row: &'row Row<'row>, position: usize) -> Self {
        Self { row, next: position }
    }

    pub(super) fn take<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        let column = self.next;
        self.next += 1;
        self.row.get(column)
    }

    /// Passes over a column.
    pub(super) fn skip(&mut self) {
        self.next += 1;
    }

    /// Whether the next column is NULL. Takes the rest as they are.
    pub(super) fn is_null(&self) -> rusqlite::Result<bool> {
        Ok(self.row.get_ref(self.next)? == ValueRef::Null)
    }

    /// Takes a column that a function reads from text.
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

/// A UUID as its 16 bytes.
pub(super) struct Bytes(pub(super) Uuid);

impl ToSql for Bytes {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.0.as_bytes())))
    }
}

impl FromSql for Bytes {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Uuid::from_slice(value.as_blob()?)
            .map(Self)
            .map_err(|error| FromSqlError::Other(Box::new(error)))
    }
}

impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.millis().into())
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let millis = value.as_i64()?;
        Self::from_millis(millis).ok_or(FromSqlError::OutOfRange(millis))
    }
}

impl ToSql for OrganizationId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.0.as_bytes())))
    }
}

impl FromSql for OrganizationId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Bytes::column_result(value).map(|bytes| Self(bytes.0))
    }
}

/// Values that stand as text: how they are written, and how they are read back.
macro_rules! text {
    ($($value:ty => $write:expr, $read:expr;)*) => {$(
        impl ToSql for $value {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                let write: fn(&$value) -> &str = $write;
                Ok(write(self).into())
            }
        }

        impl FromSql for $value {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
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

/// Values that stand as JSON.
macro_rules! json {
    ($($value:ty)*) => {$(
        impl ToSql for $value {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                serde_json::to_string(self)
                    .map(Into::into)
                    .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
            }
        }

        impl FromSql for $value {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                serde_json::from_str(value.as_str()?).map_err(|error| FromSqlError::Other(Box::new(error)))
            }
        }
    )*};
}

json! { Policy Filter }
