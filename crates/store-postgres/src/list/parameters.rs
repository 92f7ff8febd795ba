//! Parameters of statements that are put together from parts.

use crate::values::{Bound, Parameter};

/// The parameters of a statement, in their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters(Vec<Bound>);

impl Parameters {
    /// Adds a parameter and returns its name in the statement. With its type: in an expression PostgreSQL would infer
    /// another.
    pub(crate) fn bind(&mut self, value: impl Parameter) -> String {
        let value = value.bound();
        let as_type = match value {
            Bound::Integer(_) => "::bigint",
            Bound::Text(_) => "::text",
            // Is compared with a column only.
            _ => "",
        };
        self.0.push(value);
        format!("${}{as_type}", self.0.len())
    }

    /// Adds a number that a caller chose: one that is larger than any stored counts as the largest.
    pub(crate) fn bind_number(&mut self, number: u64) -> String {
        self.bind(i64::try_from(number).unwrap_or(i64::MAX))
    }

    /// Returns the values.
    pub(crate) fn values(&self) -> &[Bound] {
        &self.0
    }
}
