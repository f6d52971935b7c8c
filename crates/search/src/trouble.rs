//! What is wrong with an index in a folder, in words for whoever runs it.

use std::{
    io,
    path::{Path, PathBuf},
};

use storage::Error;
use tantivy::TantivyError;

/// What is wrong, and what to do about it; Tantivy's own words are the cause.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("another process has the search index {} open; stop it first", folder.display())]
    Locked { folder: PathBuf, source: TantivyError },
    #[error(
        "the search index {} is damaged; stop the server that has it open, and build it anew with `magpie index rebuild`",
        folder.display()
    )]
    Damaged { folder: PathBuf, source: TantivyError },
    #[error("the search index {} cannot be read or written", folder.display())]
    Failed { folder: PathBuf, source: TantivyError },
}

/// The port's error for one of the index in the folder.
pub(crate) fn trouble(folder: &Path, source: TantivyError) -> Error {
    let folder = folder.to_owned();
    match source {
        TantivyError::LockFailure(..) => Error::Unavailable(Trouble::Locked { folder, source }.into()),
        source if is_corrupt(&source) => {
            let cause = source.to_string();
            Error::Corrupt(format!("{}: {cause}", Trouble::Damaged { folder, source }))
        }
        TantivyError::IoError(ref error) => {
            let error = error.clone();
            Error::from_io_of(&error, Trouble::Failed { folder, source })
        }
        source => Error::Backend(Trouble::Failed { folder, source }.into()),
    }
}

/// Whether what is read is not what was written.
fn is_corrupt(error: &TantivyError) -> bool {
    use tantivy::directory::error::OpenReadError;
    match error {
        TantivyError::OpenReadError(OpenReadError::IoError { io_error: error, .. })
        | TantivyError::IoError(error) => {
            matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
        }
        TantivyError::DataCorruption(_) | TantivyError::DeserializeError(_) => true,
        _ => false,
    }
}

/// Whether the index has to be built anew, because trying again would not help.
pub(crate) fn is_damage(error: &TantivyError) -> bool {
    is_corrupt(error)
        || matches!(
            error,
            TantivyError::OpenReadError(_)
                | TantivyError::SchemaError(_)
                | TantivyError::FieldNotFound(_)
                | TantivyError::IncompatibleIndex(_)
                | TantivyError::InternalError(_)
        )
}
