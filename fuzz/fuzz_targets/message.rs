//! Any bytes are a mail: they parse, their segments join to the same bytes, their structure survives storing, and what
//! is shown of them is made without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use message::{Images, Show, Structure, parse, segments_from, text_to_html, view};

fuzz_target!(|raw: &[u8]| {
    let structure = parse(raw).structure;
    let bytes = |range: std::ops::Range<u64>| raw.get(range.start as usize..range.end as usize);
    for part in structure.parts() {
        assert!(bytes(part.header.clone()).is_some() && bytes(part.body.clone()).is_some());
    }
    let joined: Vec<u8> = segments_from(&structure, raw.len() as u64, 16)
        .iter()
        .flat_map(|segment| bytes(segment.range.clone()).expect("in bounds"))
        .copied()
        .collect();
    assert_eq!(joined, raw);
    assert_eq!(Structure::decode(&structure.encode()).as_ref(), Ok(&structure));
    let _ = Structure::decode(raw);
    let _ = (structure.body(), structure.body_structure());
    let show = Show { images: Images::Held, attachments: "/a/".to_owned() };
    let view = view(&structure, &show, &mut |range| bytes(range).map(<[u8]>::to_vec));
    let _ = text_to_html(&view.text);
    if let Some(html) = view.html {
        let html = html.to_ascii_lowercase();
        assert!(!html.contains("<script") && !html.contains("<iframe"));
    }
});
