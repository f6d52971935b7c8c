//! What so many people need: rates, nodes, shards, disks, the shared services.

use types::Bucket;

use super::{figures::Figures, placement::real};

/// For whom to reckon, where it differs from the figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wish {
    pub users: u64,
    /// How long mail is kept; none: as the figures say.
    pub keep_days: Option<u32>,
    /// How many shards there are; none: as many as are needed.
    pub shards: Option<u16>,
}

/// All of it. Rates are per second, `bytes` are bytes.
#[derive(Debug, Clone)]
pub(super) struct Need {
    pub(super) users: u64,
    pub(super) keep_days: f64,
    pub(super) rates: Rates,
    pub(super) nodes: Nodes,
    pub(super) shards: Shards,
    pub(super) blobs: Blobs,
    pub(super) redis: Redis,
    pub(super) search: Search,
    pub(super) network: Network,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    pub(super) received: f64,
    pub(super) received_peak: f64,
    pub(super) sent: f64,
    pub(super) sent_peak: f64,
    /// Rows of mail, received and sent.
    pub(super) stored_per_day: f64,
    pub(super) requests_peak: f64,
    pub(super) websockets: f64,
}

/// Machines by role; one zone may fail.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nodes {
    pub(super) smtp: f64,
    pub(super) web: f64,
    pub(super) realtime: f64,
    pub(super) worker: f64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Shards {
    pub(super) count: u16,
    /// What would be needed if there were buckets for it.
    pub(super) wanted: f64,
    pub(super) servers: f64,
    pub(super) bytes: f64,
    pub(super) bytes_each: f64,
    pub(super) disk_each: f64,
    pub(super) mails_peak_each: f64,
    pub(super) wal_peak: f64,
    pub(super) wal_kept: f64,
    pub(super) connections_each: f64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Blobs {
    pub(super) count: f64,
    pub(super) bytes: f64,
    pub(super) disk: f64,
    pub(super) puts_peak: f64,
    pub(super) gets_peak: f64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Redis {
    pub(super) bytes: f64,
    pub(super) ops_peak: f64,
    pub(super) instances: f64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Search {
    pub(super) tantivy_bytes: f64,
    pub(super) meilisearch_bytes: f64,
    pub(super) meilisearch_servers: f64,
}

/// Bits per second at the peak.
#[derive(Debug, Clone, Copy)]
pub(super) struct Network {
    pub(super) mail_in: f64,
    pub(super) mail_out: f64,
    pub(super) web_out: f64,
}

const DAY_SECONDS: f64 = 86_400.0;

/// A service is never without a second shard or node.
const LEAST: f64 = 2.0;

/// Reckons everything.
pub(super) fn need(wish: &Wish, f: &Figures) -> Need {
    let keep_days = wish.keep_days.map_or(f.chosen.keep_days, f64::from);
    let rates = rates(real(wish.users), f);
    let nodes = nodes(real(wish.users), &rates, f);
    Need {
        users: wish.users,
        keep_days,
        rates,
        nodes,
        shards: shards(wish, keep_days, &rates, &nodes, f),
        blobs: blobs(keep_days, &rates, f),
        redis: redis(&rates, f),
        search: search(keep_days, &rates, f),
        network: network(real(wish.users), &rates, f),
    }
}

fn rates(users: f64, f: &Figures) -> Rates {
    let (mission, chosen) = (&f.mission, &f.chosen);
    let received = users * mission.received_per_day / DAY_SECONDS;
    let sent = users * mission.sent_per_day / DAY_SECONDS;
    let requests =
        chosen.lists_per_day + chosen.opens_per_day + chosen.searches_per_day + chosen.changes_per_day;
    Rates {
        received,
        received_peak: received * mission.peak,
        sent,
        sent_peak: sent * mission.peak,
        stored_per_day: users * (mission.received_per_day + mission.sent_per_day),
        requests_peak: users * requests / DAY_SECONDS * mission.peak,
        websockets: users * chosen.online,
    }
}

fn nodes(users: f64, rates: &Rates, f: &Figures) -> Nodes {
    let (m, c) = (&f.measured, &f.chosen);
    let zones = c.zones / (c.zones - 1.0);
    let machines = |cpu_ms: f64| (cpu_ms / 1_000.0 / (c.cores * c.busy) * zones).ceil().max(LEAST);
    let reading = c.lists_per_day * m.list_cpu_ms
        + c.opens_per_day * m.open_cpu_ms
        + c.searches_per_day * m.search_cpu_ms
        + c.changes_per_day * m.change_cpu_ms
        + c.logins_per_day * m.login_cpu_ms;
    let reading_peak = users * reading / DAY_SECONDS * f.mission.peak;
    let stored_peak = rates.received_peak + rates.sent_peak;
    let by_memory = (c.node_memory_bytes * c.busy - m.node_bytes) / m.websocket_bytes;
    let sockets = (rates.websockets / c.sockets_per_node.min(by_memory) * zones).ceil();
    Nodes {
        smtp: machines(rates.received_peak * m.smtp_cpu_ms),
        web: machines(reading_peak + rates.sent_peak * m.submit_cpu_ms),
        // A change that is pushed reads the log and the lines it names: no more than a list.
        realtime: machines(stored_peak * c.online * m.list_cpu_ms).max(sockets),
        worker: machines(stored_peak * m.index_cpu_ms + rates.sent_peak * m.send_cpu_ms),
    }
}

impl Nodes {
    pub(super) fn all(&self) -> f64 {
        self.smtp + self.web + self.realtime + self.worker
    }
}

fn shards(wish: &Wish, keep_days: f64, rates: &Rates, nodes: &Nodes, f: &Figures) -> Shards {
    let (m, c) = (&f.measured, &f.chosen);
    let bytes = rates.stored_per_day * keep_days * m.shard_bytes;
    let stored_peak = rates.received_peak + rates.sent_peak;
    let by_disk = bytes / (c.shard_disk_bytes * c.disk_fill);
    let by_writes = stored_peak / (m.shard_mails_per_s * c.busy);
    let wanted = by_disk.max(by_writes).ceil().max(LEAST);
    let count = wish.shards.map_or(wanted.min(f64::from(Bucket::COUNT)), f64::from);
    Shards {
        count: whole(count),
        wanted,
        servers: count * c.shard_copies,
        bytes,
        bytes_each: bytes / count,
        disk_each: bytes / count / c.disk_fill,
        mails_peak_each: stored_peak / count,
        wal_peak: stored_peak * m.wal_bytes * c.wal_overhead,
        wal_kept: rates.stored_per_day * c.wal_keep_days * m.wal_bytes * c.wal_overhead,
        connections_each: nodes.all() * c.connections_per_node,
    }
}

fn blobs(keep_days: f64, rates: &Rates, f: &Figures) -> Blobs {
    let every = f.mission.mails_per_attachment;
    let count = rates.stored_per_day * keep_days / every;
    let bytes = count * blob_bytes(f);
    Blobs {
        count,
        bytes,
        disk: bytes * f.chosen.blob_overhead,
        puts_peak: (rates.received_peak + rates.sent_peak) / every,
        // A worker reads what it sends.
        gets_peak: (rates.received_peak * f.chosen.downloads + rates.sent_peak) / every,
    }
}

/// An attachment as it travels and is stored.
fn blob_bytes(f: &Figures) -> f64 {
    f.mission.attachment_bytes * f.measured.encoded_per_byte
}

fn redis(rates: &Rates, f: &Figures) -> Redis {
    let c = &f.chosen;
    // Who is online has a page of a folder in it, which is most of what is kept of anybody.
    let bytes = rates.websockets * f.measured.list_bytes;
    let ops_peak = (rates.requests_peak + rates.received_peak + rates.sent_peak) * c.redis_ops_per_request;
    let instances = (bytes / c.redis_bytes).max(ops_peak / (c.redis_ops_per_s * c.busy)).ceil();
    Redis { bytes, ops_peak, instances }
}

fn search(keep_days: f64, rates: &Rates, f: &Figures) -> Search {
    let tantivy_bytes = rates.stored_per_day * keep_days * f.measured.tantivy_bytes;
    let meilisearch_bytes = tantivy_bytes * f.chosen.meilisearch_factor;
    let meilisearch_servers = (meilisearch_bytes / f.chosen.meilisearch_bytes).ceil();
    Search { tantivy_bytes, meilisearch_bytes, meilisearch_servers }
}

fn network(users: f64, rates: &Rates, f: &Figures) -> Network {
    let (m, c) = (&f.measured, &f.chosen);
    let mail = f.mission.mail_bytes + blob_bytes(f) / f.mission.mails_per_attachment;
    let downloaded = f.mission.received_per_day / f.mission.mails_per_attachment
        * c.downloads
        * f.mission.attachment_bytes;
    let read =
        (c.lists_per_day + c.searches_per_day) * m.list_bytes + c.opens_per_day * m.open_bytes + downloaded;
    Network {
        mail_in: rates.received_peak * mail * 8.0,
        mail_out: rates.sent_peak * mail * 8.0,
        web_out: users * read / DAY_SECONDS * f.mission.peak * 8.0,
    }
}

/// A whole number from 0 to 65,535, as near as there is one.
fn whole(number: f64) -> u16 {
    number as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(users: u64) -> Wish {
        Wish { users, keep_days: None, shards: None }
    }

    /// The sums that the mission's text gives: 115,741 and 462,963 mails a second, 730 and 1,460 PB a year.
    #[test]
    fn the_mission_s_own_sums_come_out() {
        let f = Figures::load().unwrap();
        let need = need(&wish(1_000_000_000), &f);
        assert_eq!(need.rates.sent.round(), 115_741.0);
        assert_eq!(need.rates.received.round(), 462_963.0);
        let received_a_year = need.rates.received * DAY_SECONDS * 365.0;
        assert_eq!((received_a_year * f.mission.mail_bytes / 1e15).round(), 730.0);
        let attachments = received_a_year / f.mission.mails_per_attachment * f.mission.attachment_bytes;
        assert_eq!((attachments / 1e15).round(), 1_460.0);
    }

    #[test]
    fn a_small_service_has_two_of_everything_and_a_large_one_no_more_shards_than_buckets() {
        let f = Figures::load().unwrap();
        let small = need(&wish(10_000), &f);
        assert_eq!((small.shards.count, small.nodes.smtp, small.nodes.worker), (2, 2.0, 2.0));
        let large = need(&wish(1_000_000_000), &f);
        assert_eq!(large.shards.count, Bucket::COUNT);
        assert!(large.shards.wanted > f64::from(Bucket::COUNT));
    }

    #[test]
    fn what_is_wished_for_counts() {
        let f = Figures::load().unwrap();
        let month = need(&Wish { keep_days: Some(30), shards: Some(10), ..wish(1_000_000) }, &f);
        assert_eq!(month.shards.count, 10);
        let year = need(&wish(1_000_000), &f);
        assert!((year.shards.bytes / month.shards.bytes - 365.0 / 30.0).abs() < 1e-9);
    }
}
