//! What was reckoned, in words and tables (Markdown, which reads well on a terminal too).

use std::fmt::Write as _;

use types::Bucket;

use super::{
    figures::Figures,
    need::{Need, Wish, need},
    placement::{MOST, Placement, Spread, real, simulate},
};

/// The services that `docs/capacity.md` is about.
const USERS: [u64; 4] = [10_000, 1_000_000, 100_000_000, 1_000_000_000];

const INTRO: &str = "\
# Capacity

What a service needs for 10 thousand, 1 million, 100 million and 1 billion users, each of whom sends 10 and receives
40 mails a day: 50 KB of headers and text a mail, 500 KB attached to every fifth, three times the average at the peak.

This file is what `magpie capacity --markdown` prints. Other numbers: `magpie capacity --users 50000 --keep-days 90`.
It is reckoning, not a promise: most of its figures were measured on one small machine, some are assumed; each stands
below with where it comes from. Sizes are decimal (1 TB = 10^12 bytes) and for one year of mail that nobody deletes.
";

/// With fewer buckets a shard, one of them is a large part of its load.
const FEW: u16 = 10;

const HOW: &str = "
How it is reckoned:

- *Nodes*: CPU time of what happens at the peak, over the cores of a node, half of which stay free; times 3/2, so that
  one of three zones may fail; two at least. All mail is taken to arrive by SMTP, also between users of the service,
  and every mail sent to go to another server. IMAP and POP3 are not in it.
- *Shards*: by the disk that all tables and indexes take, or by the mails written at the peak, whichever needs more.
- *Object store*: every attachment once for each mail. A shard keeps the same file once, which makes it less.
- *Redis*: a folder page for everybody who is online; commands for each request and mail.
- *Search*: bytes of index a mail. Only Tantivy's were measured.
";

const PLACEMENT: &str = "
## Where the load lands

Accounts fall into the 16,384 buckets by the hash that the service uses, and get sizes by Pareto's law; buckets are
dealt to the shards as a new service does it. Then a quarter more shards are added (one, where that is less), and buckets
are moved to even the load out. *Fullest* and *emptiest* are in means of all. Where there are no buckets for a quarter
more, fewer shards are begun with.
";

const PLACEMENT_MORE: &str = "
- Only what a shard has beyond the mean has to move (*least*). The plan moves each bucket at most once, straight to where
  it stays; what remains uneven is smaller than a bucket. Where a shard has two or three buckets, one is too large a piece:
  the fullest shards stay full and some new ones empty, so that less moves than should. Plan for ten buckets a shard or
  more, which is 1,638 shards at most.
- *Dealt anew* is what would move if all buckets were dealt out again over the larger number of shards.
- `magpie capacity --moves FILE --onto 0,1,2` prints the commands for a real map (`bucket shard bytes` on each line).
";

/// `docs/capacity.md`.
///
/// # Errors
/// When the figures that were compiled in cannot be read; a test sees to that.
pub fn document() -> anyhow::Result<String> {
    let wishes = USERS.map(|users| Wish { users, keep_days: None, shards: None });
    let mut text = INTRO.to_owned();
    text.push_str(&tables(&wishes, None)?);
    text.push_str(&figures()?);
    Ok(text)
}

/// The tables for these services, one column each. With `added`, so many shards come later instead of a quarter.
///
/// # Errors
/// As [`document`].
pub fn tables(wishes: &[Wish], added: Option<u16>) -> anyhow::Result<String> {
    let figures = Figures::load()?;
    let needs: Vec<_> = wishes.iter().map(|wish| need(wish, &figures)).collect();
    let placements: Vec<_> = needs.iter().map(|need| place(need, added, &figures)).collect();
    let mut text = "\n## What it takes\n\n".to_owned();
    table(&mut text, "users", &needs, needs.iter().map(needed));
    text.push_str(HOW);
    text.push_str(&limits(&needs, &figures));
    text.push_str(PLACEMENT);
    if needs.iter().any(|need| need.users > MOST) {
        let _ = writeln!(
            text,
            "Where there are more than {} accounts, so many are drawn one by one, and the buckets' distances from their\nmean scaled as those of sums of independent parts: by the root of the number.",
            grouped(real(MOST))
        );
    }
    text.push('\n');
    table(&mut text, "users", &needs, placements.iter().map(placed));
    text.push_str(PLACEMENT_MORE);
    Ok(text)
}

