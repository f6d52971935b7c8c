//! One bucket: requests with their retries and time limits, and answers in terms of objects.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_sdk_s3::{
    Client,
    config::{
        BehaviorVersion, Builder, Credentials, Region, RequestChecksumCalculation,
        ResponseChecksumValidation, StalledStreamProtectionConfig, retry::RetryConfig,
        timeout::TimeoutConfig,
    },
    error::{ProvideErrorMetadata, SdkError},
    primitives::{ByteStream, DateTime},
    types::{ChecksumAlgorithm, Delete, MetadataDirective, ObjectIdentifier},
};
use bytes::Bytes;
use futures::future::BoxFuture;
use storage::{Error, Result};
use tokio_util::task::TaskTracker;
use types::Timestamp;

use super::{
    S3Keys, S3Limits, S3Url,
    breaker::{Breaker, News},
    fault::{Place, answer, fault},
    upload::give_up,
};

/// Clones are the same bucket.
#[derive(Clone)]
pub(crate) struct Bucket {
    pub(crate) client: Client,
    pub(crate) place: Arc<Place>,
    /// What goes on after its caller gave up: removing what it left.
    cleaners: TaskTracker,
    breaker: Arc<Breaker>,
}

/// An object without its content.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) key: String,
    pub(crate) size_bytes: u64,
    /// By the clock of S3, in whole seconds: finer times are in some answers only.
    pub(crate) modified: Timestamp,
}

/// What a read found.
pub(crate) enum Read {
    Missing,
    /// The object ends before the range begins.
    Beyond,
    Content {
        body: ByteStream,
        /// The size of the whole object.
        total_bytes: u64,
    },
}

/// What became of a request to remove objects.
pub(crate) enum Removal {
    Done,
    /// S3 answered, so it does nothing any more.
    Refused(Error),
    /// Nobody knows: it may still happen.
    Unknown(Error),
}

/// One page of a listing.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) objects: Vec<Object>,
    /// Where the next page begins.
    pub(crate) next: Option<String>,
}

/// To a dead host.
const CONNECT_TIME: Duration = Duration::from_secs(3);

