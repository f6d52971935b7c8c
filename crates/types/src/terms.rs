//! What a sender may ask for with a mail: notifications (RFC 3461), TLS all the way (RFC 8689), servers that know UTF-8
//! (RFC 6531), a priority (RFC 6710), and delivery by a time (RFC 2852). It travels with the mail until it is delivered or
//! handed on.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What is asked for a mail as a whole. The default: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// How much of the mail a notification brings back.
    pub ret: Option<Ret>,
    /// ENVID (RFC 3461 §4.4), decoded: the sender's own name for this mail, told in notifications.
    pub envelope_id: Option<String>,
    /// RFC 8689: never in clear text, never to a server that cannot be told from another.
    pub require_tls: bool,
    /// RFC 6531 §3.4: if its header is not in ASCII, only servers that offer SMTPUTF8 get it.
    pub utf8: bool,
    /// RFC 8689 §3 `TLS-Required: No`: whatever the recipients' domains demand of connections, rather in clear text than
    /// not at all. Counts only without [`Terms::require_tls`].
    pub tls_optional: bool,
    pub priority: Priority,
    pub deliver_by: Option<DeliverBy>,
}

/// What is asked for one recipient. The default: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RecipientTerms {
    /// `None`: of failures, and of delays as the server likes (RFC 3461 §4.1).
    pub notify: Option<Notify>,
    /// Whom the sender meant, wherever the mail was sent on to since.
    pub original: Option<OriginalRecipient>,
}

/// RFC 3461 §4.1: of what the sender wants to hear. All false is `NEVER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Notify {
    pub success: bool,
    pub failure: bool,
    pub delay: bool,
}

/// RFC 3461 §4.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ret {
    Full,
    Headers,
}

/// RFC 3461 §4.2, decoded. The type is `rfc822` or `utf-8` (RFC 6533 §3), rarely another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OriginalRecipient {
    pub kind: String,
    pub address: String,
}

/// RFC 6710 §2: from -9 to 9; what nothing is said of has 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Priority(i8);

/// RFC 2852: when the mail is to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DeliverBy {
    pub at: Timestamp,
    pub late: Late,
    /// Whether every server on the way tells the sender that it handed the mail on.
    pub trace: bool,
}

/// What becomes of a mail that is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Late {
    /// It goes back.
    Return,
    /// It goes on, and the sender is told.
    Notify,
}

impl Notify {
    pub const NEVER: Self = Self { success: false, failure: false, delay: false };

    #[must_use]
    pub const fn is_never(self) -> bool {
        !self.success && !self.failure && !self.delay
    }
}

impl Priority {
    /// `None` outside of -9 to 9.
    #[must_use]
    pub fn new(priority: i8) -> Option<Self> {
        (-9..=9).contains(&priority).then_some(Self(priority))
    }

    #[must_use]
    pub const fn value(self) -> i8 {
        self.0
    }
}

impl RecipientTerms {
    /// Whether the sender wants to hear that the mail has arrived.
    #[must_use]
    pub fn wants_success(&self) -> bool {
        self.notify.is_some_and(|notify| notify.success)
    }

    /// Whether the sender wants to hear that it will not. Who said nothing does (RFC 3461 §4.1).
    #[must_use]
    pub fn wants_failure(&self) -> bool {
        self.notify.is_none_or(|notify| notify.failure)
    }

    /// Whether the sender may be told that it takes longer.
    #[must_use]
    pub fn wants_delay(&self) -> bool {
        self.notify.is_none_or(|notify| notify.delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_said_is_not_never() {
        let said = |notify| RecipientTerms { notify, original: None };
        let wants =
            |terms: RecipientTerms| (terms.wants_success(), terms.wants_failure(), terms.wants_delay());
        assert_eq!(wants(said(None)), (false, true, true));
        assert_eq!(wants(said(Some(Notify::NEVER))), (false, false, false));
        assert_eq!(wants(said(Some(Notify { success: true, ..Notify::NEVER }))), (true, false, false));
    }

    #[test]
    fn terms_are_kept_as_json_that_may_grow() {
        let terms = Terms {
            ret: Some(Ret::Headers),
            envelope_id: Some("QQ314159".into()),
            require_tls: true,
            utf8: true,
            tls_optional: false,
            priority: Priority::new(-3).unwrap(),
            deliver_by: Some(DeliverBy {
                at: Timestamp::from_seconds(1_795_350_000),
                late: Late::Notify,
                trace: true,
            }),
        };
        let json = serde_json::to_string(&terms).unwrap();
        assert_eq!(serde_json::from_str::<Terms>(&json).unwrap(), terms);
        assert_eq!(serde_json::from_str::<Terms>("{\"later\":1}").unwrap(), Terms::default());
        assert!(Priority::new(10).is_none());
    }
}
