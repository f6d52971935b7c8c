//! Dates and times as the reader's language writes them.

use types::Timestamp;

use crate::i18n::{Lang, Texts};

/// A moment on the reader's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    year: i64,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    /// Days since 1970-01-01.
    days: i64,
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [(&str, &str); 7] =
    [("Thu", "목"), ("Fri", "금"), ("Sat", "토"), ("Sun", "일"), ("Mon", "월"), ("Tue", "화"), ("Wed", "수")];

impl Civil {
    /// With a clock that is `offset_minutes` ahead of UTC.
    pub(crate) fn new(at: Timestamp, offset_minutes: i32) -> Self {
        let local = Timestamp::from_millis(at.millis().saturating_add(i64::from(offset_minutes) * 60_000));
        let time = local.utc();
        Self {
            year: i64::from(time.year()),
            month: u8::from(time.month()),
            day: time.day(),
            hour: time.hour(),
            minute: time.minute(),
            days: local.seconds().div_euclid(86_400),
        }
    }

    fn month_name(self) -> &'static str {
        MONTHS.get(usize::from(self.month) - 1).copied().unwrap_or_default()
    }

    fn weekday(self, lang: Lang) -> &'static str {
        let day = usize::try_from(self.days.rem_euclid(7)).unwrap_or_default();
        let (en, ko) = WEEKDAYS.get(day).copied().unwrap_or_default();
        match lang {
            Lang::En => en,
            Lang::Ko => ko,
        }
    }
}

/// For lists: "14:05" today, "Yesterday", "Nov 3", "Nov 3, 2024".
pub(crate) fn day_or_time(at: Civil, now: Option<Civil>, texts: &Texts) -> String {
    let days_ago = now.map(|now| now.days - at.days);
    let this_year = now.is_none_or(|now| now.year == at.year);
    match (days_ago, texts.lang, this_year) {
        (Some(0), ..) => format!("{:02}:{:02}", at.hour, at.minute),
        (Some(1), ..) => texts.yesterday.to_owned(),
        (_, Lang::En, true) => format!("{} {}", at.month_name(), at.day),
        (_, Lang::En, false) => format!("{} {}, {}", at.month_name(), at.day, at.year),
        (_, Lang::Ko, true) => format!("{}월 {}일", at.month, at.day),
        (_, Lang::Ko, false) => format!("{}. {}. {}.", at.year, at.month, at.day),
    }
}

/// For a message: "Tue, Nov 3, 2026, 14:05".
pub(crate) fn date_and_time(at: Civil, lang: Lang) -> String {
    let Civil { year, month, day, hour, minute, .. } = at;
    let weekday = at.weekday(lang);
    match lang {
        Lang::En => format!("{weekday}, {} {day}, {year}, {hour:02}:{minute:02}", at.month_name()),
        Lang::Ko => format!("{year}년 {month}월 {day}일 ({weekday}) {hour:02}:{minute:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_say_what_is_near_shortly() {
        let now = Civil::new("2026-11-22T15:30:00Z".parse().unwrap(), 540);
        let cases = [
            ("2026-11-22T15:05:00Z", "00:05", "00:05"),
            ("2026-11-22T14:05:00Z", "Yesterday", "어제"),
            ("2026-11-03T05:00:00Z", "Nov 3", "11월 3일"),
            ("2025-12-31T23:00:00Z", "Jan 1", "1월 1일"),
            ("2024-02-28T16:00:00Z", "Feb 29, 2024", "2024. 2. 29."),
        ];
        for (at, en, ko) in cases {
            let at = Civil::new(at.parse().unwrap(), 540);
            assert_eq!(day_or_time(at, Some(now), Lang::En.texts()), en);
            assert_eq!(day_or_time(at, Some(now), Lang::Ko.texts()), ko);
        }
    }

    #[test]
    fn messages_say_it_in_full() {
        let at = Civil::new("2026-11-22T14:05:00Z".parse().unwrap(), 0);
        assert_eq!(date_and_time(at, Lang::En), "Sun, Nov 22, 2026, 14:05");
        assert_eq!(date_and_time(at, Lang::Ko), "2026년 11월 22일 (일) 14:05");
    }
}
