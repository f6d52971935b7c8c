//! Newsletters: tables, styles and remote pictures, as they really look inside.

use std::time::Duration;

use message::compose::Outgoing;
use types::{Address, Flags, Timestamp};

use super::{Item, people::person};

/// A newsletter: its sender, how it is coloured, and what it writes about in turn.
struct Letter {
    name: &'static str,
    email: &'static str,
    colour: &'static str,
    subject: &'static str,
    every_days: u32,
    issues: u32,
    stories: &'static [(&'static str, &'static str)],
}

const LETTERS: [Letter; 6] = [
    Letter {
        name: "Systems Weekly",
        email: "editor@systemsweekly.example",
        colour: "#1d3557",
        subject: "Systems Weekly",
        every_days: 7,
        issues: 18,
        stories: &[
            ("Group commit, explained with buses", "Why fifty passengers should share one ride to the disk."),
            ("The long tail of MIME", "We opened two million mails so that you do not have to."),
            ("Queues are tables", "An outbox in the same transaction saves you from two-phase anything."),
            ("What is a modseq?", "One counter to synchronise them all."),
            ("Backpressure for beginners", "The kindest thing you can do to a server is to make it wait."),
        ],
    },
    Letter {
        name: "오늘의 밥상",
        email: "hello@bapsang.example",
        colour: "#b5541c",
        subject: "오늘의 밥상: 이번 주 제철 요리",
        every_days: 7,
        issues: 16,
        stories: &[
            ("들깨 미역국", "고소한 들깻가루를 듬뿍 넣어 끓인 겨울 보양식입니다."),
            ("봄동 겉절이", "아삭한 봄동에 매실청을 더해 상큼하게 무쳐 보세요."),
            ("굴 무밥", "제철 굴과 달큰한 무로 짓는 한 그릇 밥."),
            ("김치 콩나물국", "해장에도, 아침 식사에도 좋은 시원한 국물."),
            ("꼬막 비빔밥", "쫄깃한 꼬막과 부추 양념장이 만났습니다."),
        ],
    },
    Letter {
        name: "Museum of Modern Things",
        email: "news@modernthings.example",
        colour: "#5a189a",
        subject: "What is on at the museum",
        every_days: 14,
        issues: 8,
        stories: &[
            ("Paper boats", "An exhibition for everybody who ever folded one."),
            ("Night opening", "The museum by torchlight, with music, every last Friday."),
            ("Letters home", "A hundred years of post, from quill to phone."),
        ],
    },
    Letter {
        name: "클라우드 소식",
        email: "newsletter@cloudnews.example",
        colour: "#0077b6",
        subject: "클라우드 소식: 개발자를 위한 이번 주 읽을거리",
        every_days: 7,
        issues: 18,
        stories: &[
            (
                "러스트로 만든 메일 서버 이야기",
                "한 대의 노트북에서 수천 대의 서버까지 같은 바이너리로 동작합니다.",
            ),
            ("PostgreSQL 성능 튜닝 실전", "인덱스 하나로 응답 시간을 10분의 1로 줄인 경험을 나눕니다."),
            ("검색 엔진과 한국어", "형태소 분석 없이도 두 글자씩 나누면 생각보다 잘 찾습니다."),
            ("장애 회고 쓰는 법", "사람이 아니라 시스템을 탓하는 글쓰기."),
        ],
    },
    Letter {
        name: "Trailhead Outdoor",
        email: "offers@trailhead.example",
        colour: "#2d6a4f",
        subject: "New on the trail",
        every_days: 10,
        issues: 12,
        stories: &[
            ("20% off rain jackets", "Because it always rains on the second day."),
            ("Ten huts worth the climb", "With soup, blankets, and a view."),
            ("Repair, do not replace", "Send us your boots, we give them new soles."),
        ],
    },
    Letter {
        name: "동네책방 소식",
        email: "letter@villagebooks.example",
        colour: "#6d597a",
        subject: "동네책방에서 보내는 편지",
        every_days: 14,
        issues: 8,
        stories: &[
            ("이달의 시집", "천천히 소리 내어 읽고 싶은 시 열 편을 골랐습니다."),
            ("작가와의 만남", "금요일 저녁 7시, 따뜻한 차를 준비해 두겠습니다."),
            ("헌책 나눔", "다 읽은 책을 가져오시면 다른 책으로 바꿔 드립니다."),
        ],
    },
];

