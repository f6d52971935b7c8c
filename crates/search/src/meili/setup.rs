//! Making our index, and one that replaces it.
//!
//! The name of an index ends with the version of what is in it, so that versions never read each other's: while nodes of
//! a newer version fill theirs, older ones go on with their own. A rebuilt index is made beside, as `NAME-vN-next`, and
//! swapped with the one that is searched in a single task.

use std::{collections::VecDeque, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use meilisearch_sdk::{
    client::{Client, SwapIndexes},
    errors::{Error as SdkError, ErrorCode},
    indexes::{Index, IndexesQuery},
    settings::{
        FilterFeatureModes, FilterFeatures, FilterableAttribute, FilterableAttributesSettings,
        PaginationSetting, Settings, TypoToleranceSettings,
    },
    task_info::TaskInfo,
};
use serde::Deserialize;
use serde_json::Value;
use storage::{Error, Result};
use tokio::sync::Mutex;

use super::{
    ID, MeiliSearch, Server,
    encode::VERSION,
    error::{OpenError, REQUEST, into_error, within},
    tasks,
    url::MeiliUrl,
};
use crate::{Op, Opened, Rebuild};

/// The first version that compares texts in filters.
const LEAST: (u32, u32) = (1, 15);
const LEAST_SHOWN: &str = "1.15";
/// How long an answer may take while the index is looked for: whoever starts waits for it.
const ASKING: Duration = Duration::from_secs(10);
const MAX_INDEXES: usize = 10_000;
/// MeiliSearch would else give up looking after a second and a half, and say nothing of it.
const SEARCH_LIMIT_MS: u64 = 20_000;

/// The index of this version.
pub(super) fn uid(name: &str) -> String {
    format!("{name}-v{VERSION}")
}

fn next_uid(name: &str) -> String {
    format!("{}-next", uid(name))
}

impl MeiliSearch {
    /// Finds our index on the server. It is [fresh](Opened::fresh) until [`MeiliSearch::accept`] has made it.
    pub async fn open(url: &MeiliUrl) -> Result<Opened<Self>, OpenError> {
        let host = || url.host.clone();
        let failed =
            |error: &dyn std::error::Error| OpenError::Failed { host: host(), reason: one_line(error) };
        let client = Client::new(&url.host, url.key.as_ref().map(types::Secret::expose))
            .map_err(|error| failed(&error))?;
        let server = Server { client, name: url.index.clone() };
        is_meilisearch(&server.client, url).await?;
        let mut all = IndexesQuery::new(&server.client);
        all.with_limit(MAX_INDEXES);
        let uids = match request(server.client.list_all_indexes_raw_with(&all)).await {
            Ok(list) => Indexes::deserialize(list).map_err(|_| OpenError::Other { host: host() })?,
            Err(SdkError::Meilisearch(error)) if is_key(&error.error_code) => {
                return Err(OpenError::Key { host: host(), name: url.index.clone() });
            }
            Err(error) => return Err(failed(&error)),
        };
        let uids: Vec<_> = uids.results.into_iter().map(|index| index.uid).collect();
        if let Some(uid) =
            uids.iter().find(|uid| version(uid, &url.index).is_some_and(|number| number > VERSION))
        {
            return Err(OpenError::Newer { host: host(), uid: uid.clone() });
        }
        let fresh = !uids.contains(&uid(&url.index));
        if !fresh {
            settle(&server.client, &server.index()).await.map_err(|error| failed(&error))?;
        }
        Ok(Opened { search: Self { server: Arc::new(server) }, fresh })
    }

    /// Makes the [fresh](Opened::fresh) index, once the marks for it were reset.
    pub async fn accept(&self) -> Result<()> {
        create(&self.server.client, &self.server.index()).await
    }
}

#[derive(Deserialize)]
struct Indexes {
    results: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    uid: String,
}

/// Whether it answers as a MeiliSearch of a version that will do.
async fn is_meilisearch(client: &Client, url: &MeiliUrl) -> Result<(), OpenError> {
    let host = || url.host.clone();
    match request(client.health()).await {
        Ok(_) => {}
        Err(SdkError::HttpError(error)) => {
            return Err(OpenError::Unreachable { host: host(), reason: one_line(&error) });
        }
        Err(SdkError::Timeout) => {
            return Err(OpenError::Unreachable { host: host(), reason: "no answer in time".into() });
        }
        // Of whoever stands before it.
        Err(SdkError::MeilisearchCommunication(error)) if error.status_code >= 500 => {
            let reason = format!("it answers with {}", error.status_code);
            return Err(OpenError::Unreachable { host: host(), reason });
        }
        Err(_) => return Err(OpenError::Other { host: host() }),
    }
    // A key need not be allowed to ask for the version.
    let Ok(version) = request(client.get_version()).await else { return Ok(()) };
    let version = version.pkg_version;
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) < LEAST => {
            Err(OpenError::TooOld { host: host(), version, least: LEAST_SHOWN })
        }
        _ => Ok(()),
    }
}

