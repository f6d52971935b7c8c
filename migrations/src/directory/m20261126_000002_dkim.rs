//! The keys that mail of each domain is signed with. `phase`: 0 waits for its record, 1 signs, 2 is retired.

use sea_orm_migration::sea_orm::DbBackend;

pub(crate) fn text(_: DbBackend) -> Vec<&'static str> {
    vec![SCHEMA]
}

const SCHEMA: &str = "
CREATE TABLE dkim_key (
    domain_id BIGINT NOT NULL,
    selector TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    private_key TEXT NOT NULL,
    public_key {bytes} NOT NULL,
    phase INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (domain_id, selector)
) {clustered};
";