fn place(need: &Need, added: Option<u16>, figures: &Figures) -> Placement {
    // There must be buckets for those that are added.
    let added = added.unwrap_or((need.shards.count / 4).max(1)).min(Bucket::COUNT - 1);
    let shards = match added.checked_add(need.shards.count) {
        Some(all) if all <= Bucket::COUNT => need.shards.count,
        _ => Bucket::COUNT - added,
    };
    simulate(need.users, need.shards.bytes / real(need.users.max(1)), shards, added, figures)
}

type Row = (&'static str, String);

/// A table with one column for each service and a row for each label.
fn table(text: &mut String, first: &str, needs: &[Need], columns: impl Iterator<Item = Vec<Row>>) {
    let columns: Vec<_> = columns.collect();
    let names: Vec<_> = needs.iter().map(|need| grouped(real(need.users))).collect();
    let _ = writeln!(text, "| {first} | {} |", names.join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(names.len()));
    for (row, (label, _)) in columns.first().into_iter().flatten().enumerate() {
        let cells: Vec<_> = columns.iter().filter_map(|column| Some(column.get(row)?.1.as_str())).collect();
        let _ = writeln!(text, "| {label} | {} |", cells.join(" | "));
    }
}

fn needed(need: &Need) -> Vec<Row> {
    let Need { users: _, keep_days, rates, nodes, shards, blobs, redis, search, network } = need;
    vec![
        ("days that mail is kept", grouped(*keep_days)),
        ("mails received/s, average", rate(rates.received)),
        ("... peak", rate(rates.received_peak)),
        ("mails sent/s, average", rate(rates.sent)),
        ("... peak", rate(rates.sent_peak)),
        ("requests/s, peak", rate(rates.requests_peak)),
        ("WebSockets, peak", grouped(rates.websockets)),
        ("**nodes**: smtp", grouped(nodes.smtp)),
        ("... web", grouped(nodes.web)),
        ("... realtime", grouped(nodes.realtime)),
        ("... worker", grouped(nodes.worker)),
        ("**shards** (databases)", grouped(f64::from(shards.count))),
        ("... PostgreSQL servers with standbys, at most", grouped(shards.servers)),
        ("... bytes in all, without copies", bytes(shards.bytes)),
        ("... bytes on each", bytes(shards.bytes_each)),
        ("... disk of each", bytes(shards.disk_each)),
        ("... mails written/s on each, peak", rate(shards.mails_peak_each)),
        ("... WAL/s in all, peak", bytes(shards.wal_peak)),
        ("... WAL kept for restores", bytes(shards.wal_kept)),
        ("... connections to each, all nodes", grouped(shards.connections_each)),
        ("**object store**: blobs", grouped_short(blobs.count)),
        ("... bytes", bytes(blobs.bytes)),
        ("... disk", bytes(blobs.disk)),
        ("... PUT/s, peak", rate(blobs.puts_peak)),
        ("... GET/s, peak", rate(blobs.gets_peak)),
        ("**Redis**: memory", bytes(redis.bytes)),
        ("... commands/s, peak", rate(redis.ops_peak)),
        ("... servers that takes", grouped(redis.instances)),
        ("**search**: Tantivy", bytes(search.tantivy_bytes)),
        ("... MeiliSearch", bytes(search.meilisearch_bytes)),
        ("... MeiliSearch servers that takes", grouped(search.meilisearch_servers)),
        ("**network**, peak: mail in", bits(network.mail_in)),
        ("... mail out", bits(network.mail_out)),
        ("... web out", bits(network.web_out)),
    ]
}

fn placed(placement: &Placement) -> Vec<Row> {
    let Placement { drawn, buckets, before, after, total_bytes, plan, redealt_bytes } = placement;
    let share = |part: u64| format!("{:.1} %", 100.0 * real(part) / real(*total_bytes).max(1.0));
    let moved = plan.moved_bytes();
    let spread = |spread: &Spread| format!("{:.3} / {:.3}", spread.most, spread.least);
    vec![
        ("accounts drawn", grouped(real(*drawn))),
        ("buckets: fullest / emptiest", spread(buckets)),
        ("shards before", counted(before.count)),
        ("... fullest / emptiest", spread(before)),
        ("shards after", counted(after.count)),
        ("... fullest / emptiest", spread(after)),
        ("buckets moved, empty ones too", counted(plan.moves.len())),
        ("bytes moved", bytes(real(moved))),
        ("... of all", share(moved)),
        ("... least, of all", share(plan.least_bytes)),
        ("dealt anew, of all", share(*redealt_bytes)),
    ]
}

/// Where one deployment ends, which is worth knowing long before.
fn limits(needs: &[Need], figures: &Figures) -> String {
    let mut text = String::new();
    for need in needs {
        let mut said = Vec::new();
        if need.shards.wanted > f64::from(Bucket::COUNT) {
            said.push(format!(
                "{} shards would keep disks at {}, but there are {} buckets: each shard has one bucket and a disk of {}",
                grouped(need.shards.wanted),
                bytes(figures.chosen.shard_disk_bytes),
                grouped(f64::from(Bucket::COUNT)),
                bytes(need.shards.disk_each)
            ));
        }
        if need.shards.count > Bucket::COUNT / FEW {
            said.push(format!("fewer than {FEW} buckets a shard, too large pieces to even the load out"));
        }
        if need.shards.connections_each > figures.chosen.shard_connections {
            said.push(format!(
                "{} connections to each shard, more than a server bears",
                grouped(need.shards.connections_each)
            ));
        }
        if need.redis.instances > 1.0 {
            said.push(format!(
                "{} servers of Redis, while `cache.url` and `bus.url` name one each",
                grouped(need.redis.instances)
            ));
        }
        if need.search.meilisearch_servers > 1.0 {
            said.push(format!(
                "{} servers of MeiliSearch, while `search.url` names one",
                grouped(need.search.meilisearch_servers)
            ));
        }
        if !said.is_empty() {
            let _ = writeln!(text, "- *{} users*: {}.", grouped(real(need.users)), said.join("; "));
        }
    }
    if text.is_empty() {
        return text;
    }
    format!(
        "\nWhere one deployment, as it can be configured today, ends. Beyond it: several deployments with domains of their\n\
         own, or mail kept for a shorter time:\n\n{text}"
    )
}

fn figures() -> anyhow::Result<String> {
    let mut text =
        "\n## The figures\n\nFrom `server/src/capacity/figures.toml`, compiled into the program.\n"
            .to_owned();
    for (title, name) in
        [("The mission", "mission"), ("Measured", "measured"), ("Chosen or assumed", "chosen")]
    {
        let _ = writeln!(text, "\n### {title}\n\n| figure | value | unit | where from |\n|---|---|---|---|");
        for (figure, of) in Figures::table()?.get(name).into_iter().flatten() {
            let _ = writeln!(text, "| `{figure}` | {} | {} | {} |", plain(of.value), of.unit, of.source);
        }
    }
    Ok(text)
}

/// As it stands in the file, with commas.
fn plain(number: f64) -> String {
    if number >= 1_000.0 { grouped(number) } else { number.to_string() }
}

/// `1,234,567`.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn counted(number: usize) -> String {
    grouped(u64::try_from(number).map_or(f64::INFINITY, real))
}

