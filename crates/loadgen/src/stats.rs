//! Times, and what they come to.

use std::time::Duration;

use serde_json::{Value, json};

/// How long each of many like operations took.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Median and tail in milliseconds.
    pub(crate) fn figures(mut self) -> Value {
        self.0.sort_unstable();
        json!({ "n": self.0.len(), "p50_ms": self.at(50), "p95_ms": self.at(95), "p99_ms": self.at(99) })
    }

    fn at(&self, percent: usize) -> Option<f64> {
        let index = (self.0.len().checked_sub(1)? * percent).div_ceil(100);
        self.0.get(index).map(|time| round(time.as_secs_f64() * 1e3))
    }
}

/// Two digits behind the point are all that means something.
pub(crate) fn round(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let figures = Times((1..=100).rev().map(Duration::from_millis).collect()).figures();
        assert_eq!(figures, json!({ "n": 100, "p50_ms": 51.0, "p95_ms": 96.0, "p99_ms": 100.0 }));
        assert_eq!(Times::default().figures()["p50_ms"], Value::Null);
    }
}
