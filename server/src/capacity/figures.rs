//! The figures that everything is reckoned from: `figures.toml`, compiled in.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

const TEXT: &str = include_str!("figures.toml");

/// One figure, as people read it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Figure {
    pub(super) value: f64,
    pub(super) unit: String,
    pub(super) source: String,
}

/// Every figure by its name; what they mean stands in the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Figures {
    pub(super) mission: Mission,
    pub(super) measured: Measured,
    pub(super) chosen: Chosen,
}

macro_rules! section {
    ($name:ident: $($figure:ident),+ $(,)?) => {
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $(#[serde(deserialize_with = "value")] pub(super) $figure: f64,)+
        }
    };
}

section!(Mission: received_per_day, sent_per_day, mail_bytes, attachment_bytes, mails_per_attachment, peak);

section!(Measured:
    encoded_per_byte, shard_bytes, wal_bytes, shard_mails_per_s, tantivy_bytes, smtp_cpu_ms, index_cpu_ms,
    submit_cpu_ms, send_cpu_ms, list_cpu_ms, list_bytes, open_cpu_ms, open_bytes, search_cpu_ms, change_cpu_ms,
    login_cpu_ms, node_bytes, websocket_bytes,
);

section!(Chosen:
    keep_days, lists_per_day, opens_per_day, searches_per_day, changes_per_day, logins_per_day, downloads, online,
    cores, node_memory_bytes, sockets_per_node, busy, zones, shard_disk_bytes, disk_fill, shard_copies,
    wal_keep_days, wal_overhead, connections_per_node, shard_connections, blob_overhead, redis_bytes, redis_ops_per_s,
    redis_ops_per_request, meilisearch_factor, meilisearch_bytes, tail_exponent, tail_cap,
);

fn value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Figure::deserialize(deserializer).map(|figure| figure.value)
}

impl Figures {
    /// # Errors
    /// When the file that was compiled in is not one; a test sees to that.
    pub(super) fn load() -> anyhow::Result<Self> {
        Ok(toml::from_str(TEXT)?)
    }

    /// The same for people: sections, and the figures of each by name.
    ///
    /// # Errors
    /// As [`Figures::load`].
    pub(super) fn table() -> anyhow::Result<BTreeMap<String, BTreeMap<String, Figure>>> {
        Ok(toml::from_str(TEXT)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_a_value_a_unit_and_a_source() {
        Figures::load().unwrap();
        for (section, figures) in Figures::table().unwrap() {
            for (name, figure) in figures {
                assert!(figure.value > 0.0, "{section}.{name}");
                assert!(!figure.unit.is_empty() && !figure.source.is_empty(), "{section}.{name}");
            }
        }
    }
}
