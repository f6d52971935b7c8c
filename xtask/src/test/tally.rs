//! Counts what the test runners report.

use std::process::Command;

use crate::command;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: u64,
}

impl Tally {
    /// Runs a test runner and adds up its closing lines. One that fails without a failed test counts as one.
    pub(super) fn watch(&mut self, command: &mut Command) -> anyhow::Result<()> {
        let before = self.failed;
        let succeeded = command::watch(command, |line| self.line(line))?;
        if !succeeded && self.failed == before {
            self.failed += 1;
        }
        Ok(())
    }

    /// Reads the closing lines of libtest, nextest and Playwright.
    fn line(&mut self, line: &str) {
        let line = line.trim();
        let closing = line.starts_with("test result:")
            || line.starts_with("Summary [")
            || line
                .split_once(' ')
                .is_some_and(|(count, rest)| count.parse::<u64>().is_ok() && playwright(rest));
        if !closing {
            return;
        }
        let words: Vec<_> = line.split([' ', ',', ';']).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let [count, what] = pair else { continue };
            let Ok(count) = count.parse::<u64>() else { continue };
            match *what {
                // Playwright calls a test flaky that passed when it was tried again, and names it in its output.
                "passed" | "flaky" => self.passed += count,
                "failed" => self.failed += count,
                _ => {}
            }
        }
    }
}

/// `3 passed (12.1s)`, `1 failed`, `1 flaky`: each on a line of its own.
fn playwright(rest: &str) -> bool {
    rest == "failed"
        || rest == "flaky"
        || rest == "passed"
        || (rest.starts_with("passed (") && rest.ends_with(')'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_added_up() {
        check(
            "test result: ok. 5 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s",
            5,
            1,
        );
        check("     Summary [   3.214s] 120 tests run: 118 passed, 2 failed, 1 skipped", 118, 2);
        check("     Summary [   3.214s] 12 tests run: 12 passed (1 slow), 0 skipped", 12, 0);
        check("  14 passed (1.2m)", 14, 0);
        check("  2 failed", 0, 2);
        check("  1 flaky", 1, 0);
        check("test tally::tests::closing_lines_are_added_up ... ok", 0, 0);
        check("  3 passed on the way home", 0, 0);
    }

    fn check(line: &str, passed: u64, failed: u64) {
        let mut tally = Tally::default();
        tally.line(line);
        assert_eq!(tally, Tally { passed, failed }, "{line}");
    }
}