/// The outcome of a request, with the client's own error.
async fn request<T>(request: impl Future<Output = Result<T, SdkError>>) -> Result<T, SdkError> {
    tokio::time::timeout(ASKING, request).await.unwrap_or(Err(SdkError::Timeout))
}

fn is_key(code: &ErrorCode) -> bool {
    matches!(code, ErrorCode::InvalidApiKey | ErrorCode::MissingAuthorizationHeader)
}

/// The version in an index's name, if it is one of ours.
fn version(uid: &str, name: &str) -> Option<u32> {
    uid.strip_prefix(name)?.strip_prefix("-v")?.parse().ok()
}

/// An error with its causes, in one line.
fn one_line(error: &dyn std::error::Error) -> String {
    let mut all = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        all = format!("{all}: {error}");
        cause = error.source();
    }
    all.replace('\n', " ")
}

/// Makes an index with our settings; fine if it is there.
async fn create(client: &Client, index: &Index) -> Result<()> {
    let task = within(REQUEST, client.create_index(&index.uid, Some(ID))).await?;
    match tasks::done(client, &task).await {
        // Another node was quicker, or the last time was cut off before the settings.
        Err(_) if within(REQUEST, client.get_raw_index(&index.uid)).await.is_ok() => {}
        outcome => outcome?,
    }
    settle(client, index).await
}

/// Gives the index our settings, if it has others.
async fn settle(client: &Client, index: &Index) -> Result<()> {
    let wanted = settings();
    if are_settled(&within(REQUEST, index.get_settings()).await?, &wanted)? {
        return Ok(());
    }
    let task = within(REQUEST, index.set_settings(&wanted)).await?;
    tasks::done(client, &task).await
}

fn are_settled(given: &Settings, wanted: &Settings) -> Result<bool> {
    let json = |settings| serde_json::to_value(settings).map_err(|error| Error::Backend(error.into()));
    let (given, wanted) = (json(given)?, json(wanted)?);
    Ok(is_within(&wanted, &given))
}

/// Whether whatever `wanted` says, `given` says too.
fn is_within(wanted: &Value, given: &Value) -> bool {
    match (wanted, given) {
        (Value::Null, _) => true,
        (Value::Object(wanted), Value::Object(given)) => {
            wanted.iter().all(|(name, wanted)| is_within(wanted, given.get(name).unwrap_or(&Value::Null)))
        }
        _ => wanted == given,
    }
}

