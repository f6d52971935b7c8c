//! When people want a mail to go that they write now.

use types::Timestamp;

/// A time that is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Later {
    InAnHour,
    Tomorrow,
    Monday,
}

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// When people begin to read mail.
const MORNING: i64 = 8 * HOUR;
/// 1970-01-05 was a Monday.
const FIRST_MONDAY: i64 = 4;

/// The times that are offered now, by the reader's own clock: `offset` says by how many minutes it is ahead of UTC at a
/// moment, in milliseconds.
pub(crate) fn suggestions(now: i64, offset: impl Fn(i64) -> i32) -> Vec<(Later, Timestamp)> {
    let today = (now + i64::from(offset(now)) * MINUTE).div_euclid(DAY);
    let morning_of = |day: i64| {
        let local = day * DAY + MORNING;
        // The clocks may be changed until then.
        let near = local - i64::from(offset(now)) * MINUTE;
        local - i64::from(offset(near)) * MINUTE
    };
    let monday = today + 1 + (FIRST_MONDAY - today - 1).rem_euclid(7);
    let mut all = vec![(Later::InAnHour, now + HOUR), (Later::Tomorrow, morning_of(today + 1))];
    if monday > today + 1 {
        all.push((Later::Monday, morning_of(monday)));
    }
    all.into_iter().map(|(later, at)| (later, Timestamp::from_millis(at))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mornings_are_by_the_readers_clock() {
        let check = |now: &str, offset: fn(i64) -> i32, wanted: &[&str]| {
            let now: Timestamp = now.parse().unwrap();
            let found: Vec<_> =
                suggestions(now.millis(), offset).iter().map(|(_, at)| at.to_string()).collect();
            assert_eq!(found, wanted, "{now}");
        };
        // A Saturday in Seoul, where it is Sunday already.
        let seoul = |_| 540;
        check("2026-11-28T16:00:00Z", seoul, &["2026-11-28T17:00:00Z", "2026-11-29T23:00:00Z"]);
        let friday = "2026-11-27T09:30:00Z";
        check(friday, seoul, &["2026-11-27T10:30:00Z", "2026-11-27T23:00:00Z", "2026-11-29T23:00:00Z"]);
        // In Berlin the clocks are changed on 2026-10-25 at 01:00 UTC.
        let berlin = |at: i64| if at < 1_792_890_000_000 { 120 } else { 60 };
        check(
            "2026-10-24T12:00:00Z",
            berlin,
            &["2026-10-24T13:00:00Z", "2026-10-25T07:00:00Z", "2026-10-26T07:00:00Z"],
        );
    }
}
