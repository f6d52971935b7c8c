//! What clients are told of what went wrong; causes are logged.

use imap::{Code, Status};
use mail::{Denied, Error};

pub(super) fn refusal(error: Error) -> Status {
    match error {
        Error::Credentials | Error::Unauthenticated => {
            Status::no("Wrong user or password").with(Code::AuthenticationFailed)
        }
        Error::Limited { .. } => {
            Status::no("Too many attempts, please try again later").with(Code::Unavailable)
        }
        Error::Forbidden(why) => Status::no("").with_text(why).with(Code::NoPerm),
        Error::TooLarge(why) => Status::no("").with_text(why).with(Code::TooBig),
        Error::Quota => Status::no("The account is full").with(Code::OverQuota),
        Error::NotFound(_) => non_existent(),
        Error::Circle => cannot("It goes in circles"),
        Error::Invalid { detail, .. } | Error::Conflict(detail) => {
            Status::no("").with_text(detail).with(Code::Cannot)
        }
        Error::Full(_) => {
            error.log("not stored");
            Status::no("The service has no room left; nothing was stored").with(Code::Unavailable)
        }
        Error::Storage(_) | Error::Internal(_) | Error::Cursor => {
            error.log("not done");
            if error.is_temporary() {
                Status::no("Not possible now, please try again later").with(Code::Unavailable)
            } else {
                Status::no("It has been logged, please try again").with(Code::ServerBug)
            }
        }
    }
}

pub(super) fn denied(denied: Denied) -> Status {
    match denied {
        Denied::NonExistent => non_existent(),
        Denied::AlreadyExists => {
            Status::no("There is a mailbox of that name already").with(Code::AlreadyExists)
        }
        Denied::HasChildren => Status::no("There are mailboxes in it").with(Code::HasChildren),
        Denied::NoRight => Status::no("Its owner has not given you the right to do that").with(Code::NoPerm),
        Denied::Cannot(why) => cannot(why),
        Denied::Limit => Status::no("There are too many mailboxes already").with(Code::Limit),
    }
}

pub(super) fn non_existent() -> Status {
    Status::no("There is no such mailbox").with(Code::NonExistent)
}

/// What is told of the selected mailbox: it may be somebody else's, who has taken all rights away just now.
pub(super) fn refused(error: Error) -> Status {
    match error {
        Error::NotFound(_) => barred(),
        error => refusal(error),
    }
}

/// The selected mailbox is somebody else's, who does not let it be read any more, or has removed it.
pub(super) fn barred() -> Status {
    Status::no("The selected mailbox is not shared with you for reading any more").with(Code::NoPerm)
}

pub(super) fn cannot(why: &'static str) -> Status {
    Status::no(why).with(Code::Cannot)
}

pub(super) fn no_perm() -> Status {
    Status::no("That is for the operator").with(Code::NoPerm)
}

pub(super) fn read_only() -> Status {
    Status::no("The mailbox was opened for reading only").with(Code::ReadOnly)
}

/// RFC 9586 §3: who has switched numbers off.
pub(super) fn uid_required() -> Status {
    Status::bad("There are no sequence numbers any more").with(Code::UidRequired)
}

pub(super) fn no_such_message() -> Status {
    Status::bad("There is no message of that number")
}
