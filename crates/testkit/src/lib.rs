//! What tests need around them: the mail service in a folder of its own, a DNS zone, a scripted SMTP server,
//! Postfix' `smtp-sink`, an HTTPS server, PostgreSQL servers and a gate before them, a Redis, an S3 server, all of the
//! cluster plane together, shards that a test meddles with, fixtures and a clock to turn; and the rule that statements name their account.
//!
//! **Invariant:** a dev-dependency only; loopback and free ports only; nothing here sleeps.

pub mod clock;
pub mod fixtures;
pub mod gate;
pub mod house;
pub mod https;
pub mod isolation;
pub mod observer;
pub mod postfix;
pub mod postgres;
pub mod redis;
pub mod s3;
pub mod secure;
pub mod services;
pub mod shards;
pub mod signed;
pub mod sink;
pub mod zone;

pub use clock::TurnedClock;
pub use gate::{Gate, Way};
pub use house::House;
pub use https::HttpsServer;
pub use observer::{Observer, Seen};
pub use postfix::SmtpSink;
pub use postgres::PostgresCluster;
pub use redis::Redis;
pub use s3::S3Server;
pub use secure::secured;
pub use services::Services;
pub use shards::{Call, Meddled, Meddler};
pub use signed::{Signed, SignedZone};
pub use sink::{Identity, Received, Script, Sink};
pub use zone::Zone;
