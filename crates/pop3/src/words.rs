//! The languages that replies can be in (RFC 6856 §3).

use std::borrow::Cow;

/// What replies are written in. Codes and numbers are the same in every language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    #[default]
    English,
    Korean,
}

impl Language {
    pub const ALL: [Self; 2] = [Self::English, Self::Korean];

    /// RFC 5646
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Korean => "ko",
        }
    }

    /// What those who speak it call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Korean => "한국어",
        }
    }

    /// The language that a range means, by RFC 4647 §3.4: `ko-KR` is Korean. `*` leaves the choice to the server.
    #[must_use]
    pub fn lookup(range: &str) -> Option<Self> {
        if range == "*" || range.eq_ignore_ascii_case("i-default") {
            return Some(Self::default());
        }
        let tag = range.split('-').next().unwrap_or_default();
        Self::ALL.into_iter().find(|language| language.tag().eq_ignore_ascii_case(tag))
    }

    /// An English text of ours in this language; what is not known stays as it is.
    pub(crate) fn speak(self, english: &str) -> Cow<'_, str> {
        let Self::Korean = self else { return Cow::Borrowed(english) };
        if let Some((_, korean)) = KOREAN.iter().find(|(text, _)| *text == english) {
            return Cow::Borrowed(korean);
        }
        let between = |start: &str, end: &str| english.strip_prefix(start)?.strip_suffix(end);
        if let Some(count) = between("Welcome, there are ", " messages") {
            return Cow::Owned(format!("어서 오세요. 메일이 {count}통 있습니다"));
        }
        match between("", " octets") {
            Some(size) => Cow::Owned(format!("{size} 옥텟")),
            None => Cow::Borrowed(english),
        }
    }
}

const KOREAN: &[(&str, &str)] = &[
    ("And the password?", "비밀번호를 보내 주세요"),
    ("USER comes first", "USER가 먼저입니다"),
    ("APOP is not safe, and not to be had here", "APOP는 안전하지 않아 지원하지 않습니다"),
    ("UTF-8 it is", "UTF-8을 씁니다"),
    ("Done", "완료했습니다"),
    ("Not now", "지금은 할 수 없습니다"),
    ("Log in first", "먼저 로그인하세요"),
    ("You are logged in already", "이미 로그인했습니다"),
    ("It goes when you do", "연결을 끝낼 때 삭제됩니다"),
    ("Nothing is deleted", "아무것도 삭제하지 않습니다"),
    ("Here they are", "목록입니다"),
    ("These", "다음과 같습니다"),
    ("This is what there is", "지원하는 기능입니다"),
    ("Languages", "지원하는 언어입니다"),
    ("The message is gone", "메일이 더 이상 없습니다"),
    ("There is no message of that number", "그런 번호의 메일이 없습니다"),
    (
        "That message is named to go already; RSET keeps it",
        "이미 삭제하기로 한 메일입니다. RSET으로 되돌립니다",
    ),
    ("Which message? A number comes after it, like RETR 1", "몇 번 메일인가요? RETR 1처럼 번호를 붙이세요"),
    ("Which message, and how many lines? Like TOP 1 10", "몇 번 메일을 몇 줄 볼까요? TOP 1 10처럼 쓰세요"),
    (
        "That is not the number of a message: they are counted from 1",
        "메일 번호가 아닙니다. 번호는 1부터입니다",
    ),
    ("Another session has the mailbox", "다른 연결에서 편지함을 쓰고 있습니다"),
    ("There is no inbox", "받은편지함이 없습니다"),
    ("See you", "안녕히 가세요"),
    ("Some messages were not deleted", "일부 메일을 삭제하지 못했습니다"),
    ("That language is not spoken here", "지원하지 않는 언어입니다"),
    ("That mechanism is not to be had here", "지원하지 않는 인증 방식입니다"),
    ("Nothing was asked", "요청한 것이 없습니다"),
    ("Cancelled", "취소했습니다"),
    ("Not valid base64", "올바른 base64가 아닙니다"),
    ("Not what the mechanism says", "인증 방식에 맞지 않는 내용입니다"),
    ("Nobody may act for another here", "다른 사람을 대신할 수 없습니다"),
    ("The login is not bound to this connection", "이 연결에 묶인 로그인이 아닙니다"),
    ("Wrong user or password", "사용자 또는 비밀번호가 맞지 않습니다"),
    ("Too many attempts, please try again later", "시도가 너무 많습니다. 나중에 다시 시도하세요"),
    ("Not possible now, please try again later", "지금은 할 수 없습니다. 나중에 다시 시도하세요"),
    ("The server is going down, please come back", "서버를 멈추는 중입니다. 다시 연결하세요"),
    ("The line is too long", "줄이 너무 깁니다"),
    ("There is no such command, or not like this", "그런 명령이 없거나 형식이 틀렸습니다"),
    (
        "Encryption is needed to log in; STLS comes first",
        "로그인하려면 암호화가 필요합니다. STLS가 먼저입니다",
    ),
    ("TLS is not to be had here, or is on already", "TLS를 쓸 수 없거나 이미 쓰고 있습니다"),
    ("Nothing may follow STLS before the handshake", "STLS 다음에는 핸드셰이크만 올 수 있습니다"),
    ("STLS comes before UTF8", "STLS는 UTF8보다 먼저입니다"),
    ("Begin the handshake", "핸드셰이크를 시작하세요"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_find_languages() {
        let check = |range, wanted| assert_eq!(Language::lookup(range), wanted, "{range}");
        check("ko", Some(Language::Korean));
        check("KO-kr", Some(Language::Korean));
        check("en-GB", Some(Language::English));
        check("*", Some(Language::English));
        check("i-default", Some(Language::English));
        check("uga", None);
        check("", None);
    }

    #[test]
    fn texts_are_translated() {
        let check = |english, wanted| assert_eq!(Language::Korean.speak(english), wanted);
        check("See you", "안녕히 가세요");
        check("Welcome, there are 3 messages", "어서 오세요. 메일이 3통 있습니다");
        check("120 octets", "120 옥텟");
        check("3 120", "3 120");
        assert_eq!(Language::English.speak("See you"), "See you");
    }
}
