//! Logs to standard error, metrics for Prometheus.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

use crate::config::{Format, Log};

/// Begins to log. Only the first call of a process does anything.
pub(crate) fn log(config: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(format!("{QUIET},{}", config.level))
        .map_err(|_| anyhow::anyhow!("log.level: it is not a level like \"info\""))?;
    let layer = fmt::layer().with_writer(std::io::stderr).with_target(true);
    // It tells of a closed standard error there, which would panic.
    let layer = layer.log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter);
    let begun = match config.format {
        Format::Text => registry.with(layer.with_ansi(false)).try_init(),
        Format::Json => registry.with(layer.json()).try_init(),
    };
    // A second server in the same process, as tests have it, logs where the first one does.
    let _ = begun;
    Ok(())
}

/// The metrics of this process, which all its servers share.
pub(crate) fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    let install = || {
        let batches = Matcher::Full("magpie_storage_batch_units".to_owned());
        let builder = PrometheusBuilder::new().set_buckets(&SECONDS).unwrap_or_default();
        let builder = builder.set_buckets_for_metric(batches, &UNITS).unwrap_or_default();
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        let _ = metrics::set_global_recorder(recorder);
        handle
    };
    HANDLE.get_or_init(install).clone()
}

/// The bounds of histograms, all but one of which measure durations in seconds.
const SECONDS: [f64; 12] = [0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The bounds of how many units share a commit.
const UNITS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// Libraries that tell every step at `info` or `debug`, each connection that an outage ends, or what is odd in others' HTML.
/// What the configuration says of one of them counts more.
const QUIET: &str = "sea_orm_migration=warn,sqlx=warn,sqlx::postgres::notice=error,sqlx_core::pool=error,tantivy=warn,\
    html5ever=error,hickory_proto=warn,hickory_resolver=warn,hickory_net=warn,rustls=warn,tokio_rustls=warn,h2=warn,\
    hyper_util=warn,reqwest=warn";
