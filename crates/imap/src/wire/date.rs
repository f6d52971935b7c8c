//! Dates of SEARCH and INTERNALDATE (RFC 9051 §9, `date` and `date-time`).

use time::{Date as Day, Month, OffsetDateTime, Time, UtcOffset};
use types::Timestamp;

use super::cursor::{Cursor, Parsed, SyntaxError};

/// A day, whatever the time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(pub Day);

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const BAD_DATE: SyntaxError = SyntaxError("that is not a date");

impl Date {
    /// The day of this moment, in UTC.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        Self(at.utc().date())
    }

    /// The day that a `date` names.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut cursor = Cursor::new(text.as_bytes(), false);
        let date = Self::parse(&mut cursor).ok()?;
        cursor.is_at_end().then_some(date)
    }

    /// `date = date-text / DQUOTE date-text DQUOTE`
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let is_quoted = cursor.eat(b'"');
        let day = cursor.number()?;
        let date = day_of(day, cursor)?;
        if is_quoted {
            cursor.byte(b'"', "a quote is missing")?;
        }
        Ok(Self(date))
    }
}

/// `"-" date-month "-" date-year`
fn day_of(day: u32, cursor: &mut Cursor<'_>) -> Parsed<Day> {
    cursor.byte(b'-', BAD_DATE.0)?;
    let name = cursor.chars(|byte| byte.is_ascii_alphabetic(), BAD_DATE.0)?;
    cursor.byte(b'-', BAD_DATE.0)?;
    let digits = cursor.chars(|byte| byte.is_ascii_digit(), BAD_DATE.0)?;
    if digits.len() != 4 {
        return Err(BAD_DATE);
    }
    let month = MONTHS.iter().zip(1_u8..).find(|(month, _)| month.eq_ignore_ascii_case(name));
    let month = month.and_then(|(_, number)| Month::try_from(number).ok()).ok_or(BAD_DATE)?;
    let year = digits.parse().map_err(|_| BAD_DATE)?;
    let day = u8::try_from(day).map_err(|_| BAD_DATE)?;
    Day::from_calendar_date(year, month, day).map_err(|_| BAD_DATE)
}

/// `date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE`
pub fn parse_internal_date(text: &[u8]) -> Result<Timestamp, SyntaxError> {
    let mut cursor = Cursor::new(text, false);
    cursor.byte(b'"', BAD_DATE.0)?;
    cursor.eat(b' ');
    let day = cursor.number()?;
    let date = day_of(day, &mut cursor)?;
    cursor.sp()?;
    let part = |cursor: &mut Cursor<'_>| u8::try_from(cursor.number()?).map_err(|_| BAD_DATE);
    let hour = part(&mut cursor)?;
    cursor.byte(b':', BAD_DATE.0)?;
    let minute = part(&mut cursor)?;
    cursor.byte(b':', BAD_DATE.0)?;
    // RFC 9051: 00 to 60, for leap seconds.
    let second = part(&mut cursor)?.min(59);
    cursor.sp()?;
    let is_west = cursor.eat(b'-');
    if !is_west {
        cursor.byte(b'+', BAD_DATE.0)?;
    }
    let zone = cursor.number()?;
    cursor.byte(b'"', BAD_DATE.0)?;
    cursor.end()?;
    let minutes = i32::try_from(zone / 100 * 60 + zone % 100).map_err(|_| BAD_DATE)?;
    let offset = UtcOffset::from_whole_seconds(minutes * if is_west { -60 } else { 60 });
    let time = Time::from_hms(hour, minute, second).map_err(|_| BAD_DATE)?;
    Ok(OffsetDateTime::new_in_offset(date, time, offset.map_err(|_| BAD_DATE)?).into())
}

/// The moment as a `date-time` in UTC, with its quotes.
#[must_use]
pub fn write_internal_date(at: Timestamp) -> String {
    let at = at.utc();
    let month = MONTHS.get(usize::from(u8::from(at.month())).saturating_sub(1)).copied().unwrap_or("Jan");
    let (hour, minute, second) = at.to_hms();
    format!("\"{:2}-{month}-{:04} {hour:02}:{minute:02}:{second:02} +0000\"", at.day(), at.year())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        let at = parse_internal_date(b"\" 7-Feb-1994 21:52:25 -0800\"").unwrap();
        assert_eq!(at.to_string(), "1994-02-08T05:52:25Z");
        assert_eq!(write_internal_date(at), "\" 8-Feb-1994 05:52:25 +0000\"");
        assert_eq!(parse_internal_date(write_internal_date(at).as_bytes()), Ok(at));
        for bad in ["\"31-Feb-2000 00:00:00 +0000\"", "\"1-Jan-2000\"", "\"01-Foo-2000 00:00:00 +0000\"", "x"]
        {
            assert!(parse_internal_date(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn days_may_have_quotes() {
        let day = |text: &str| Date::parse(&mut Cursor::new(text.as_bytes(), false));
        assert_eq!(day("\"1-feb-1994\""), day("01-Feb-1994"));
        assert!(day("1-Feb-94").is_err() && day("32-Jan-2000").is_err());
    }
}
