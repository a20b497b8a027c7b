//! The configuration check of a real server (`nats-server -t`).

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::LazyLock;
use vstream_jwt::dev::{DEFAULT_VERSION, nats_server};
use vstream_jwt::model::mapping::RawMapping;

/// The verdicts are those of this version; older ones know fewer functions.
pub static SERVER: LazyLock<std::path::PathBuf> = LazyLock::new(|| nats_server(None, Some(DEFAULT_VERSION)).unwrap());

/// Returns the server's message about a configuration; empty if it accepts it.
pub fn check(configuration: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.conf");
    std::fs::write(&file, configuration).unwrap();
    let output = Command::new(&*SERVER).arg("-t").arg("-c").arg(&file).output().unwrap();
    if output.status.success() { String::new() } else { String::from_utf8_lossy(&output.stderr).into_owned() }
}

/// Returns the server's message about each mapping, or `None` if it accepts it. Each mapping is in its own account, on
/// its own line.
pub fn verdicts(mappings: &[RawMapping]) -> Vec<Option<String>> {
    let mut configuration = String::from("accounts {\n");
    for (index, RawMapping { source, destinations }) in mappings.iter().enumerate() {
        let destinations: Vec<String> = destinations
            .iter()
            .map(|d| {
                let cluster = d.cluster.as_ref().map(|c| format!(", cluster: {}", quoted(c))).unwrap_or_default();
                format!("{{destination: {}, weight: {}{cluster}}}", quoted(&d.subject), d.weight)
            })
            .collect();
        configuration.push_str(&format!(
            "A{index} {{ mappings {{ {}: [{}] }} }}\n",
            quoted(source),
            destinations.join(", ")
        ));
    }
    configuration.push_str("}\n");
    let said = check(&configuration);
    let mut by_line = BTreeMap::new();
    for line in said.lines() {
        let Some((_, rest)) = line.split_once("server.conf:") else { continue };
        let (number, message) = rest.split_once(':').unwrap();
        by_line.entry(number.parse::<usize>().unwrap()).or_insert_with(|| message.to_owned());
    }
    (0..mappings.len()).map(|index| by_line.remove(&(index + 2))).collect()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
