//! Mail that machines write: orders, receipts, builds; and alice's drafts, junk and trash.

use std::time::Duration;

use message::compose::Outgoing;
use types::{Address, Flags, Timestamp};

use super::{Item, files, people::person};

const DAY: Duration = Duration::from_secs(86_400);

/// All of it.
pub(super) fn letters(now: Timestamp) -> Vec<Item> {
    let mut items = receipts(now);
    items.extend(builds(now));
    items.extend(notices(now));
    items.extend(drafts(now));
    items.extend(junk(now));
    items
}

fn item(folder: &str, at: Timestamp, flags: Flags, mail: Outgoing) -> Item {
    Item { folder: folder.to_owned(), at, mail: Outgoing { date: at, ..mail }, flags, labels: Vec::new() }
}

fn alice() -> Vec<Address> {
    person("alice").into_iter().collect()
}

fn ago(now: Timestamp, days: u32, hour: u32) -> Timestamp {
    now.minus(DAY * days + Duration::from_secs(u64::from(hour % 11) * 3_600 + 1_260))
}

const GOODS: [(&str, &str); 10] = [
    ("무선 키보드", "89,000"),
    ("유기농 현미 10kg", "42,500"),
    ("등산화 (245mm)", "128,000"),
    ("머그컵 2개 세트", "18,900"),
    ("USB-C 충전기 65W", "35,000"),
    ("캠핑 의자", "54,000"),
    ("제주 감귤 5kg", "23,800"),
    ("책장 5단", "149,000"),
    ("고양이 사료 6kg", "38,700"),
    ("블루투스 스피커", "76,000"),
];

/// Receipts with their PDF, in a folder of their own.
fn receipts(now: Timestamp) -> Vec<Item> {
    let make = |(nth, (goods, price)): (u32, &(&str, &str))| {
        let order = 20_260_000 + 137 * nth;
        let html = format!(
            "<div style=\"max-width:560px;font-family:sans-serif\"><h2 style=\"color:#0b6e8a\">주문해 주셔서 감사합니다</h2>\
             <p>김앨리스 고객님, 아래 상품의 결제가 완료되었습니다.</p>\
             <table cellpadding=\"8\" style=\"border-collapse:collapse;width:100%\">\
             <tr style=\"background:#f0f5f7\"><th align=\"left\">상품</th><th align=\"right\">금액</th></tr>\
             <tr><td>{goods}</td><td align=\"right\">{price}원</td></tr>\
             <tr><td>배송비</td><td align=\"right\">0원</td></tr></table>\
             <p>주문번호 <b>{order}</b></p></div>"
        );
        let mail = Outgoing {
            from: person("shop").unwrap_or_default(),
            to: alice(),
            subject: format!("[다나와마켓] 주문 {order} 결제 영수증: {goods}"),
            message_id: format!("order.{order}@danamarket.example"),
            text: Some(format!("{goods} {price}원 결제가 완료되었습니다. 주문번호 {order}\n")),
            html: Some(html),
            attachments: files::file("pdf", &format!("영수증_{order}.pdf")).into_iter().collect(),
            ..Outgoing::default()
        };
        item("영수증", ago(now, 3 + nth * 5, nth), Flags::SEEN, mail)
    };
    (0..).zip(GOODS.iter().chain(&GOODS).chain(&GOODS)).map(make).collect()
}

const BRANCHES: [&str; 6] =
    ["main", "search-index", "fix-dsn-loop", "webmail-dark-mode", "group-commit", "docs-walkthrough"];

/// Builds that passed and failed.
fn builds(now: Timestamp) -> Vec<Item> {
    let make = |nth: u32| {
        let branch =
            BRANCHES.iter().cycle().nth(usize::try_from(nth * 5 / 3).unwrap_or(0)).unwrap_or(&"main");
        let failed = nth % 4 == 1;
        let (word, tests) =
            if failed { ("failed", "3 of 412 tests failed") } else { ("passed", "412 tests passed") };
        let number = 1_900 - nth;
        let mail = Outgoing {
            from: person("forge").unwrap_or_default(),
            to: alice(),
            subject: format!("[magpie] {branch}: build #{number} {word}"),
            message_id: format!("build.{number}@forge.example"),
            text: Some(format!(
                "Build #{number} of {branch} {word}.\n\n{tests} in {} s.\n\n\
                 https://forge.example/magpie/builds/{number}\n",
                70 + nth * 3 % 41
            )),
            headers: vec![("Auto-Submitted".into(), "auto-generated".into())],
            ..Outgoing::default()
        };
        let unread = failed && nth < 12;
        let flags = if unread { Flags::NONE } else { Flags::SEEN };
        let folder = if nth < 18 { "Inbox" } else { "Archive" };
        item(folder, ago(now, 1 + nth * 2, nth * 3), flags, mail)
    };
    (0..72).map(make).collect()
}

