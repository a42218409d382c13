//! The benches, and a table of what they measured.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::step::{cargo, run as run_command, step, target_dir};

/// Within a group, the bench that every other one is compared with.
const FLOOR: &str = "floor";

/// Runs the benches whose names contain `filter`, unless only a report is asked for, and prints the table.
pub fn run(filter: Option<&str>, report: Report) -> Result<()> {
    if report == Report::AfterRunning {
        step("cargo bench", || {
            run_command(cargo().args(["bench", "--package", "tidegate-benches", "--"]).args(filter))
        })?;
    }
    print_table(&measured(&target_dir().join("criterion"))?);
    Ok(())
}

/// Whether to measure first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// Yes.
    AfterRunning,
    /// No: what was measured last time.
    OfLastRun,
}

/// Median nanoseconds by group and bench.
type Measured = BTreeMap<String, BTreeMap<String, f64>>;

/// Reads criterion's folders: `<group>/<bench>/new/{benchmark,estimates}.json`.
fn measured(folder: &Path) -> Result<Measured> {
    let mut measured = Measured::new();
    let groups =
        fs::read_dir(folder).with_context(|| format!("nothing was measured yet: {} is missing", folder.display()))?;
    for group in groups {
        let group = group?.path();
        if !group.is_dir() {
            continue;
        }
        for bench in fs::read_dir(group)? {
            let results = bench?.path().join("new");
            let (Ok(benchmark), Ok(estimates)) =
                (fs::read(results.join("benchmark.json")), fs::read(results.join("estimates.json")))
            else {
                continue;
            };
            let benchmark: Value = serde_json::from_slice(&benchmark)?;
            let estimates: Value = serde_json::from_slice(&estimates)?;
            let group = benchmark.pointer("/group_id").and_then(Value::as_str).unwrap_or_default();
            let bench = benchmark.pointer("/function_id").and_then(Value::as_str).unwrap_or(group);
            let median = estimates.pointer("/median/point_estimate").and_then(Value::as_f64);
            if let Some(median) = median {
                measured.entry(group.to_owned()).or_default().insert(bench.to_owned(), median);
            }
        }
    }
    Ok(measured)
}

#[expect(clippy::print_stdout, reason = "the table is what was asked for")]
fn print_table(measured: &Measured) {
    println!("| group | bench | median | to the floor |");
    println!("|---|---|--:|--:|");
    for (group, benches) in measured {
        let floor = benches.get(FLOOR);
        for (bench, median) in benches {
            let ratio = floor.filter(|_| bench != FLOOR).map(|floor| format!("{:.2} ×", median / floor));
            println!("| {group} | {bench} | {} | {} |", duration(*median), ratio.unwrap_or_default());
        }
    }
}

fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        ..1e3 => format!("{nanoseconds:.1} ns"),
        ..1e6 => format!("{:.2} µs", nanoseconds / 1e3),
        ..1e9 => format!("{:.2} ms", nanoseconds / 1e6),
        _ => format!("{:.2} s", nanoseconds / 1e9),
    }
}
