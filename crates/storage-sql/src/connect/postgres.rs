//! PostgreSQL: the settings of every session.

use std::{sync::Arc, time::Duration};

use sea_orm::{
    DatabaseConnection, DbErr, RuntimeErr, SqlxPostgresConnector,
    sqlx::{ConnectOptions, Connection as _, Executor as _, postgres::PgPoolOptions},
};
use tokio::time::timeout;

use super::{Options, Purpose};
use crate::{error::lost, url::PostgresUrl};

/// A batch may follow another while the connection of the last one is still being put back.
const SPARE: u32 = 1;

pub(super) fn connections(url: &PostgresUrl, options: &Options, purpose: Purpose) -> DatabaseConnection {
    let one = url
        .options
        .clone()
        .application_name(&options.application_name)
        .statement_cache_capacity(512)
        .options(settings(options, purpose))
        .disable_statement_logging();
    let count = match purpose {
        Purpose::Read => options.readers,
        Purpose::Write => options.writers + SPARE,
        Purpose::Migrate => 1,
    };
    let pool = PgPoolOptions::new()
        .max_connections(count.max(1))
        .acquire_timeout(options.patience)
        .idle_timeout(Duration::from_secs(300))
        .max_lifetime((purpose != Purpose::Migrate).then_some(Duration::from_secs(1_800)))
        // A broken connection is noticed by the statement that meets it, and what it was sent for is run again.
        .test_before_acquire(false)
        .after_connect(|connection, _| {
            Box::pin(async move { connection.execute(DURABLE).await.map(|_| ()) })
        });
    SqlxPostgresConnector::from_sqlx_postgres_pool(pool.connect_lazy_with(one))
}

/// Connects to the server and leaves, as soon as it answers.
pub(super) async fn reach(url: &PostgresUrl, within: Duration) -> Result<(), DbErr> {
    let connected = timeout(within, url.options.clone().disable_statement_logging().connect()).await;
    match connected {
        Ok(Ok(connection)) => {
            // Whether it hears of the end, too, is no matter.
            let _ended = timeout(within, connection.close()).await;
            Ok(())
        }
        Ok(Err(error)) => Err(DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error)))),
        Err(_) => Err(lost(&format!("no answer within {} s", within.as_secs_f32()))),
    }
}

/// What an operator has made stronger stays so.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', false) \
     WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')";

fn settings(options: &Options, purpose: Purpose) -> Vec<(&'static str, String)> {
    let millis = |time: Duration| time.as_millis().to_string();
    let mut settings = vec![
        // Locks of a node that is gone without a word must not stay for hours.
        ("tcp_keepalives_idle", "15".to_owned()),
        ("tcp_keepalives_interval", "5".to_owned()),
        ("tcp_keepalives_count", "3".to_owned()),
        ("tcp_user_timeout", "30000".to_owned()),
        ("idle_in_transaction_session_timeout", "30000".to_owned()),
    ];
    match purpose {
        Purpose::Read => settings.extend([
            ("statement_timeout", millis(options.statement_timeout)),
            ("default_transaction_isolation", "repeatable read".to_owned()),
            ("default_transaction_read_only", "on".to_owned()),
        ]),
        Purpose::Write => settings.extend([
            ("statement_timeout", millis(options.statement_timeout)),
            // Who waits for a lock keeps a writer; see `writer::aside`.
            ("lock_timeout", millis(options.patience / 4)),
            ("default_transaction_isolation", "read committed".to_owned()),
        ]),
        Purpose::Migrate => settings.extend([
            ("statement_timeout", "0".to_owned()),
            ("idle_in_transaction_session_timeout", "0".to_owned()),
        ]),
    }
    settings
}