impl Bucket {
    /// With what `config` says beside.
    pub(crate) fn new(url: &S3Url, keys: &S3Keys, limits: &S3Limits, config: Builder) -> Result<Self> {
        let region = url.region.clone().or_else(|| keys.region.clone());
        // Stores other than Amazon's have one region, and many do not look at its name.
        let region = region.or_else(|| url.endpoint.as_ref().map(|_| "us-east-1".to_owned()));
        let region = region.ok_or_else(|| {
            Error::Backend("no region: add `region=` to the URL, or set AWS_REGION in the environment".into())
        })?;
        let token = keys.session_token.as_ref().map(|token| token.expose().clone());
        let credentials =
            Credentials::new(keys.id.clone(), keys.secret.expose().clone(), token, None, "environment");
        let mut config = config
            .behavior_version(BehaviorVersion::v2026_01_12())
            .credentials_provider(credentials)
            .region(Region::new(region.clone()))
            .force_path_style(url.path_style)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            // Whole blobs are checked against their name, which is a stronger sum.
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(limits.attempts)
                    .with_initial_backoff(limits.first_pause)
                    .with_max_backoff(limits.attempt_time),
            )
            // What comes after the beginning of an answer.
            .stalled_stream_protection(
                StalledStreamProtectionConfig::enabled().grace_period(limits.attempt_time).build(),
            )
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIME)
                    .operation_attempt_timeout(limits.attempt_time)
                    .operation_timeout(limits.request_time)
                    .build(),
            );
        config.set_endpoint_url(url.endpoint.clone());
        let endpoint = url.endpoint.clone().unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let place = Place { bucket: url.bucket.clone(), endpoint, region };
        let client = Client::from_conf(config.build());
        let breaker = Arc::new(Breaker::new(limits.away_time));
        Ok(Self { client, place: Arc::new(place), cleaners: TaskTracker::new(), breaker })
    }

    pub(crate) fn name(&self) -> &str {
        &self.place.bucket
    }

    /// Makes a request, unless S3 is away. (Boxed, since the futures of the client are some 10 KB each.)
    pub(crate) fn ask<'a, T: Send + 'a, E: Send + 'a>(
        &'a self,
        request: impl Future<Output = Answered<T, E>> + Send + 'a,
    ) -> BoxFuture<'a, Answered<T, E>> {
        Box::pin(async move {
            if !self.breaker.lets_through() {
                let why = "it gave no answer just now; it is tried again soon";
                return Err(SdkError::construction_failure(why));
            }
            let answered = request.await;
            self.note(&answered);
            answered
        })
    }

    fn note<T, E>(&self, answered: &Answered<T, E>) {
        let endpoint = &self.place.endpoint;
        let news = match answered {
            Ok(_) | Err(SdkError::ServiceError(_)) => self.breaker.note(true),
            Err(SdkError::ConstructionFailure(_)) => None,
            Err(_) => self.breaker.note(false),
        };
        match news {
            Some(News::Away) => tracing::warn!(endpoint, "S3 gives no answer; going on without it"),
            Some(News::There) => tracing::info!(endpoint, "S3 answers again"),
            None => {}
        }
    }

    pub(crate) async fn head(&self, key: &str) -> Result<Option<Object>> {
        let asked = self.client.head_object().bucket(self.name()).key(key).send();
        let found = self.found(self.ask(asked).await)?;
        Ok(found.map(|head| Object {
            key: key.to_owned(),
            size_bytes: size(head.content_length()),
            modified: seconds(head.last_modified()),
        }))
    }

    /// The bytes from `start` to before `end`, where there are any.
    pub(crate) async fn read(&self, key: &str, start: u64, end: u64) -> Result<Read> {
        let range = match (start, end) {
            (0, u64::MAX) => None,
            (start, u64::MAX) => Some(format!("bytes={start}-")),
            (start, end) => Some(format!("bytes={start}-{}", end.saturating_sub(1))),
        };
        let asked = self.client.get_object().bucket(self.name()).key(key).set_range(range).send();
        let got = match self.ask(asked).await {
            Ok(got) => got,
            Err(error) => {
                return match answer(&error) {
                    Some(answer) if answer.is_missing() => Ok(Read::Missing),
                    Some(answer) if answer.status == 416 => Ok(Read::Beyond),
                    _ => Err(fault(&self.place, &error)),
                };
            }
        };
        // `bytes 0-9/1234`
        let total = got.content_range().and_then(|range| range.rsplit_once('/')?.1.parse().ok());
        let total_bytes = total.unwrap_or_else(|| size(got.content_length()));
        Ok(Read::Content { body: got.body, total_bytes })
    }

    pub(crate) async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        let put = self.client.put_object().bucket(self.name()).key(key);
        let put = put.checksum_algorithm(ChecksumAlgorithm::Crc32C).body(bytes.into());
        self.done(self.ask(put.send()).await)
    }

    /// Copies within S3; whether the first was there. An object that is copied onto itself only becomes new.
    pub(crate) async fn copy(&self, from: &str, to: &str) -> Result<bool> {
        let copy = self.client.copy_object().bucket(self.name()).key(to);
        let copy = copy.copy_source(format!("{}/{from}", self.name()));
        // Without a change of its metadata S3 does not copy an object onto itself.
        let copied = self.ask(copy.metadata_directive(MetadataDirective::Replace).send());
        Ok(self.found(copied.await)?.is_some())
    }

    /// Removes what is there of this.
    pub(crate) async fn remove(&self, key: &str) -> Result<()> {
        self.done(self.ask(self.client.delete_object().bucket(self.name()).key(key).send()).await)
    }

    /// Removes at most 1000 objects by one request, which is made once only and says whether it can still take effect.
    pub(crate) async fn remove_all(&self, keys: Vec<String>) -> Removal {
        let objects: Result<Vec<_>, _> =
            keys.into_iter().map(|key| ObjectIdentifier::builder().key(key).build()).collect();
        let delete =
            objects.and_then(|objects| Delete::builder().set_objects(Some(objects)).quiet(true).build());
        let delete = match delete {
            Ok(delete) => delete,
            Err(error) => return Removal::Refused(Error::Backend(error.into())),
        };
        let once = Builder::new().retry_config(RetryConfig::disabled());
        let asked = self.client.delete_objects().bucket(self.name()).delete(delete);
        match self.ask(asked.customize().config_override(once).send()).await {
            Ok(answer) => match answer.errors().first() {
                None => Removal::Done,
                Some(error) => Removal::Refused(Error::Backend(
                    format!(
                        "S3 at {} does not remove {}: {} {}",
                        self.place.endpoint,
                        error.key().unwrap_or_default(),
                        error.code().unwrap_or_default(),
                        error.message().unwrap_or_default()
                    )
                    .into(),
                )),
            },
            Err(error) if was_refused(&error) => Removal::Refused(fault(&self.place, &error)),
            Err(error) => Removal::Unknown(fault(&self.place, &error)),
        }
    }

    /// One page of the objects whose keys begin like this, in the order of their keys.
    pub(crate) async fn list(&self, prefix: &str, from: Option<String>) -> Result<Page> {
        let asked = self.client.list_objects_v2().bucket(self.name()).prefix(prefix);
        let page = self.ask(asked.set_continuation_token(from).send()).await;
        let page = page.map_err(|error| fault(&self.place, &error))?;
        let objects = page.contents().iter().map(|object| Object {
            key: object.key().unwrap_or_default().to_owned(),
            size_bytes: size(object.size()),
            modified: seconds(object.last_modified()),
        });
        let next = page.next_continuation_token().filter(|_| page.is_truncated() == Some(true));
        Ok(Page { objects: objects.collect(), next: next.map(str::to_owned) })
    }

    /// All of them, where there are few.
    pub(crate) async fn list_all(&self, prefix: &str) -> Result<Vec<Object>> {
        let mut page = self.list(prefix, None).await?;
        let mut all = page.objects;
        while page.next.is_some() {
            page = self.list(prefix, page.next).await?;
            all.append(&mut page.objects);
        }
        Ok(all)
    }

    /// Gives up uploads that began before this and were neither finished nor given up. Not every store can list them.
    pub(crate) async fn give_up_uploads(&self, prefix: &str, before_seconds: i64) {
        let asked = self.client.list_multipart_uploads().bucket(self.name()).prefix(prefix).send();
        let left = match self.ask(asked).await {
            Ok(left) => left,
            Err(error) => {
                tracing::debug!(error = %fault(&self.place, &error), "no list of unfinished uploads");
                return;
            }
        };
        for upload in
            left.uploads().iter().filter(|upload| seconds(upload.initiated()).seconds() < before_seconds)
        {
            if let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) {
                give_up(self, key, id.to_owned()).await;
            }
        }
    }

    /// An object that is removed when this is dropped. Nothing need be there yet.
    pub(crate) fn temporary(&self, key: String) -> Temporary {
        Temporary { bucket: self.clone(), key, stays: AtomicBool::new(false) }
    }

    /// Does this after the caller is gone. If the program ends meanwhile, a later start does it.
    pub(crate) fn clean(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.cleaners.spawn_on(work, &runtime);
        }
    }

    /// `None` if there is no such object.
    fn found<T, E>(&self, answered: Answered<T, E>) -> Result<Option<T>>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match answered {
            Ok(found) => Ok(Some(found)),
            Err(error) if answer(&error).is_some_and(|answer| answer.is_missing()) => Ok(None),
            Err(error) => Err(fault(&self.place, &error)),
        }
    }

    pub(crate) fn done<T, E>(&self, answered: Answered<T, E>) -> Result<()>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        answered.map(drop).map_err(|error| fault(&self.place, &error))
    }
}

