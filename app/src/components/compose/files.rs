//! Files on their way to the server.

use leptos::{prelude::*, task::spawn_local};
use web_sys::{File, FileList};

use crate::{
    api::upload::upload,
    state::{Attached, AttachedState, Draft, Store},
};

/// Takes files in, and sends each.
pub(crate) fn add_files(draft: Draft, store: Store, files: &FileList) {
    for file in (0..files.length()).filter_map(|at| files.get(at)) {
        add(draft, store, file);
    }
}

fn add(draft: Draft, store: Store, file: File) {
    let key = draft.attachments.with_untracked(|all| all.iter().map(|one| one.key + 1).max().unwrap_or(0));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a size in bytes, whole and positive"
    )]
    let size = file.size() as u64;
    let attached = Attached { key, name: file.name(), size, state: AttachedState::Uploading(0.0) };
    draft.attachments.update(|all| all.push(attached));
    spawn_local(async move {
        let outcome = upload(&file, move |part| set(draft, key, AttachedState::Uploading(part))).await;
        let state = match outcome {
            Ok(uploaded) => AttachedState::Ready(uploaded.id.to_string()),
            Err(problem) => {
                if problem.kind() == types::ProblemKind::Unauthenticated {
                    store.complain(&problem);
                }
                AttachedState::Failed(problem)
            }
        };
        set(draft, key, state);
    });
}

/// Whether it is still wanted.
fn set(draft: Draft, key: u64, state: AttachedState) -> bool {
    let wanted = draft.attachments.with_untracked(|all| all.iter().any(|one| one.key == key));
    if wanted {
        draft.attachments.update(|all| {
            if let Some(attached) = all.iter_mut().find(|one| one.key == key) {
                attached.state = state;
            }
        });
    }
    wanted
}