const NOTICES: [(&str, &str, &str); 8] = [
    (
        "library",
        "Your reserved book is ready for you",
        "The book you reserved waits at the desk for seven days.",
    ),
    ("clinic", "예약 하루 전 알림", "내일 오후 3시 20분 예약이 있습니다. 변경은 오늘까지 가능합니다."),
    (
        "itdesk",
        "비밀번호 변경 주기 안내",
        "비밀번호를 바꾸신 지 90일이 지났습니다. 새 비밀번호로 변경해 주시기 바랍니다.",
    ),
    (
        "airline",
        "Your miles statement",
        "You have 24,310 miles. 1,200 of them expire at the end of the quarter.",
    ),
    (
        "estate",
        "New apartments near the harbour",
        "Two new apartments match your search: 3 rooms, 78 and 84 m².",
    ),
    (
        "hyunwoo",
        "산악회 이번 달 일정",
        "둘째 주 관악산, 넷째 주 수락산입니다. 날씨가 추우니 따뜻하게 입고 오세요.",
    ),
    (
        "mei",
        "Speaker newsletter",
        "The schedule is out. Please check that your name is spelt the way you like it.",
    ),
    ("nari", "독서 모임 후기", "지난 모임에서 나눈 이야기를 정리했습니다. 다음 책 추천도 받습니다."),
];

/// Short notices that come again and again.
fn notices(now: Timestamp) -> Vec<Item> {
    let make = |(nth, (sender, subject, text)): (u32, &(&str, &str, &str))| {
        let from = person(sender).unwrap_or_default();
        let domain = from.email.split('@').next_back().unwrap_or_default().to_owned();
        let mail = Outgoing {
            from,
            to: alice(),
            subject: (*subject).to_owned(),
            message_id: format!("notice.{nth}@{domain}"),
            text: Some(format!("{text}\n")),
            ..Outgoing::default()
        };
        let folder = if nth % 3 == 0 { "Inbox" } else { "Archive" };
        item(folder, ago(now, 5 + nth * 3, nth * 5), Flags::SEEN, mail)
    };
    (0..).zip(NOTICES.iter().cycle().take(56)).map(make).collect()
}

const DRAFTS: [(&str, &str, &str); 4] = [
    (
        "mei",
        "Biography and photograph",
        "Dear Mei,\n\nhere is my biography, as promised:\n\nAlice Kim builds",
    ),
    ("daniel", "Atlas: pages 11 and 12", "Hi Daniel,\n\nboth pages are updated. The important change is"),
    ("soyeon", "제주도 준비물", "소연아,\n\n준비물 목록 보낸다.\n- 선크림\n- 우비\n- "),
    ("", "Ideas for the retrospective 💡", "- fewer meetings\n- more cookies\n"),
];

fn drafts(now: Timestamp) -> Vec<Item> {
    let make = |(nth, (to, subject, text)): (u32, &(&str, &str, &str))| {
        let mail = Outgoing {
            from: person("alice").unwrap_or_default(),
            to: person(to).into_iter().collect(),
            subject: (*subject).to_owned(),
            message_id: format!("draft.{nth}@demo.test"),
            text: Some((*text).to_owned()),
            ..Outgoing::default()
        };
        item("Drafts", ago(now, nth * 2, nth + 1), Flags::SEEN | Flags::DRAFT, mail)
    };
    (0..).zip(&DRAFTS).map(make).collect()
}

const JUNK: [(&str, &str); 6] = [
    ("You have WON a brand new phone!!!", "Click here within 24 hours to claim your price."),
    ("(광고) 무담보 당일 대출 최저 금리", "신용 등급 상관없이 당일 입금! 지금 바로 상담하세요."),
    ("Dear beloved friend", "I am the widow of a late minister and I need your help to move 14,000,000 USD."),
    ("Re: Re: your invoice is OVERDUE", "Open the attached document to avoid legal action."),
    ("(광고) 명품 시계 90% 할인", "오늘만 특가! 선착순 100명."),
    ("Lose 10 kg in 10 days", "Doctors hate this simple trick."),
];

fn junk(now: Timestamp) -> Vec<Item> {
    let make = |(nth, (subject, text)): (u32, &(&str, &str))| {
        let mail = Outgoing {
            from: Address { name: "Best Offer".into(), email: format!("win{nth}@offers.example") },
            to: alice(),
            subject: (*subject).to_owned(),
            message_id: format!("offer.{nth}@offers.example"),
            text: Some(format!("{text}\n")),
            html: Some(format!("<p style=\"font-size:20px;color:#c00\"><b>{text}</b></p>")),
            ..Outgoing::default()
        };
        let (folder, flags) = if nth == 5 { ("Trash", Flags::SEEN) } else { ("Junk", Flags::NONE) };
        item(folder, ago(now, 1 + nth * 4, nth * 7), flags, mail)
    };
    (0..).zip(&JUNK).map(make).collect()
}
