//! Which command is legal in which state (RFC 9051 §6).

use super::State;
use crate::wire::Command;

/// Whether a command may be said now.
pub(super) enum Legal {
    Yes,
    No(&'static str),
}

/// When a command may be said.
enum When {
    Always,
    NotAuthenticated,
    Authenticated,
    Selected,
}

pub(super) fn now(command: &Command, state: State) -> Legal {
    match (when(command), state) {
        (_, State::Logout) => Legal::No("The conversation is over"),
        (When::Always, _)
        | (When::NotAuthenticated, State::NotAuthenticated)
        | (When::Authenticated, State::Authenticated | State::Selected)
        | (When::Selected, State::Selected) => Legal::Yes,
        (When::NotAuthenticated, State::Authenticated | State::Selected) => {
            Legal::No("You are logged in already")
        }
        (When::Authenticated | When::Selected, State::NotAuthenticated) => Legal::No("Log in first"),
        (When::Selected, State::Authenticated) => Legal::No("Select a mailbox first"),
    }
}

fn when(command: &Command) -> When {
    match command {
        Command::Capability | Command::Noop | Command::Logout | Command::Id(_) => When::Always,
        Command::StartTls | Command::Authenticate { .. } | Command::Login { .. } => When::NotAuthenticated,
        Command::Enable(_)
        | Command::Select(_)
        | Command::Create { .. }
        | Command::Delete(_)
        | Command::Rename { .. }
        | Command::Subscribe(_)
        | Command::Unsubscribe(_)
        | Command::List(_)
        | Command::Lsub { .. }
        | Command::Namespace
        | Command::Status { .. }
        | Command::Append { .. }
        | Command::Idle
        | Command::GetMetadata { .. }
        | Command::SetMetadata { .. }
        | Command::GetQuota(_)
        | Command::GetQuotaRoot(_)
        | Command::SetQuota
        | Command::MyRights(_)
        | Command::GetAcl(_)
        | Command::ListRights { .. }
        | Command::SetAcl(_)
        | Command::DeleteAcl { .. }
        | Command::Compress
        | Command::Unauthenticate => When::Authenticated,
        Command::MultiSearch(search) if search.is_of_selected() => When::Selected,
        Command::Notify(_) | Command::MultiSearch(_) => When::Authenticated,
        Command::Check
        | Command::CancelUpdate(_)
        | Command::Close
        | Command::Unselect
        | Command::Expunge
        | Command::UidExpunge(_)
        | Command::Search { .. }
        | Command::Sort { .. }
        | Command::Thread { .. }
        | Command::Fetch { .. }
        | Command::Store { .. }
        | Command::Copy { .. }
        | Command::Move { .. }
        | Command::Replace { .. } => When::Selected,
    }
}
