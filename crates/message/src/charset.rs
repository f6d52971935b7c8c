//! Bytes to text, whatever the label says: known charsets, wrong labels and none at all.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{EUC_KR, Encoding, ISO_2022_JP, UTF_8, WINDOWS_1252};

/// The text of `bytes` in the charset named by `label`, guessed where the label is missing, unknown or plainly wrong.
pub(crate) fn decode<'b>(label: Option<&str>, bytes: &'b [u8]) -> Cow<'b, str> {
    let label = label.map_or("", |label| label.trim().trim_matches('"'));
    // RFC 2231 §5: a language may follow the charset of an encoded word.
    let label = label.split('*').next().unwrap_or_default();
    if is_iso_2022_kr(label) {
        return iso_2022_kr(bytes).into();
    }
    let Some(encoding) = named(label) else {
        return match mail_parser::decoders::charsets::map::charset_decoder(label.as_bytes()) {
            Some(decoder) if !label.is_empty() => decoder(bytes).into(),
            _ => guess(bytes),
        };
    };
    // us-ascii and the Latin family are what mailers write who do not know; valid UTF-8 does not arise by accident.
    if encoding == UTF_8 || encoding == WINDOWS_1252 {
        return if encoding == WINDOWS_1252 && !label.eq_ignore_ascii_case("us-ascii") && !is_utf8(bytes) {
            encoding.decode_without_bom_handling(bytes).0
        } else {
            guess(bytes)
        };
    }
    encoding.decode_with_bom_removal(bytes).0
}

/// The text of `bytes` in the charset that there is of this name, where nothing is to be guessed; `None` if they are
/// no text in it.
pub(crate) fn decode_exactly(label: &str, bytes: &[u8]) -> Option<String> {
    let label = label.trim().trim_matches('"');
    match named(label) {
        Some(encoding) if encoding == UTF_8 => std::str::from_utf8(bytes).ok().map(str::to_owned),
        // To others these are names of windows-1252, in which all bytes are text.
        Some(_) if is_ascii(label) => bytes.is_ascii().then(|| decode(Some(label), bytes).into_owned()),
        Some(encoding) if encoding == WINDOWS_1252 => {
            Some(encoding.decode_without_bom_handling(bytes).0.into_owned())
        }
        Some(encoding) => {
            let (text, is_malformed) = encoding.decode_with_bom_removal(bytes);
            (!is_malformed).then(|| text.into_owned())
        }
        None => Some(decode(Some(label), bytes).into_owned())
            .filter(|text| !text.contains(char::REPLACEMENT_CHARACTER)),
    }
}

fn is_ascii(label: &str) -> bool {
    ["us-ascii", "ascii", "ansi_x3.4-1968", "iso-ir-6", "iso646-us", "us", "csascii", "cp367", "ibm367"]
        .iter()
        .any(|name| name.eq_ignore_ascii_case(label))
}

/// Whether there is such a charset.
pub(crate) fn is_known(label: &str) -> bool {
    let label = label.trim().trim_matches('"');
    named(label).is_some()
        || is_iso_2022_kr(label)
        || mail_parser::decoders::charsets::map::charset_decoder(label.as_bytes()).is_some()
}

fn named(label: &str) -> Option<&'static Encoding> {
    let found = Encoding::for_label_no_replacement(label.as_bytes());
    found.or_else(|| {
        ["cp949", "ms949", "uhc", "x-windows-949", "ksc5601", "ks_c_5601"]
            .iter()
            .any(|name| name.eq_ignore_ascii_case(label))
            .then_some(EUC_KR)
    })
}

fn is_iso_2022_kr(label: &str) -> bool {
    label.eq_ignore_ascii_case("iso-2022-kr") || label.eq_ignore_ascii_case("csISO2022KR")
}

