//! A step that runs its text.

#![expect(elided_lifetimes_in_paths, reason = "the trait's signature leaves the lifetime out")]

use sea_orm_migration::prelude::*;

use crate::sql;

pub(crate) struct Migration {
    pub(crate) name: &'static str,
    pub(crate) text: sql::Text,
}

impl MigrationName for Migration {
    fn name(&self) -> &str {
        self.name
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        sql::run(manager, self.text).await
    }
}