/// Every issue of every newsletter.
pub(super) fn newsletters(now: Timestamp) -> Vec<Item> {
    (0..)
        .zip(&LETTERS)
        .flat_map(|(which, letter)| (0..letter.issues).map(move |issue| item(now, which, letter, issue)))
        .collect()
}

fn item(now: Timestamp, which: u32, letter: &Letter, issue: u32) -> Item {
    let days = issue * letter.every_days + which;
    let at = now.minus(Duration::from_secs(u64::from(days) * 86_400 + u64::from(which) * 5_400 + 9_900));
    let number = 140 - issue;
    let first = usize::try_from(issue).unwrap_or(0);
    let stories: Vec<_> = letter.stories.iter().cycle().skip(first).take(3).collect();
    let lead = stories.first().map_or("", |(title, _)| *title);
    let domain = letter.email.split('@').next_back().unwrap_or_default();
    let text: Vec<_> = stories.iter().map(|(title, text)| format!("{title}\n{text}\n")).collect();
    let unsubscribe = format!("<https://{domain}/unsubscribe?reader=alice>, <mailto:leave@{domain}>");
    let mail = Outgoing {
        from: Address { name: letter.name.into(), email: letter.email.into() },
        to: person("alice").into_iter().collect(),
        subject: format!("{} #{number}: {lead}", letter.subject),
        date: at,
        message_id: format!("issue.{number}@{domain}"),
        text: Some(text.join("\n")),
        html: Some(html(letter, number, domain, &stories)),
        headers: vec![
            ("List-Id".into(), format!("{} <news.{domain}>", letter.name)),
            ("List-Unsubscribe".into(), unsubscribe),
        ],
        ..Outgoing::default()
    };
    let seen = issue > 1 || which % 3 == 1;
    let flags = if seen { Flags::SEEN } else { Flags::NONE };
    let folder = if issue < 6 { "Inbox" } else { "Newsletters" };
    Item { folder: folder.into(), at, mail, flags, labels: vec!["newsletter".into()] }
}

fn html(letter: &Letter, number: u32, domain: &str, stories: &[&(&str, &str)]) -> String {
    let Letter { name, colour, .. } = letter;
    let rows: Vec<String> = (1..)
        .zip(stories)
        .map(|(nth, (title, text)): (u32, _)| {
            format!(
                "<tr><td style=\"padding:20px 28px;border-bottom:1px solid #e5e9ec\">\
                 <img src=\"https://img.{domain}/{number}/{nth}.jpg\" width=\"504\" height=\"180\" alt=\"\" \
                 style=\"display:block;border-radius:6px;background:{colour}\">\
                 <h2 style=\"margin:16px 0 6px;font-size:19px;color:{colour}\">{title}</h2>\
                 <p style=\"margin:0 0 12px;font-size:15px;line-height:1.6;color:#333\">{text}</p>\
                 <a href=\"https://{domain}/{number}/{nth}\" style=\"color:{colour};font-weight:bold\">Read on →</a>\
                 </td></tr>"
            )
        })
        .collect();
    format!(
        "<!DOCTYPE html><html><head><meta charset=\"utf-8\"><title>{name}</title>\
         <style>body{{margin:0;background:#eef1f3}}a{{text-decoration:none}}</style></head>\
         <body><table width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" bgcolor=\"#eef1f3\"><tr><td align=\"center\">\
         <table width=\"560\" cellpadding=\"0\" cellspacing=\"0\" bgcolor=\"#ffffff\" style=\"margin:24px 0;border-radius:8px\">\
         <tr><td style=\"padding:28px;background:{colour};color:#ffffff;border-radius:8px 8px 0 0\">\
         <h1 style=\"margin:0;font-size:26px\">{name}</h1><div style=\"opacity:.8\">#{number}</div></td></tr>{}\
         <tr><td style=\"padding:18px 28px;font-size:12px;color:#778\">You get this because you asked for it. \
         <a href=\"https://{domain}/unsubscribe?reader=alice\" style=\"color:#778;text-decoration:underline\">Unsubscribe</a>\
         <img src=\"https://track.{domain}/open.gif?reader=alice&amp;issue={number}\" width=\"1\" height=\"1\" alt=\"\">\
         </td></tr></table></td></tr></table></body></html>",
        rows.join("")
    )
}
