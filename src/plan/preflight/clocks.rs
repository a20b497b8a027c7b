//! Compares the servers' clocks with each other, and with this machine's clock.

use crate::model::finding::Finding;
use crate::model::units::format_duration;
use crate::observed::{ClockOffset, Deployment};

/// Seconds that a clock, or a token's date, may be off before the run stops.
pub const CLOCK_SKEW: u64 = 300;

/// Milliseconds within which clocks count as equal. NTP keeps them within a few milliseconds.
const CLOSE: i64 = 10_000;

/// Finds clocks that certainly differ, even if the answers took long.
pub(super) fn clocks(deployment: &Deployment) -> Vec<Finding> {
    let told: Vec<(&str, ClockOffset)> =
        deployment.servers.iter().filter_map(|server| Some((server.name.as_str(), server.clock?))).collect();
    let mut middles: Vec<i64> = told.iter().map(|(_, clock)| i64::midpoint(clock.least, clock.most)).collect();
    middles.sort_unstable();
    let Some(&middle) = middles.get(middles.len() / 2) else { return Vec::new() };
    let mut findings = Vec::new();
    let ours: Vec<i64> = told.iter().map(|(_, clock)| certain(*clock, 0)).filter(|off| off.abs() > CLOSE).collect();
    let same_way = |ahead: bool| ours.iter().filter(|off| (**off > 0) == ahead).count();
    if same_way(true).max(same_way(false)) * 2 > told.len() {
        let way = if middle > 0 { "behind" } else { "ahead of" };
        let message = format!(
            "its clock is {} {way} that of the servers: tokens that are signed here get a wrong date, so that they \
             wrongly win or lose against other tools' pushes, and users that are made here expire at another time",
            text(middle)
        );
        findings.push(finding("this machine".to_owned(), message, middle, "Set the clock of this machine (NTP)."));
    }
    let off: Vec<(&str, i64)> = told
        .iter()
        .map(|(name, clock)| (*name, certain(*clock, middle)))
        .filter(|(_, off)| off.abs() > CLOSE)
        .collect();
    if let Some((_, worst)) = off.iter().max_by_key(|(_, off)| off.abs()) {
        let names: Vec<&str> = off.iter().map(|(name, _)| *name).collect();
        let each: Vec<String> = off
            .iter()
            .map(|(name, off)| format!("{name} is {} {}", text(*off), if *off > 0 { "ahead" } else { "behind" }))
            .collect();
        let message = format!(
            "against the other servers' clocks {}: messages (`max_age`), tokens and users expire at another time there",
            each.join(", ")
        );
        let kind = if names.len() == 1 { "server" } else { "servers" };
        let place = format!("{kind} {}", names.join(", "));
        findings.push(finding(place, message, *worst, "Set the clocks of these servers' machines (NTP)."));
    }
    findings
}

/// Returns the smallest possible difference of a clock from `middle`, in milliseconds; 0 if they may be equal.
fn certain(ClockOffset { least, most }: ClockOffset, middle: i64) -> i64 {
    match (least - middle, most - middle) {
        (least, _) if least > 0 => least,
        (_, most) if most < 0 => most,
        _ => 0,
    }
}

fn text(millis: i64) -> String {
    format_duration(millis.abs() / 1000 * 1_000_000_000)
}

fn finding(place: String, message: String, off: i64, next: &str) -> Finding {
    match off.unsigned_abs() > CLOCK_SKEW * 1000 {
        true => Finding::error("clocks-differ", place, message, format!("{next} Or go on: `--allow clocks-differ`.")),
        false => Finding::warning("clocks-differ", place, message, next),
    }
}
