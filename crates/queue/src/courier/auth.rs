//! Telling a relay who we are (RFC 4954), over TLS only.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::Connection;
use crate::{Class, Login, Reply};

/// By PLAIN (RFC 4616), or by LOGIN where that is all there is.
pub(super) async fn log_in(connection: &mut Connection, login: &Login) -> Result<(), Reply> {
    let refused = |text: &str| Reply::ours("4.7.8", &format!("The relay {text}"));
    if !connection.is_encrypted() {
        return Err(refused("would have to be told the password in clear text"));
    }
    let offered = connection.parameters("AUTH");
    let offers = |mechanism: &str| offered.iter().any(|offered| offered == mechanism);
    let (user, password) = (&login.user, login.password.expose());
    let reply = if offers("PLAIN") {
        let answer = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
        connection.command(&format!("AUTH PLAIN {answer}")).await?
    } else if offers("LOGIN") {
        let mut reply = connection.command("AUTH LOGIN").await?;
        for answer in [user, password] {
            if reply.code != 334 {
                break;
            }
            reply = connection.command(&BASE64_STANDARD.encode(answer)).await?;
        }
        reply
    } else {
        return Err(refused("knows no way of logging in that we know"));
    };
    match reply.class() {
        Class::Positive if reply.code < 300 => Ok(()),
        // Whatever is wrong with the password, the mail is good, and waits until it is put right.
        _ => {
            Err(Reply { code: 450, text: format!("4.7.8 The relay did not let us in: {reply}"), host: None })
        }
    }
}
