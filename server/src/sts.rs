//! Our own MTA-STS policy (RFC 8461 §3.2): which hosts take our domains' mail, over TLS that can be verified.

use crate::config::{Config, StsMode};

/// The policy's text, and its name for the TXT record.
pub(crate) struct Policy {
    pub(crate) text: String,
    /// Another text, another id.
    pub(crate) id: String,
}

/// None if none is served.
pub(crate) fn policy(config: &Config, hostname: &str) -> Option<Policy> {
    let mode = match config.mta_sts.mode {
        StsMode::Off => return None,
        StsMode::None => "none",
        StsMode::Testing => "testing",
        StsMode::Enforce => "enforce",
    };
    let own = [hostname.to_owned()];
    let hosts = if config.mta_sts.mx.is_empty() { &own[..] } else { &config.mta_sts.mx };
    let mut text = format!("version: STSv1\r\nmode: {mode}\r\n");
    for host in hosts {
        text.push_str(&format!("mx: {host}\r\n"));
    }
    text.push_str(&format!("max_age: {}\r\n", config.mta_sts.max_age.0.as_secs()));
    let id = blake3::hash(text.as_bytes()).to_hex().chars().take(16).collect();
    Some(Policy { text, id })
}
