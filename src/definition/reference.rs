//! Tables of the reference, from the keys and the tables of fields.

use super::fields::{BucketTable, ConsumerTable, Field, LimitTable, ReadTable, Rule, Table, WriteTable};
use super::raw;
use super::read::{Key, Keys, yaml_name};
use std::fmt::Write as _;

/// Returns all keys and fields of a definition as Markdown tables.
pub fn reference() -> String {
    let mut text = String::new();
    for (title, keys) in [
        ("Top level", raw::Document::KEYS),
        ("`resolver`", raw::Resolver::KEYS),
        ("`system`", raw::SystemAccess::KEYS),
        ("`tls`, `regions.<name>.tls`", raw::Tls::KEYS),
        ("`regions.<name>`", raw::Region::KEYS),
        ("`stretch`", raw::Stretch::KEYS),
        ("`accounts.<name>`", raw::Account::KEYS),
        ("`accounts.<name>.regional_accounts.<region>`", raw::RegionalAccount::KEYS),
        ("`accounts.<name>.virtual_streams.<name>`", raw::VirtualStream::KEYS),
        ("`names`", raw::Names::KEYS),
    ] {
        keys_table(&mut text, title, keys);
    }
    fields_table::<WriteTable>(&mut text, "`write`");
    fields_table::<ReadTable>(&mut text, "`read`");
    fields_table::<ConsumerTable>(&mut text, "`consumers.<name>`");
    fields_table::<BucketTable>(&mut text, "`bucket`");
    fields_table::<LimitTable>(&mut text, "`regional_limits`");
    text
}

fn keys_table(text: &mut String, title: &str, keys: &[Key]) {
    let _ = write!(text, "### {title}\n\n| key | type | what it does |\n|---|---|---|\n");
    for key in keys {
        let doc: Vec<&str> = key.doc.iter().map(|line| line.trim()).collect();
        let what = key.what.strip_prefix("a ").unwrap_or(key.what);
        let _ = writeln!(text, "| `{}` | {what} | {} |", yaml_name(key.name), doc.join(" "));
    }
    text.push('\n');
}

fn fields_table<T: Table>(text: &mut String, title: &str) {
    let _ = write!(text, "### {title}: fields of {}\n\n| field | type | what it does |\n|---|---|---|\n", T::OF);
    if T::REGIONS {
        text.push_str("| `regions` | list | Regions that have it. Default: all. |\n");
    }
    let fields = T::fields();
    for Field { name, shape, rule, doc } in &fields {
        let (shape, note) = match rule {
            Rule::Allowed => (shape.describe(), String::new()),
            Rule::Only(fixed, _) => (format!("only `{}`", fixed.text()), String::new()),
            Rule::OneRegion(why) => (shape.describe(), format!(" Only with one region: {why}.")),
            Rule::Refused(_) => continue,
        };
        let _ = writeln!(text, "| `{name}` | {shape} | {doc}{note} |");
    }
    if T::EXTRA {
        text.push_str("| `extra` | mapping | Fields of newer servers, passed on as they are. |\n");
    }
    text.push_str("\nRefused:\n\n");
    for field in &fields {
        if let Rule::Refused(why) = field.rule {
            let _ = writeln!(text, "- `{}`: {why}.", field.name);
        }
    }
    text.push('\n');
}