/// RFC 1557: EUC-KR in seven bits. Browsers do not read it any more; old mail is in it.
fn iso_2022_kr(bytes: &[u8]) -> String {
    const DESIGNATOR: &[u8] = b"\x1B$)C";
    const SHIFT_OUT: u8 = 0x0E;
    const SHIFT_IN: u8 = 0x0F;
    let mut eight_bits = Vec::with_capacity(bytes.len());
    let mut is_korean = false;
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(DESIGNATOR) {
            rest = after;
            continue;
        }
        rest = after;
        match *byte {
            SHIFT_OUT => is_korean = true,
            SHIFT_IN => is_korean = false,
            0x21..=0x7E if is_korean => eight_bits.push(byte | 0x80),
            byte => {
                // Every line begins in ASCII.
                is_korean &= byte != b'\n';
                eight_bits.push(byte);
            }
        }
    }
    EUC_KR.decode_without_bom_handling(&eight_bits).0.into_owned()
}

fn is_utf8(bytes: &[u8]) -> bool {
    Encoding::utf8_valid_up_to(bytes) == bytes.len()
}

/// UTF-8, and else what the bytes look like.
pub(crate) fn guess(bytes: &[u8]) -> Cow<'_, str> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if memchr::memmem::find(bytes, SHIFT_TO_JIS).is_some()
        && let Some(text) = ISO_2022_JP.decode_without_bom_handling_and_without_replacement(bytes)
    {
        return text;
    }
    // Finds it out several times faster than the standard library.
    if let Some(text) = UTF_8.decode_without_bom_handling_and_without_replacement(bytes) {
        return text;
    }
    let is_cut_off = std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none());
    // Cut off within a character, or with a few broken bytes in much good UTF-8.
    if is_cut_off || mostly_utf8(bytes) {
        return String::from_utf8_lossy(bytes);
    }
    look(bytes).decode_without_bom_handling(bytes).0
}

/// How ISO-2022-JP begins its two-byte characters (RFC 1468).
const SHIFT_TO_JIS: &[u8] = b"\x1B$";
/// So much of a text is looked at.
const LOOKED_AT: usize = 64 << 10;

/// What bytes that are no UTF-8 look like.
fn look(bytes: &[u8]) -> &'static Encoding {
    if is_short_korean(bytes) {
        return EUC_KR;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    let bytes = bytes.get(..LOOKED_AT).unwrap_or(bytes);
    detector.feed(bytes, bytes.len() < LOOKED_AT);
    detector.guess(None, Utf8Detection::Deny)
}

/// Whether there are a few syllables of Hangul and nothing else beside ASCII (KS X 1001): too little to be told from others.
fn is_short_korean(bytes: &[u8]) -> bool {
    let mut pairs = 0;
    let mut rest = bytes.iter();
    while let Some(lead) = rest.find(|byte| !byte.is_ascii()) {
        let is_hangul = (0xB0..=0xC8).contains(lead) && rest.next().is_some_and(|trail| *trail >= 0xA1);
        pairs += 1;
        if !is_hangul || pairs > FEW_SYLLABLES {
            return false;
        }
    }
    true
}

const FEW_SYLLABLES: usize = 6;

