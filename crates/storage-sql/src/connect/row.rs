//! Rows of an answer, and what is made of them by the places of their columns.

use std::sync::Arc;

use rusqlite::types::FromSql;
use sea_orm::{DbErr, QueryResult, TryGetable};

use super::direct;

/// A row of an answer, by whichever way it came.
pub(crate) enum Row<'r> {
    Sent(&'r QueryResult),
    Read(&'r rusqlite::Row<'r>),
}

/// What a column can hold, by either way.
pub(crate) trait Column: TryGetable + FromSql {}

impl<T: TryGetable + FromSql> Column for T {}

impl Row<'_> {
    /// The column at this place, counted from 0.
    pub(crate) fn get<T: Column>(&self, at: usize) -> Result<T, DbErr> {
        match self {
            Self::Sent(row) => row.try_get_by_index(at),
            Self::Read(row) => row.get(at).map_err(direct::failed),
        }
    }

    /// The bytes in the column at this place, to be shared.
    pub(crate) fn bytes(&self, at: usize) -> Result<Arc<[u8]>, DbErr> {
        match self {
            Self::Sent(row) => row.try_get_by_index::<Vec<u8>>(at).map(Arc::from),
            Self::Read(row) => row.get(at).map_err(direct::failed),
        }
    }

    /// The same where there may be none.
    pub(crate) fn maybe_bytes(&self, at: usize) -> Result<Option<Arc<[u8]>>, DbErr> {
        match self {
            Self::Sent(row) => Ok(row.try_get_by_index::<Option<Vec<u8>>>(at)?.map(Arc::from)),
            Self::Read(row) => row.get(at).map_err(direct::failed),
        }
    }
}

/// What is made of some columns that follow one another.
pub(crate) trait FromRow: Sized + Send + 'static {
    /// Their names, in order.
    const COLUMNS: &'static [&'static str];

    /// From the columns that begin at this place.
    fn from_row(row: &Row<'_>, first: usize) -> Result<Self, DbErr>;

    /// The columns of the table that is called `alias`, for a `SELECT`.
    fn columns(alias: &str) -> String {
        Self::COLUMNS.iter().map(|name| format!("{alias}.{name}")).collect::<Vec<_>>().join(", ")
    }
}

/// Implements [`FromRow`] for a structure whose fields are called like the columns.
macro_rules! from_row {
    ($row:ty { $($column:ident),+ $(,)? }) => {
        impl $crate::connect::FromRow for $row {
            const COLUMNS: &'static [&'static str] = &[$(stringify!($column)),+];

            fn from_row(row: &$crate::connect::Row<'_>, first: usize) -> Result<Self, sea_orm::DbErr> {
                let mut places = first..;
                $(let $column = row.get(places.next().unwrap_or_default())?;)+
                Ok(Self { $($column),+ })
            }
        }
    };
}
pub(crate) use from_row;