/// Nothing is searched by MeiliSearch's own rules, nothing shown but ids; only filters and the order count.
fn settings() -> Settings {
    let filter = |name: &str, comparison| {
        FilterableAttribute::Settings(FilterableAttributesSettings {
            attribute_patterns: vec![name.to_owned()],
            features: FilterFeatures {
                facet_search: false,
                filter: FilterFeatureModes { equality: true, comparison },
            },
        })
    };
    Settings {
        ranking_rules: Some(vec!["sort".into()]),
        // Only what can be compared is kept in an order by which a beginning is found fast.
        filterable_attributes: Some(vec![filter(ID, true), filter("account", false), filter("words", true)]),
        sortable_attributes: Some(vec![ID.into()]),
        searchable_attributes: Some(vec![ID.into()]),
        displayed_attributes: Some(vec![ID.into()]),
        // A number that no index reaches, so that totals are exact.
        pagination: Some(PaginationSetting {
            max_total_hits: usize::try_from(u32::MAX).unwrap_or(usize::MAX),
        }),
        typo_tolerance: Some(TypoToleranceSettings {
            enabled: Some(false),
            ..TypoToleranceSettings::default()
        }),
        proximity_precision: Some("byAttribute".into()),
        search_cutoff_ms: Some(SEARCH_LIMIT_MS),
        ..Settings::default()
    }
}

/// An index that is built beside the one it is to replace.
pub(super) struct MeiliRebuild {
    server: Arc<Server>,
    next: Index,
    /// Oldest first.
    under_way: Mutex<VecDeque<TaskInfo>>,
}

/// MeiliSearch takes tasks that wait together, and a few large steps cost it far less than many small ones.
const TASKS_UNDER_WAY: usize = 32;

/// Makes the index that is to replace ours.
pub(super) async fn begin(server: Arc<Server>) -> Result<MeiliRebuild> {
    let next = server.client.index(next_uid(&server.name));
    remove(&server.client, &next).await?;
    create(&server.client, &next).await?;
    Ok(MeiliRebuild { server, next, under_way: Mutex::default() })
}

#[async_trait]
impl Rebuild for MeiliRebuild {
    async fn apply(&self, ops: Vec<Op>) -> Result<()> {
        let mut under_way = self.under_way.lock().await;
        under_way.extend(self.server.enqueue(&self.next, ops).await?);
        while under_way.len() > TASKS_UNDER_WAY {
            let Some(oldest) = under_way.pop_front() else { break };
            tasks::done(&self.server.client, &oldest).await?;
        }
        Ok(())
    }

    async fn take_over(self: Box<Self>) -> Result<()> {
        let client = &self.server.client;
        for task in self.under_way.into_inner() {
            tasks::done(client, &task).await?;
        }
        let current = self.server.index();
        // There is nothing to swap with if none was made before, or it was lost.
        create(client, &current).await?;
        let swap = SwapIndexes { indexes: (current.uid, self.next.uid.clone()), rename: None };
        let task = within(REQUEST, client.swap_indexes([&swap])).await?;
        tasks::done(client, &task).await?;
        remove(client, &self.next).await
    }
}

/// Removes an index; fine if there is none.
async fn remove(client: &Client, index: &Index) -> Result<()> {
    match request(client.get_raw_index(&index.uid)).await {
        Ok(_) => {
            let task = within(REQUEST, client.delete_index(&index.uid)).await?;
            tasks::done(client, &task).await
        }
        Err(SdkError::Meilisearch(error)) if error.error_code == ErrorCode::IndexNotFound => Ok(()),
        Err(error) => Err(into_error(error)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_tell_the_version() {
        for (uid, expected) in [
            ("magpie-v1", Some(1)),
            ("magpie-v12", Some(12)),
            ("magpie-v1-next", None),
            ("magpie", None),
            ("magpie2-v1", None),
            ("other-v1", None),
        ] {
            assert_eq!(version(uid, "magpie"), expected, "{uid}");
        }
    }

    #[test]
    fn settings_that_say_more_are_fine() {
        let check =
            |wanted, given, expected| assert_eq!(is_within(&wanted, &given), expected, "{wanted} {given}");
        check(json!({"a": null}), json!({"a": 1}), true);
        check(json!({"a": {"b": 1}}), json!({"a": {"b": 1, "c": 2}}), true);
        check(json!({"a": {"b": 1}}), json!({"a": {"b": 2}}), false);
        check(json!({"a": [1]}), json!({"a": [1, 2]}), false);
        check(json!({"a": 1}), json!({}), false);
    }
}
