//! The rule that no statement reaches an account without its id, for whoever watches statements.

/// Tables whose rows belong to an account.
const KEYED: [&str; 18] = [
    "account",
    "body",
    "body_blob",
    "body_share",
    "deferred",
    "mailbox",
    "mailbox_grant",
    "message",
    "metadata",
    "placement",
    "queue_entry",
    "queue_recipient",
    "roll",
    "roll_part",
    "signature",
    "thread_ref",
    "tombstone",
    "upload",
];

/// Statements that are meant for all accounts of a shard: their texts, where `*` stands for anything, and why.
const SHARD_WIDE: &[(&str, &str)] = &[
    ("SELECT 1 FROM account LIMIT 1", "readiness: whether the shard answers"),
    (
        "SELECT account_id FROM deferred WHERE account_id > *",
        "which accounts' rows lack changes, for the writer that brings them up to date",
    ),
    (
        "SELECT * FROM \"account\" WHERE \"account\".\"account_id\" > *",
        "the list of accounts, for housekeeping and the indexer",
    ),
    (
        "SELECT * FROM \"queue_entry\" WHERE (held = FALSE)*",
        "the queue's workers serve all accounts in the order of what is due",
    ),
    ("SELECT * FROM \"queue_entry\" ORDER BY *", "the operator's list of the queue"),
    (
        "SELECT * FROM \"queue_entry\" WHERE \"queue_entry\".\"account_id\" > *",
        "the operator's list of the queue, next page",
    ),
    (
        "UPDATE \"queue_entry\" SET * WHERE *\"leased_until\" IS NOT NULL*",
        "a worker that is alone ends the leases of its former life",
    ),
    ("SELECT \"body_blob\".\"blob_id\" FROM \"body_blob\" WHERE \"body_blob\".\"blob_id\" = ANY($1)", BLOBS),
    ("SELECT \"upload\".\"blob_id\" FROM \"upload\" WHERE \"upload\".\"blob_id\" = ANY($1)", BLOBS),
    ("SELECT \"body_blob\".\"blob_id\" FROM \"body_blob\" WHERE \"body_blob\".\"blob_id\" IN (?*)", BLOBS),
    ("SELECT \"upload\".\"blob_id\" FROM \"upload\" WHERE \"upload\".\"blob_id\" IN (?*)", BLOBS),
    (
        "DELETE FROM \"upload\" WHERE \"upload\".\"created_at\" < *",
        "housekeeping: uploads that nobody attached",
    ),
    (
        "SELECT \"placement\".\"account_id\" FROM \"placement\" WHERE \"placement\".\"bucket\" = *",
        "which accounts move with a bucket",
    ),
    (
        "SELECT \"placement\".\"bucket\" FROM \"placement\" WHERE \"placement\".\"bucket\" >= *",
        "which buckets hold accounts",
    ),
    (
        "SELECT count(*), CAST(COALESCE(sum(messages), 0) AS BIGINT), *",
        "the operator's figures of a shard: sums, no content",
    ),
    ("SELECT CAST(COALESCE(sum(* FROM queue_entry WHERE *", "the lengths of the queue: sums, no content"),
];

const BLOBS: &str =
    "the collector asks which blobs of these are in use by anybody; it learns no more than their names";

/// Those of the statements that reach accounts without saying which.
#[must_use]
pub fn unbound<'a>(statements: impl IntoIterator<Item = &'a String>) -> Vec<&'a String> {
    let is_fine = |sql: &str| is_bound(sql) || exception(sql).is_some();
    statements.into_iter().filter(|sql| !is_fine(sql)).collect()
}

/// The exceptions of which none of the statements makes use.
#[must_use]
pub fn unused(statements: &[&str]) -> Vec<&'static str> {
    let used: Vec<_> = statements.iter().filter_map(|sql| exception(sql)).collect();
    SHARD_WIDE.iter().map(|(text, _)| *text).filter(|text| !used.contains(text)).collect()
}

fn exception(sql: &str) -> Option<&'static str> {
    SHARD_WIDE.iter().map(|(text, _)| *text).find(|text| is_like(sql, text))
}

/// Whether the text is like the pattern, in which `*` stands for anything.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// Whether every table of accounts that the statement names is bound to the accounts that are meant.
#[must_use]
pub fn is_bound(sql: &str) -> bool {
    let plain = sql.replace('"', "");
    let named = |word: &str| {
        let places: Vec<_> = plain.match_indices(word).map(|(at, _)| &plain[at + word.len()..]).collect();
        places
            .into_iter()
            .filter(|rest| KEYED.contains(&first_word(rest)))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let inserts = named("INSERT INTO ");
    if inserts.iter().any(|rest| !rest.contains("(account_id")) {
        return false;
    }
    let read: usize = ["FROM ", "JOIN ", "UPDATE "].into_iter().map(|word| named(word).len()).sum();
    let conditions = ["account_id = ", "account_id IN "];
    let bound: usize = conditions.into_iter().map(|condition| plain.matches(condition).count()).sum();
    // Whatever another statement finds is not what the caller has named.
    let found = plain.matches("account_id IN (SELECT").count();
    read <= bound - found
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_sees_what_is_missing() {
        for (sql, is_fine) in [
            ("BEGIN", true),
            ("SELECT \"message\".\"id\" FROM \"message\" WHERE \"message\".\"account_id\" = $1", true),
            ("SELECT \"message\".\"id\" FROM \"message\" WHERE \"message\".\"id\" = $1", false),
            ("SELECT account_id FROM message ORDER BY account_id", false),
            ("UPDATE account SET fenced = $1 WHERE account_id IN (SELECT account_id FROM placement)", false),
            ("UPDATE \"body\" SET \"refs\" = 1 WHERE \"body\".\"id\" = $1", false),
            ("DELETE FROM \"body\" WHERE \"body\".\"account_id\" = $1", true),
            ("SELECT 1 FROM message AS m JOIN body AS b ON b.id = m.body_id WHERE m.account_id = $1", false),
            ("INSERT INTO \"body\" (\"account_id\", \"id\") VALUES (?, ?)", true),
            ("INSERT INTO \"body\" (\"id\") VALUES (?)", false),
        ] {
            assert_eq!(is_bound(sql), is_fine, "{sql}");
        }
    }

    #[test]
    fn exceptions_are_no_wider_than_they_say() {
        for (sql, is_exception) in [
            ("SELECT 1 FROM account LIMIT 1", true),
            ("SELECT 1 FROM account LIMIT 10", false),
            ("SELECT \"upload\".\"blob_id\" FROM \"upload\" WHERE \"upload\".\"blob_id\" = ANY($1)", true),
            ("SELECT \"upload\".\"filename\" FROM \"upload\" WHERE \"blob_id\" = ANY($1)", false),
            ("DELETE FROM \"upload\" WHERE \"upload\".\"blob_id\" = $1", false),
            ("SELECT \"upload\".\"blob_id\" FROM \"upload\" WHERE \"upload\".\"id\" IN (?)", false),
        ] {
            assert_eq!(exception(sql).is_some(), is_exception, "{sql}");
        }
    }
}
