//! The schema of a database: brought up to date by whoever comes first, and never used if it is newer than we are.

use migrations::{DirectoryMigrator, MigratorTrait, ShardMigrator, Step};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, FromQueryResult, Statement};
use storage::{Error, Result, moves::AddedShard};

use crate::{
    DatabaseUrl, Options,
    connect::{Database, Pool, Purpose},
    entity::directory::shard,
    error::named,
};

/// Which schema a database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    Directory,
    Shard,
}

/// A step of the schema that a database still lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    pub name: String,
    /// The statements of the step, in order.
    pub sql: Vec<String>,
}

/// Steps of the schema that the database still lacks; nothing is changed. A missing file lacks all of them.
pub async fn pending_migrations(url: &DatabaseUrl, schema: Schema) -> Result<Vec<Pending>> {
    let (backend, done) = match url {
        DatabaseUrl::Sqlite(path) if !path.exists() => (DbBackend::Sqlite, Vec::new()),
        url => {
            let pool = looking(url, schema).await?;
            let connections = pool.connections();
            let done = done(&connections).await.map_err(|error| named(url, error))?;
            pool.close().await;
            (connections.get_database_backend(), done)
        }
    };
    let steps = steps(schema);
    check(url, &done, &steps)?;
    let pending = steps.iter().filter(|step| !done.contains(&step.name()));
    Ok(pending.map(|step| Pending { name: step.name(), sql: step.sql(backend) }).collect())
}

/// The shards that `magpie shard add` made part of the service, as its directory knows them; nothing is changed. There
/// are none where the schema is older than that.
pub async fn added_shards(directory: &DatabaseUrl) -> Result<Vec<AddedShard>> {
    if let DatabaseUrl::Sqlite(path) = directory
        && !path.exists()
    {
        return Ok(Vec::new());
    }
    let pool = looking(directory, Schema::Directory).await?;
    let connections = pool.connections();
    let added = match is_there(&connections, "shard").await {
        Ok(true) => shard::added(&connections).await,
        Ok(false) => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    pool.close().await;
    let added = added.map_err(|error| named(directory, error))?;
    added.into_iter().map(shard::Model::view).collect()
}

/// A connection to a database as it is.
async fn looking(url: &DatabaseUrl, schema: Schema) -> Result<Pool> {
    let options = Options { readers: 1, ..Options::default() };
    let database = Database::new(schema, "to be looked at", url, &options);
    database.reach(options.patience).await?;
    Ok(database.readers())
}

/// Whether there is such a table.
async fn is_there(connection: &DatabaseConnection, table: &str) -> Result<bool, DbErr> {
    let backend = connection.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => format!("SELECT 1 WHERE to_regclass('{table}') IS NOT NULL"),
        _ => format!("SELECT 1 FROM sqlite_schema WHERE name = '{table}'"),
    };
    Ok(connection.query_one_raw(Statement::from_string(backend, sql)).await?.is_some())
}

/// Runs the steps that are missing, while every other node that wants to waits.
pub(crate) async fn update(database: &Database) -> Result<()> {
    let pool = Pool::new(database.clone(), Purpose::Migrate);
    let updated = update_on(&pool.connections(), database).await;
    // On PostgreSQL the lock goes with the connection.
    pool.close().await;
    updated
}

async fn update_on(connection: &DatabaseConnection, database: &Database) -> Result<()> {
    let schema = database.schema;
    let at = |error| named(&database.url, error);
    if connection.get_database_backend() == DbBackend::Postgres {
        lock(connection, database).await.map_err(at)?;
    }
    let (steps, known) = (steps(schema), done(connection).await.map_err(at)?);
    check(&database.url, &known, &steps)?;
    if steps.iter().all(|step| known.contains(&step.name())) {
        return Ok(());
    }
    tracing::info!(database = %database.url, "the schema is brought up to date");
    match schema {
        Schema::Directory => DirectoryMigrator::up(connection, None).await,
        Schema::Shard => ShardMigrator::up(connection, None).await,
    }
    .map_err(at)
}

/// `magpie` in ASCII: the name of the lock in every database.
const LOCK: i64 = 0x6D61_6770_6965;

/// Takes the lock that one node has at a time; a node that dies loses it.
async fn lock(connection: &DatabaseConnection, database: &Database) -> Result<(), DbErr> {
    let backend = connection.get_database_backend();
    let free = Statement::from_string(backend, format!("SELECT pg_try_advisory_lock({LOCK}) AS free"));
    let free = connection.query_one_raw(free).await?.map(|row| row.try_get("", "free")).transpose()?;
    if free != Some(true) {
        tracing::info!(database = %database.url, "waiting for another node that changes the schema");
        connection.execute_unprepared(&format!("SELECT pg_advisory_lock({LOCK})")).await?;
    }
    Ok(())
}

fn steps(schema: Schema) -> Vec<Step> {
    match schema {
        Schema::Directory => migrations::directory(),
        Schema::Shard => migrations::shard(),
    }
}

/// The steps that the database has.
async fn done(connection: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    #[derive(FromQueryResult)]
    struct Row {
        version: String,
    }
    let backend = connection.get_database_backend();
    if !is_there(connection, "seaql_migrations").await? {
        return Ok(Vec::new());
    }
    let all = Statement::from_string(backend, "SELECT version FROM seaql_migrations ORDER BY version");
    Ok(Row::find_by_statement(all).all(connection).await?.into_iter().map(|row| row.version).collect())
}

/// Refuses databases of a newer version, and those of another kind.
fn check(url: &DatabaseUrl, done: &[String], steps: &[Step]) -> Result<()> {
    let Some(unknown) = done.iter().find(|name| steps.iter().all(|step| step.name() != **name)) else {
        return Ok(());
    };
    let mut other = migrations::directory().into_iter().chain(migrations::shard());
    let text = if other.any(|step| step.name() == *unknown) {
        format!(
            "{url} holds a directory where a shard is expected, or a shard where the directory is; \
             give the directory and each shard a database of its own"
        )
    } else {
        format!(
            "the schema of {url} is newer than this version of the program (it has the step {unknown}); \
             start the newer version"
        )
    };
    Err(Error::Backend(text.into()))
}