/// `36.5 million`.
fn grouped_short(number: f64) -> String {
    let (value, name) = match number {
        n if n >= 1e12 => (n / 1e12, " trillion"),
        n if n >= 1e9 => (n / 1e9, " billion"),
        n if n >= 1e6 => (n / 1e6, " million"),
        n => (n, ""),
    };
    format!("{}{name}", three_digits(value))
}

fn rate(number: f64) -> String {
    if number < 100.0 { three_digits(number) } else { grouped(number) }
}

fn bytes(number: f64) -> String {
    with_unit(number, &["B", "KB", "MB", "GB", "TB", "PB", "EB"])
}

fn bits(number: f64) -> String {
    with_unit(number, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"])
}

fn with_unit(mut number: f64, units: &[&str]) -> String {
    let mut units = units.iter();
    let mut unit = units.next();
    for next in units {
        if number < 1_000.0 {
            break;
        }
        number /= 1_000.0;
        unit = Some(next);
    }
    format!("{} {}", three_digits(number), unit.unwrap_or(&""))
}

/// Three digits that mean something.
fn three_digits(number: f64) -> String {
    match number {
        n if n >= 100.0 => grouped(n),
        n if n >= 10.0 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_what_the_program_prints() {
        let file = include_str!("../../../docs/capacity.md");
        let printed = document().unwrap();
        for (line, (file, printed)) in (1..).zip(file.lines().zip(printed.lines())) {
            assert_eq!(file, printed, "line {line}: run `magpie capacity --markdown > docs/capacity.md`");
        }
        assert_eq!(file.len(), printed.len());
    }

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(grouped(1_234_567.0), "1,234,567");
        assert_eq!(bytes(412_345_000_000_000.0), "412 TB");
        assert_eq!(bytes(12.3e9), "12.3 GB");
        assert_eq!(bits(1.5e9), "1.50 Gbit/s");
        assert_eq!(grouped_short(3_650e9), "3.65 trillion");
        assert_eq!(plain(0.73), "0.73");
    }
}
