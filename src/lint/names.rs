//! Names of virtual streams whose entries would capture requests about other streams.

use super::LintInput;
use super::report::AccountFindings;
use crate::desired::api;
use crate::model::finding::Finding;

/// Reports names that are tokens of the API's subjects. Their entries would capture requests about other streams.
pub(super) fn check(input: &LintInput<'_>, report: &mut AccountFindings<'_>) {
    for name in input.virtual_streams.iter().filter(|name| api::reserved_names().contains(*name)) {
        report.findings.push(Finding::error(
            "reserved-name",
            format!("account {}, virtual stream {name}", input.account),
            format!(
                "`{name}` is a token of the JetStream API's subjects: its entries, such as \
                 `$JS.API.CONSUMER.*.{name}.>`, could take requests about other streams"
            ),
            "Give the virtual stream another name; lower case is always free.",
        ));
    }
}
