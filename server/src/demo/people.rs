//! Who writes to alice and bob. The domains are reserved (RFC 2606), so that answers never reach a stranger.

use types::Address;

const PEOPLE: [(&str, &str, &str); 26] = [
    ("alice", "Alice Kim", "alice@demo.test"),
    ("bob", "Bob Müller", "bob@demo.test"),
    ("team", "Magpie", "hello@magpie.example"),
    ("minji", "박민지", "minji.park@hanbit.example"),
    ("soyeon", "김소연", "soyeon@haneul.example"),
    ("jiho", "김지호", "jiho.kim@haneul.example"),
    ("hyunwoo", "이현우", "hyunwoo@sanak.example"),
    ("nari", "최나리", "nari@bookclub.example"),
    ("hanbit", "한빛테크 영업팀", "sales@hanbit.example"),
    ("itdesk", "정보전략팀", "itdesk@demo.test"),
    ("clinic", "밝은눈안과", "booking@brighteyes.example"),
    ("recruit", "푸른바다 채용팀", "recruit@bluesea.example"),
    ("studio", "봄날사진관", "studio@springday.example"),
    ("daniel", "Daniel Okafor", "daniel@atlas.example"),
    ("priya", "Priya Raman", "priya@atlas.example"),
    ("mei", "Mei Lin", "mei.lin@systemsconf.example"),
    ("yasmin", "ياسمين حداد", "yasmin@levant.example"),
    ("lena", "Lena Brandt", "lena@nordsee.example"),
    ("noname", "", "versand@paketlager.example"),
    ("estate", "Harbour Estates", "office@harbour.example"),
    ("accounting", "Northwind Accounting", "accounting@northwind.example"),
    ("airline", "Skyway Airlines", "tickets@skyway.example"),
    ("library", "City Library", "loans@citylibrary.example"),
    ("legal", "Sofia Rossi", "rossi@lexpartners.example"),
    ("shop", "다나와마켓", "order@danamarket.example"),
    ("forge", "Forge CI", "builds@forge.example"),
];

/// The person of this short name.
pub(super) fn person(name: &str) -> Option<Address> {
    let (_, display, email) = PEOPLE.into_iter().find(|(known, ..)| *known == name)?;
    Some(Address { name: display.to_owned(), email: email.to_owned() })
}
