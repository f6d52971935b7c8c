//! Uploads.

use std::{sync::Arc, time::Duration};

use types::{BlobId, UploadId};

use super::kit::{Kit, NOW, random};
use crate::{Shards, Upload};

pub(super) async fn run(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let account = kit.account;
    let upload = |blob: u8, age: u64| Upload {
        account,
        id: UploadId::at(NOW, random()),
        filename: "보고서.pdf".to_owned(),
        content_type: "application/pdf".to_owned(),
        size_bytes: 70_000,
        blob: BlobId([blob; 32]),
        created_at: NOW.minus(Duration::from_secs(age)),
    };
    let (old, fresh, taken) = (upload(101, 100), upload(102, 0), upload(103, 0));
    for upload in [old.clone(), fresh.clone(), taken.clone()] {
        kit.write(move |tx| {
            let upload = upload.clone();
            Box::pin(async move { tx.add_upload(upload).await })
        })
        .await
        .unwrap();
    }
    let mut snapshot = kit.read().await;
    assert_eq!(snapshot.upload(account, old.id).await.unwrap(), Some(old.clone()));
    assert_eq!(snapshot.blobs_in_use(&[old.blob, BlobId([100; 32])]).await.unwrap(), [old.blob]);
    let before = NOW.minus(Duration::from_secs(50));
    let id = taken.id;
    let expired = kit.write(move |tx| {
        Box::pin(async move {
            tx.remove_upload(account, id).await?;
            tx.expire_uploads(before).await
        })
    });
    assert_eq!(expired.await.unwrap(), 1);
    assert_eq!(
        snapshot.upload(account, old.id).await.unwrap(),
        Some(old.clone()),
        "the snapshot stays as it was"
    );
    let mut snapshot = kit.read().await;
    assert_eq!(snapshot.upload(account, old.id).await.unwrap(), None);
    assert_eq!(snapshot.upload(account, taken.id).await.unwrap(), None);
    assert_eq!(snapshot.upload(account, fresh.id).await.unwrap(), Some(fresh));
}
