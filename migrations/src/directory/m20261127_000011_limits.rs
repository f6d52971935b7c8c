//! What a domain's accounts may have together.
//!
//! - `domain_limit`: NULL is as much as they like. `used_bytes` is what their mail took at `used_at`; the truth is in
//!   the shards.
//! - `address_domain`: finds a domain's accounts by their main addresses. The domain is what follows the last `@`.

use sea_orm_migration::sea_orm::DbBackend;

pub(crate) fn text(backend: DbBackend) -> Vec<&'static str> {
    let index = if backend == DbBackend::Postgres { POSTGRES } else { SQLITE };
    vec![SCHEMA, index]
}

const SCHEMA: &str = "
CREATE TABLE domain_limit (
    domain TEXT NOT NULL PRIMARY KEY,
    max_bytes BIGINT,
    max_accounts BIGINT,
    used_bytes BIGINT NOT NULL,
    used_at BIGINT NOT NULL
) {clustered};
";

const POSTGRES: &str = "
CREATE INDEX address_domain ON address ((regexp_replace(address_key, '^.*@', '')), account_id) WHERE main;
";

const SQLITE: &str = "
CREATE INDEX address_domain
    ON address (substr(address_key, length(rtrim(address_key, replace(address_key, '@', ''))) + 1), account_id)
    WHERE main;
";
