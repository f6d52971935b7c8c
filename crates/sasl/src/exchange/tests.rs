//! Known answers, what must not work, and whatever else may come.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::keys::{hash, sign};

const COST: NonZeroU32 = NonZeroU32::new(4_096).unwrap();
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

fn keys() -> Keys {
    Keys::derive("pencil", &STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), COST)
}

fn challenge(text: &str) -> Step {
    Step::Challenge(text.as_bytes().to_vec())
}

fn password(user: &str, password: &str) -> Step {
    Step::Ask(Question::Password { user: user.into(), password: Secret::new(password.into()) })
}

fn token(user: Option<&str>, token: &str) -> Step {
    Step::Ask(Question::Token { user: user.map(str::to_owned), token: Secret::new(token.into()) })
}

#[test]
fn the_example_of_rfc_7677() {
    let mut exchange = Exchange::new(Mechanism::ScramSha256, None);
    assert_eq!(exchange.challenge(), "");
    let first = exchange.respond(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    assert_eq!(first, Step::Ask(Question::Keys { user: "user".into() }));
    assert_eq!(
        exchange.keys(vec![keys()], SERVER_NONCE),
        challenge("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
    );
    let last = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                 p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    assert_eq!(exchange.respond(last), challenge("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
    assert_eq!(exchange.respond(b""), Step::Ask(Question::Proven { which: 0 }));
    assert_eq!(exchange.respond(b""), Step::Failed(Fault::Malformed), "only once");
}

/// A client of its own: gives what it says last to what the server said first.
fn client_final(server_first: &[u8], bare: &str, header: &[u8], password: &str) -> String {
    let server_first = std::str::from_utf8(server_first).unwrap();
    let part = |name: &str| server_first.split(',').find_map(|part| part.strip_prefix(name)).unwrap();
    let salt = STANDARD.decode(part("s=")).unwrap();
    let mut salted = [0; 32];
    let algorithm = ring::pbkdf2::PBKDF2_HMAC_SHA256;
    ring::pbkdf2::derive(algorithm, part("i=").parse().unwrap(), &salt, password.as_bytes(), &mut salted);
    let client_key = sign(&salted, &[b"Client Key"]);
    let without_proof = format!("c={},r={}", STANDARD.encode(header), part("r="));
    let message = format!("{bare},{server_first},{without_proof}");
    let signature = sign(&hash(&client_key), &[message.as_bytes()]);
    let proof: Vec<_> = client_key.iter().zip(signature).map(|(key, mask)| key ^ mask).collect();
    format!("{without_proof},p={}", STANDARD.encode(proof))
}

/// The whole exchange; `seen` is the binding that the client sees.
fn scram(flag: &str, plus: bool, binding: Option<[u8; 32]>, seen: &[u8], password: &str) -> Step {
    let mechanism = if plus { Mechanism::ScramSha256Plus } else { Mechanism::ScramSha256 };
    let mut exchange = Exchange::new(mechanism, binding.map(Binding));
    let bare = "n=a=2Cb=3Dc,r=clientnonce";
    match exchange.respond(format!("{flag},,{bare}").as_bytes()) {
        Step::Ask(Question::Keys { user }) => assert_eq!(user, "a,b=c"),
        other => return other,
    }
    let Step::Challenge(server_first) = exchange.keys(vec![keys()], SERVER_NONCE) else {
        panic!("no challenge")
    };
    let header = [flag.as_bytes(), b",,", seen].concat();
    match exchange.respond(client_final(&server_first, bare, &header, password).as_bytes()) {
        Step::Challenge(_) => exchange.respond(b""),
        other => other,
    }
}

#[test]
fn one_of_several_passwords_is_proven() {
    let derived = |password| Keys::derive(password, b"salt of the earth", NonZeroU32::MIN);
    let mut exchange = Exchange::new(Mechanism::ScramSha256, None);
    let proven = |exchange: &mut Exchange, password: &str| {
        let bare = "n=user,r=clientnonce";
        exchange.respond(format!("n,,{bare}").as_bytes());
        let Step::Challenge(first) = exchange.keys(vec![derived("one"), derived("two")], SERVER_NONCE) else {
            panic!("no challenge")
        };
        match exchange.respond(client_final(&first, bare, b"n,,", password).as_bytes()) {
            Step::Challenge(_) => exchange.respond(b""),
            other => other,
        }
    };
    assert_eq!(proven(&mut exchange, "two"), Step::Ask(Question::Proven { which: 1 }));
    let mut exchange = Exchange::new(Mechanism::ScramSha256, None);
    assert_eq!(proven(&mut exchange, "three"), Step::Failed(Fault::Refused));
    let mut exchange = Exchange::new(Mechanism::ScramSha256, None);
    exchange.respond(b"n,,n=user,r=clientnonce");
    assert_eq!(exchange.keys(Vec::new(), SERVER_NONCE), Step::Failed(Fault::Refused));
}

#[test]
fn scram_binds_to_the_connection() {
    let yes = Step::Ask(Question::Proven { which: 0 });
    let here = Some([3; 32]);
    assert_eq!(scram("n", false, None, b"", "pencil"), yes);
    assert_eq!(scram("n", false, here, b"", "pencil"), yes, "a client that cannot bind need not");
    assert_eq!(scram("y", false, None, b"", "pencil"), yes);
    assert_eq!(scram("p=tls-exporter", true, here, &[3; 32], "pencil"), yes);
    let no = Step::Failed;
    assert_eq!(scram("n", false, None, b"", "pen"), no(Fault::Refused));
    assert_eq!(scram("y", false, here, b"", "pencil"), no(Fault::Binding), "somebody took PLUS away");
    assert_eq!(scram("p=tls-exporter", true, here, &[4; 32], "pencil"), no(Fault::Binding));
    assert_eq!(scram("p=tls-exporter", true, here, b"", "pencil"), no(Fault::Binding));
    assert_eq!(scram("p=tls-unique", true, here, &[3; 32], "pencil"), no(Fault::Binding));
    assert_eq!(scram("n", true, here, b"", "pencil"), no(Fault::Malformed));
    assert_eq!(scram("p=tls-exporter", false, here, &[3; 32], "pencil"), no(Fault::Malformed));
    assert_eq!(scram("p=tls-exporter", true, None, &[3; 32], "pencil"), no(Fault::Malformed));
}

#[test]
fn passwords() {
    let check = |mechanism, said: &[&str], wanted: Step| {
        let mut exchange = Exchange::new(mechanism, None);
        let last = said.iter().map(|said| exchange.respond(said.as_bytes())).last().unwrap();
        assert_eq!(last, wanted, "{said:?}");
    };
    check(Mechanism::Plain, &["\0alice\0secret"], password("alice", "secret"));
    check(Mechanism::Plain, &["alice\0alice\0secret"], password("alice", "secret"));
    check(Mechanism::Plain, &["bob\0alice\0secret"], Step::Failed(Fault::AnotherName));
    check(Mechanism::Plain, &["alice\0secret"], Step::Failed(Fault::Malformed));
    check(Mechanism::Plain, &["\0a\0b\0c"], Step::Failed(Fault::Malformed));
    check(Mechanism::Login, &["alice"], challenge("Password:"));
    check(Mechanism::Login, &["alice", "secret"], password("alice", "secret"));
    assert_eq!(Exchange::new(Mechanism::Login, None).challenge(), "Username:");
    assert_eq!(Exchange::new(Mechanism::Plain, None).respond(b"\xff"), Step::Failed(Fault::Malformed));
    assert_eq!(Exchange::new(Mechanism::Plain, None).refused(), Step::Failed(Fault::Refused));
}

#[test]
fn tokens() {
    let check = |mechanism, said: &str, wanted: Step| {
        assert_eq!(Exchange::new(mechanism, None).respond(said.as_bytes()), wanted, "{said:?}");
    };
    let bearer = Mechanism::OAuthBearer;
    let alice = "n,a=alice@demo.test,\u{1}host=mx.test\u{1}port=587\u{1}auth=Bearer t0ken\u{1}\u{1}";
    check(bearer, alice, token(Some("alice@demo.test"), "t0ken"));
    check(bearer, "n,,\u{1}auth=bearer t0ken\u{1}\u{1}", token(None, "t0ken"));
    check(bearer, "p=tls-exporter,,\u{1}auth=Bearer t\u{1}\u{1}", Step::Failed(Fault::Malformed));
    check(bearer, "n,,\u{1}auth=Basic t\u{1}\u{1}", Step::Failed(Fault::Malformed));
    check(bearer, "n,,\u{1}auth=Bearer t\u{1}", Step::Failed(Fault::Malformed));
    check(bearer, "\u{1}", Step::Failed(Fault::Malformed));
    check(Mechanism::XOAuth2, "user=alice\u{1}auth=Bearer t\u{1}\u{1}", token(Some("alice"), "t"));
    check(Mechanism::XOAuth2, "user=alice", Step::Failed(Fault::Malformed));

    let mut exchange = Exchange::new(bearer, None);
    exchange.respond(alice.as_bytes());
    assert!(matches!(exchange.refused(), Step::Challenge(json) if json.starts_with(b"{\"status\":")));
    assert_eq!(exchange.respond(b"\x01"), Step::Failed(Fault::Refused));
}

#[test]
fn names_of_mechanisms() {
    for mechanism in Mechanism::ALL {
        assert_eq!(Mechanism::parse(&mechanism.name().to_lowercase()), Some(mechanism));
    }
    assert_eq!(Mechanism::parse("CRAM-MD5"), None);
}

proptest! {
    /// Nothing breaks, and nobody is proven who proved nothing.
    #[test]
    fn anything_may_come(
        mechanism in prop::sample::select(Mechanism::ALL.to_vec()),
        said in prop::collection::vec(prop::collection::vec(prop::sample::select(b"n,a=rcp\x01\x00:auth Bearer0".to_vec()), 0..40), 1..6),
    ) {
        let mut exchange = Exchange::new(mechanism, Some(Binding([1; 32])));
        for said in said {
            match exchange.respond(&said) {
                Step::Ask(Question::Keys { .. }) => {
                    let _ = exchange.keys(vec![Keys::of_nobody(&[1; 32], "x", NonZeroU32::MIN)], "nonce");
                }
                Step::Ask(Question::Proven { .. }) => panic!("proven by {said:?}"),
                Step::Ask(_) => {
                    let _ = exchange.refused();
                }
                Step::Challenge(_) | Step::Failed(_) => {}
            }
        }
    }
}
