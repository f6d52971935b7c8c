//! Who wrote, to whom, when, and whether it is really them.

use std::sync::Arc;

use leptos::prelude::*;
use types::{
    Address,
    api::{Auth, Message, Summary},
};

use super::{
    details::{Delivery, Details},
    unsubscribe::LeaveList,
};
use crate::{
    components::{
        avatar::Avatar,
        icon::{Draw, Icon},
        time::Time,
    },
    i18n::{Texts, texts},
    state::Store,
};

#[component]
pub(crate) fn Sender(message: Arc<Message>, summary: Memo<Summary>) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let from = message.summary.from.clone();
    let name = if from.display().is_empty() { t.no_sender.to_owned() } else { from.display().to_owned() };
    let id = message.summary.id;
    let list = message.unsubscribe.clone().map(|way| {
        let sender = name.clone();
        view! { <LeaveList id sender way summary /> }
    });
    let email = (from.display() != from.email).then(|| from.email.clone());
    let people = recipients(&message, &store.account.get_untracked().email, t);
    let at = message.sent_at.unwrap_or(message.summary.received_at);
    view! {
        <header class="sender">
            <Avatar address=from />
            <div class="sender-who">
                <p class="sender-name">
                    <b>
                        <bdi>{name}</bdi>
                    </b>
                    {message.auth.as_ref().map(|auth| view! { <Proof auth=auth.clone() /> })}
                    {email.map(|email| view! { <span class="sender-email"><bdi>{email}</bdi></span> })}
                    {list}
                </p>
                <details class="sender-details">
                    <summary>
                        <bdi>{people}</bdi>
                        <Draw icon=Icon::ChevronDown />
                        <span class="sr-only">{t.details}</span>
                    </summary>
                    <Details message=Arc::clone(&message) />
                </details>
            </div>
            <Time at full=true />
        </header>
        <Delivery summary />
    }
    .into_any()
}

/// "to me and 3 more".
fn recipients(message: &Message, me: &str, t: &Texts) -> String {
    let all: Vec<&Address> = message.summary.to.iter().chain(&message.cc).chain(&message.bcc).collect();
    let is_me = |address: &&Address| address.email.eq_ignore_ascii_case(me);
    let shown = match all.iter().find(|address| is_me(address)) {
        Some(_) => t.to_me.to_owned(),
        None => {
            let lists = [(t.to, &message.summary.to), (t.cc, &message.cc), (t.bcc, &message.bcc)];
            let first = lists.into_iter().find_map(|(label, list)| Some((label, list.first()?)));
            let Some((label, first)) = first else { return t.nobody.to_owned() };
            format!("{label}: {}", first.display())
        }
    };
    if all.len() > 1 { format!("{shown} {}", t.more_people(all.len() - 1)) } else { shown }
}

/// The mark of RFC 8601's verdicts, for people.
#[component]
fn Proof(auth: Auth) -> AnyView {
    let t = texts();
    let (class, icon, label) = match verdict(&auth) {
        Verdict::Forged => ("proof bad", Icon::Alert, t.forged),
        Verdict::Verified => ("proof good", Icon::Shield, t.verified),
        Verdict::Unverified => ("proof", Icon::Shield, t.unverified),
    };
    let title = format!("{label} (SPF {}, DKIM {}, DMARC {})", auth.spf, auth.dkim, auth.dmarc);
    view! {
        <span class=class role="img" aria-label=label title=title>
            <Draw icon />
        </span>
    }
    .into_any()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Forged,
    Verified,
    Unverified,
}

/// Anybody can sign in a name of their own, and send from a server of their own: only DMARC says that it is the author's.
fn verdict(auth: &Auth) -> Verdict {
    match auth.dmarc.as_str() {
        "fail" => Verdict::Forged,
        "pass" => Verdict::Verified,
        _ => Verdict::Unverified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_the_authors_is_verified() {
        let check = |spf: &str, dkim: &str, dmarc: &str, wanted| {
            let auth = Auth { spf: spf.into(), dkim: dkim.into(), dmarc: dmarc.into() };
            assert_eq!(verdict(&auth), wanted, "{auth:?}");
        };
        check("fail", "pass", "pass", Verdict::Verified);
        check("pass", "pass", "none", Verdict::Unverified);
        check("pass", "pass", "temperror", Verdict::Unverified);
        check("pass", "pass", "fail", Verdict::Forged);
        check("none", "none", "none", Verdict::Unverified);
    }
}