fn mostly_utf8(bytes: &[u8]) -> bool {
    let (mut good, mut bad) = (0_usize, 0_usize);
    for chunk in bytes.utf8_chunks() {
        good += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        bad += usize::from(!chunk.invalid().is_empty());
    }
    good > bad * 8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(label: Option<&str>, bytes: &[u8], expected: &str) {
        assert_eq!(decode(label, bytes), expected, "{label:?}");
    }

    #[test]
    fn what_is_no_text_in_a_charset_is_not_guessed() {
        for (label, bytes, expected) in [
            ("utf-8", "안녕".as_bytes(), Some("안녕")),
            ("UTF-8", b"a\xFFb", None),
            ("utf-8", b"caf\xE9", None),
            ("us-ascii", b"cafe", Some("cafe")),
            ("US-ASCII", "안녕".as_bytes(), None),
            ("ANSI_X3.4-1968", b"\x80", None),
            ("iso-8859-1", b"caf\xE9", Some("café")),
            ("euc-kr", b"\xBE\xC8", Some("안")),
            ("euc-kr", b"\xBE", None),
            ("euc-kr", b"\xFF\xFF", None),
            ("iso-2022-jp", b"\x1b$B$3$s\x1b(B", Some("こん")),
            ("iso-2022-jp", b"\xA4\xB3", None),
            ("iso-2022-kr", b"\x1B$)C\x0EC9\x0F", Some("첫")),
            ("iso-2022-kr", b"\x1B$)C\xFF", None),
            ("utf-7", b"Hi Mom -+Jjo--!", Some("Hi Mom -☺-!")),
        ] {
            assert_eq!(decode_exactly(label, bytes).as_deref(), expected, "{label} {bytes:?}");
        }
    }

    #[test]
    fn what_has_no_label_is_told_by_its_letters() {
        use encoding_rs::{BIG5, GB18030, GBK, KOI8_R, SHIFT_JIS, WINDOWS_1251};
        for (encoding, texts) in [
            (
                EUC_KR,
                &[
                    "감사",
                    "Re: 확인",
                    "안녕",
                    "회의",
                    "안녕하세요",
                    "첨부 파일을 확인해 주세요",
                    "Re: 주문 확인 (12,000원)",
                ][..],
            ),
            (SHIFT_JIS, &["こんにちは", "会議の資料", "Re: ご注文の確認です。ありがとうございます。"]),
            (encoding_rs::EUC_JP, &["会議の資料をお送りします。よろしくお願いいたします。"]),
            (ISO_2022_JP, &["会議", "会議の資料をお送りします。"]),
            (GBK, &["你好，请查收附件中的会议资料。谢谢！", "订单确认通知"]),
            (GB18030, &["请查收附件中的会议资料。"]),
            (BIG5, &["您好，請查收附件中的會議資料。謝謝！"]),
            (WINDOWS_1251, &["Здравствуйте, высылаю вам документы."]),
            (KOI8_R, &["Здравствуйте, высылаю вам документы."]),
            (
                WINDOWS_1252,
                &["Ähnlich, café", "Grüße aus München", "el niño", "It\u{2019}s \u{201C}here\u{201D}"],
            ),
        ] {
            for text in texts {
                let (bytes, ..) = encoding.encode(text);
                check(None, &bytes, text);
            }
        }
    }

    #[test]
    fn labels_right_wrong_and_missing() {
        let (korean, ..) = EUC_KR.encode("안녕하세요 여러분");
        check(Some("utf-8"), "안녕".as_bytes(), "안녕");
        check(Some("euc-kr"), &korean, "안녕하세요 여러분");
        check(Some("ks_c_5601-1987"), &korean, "안녕하세요 여러분");
        check(Some("CP949"), &korean, "안녕하세요 여러분");
        check(None, &korean, "안녕하세요 여러분");
        check(Some("utf-8"), &korean, "안녕하세요 여러분");
        check(Some("us-ascii"), &korean, "안녕하세요 여러분");
        check(Some("no-such-charset"), "안녕".as_bytes(), "안녕");
        check(Some("iso-8859-1"), "안녕".as_bytes(), "안녕");
        check(Some("iso-8859-1"), b"caf\xE9", "café");
        check(None, b"\xC4hnlich, caf\xE9", "Ähnlich, café");
        check(Some("utf-7"), b"Hi Mom -+Jjo--!", "Hi Mom -☺-!");
        check(Some("iso-2022-jp"), b"\x1b$B$3$s\x1b(B", "こん");
        check(None, b"", "");
        let long = "안녕하세요 ".repeat(20);
        check(None, long.as_bytes(), &long);
        check(None, &long.as_bytes()[..301], &format!("{}\u{FFFD}", &long[..300]));
        let korean = b"\x1B$)C\x0EC9\x0F \x0EAY\x0F hello \x0EH8@G7O\nEnglish line\r\n";
        check(Some("iso-2022-kr"), korean, "첫 줄 hello 회의록\nEnglish line\r\n");
        check(Some("ISO-2022-KR"), b"cut\x0E8", "cut\u{FFFD}");
    }
}
