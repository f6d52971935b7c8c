//! The limits that the use-cases keep to. The server fills them from its configuration.

use std::time::Duration;

use crate::DoorConfig;

/// Limits and names; see the server's `config.default.toml` for what each is for.
#[derive(Debug, Clone)]
pub struct Config {
    /// The name of this service in Message-IDs and notifications.
    pub hostname: String,
    pub max_message_bytes: u64,
    pub max_upload_bytes: u64,
    pub max_recipients: usize,
    /// Of a group, with those of the groups in it.
    pub max_group_members: usize,
    pub max_folders: usize,
    /// Messages in one `PATCH` or page.
    pub max_batch: usize,
    /// Bytes of memory for what is read of messages again and again.
    pub reading_memory: u64,
    /// Bytes of a mail's text that are searched; 0 where nothing is.
    pub max_search_text: usize,
    /// Bytes of messages that a search reads where the index cannot tell; or somewhat more.
    pub max_search_read: u64,
    pub session_lifetime: Duration,
    pub upload_lifetime: Duration,
    /// How long a mail may be held back by its sender.
    pub max_hold: Duration,
    /// How long the queue tries.
    pub queue_lifetime: Duration,
    /// A blob that nothing names is kept this long.
    pub blob_grace: Duration,
    /// Wrong passwords allowed per address and minute, and per client and minute.
    pub login_attempts_per_minute: u32,
    /// Mails that an account may send per hour.
    pub sends_per_hour: u32,
    /// What parts a tag from a local part (RFC 5233); `None`: nothing does.
    pub subaddress_separator: Option<char>,
    /// Whether tagged mail goes into the folder of the tag's name, where there is one.
    pub subaddress_folders: bool,
    /// How long passwords are worked on for SCRAM; 0: no keys are kept, and nobody can log in that way.
    pub scram_iterations: u32,
    /// App passwords of an account at most.
    pub app_passwords: u32,
    pub door: DoorConfig,
    /// The hosts, as `HOST:PORT`, that mail may be sent by at the wish of somebody who is not the machine's own operator.
    pub relays: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hostname: "localhost".into(),
            max_message_bytes: 50 << 20,
            max_upload_bytes: 35 << 20,
            max_recipients: 500,
            max_group_members: 1_000,
            max_folders: 1_000,
            max_batch: 500,
            reading_memory: 512 << 20,
            max_search_text: 4 << 20,
            max_search_read: 64 << 20,
            session_lifetime: Duration::from_secs(30 * 86_400),
            upload_lifetime: Duration::from_secs(2 * 86_400),
            max_hold: Duration::from_secs(30 * 86_400),
            queue_lifetime: Duration::from_secs(3 * 86_400),
            blob_grace: Duration::from_secs(86_400),
            login_attempts_per_minute: 10,
            sends_per_hour: 500,
            subaddress_separator: Some('+'),
            subaddress_folders: false,
            scram_iterations: 4_096,
            app_passwords: 25,
            door: DoorConfig::default(),
            relays: Vec::new(),
        }
    }
}
