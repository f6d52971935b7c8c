//! The engines of the cluster plane: PostgreSQL servers, Redis and S3, and how nodes are told of them.

use anyhow::Result;

use crate::{PostgresCluster, Redis, S3Server, s3};

/// What the nodes of one or more services share. It stops when dropped.
pub struct Services {
    /// The first has the directories, the others one shard of each service; a single one has everything.
    pub postgres: Vec<PostgresCluster>,
    pub redis: Redis,
    pub s3: S3Server,
}

const BUCKET: &str = "mail";

impl Services {
    /// With so many PostgreSQL servers.
    pub async fn start(servers: usize) -> Result<Self> {
        Self::start_with(servers, &[]).await
    }

    /// The same, with settings of PostgreSQL (`log_statement=all`).
    pub async fn start_with(servers: usize, settings: &[&str]) -> Result<Self> {
        let (postgres, redis, s3) = tokio::try_join!(
            futures::future::try_join_all((0..servers).map(|_| PostgresCluster::start_with(settings))),
            Redis::start(),
            S3Server::start(BUCKET)
        )?;
        Ok(Self { postgres, redis, s3 })
    }

    /// Makes the databases of a service of this name with two shards.
    ///
    /// # Errors
    /// They are there, or cannot be made.
    pub async fn create(&self, service: &str) -> Result<()> {
        for (server, database) in self.databases(service) {
            server.create_database(&database).await?;
        }
        Ok(())
    }

    /// The variables that choose the parts of that service.
    #[must_use]
    pub fn variables(&self, service: &str) -> Vec<(String, String)> {
        let urls: Vec<_> = self.databases(service).map(|(server, database)| server.url(&database)).collect();
        let [directory, shards @ ..] = urls.as_slice() else { return Vec::new() };
        let shards: Vec<_> = shards.iter().map(|url| format!("\"{url}\"")).collect();
        let variables = [
            ("MAGPIE_DIRECTORY__URL", directory.clone()),
            ("MAGPIE_SHARDS__URLS", format!("[{}]", shards.join(","))),
            ("MAGPIE_BLOBS__URL", format!("{}&prefix={service}", self.s3.url(BUCKET))),
            ("MAGPIE_CACHE__URL", self.redis.url()),
            ("MAGPIE_BUS__URL", self.redis.url()),
            ("AWS_ACCESS_KEY_ID", s3::ACCESS_KEYS[0].to_owned()),
            ("AWS_SECRET_ACCESS_KEY", s3::SECRET_KEY.to_owned()),
        ];
        let search = match std::env::var("MAGPIE_TEST_MEILI_URL") {
            Ok(url) => format!("{url}{}index={service}", if url.contains('?') { '&' } else { '?' }),
            Err(_) => "none:".to_owned(),
        };
        let variables = variables.into_iter().chain([("MAGPIE_SEARCH__URL", search)]);
        variables.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Directory and shards, each with its server.
    fn databases(&self, service: &str) -> impl Iterator<Item = (&PostgresCluster, String)> {
        let names = ["directory", "shard_0", "shard_1"].map(|part| format!("{service}_{part}"));
        self.postgres.iter().cycle().zip(names)
    }
}