/// Whether S3 did nothing, and will do nothing. What is between it and us may give up on it, and say so as a 5xx.
fn was_refused<E: ProvideErrorMetadata>(error: &SdkError<E, aws_sdk_s3::config::http::HttpResponse>) -> bool {
    matches!(error, SdkError::ConstructionFailure(_))
        || answer(error).is_some_and(|answer| answer.status < 500 || answer.code == "SlowDown")
}

/// See [`Bucket::temporary`].
pub(crate) struct Temporary {
    bucket: Bucket,
    key: String,
    stays: AtomicBool,
}

impl Temporary {
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// From now on it stays when this is dropped, or not.
    pub(crate) fn keep(&self, stays: bool) {
        self.stays.store(stays, Ordering::Relaxed);
    }

    /// Removes it; it is gone when this returns.
    pub(crate) async fn remove(self) -> Result<()> {
        let removed = self.bucket.remove(&self.key).await;
        self.keep(removed.is_ok());
        removed
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if *self.stays.get_mut() {
            return;
        }
        let (bucket, key) = (self.bucket.clone(), std::mem::take(&mut self.key));
        self.bucket.clean(async move {
            if let Err(error) = bucket.remove(&key).await {
                tracing::warn!(key, %error, "an object that nobody needs was not removed");
            }
        });
    }
}

type Answered<T, E> = Result<T, SdkError<E, aws_sdk_s3::config::http::HttpResponse>>;

fn size(length: Option<i64>) -> u64 {
    length.and_then(|length| u64::try_from(length).ok()).unwrap_or_default()
}

fn seconds(time: Option<&DateTime>) -> Timestamp {
    time.map_or(Timestamp::default(), |time| Timestamp::from_seconds(time.secs()))
}
