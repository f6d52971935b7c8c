//! Signatures on mail that leaves.

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use storage::QueueEntry;
use types::{EmailAddress, QueueId};

use super::Worker;
use super::attempt::Fate;
use crate::Reply;

/// Signs mail that leaves for another server.
#[async_trait]
pub trait Signer: Send + Sync {
    /// Header fields to put before the mail, each with its CRLF; none for mail that is not ours to sign. It is asked for
    /// every destination of an entry, and may remember what it said.
    async fn sign(
        &self,
        entry: QueueId,
        return_path: Option<&EmailAddress>,
        mail: &Bytes,
    ) -> Result<Bytes, Unsigned>;
}

/// The keys were not to be had: the mail has to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsigned(pub String);

impl Worker {
    /// The mail as it leaves.
    pub(super) async fn signed(&self, entry: &QueueEntry, mail: Bytes) -> Result<Bytes, Fate> {
        let Some(signer) = &self.0.signer else { return Ok(mail) };
        match signer.sign(entry.id, entry.return_path.as_ref(), &mail).await {
            Ok(fields) if fields.is_empty() => Ok(mail),
            Ok(fields) => {
                let mut signed = BytesMut::with_capacity(fields.len() + mail.len());
                signed.put_slice(&fields);
                signed.put_slice(&mail);
                Ok(signed.freeze())
            }
            Err(Unsigned(reason)) => {
                tracing::error!(reason, "the mail cannot be signed");
                Err(Fate::Tried(
                    Reply::ours("4.3.0", "Our own keys were not to be had; it is tried again").into_outcome(),
                ))
            }
        }
    }
}
