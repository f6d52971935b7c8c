//! What went wrong, in words.

/// An error and what caused it. Databases and others tell their causes themselves, too: those are not told again.
pub(crate) fn in_words(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if told != cause && !told.ends_with(&format!(": {cause}")) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context as _;

    use super::*;

    /// As databases have it.
    #[derive(Debug, thiserror::Error)]
    #[error("it was not executed: {0}")]
    struct Telling(#[source] io::Error);

    #[test]
    fn a_cause_is_told_once() {
        let full = storage::Error::Full(Telling(io::ErrorKind::StorageFull.into()).into());
        let error = Err::<(), _>(full).context("the import").unwrap_err();
        let reason = io::Error::from(io::ErrorKind::StorageFull);
        let wanted = format!("the import: the storage is full: it was not executed: {reason}");
        assert_eq!(in_words(&error), wanted);
        assert_eq!(format!("{error:#}"), format!("{wanted}: {reason}"));
    }

    #[test]
    fn another_cause_that_ends_alike_is_told() {
        let error = anyhow::anyhow!("5").context("it ended with code 15").context("it ended with code 15");
        assert_eq!(in_words(&error), "it ended with code 15: 5");
    }
}
