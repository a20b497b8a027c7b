//! `init`: writes a new project, with a commented definition and a keys folder.

pub mod running;

use crate::files::{self, FileAccess};
use crate::model::nkey::PublicKey;
use crate::model::shown::is_hidden;
use crate::model::topology::Tls;
use crate::nsc::{Survey, Surveyed};
use running::{Cluster, Running};
use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::io;
use std::path::{Path, PathBuf};

/// The commented definition.
pub const EXAMPLE: &str = include_str!("vstream.yaml");
const README: &str = include_str!("keys-README.md");
const IGNORE: &str = "# Seeds and credentials stay out of version control.\n*\n!.gitignore\n!README.md\n";

/// Reason why there is no new project.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The definition exists already.
    #[error("{0} exists already; nothing was written")]
    Exists(PathBuf),
    /// A file or folder cannot be made.
    #[error("cannot write {path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

/// Writes `vstream.yaml` and `keys/` to `folder`, and makes the folder if needed. Returns the written files. Overwrites
/// nothing. Fills in facts from an nsc store and a running deployment.
///
/// # Errors
/// [`InitError`]
pub fn init(folder: &Path, store: Option<&Survey>, running: Option<&Running>) -> Result<Vec<PathBuf>, InitError> {
    let text = filled_in(store, running);
    let definition = free(folder)?;
    let keys = folder.join("keys");
    make_private(&keys).map_err(|source| InitError::Io { path: keys.clone(), source })?;
    let mut written = Vec::new();
    for (path, text) in [(keys.join(".gitignore"), IGNORE), (keys.join("README.md"), README), (definition, &text)] {
        match files::create(&path, FileAccess::Usual, &[text.as_bytes()]) {
            Ok(()) => written.push(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(InitError::Io { path, source }),
        }
    }
    Ok(written)
}

/// Returns the path of the future definition.
///
/// # Errors
/// [`InitError::Exists`]
pub fn free(folder: &Path) -> Result<PathBuf, InitError> {
    let definition = folder.join("vstream.yaml");
    match definition.symlink_metadata() {
        Ok(_) => Err(InitError::Exists(definition)),
        Err(_) => Ok(definition),
    }
}

/// Returns the definition, filled in with facts from a store and from the servers. If there is a store, the operator
/// and the accounts come from it. A context that was used to reach the servers is also for the system account.
fn filled_in(store: Option<&Survey>, running: Option<&Running>) -> String {
    let mut text = EXAMPLE.to_owned();
    let mut fill = |blank: &str, with: &str| {
        debug_assert!(text.contains(blank), "the example has no `{blank}`");
        text = text.replacen(blank, with, 1);
    };
    match (store, running.and_then(|running| running.operator.as_ref())) {
        (Some(store), _) => fill(
            "# operator: O...\n",
            &format!(
                "operator: {}\n\n# What is pushed is written back here, so that a later `nsc push` does not undo it.\nnsc_store: {}\n",
                store.operator.identity,
                scalar(&store.folder.display().to_string())
            ),
        ),
        (None, Some(operator)) => fill(
            "# operator: O...\n",
            &format!(
                "# The servers report this operator. Compare it with `nsc describe operator`, then remove the `#`.\n\
                 # operator: {operator}\n"
            ),
        ),
        (None, None) => {}
    }
    let system = running.map(|running| format!("  context: {}\n", scalar(&running.context)));
    let system = system.or_else(|| Some(access(store?.system.as_ref()?, "  ")));
    system.iter().for_each(|system| fill("  credentials: keys/sys.creds\n", system));
    if let Some(running) = running {
        if let Some(tls) = &running.tls {
            fill("\n# tls: {", &format!("\n{}\n# tls: {{", tls_of(tls)));
        }
        fill(&example_regions(), &regions(running));
    }

    // The first account and the others, each with its lines about the user's login.
    let mut accounts: Vec<(&str, &PublicKey, String)> = match (store, running) {
        (Some(store), _) => store.accounts.iter().map(|one| (&*one.name, &one.id, access(one, "    "))).collect(),
        (None, Some(running)) => {
            let login = "    # FILL IN credentials of one of its users, or `key: FILE`, a signing key of it.\n    credentials: keys/app.creds\n";
            running.accounts.iter().map(|(name, id)| (&**name, id, login.to_owned())).collect()
        }
        (None, None) => Vec::new(),
    };
    if accounts.is_empty() {
        return text;
    }
    let (name, id, login) = accounts.remove(0);
    let blank = "    # FILL IN the account's public key (A and 55 more characters): `nsc describe account APP` shows it.\n    id: A...\n";
    fill(&format!("{blank}    credentials: keys/app.creds\n"), &format!("    id: {id}\n{login}"));
    let named = Some(token(name)).filter(|name| !name.is_empty()).unwrap_or_else(|| "APP".to_owned());
    let mut named = format!("accounts:\n  {}:\n", scalar(&named));
    if !accounts.is_empty() {
        let whence = if store.is_some() { "the store" } else { "the deployment" };
        let mut choice = format!("# FILL IN which account has virtual streams; {whence} also has\n");
        for (name, id, login) in &accounts {
            choice.push_str(&format!("#   {}: {id}\n", scalar(name)));
            if store.is_some() {
                login.lines().for_each(|line| choice.push_str(&format!("# {line}\n")));
            }
        }
        named.insert_str(0, &choice);
    }
    fill("accounts:\n  APP:\n", &named);
    text
}

/// Returns the regions of the example, from their comment to the last server.
fn example_regions() -> String {
    let from = EXAMPLE.find("# FILL IN your regions").unwrap_or_default();
    let to = EXAMPLE.find("\n# clusters_without_clients").unwrap_or(from);
    EXAMPLE[from..to].to_owned()
}

/// Returns a region for each cluster with JetStream. Comments list the other clusters, and what could not be read.
fn regions(running: &Running) -> String {
    let (with, without): (Vec<&Cluster>, Vec<&Cluster>) = running.clusters.iter().partition(|one| one.has_jetstream);
    let mut lines = Vec::new();
    for lack in &running.lacks {
        lines.push(format!("# FILL IN what is missing here: {}.", scalar(lack)));
    }
    for cluster in without {
        lines.push(format!(
            "# FILL IN: cluster {} has no JetStream. Add it to `serves:` of the region that its clients use, or to\n# \
             `clusters_without_clients`.",
            scalar(&cluster.name)
        ));
    }
    if with.is_empty() {
        return lines.into_iter().map(|line| line + "\n").collect::<String>() + &example_regions();
    }
    lines.push(
        "# The servers advertise these addresses. FILL IN others where this machine does not reach them.".to_owned(),
    );
    lines.push("regions:".to_owned());
    let mut names = BTreeSet::new();
    for (number, cluster) in with.into_iter().enumerate() {
        let mut name = token(&cluster.name);
        if name.is_empty() || !names.insert(name.clone()) {
            name = format!("region-{}", number + 1);
            lines.push("  # FILL IN a name for this region.".to_owned());
        }
        lines.push(format!("  {}:", scalar(&name)));
        if cluster.name.is_empty() {
            lines.push("    # FILL IN the cluster's name: these servers have none, and need one.".to_owned());
        } else if name != cluster.name {
            lines.push(format!("    cluster: {}", scalar(&cluster.name)));
        }
        if cluster.servers.is_empty() {
            lines.push("    # FILL IN the URLs of these servers. They advertise none.".to_owned());
        }
        let servers: Vec<String> = cluster.servers.iter().map(|url| scalar(url)).collect();
        lines.push(format!("    servers: [{}]", servers.join(", ")));
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

/// Returns the TLS settings as a line of the definition.
fn tls_of(tls: &Tls) -> String {
    let files = [("ca", &tls.ca), ("cert", &tls.cert), ("key", &tls.key)];
    let files = files.into_iter().filter_map(|(key, path)| Some((key, path.as_ref()?)));
    let mut settings: Vec<String> =
        files.map(|(key, path)| format!("{key}: {}", scalar(&path.display().to_string()))).collect();
    if tls.first {
        settings.push("first: true".to_owned());
    }
    format!("tls: {{ {} }}", settings.join(", "))
}

/// Returns the lines about an account's login.
fn access(account: &Surveyed, indent: &str) -> String {
    match (&account.key, &account.credentials) {
        // With a key, each run makes a user with only the permissions that it needs.
        (Some(key), _) => format!("{indent}key: {}\n", scalar(&key.display().to_string())),
        (None, Some(credentials)) => format!("{indent}credentials: {}\n", scalar(&credentials.display().to_string())),
        (None, None) => {
            let name = scalar(&account.name);
            format!(
                "{indent}# FILL IN: nsc's keys folder has neither a signing key nor credentials of {name}.\n{indent}credentials: \
                 keys/FILL-IN.creds\n"
            )
        }
    }
}

/// Returns a name that is valid in a definition: one token of a subject.
fn token(name: &str) -> String {
    let kept = |c: char| if c.is_alphanumeric() || "_-".contains(c) { c } else { '-' };
    name.chars().map(kept).collect()
}

/// Returns text as one value of YAML.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    match begins
        && text.chars().all(plain)
        && !["null", "true", "false", "yes", "no", "on", "off"].contains(&&*text.to_lowercase())
    {
        true => text.to_owned(),
        false => {
            let quoted = serde_json::Value::from(text).to_string();
            quoted
                .chars()
                .map(|c| if is_hidden(c) { format!("\\U{:08x}", u32::from(c)) } else { c.to_string() })
                .collect()
        }
    }
}

/// Makes a folder that only its owner may enter. Leaves an existing folder unchanged.
fn make_private(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{self, SourceFile};
    use crate::model::claims::OperatorClaims;
    use crate::model::nkey::{KeyKind, PublicKey};
    use crate::model::virtual_stream::Access as AccountAccess;

    fn account(name: &str, number: u8) -> Surveyed {
        let id = PublicKey::from_bytes(KeyKind::Account, [number; 32]);
        Surveyed { name: name.to_owned(), id, key: None, credentials: None }
    }

    #[test]
    fn what_a_store_tells_is_filled_in() {
        let identity = PublicKey::from_bytes(KeyKind::Operator, [9; 32]);
        let operator = OperatorClaims {
            identity: identity.clone(),
            name: "OP".to_owned(),
            signing_keys: Vec::new(),
            strict: true,
            system_account: None,
        };
        let app = Surveyed { key: Some("/k/A.nk".into()), credentials: Some("/k/a.creds".into()), ..account("APP", 1) };
        let survey = |accounts: Vec<Surveyed>| Survey {
            folder: "/stores/OP".into(),
            operator: operator.clone(),
            system: Some(Surveyed { credentials: Some("/k/s y\ns.creds".into()), ..account("SYS", 2) }),
            accounts,
        };
        let read = |text: &str| {
            let file = SourceFile { name: "vstream.yaml".to_owned(), text: text.to_owned() };
            definition::parse(&[file], Path::new("/")).unwrap()
        };
        let found = read(&filled_in(Some(&survey(vec![app.clone()])), None));
        assert_eq!(found.operator, Some(identity));
        assert_eq!(found.nsc_store.as_deref(), Some(Path::new("/stores/OP")));
        assert!(matches!(&found.system, AccountAccess::Credentials(path) if path == Path::new("/k/s y\ns.creds")));
        assert!(matches!(&found.accounts[0].access, AccountAccess::Key(path) if path == Path::new("/k/A.nk")));
        assert_eq!((found.accounts[0].name.as_str(), &found.accounts[0].id), ("APP", &app.id));
        // Only the first account is active, the others are in comments. Any name stays one value.
        let other = account("x: {y}\n#", 3);
        let text = filled_in(Some(&survey(vec![other.clone(), app])), None);
        assert!(text.contains("FILL IN which account") && text.contains("#     key: /k/A.nk"), "{text}");
        assert!(text.contains("neither a signing key nor credentials"), "{text}");
        assert_eq!((read(&text).accounts[0].name.as_str(), &read(&text).accounts[0].id), ("x---y---", &other.id));
    }

    #[test]
    fn what_servers_tell_is_filled_in() {
        let id = |number| PublicKey::from_bytes(KeyKind::Account, [number; 32]);
        let operator = PublicKey::from_bytes(KeyKind::Operator, [9; 32]);
        let cluster = |name: &str, servers: &[&str], has_jetstream| Cluster {
            name: name.to_owned(),
            servers: servers.iter().map(|url| (*url).to_owned()).collect(),
            has_jetstream,
        };
        let running = Running {
            context: "sc-sys".to_owned(),
            tls: Some(Tls { ca: Some("/k/my ca.pem".into()), first: true, ..Tls::default() }),
            clusters: vec![
                cluster("dc1.prod", &["nats://10.0.0.1:4222", "nats://10.0.0.2:4222"], true),
                cluster("dc1-prod", &[], true),
                cluster("edge\n# tls: {", &[], false),
                cluster("west", &["nats://[::1]:4222"], true),
            ],
            operator: Some(operator.clone()),
            accounts: vec![("APP".to_owned(), id(1)), ("BILLING:\u{7f}\u{2028}x".to_owned(), id(2))],
            lacks: vec!["1 of 9 servers does not answer".to_owned()],
        };
        let read = |text: &str| {
            let file = SourceFile { name: "vstream.yaml".to_owned(), text: text.to_owned() };
            definition::parse(&[file], Path::new("/"))
        };
        let text = filled_in(None, Some(&running));
        // One URL is left for the user to fill in.
        assert!(text.contains("# FILL IN the URLs of these servers") && read(&text).is_err(), "{text}");
        let filled = text.replacen("servers: []", "servers: [nats://10.0.0.9:4222]", 1);
        let found = read(&filled).unwrap();
        assert_eq!(found.operator, None, "what servers say is no pin");
        assert!(text.contains(&format!("\n# operator: {operator}\n")), "{text}");
        assert!(matches!(&found.system, AccountAccess::Context(name) if name == "sc-sys"));
        let regions: Vec<(&str, &str, usize)> =
            found.topology.regions.iter().map(|r| (r.name.as_str(), r.cluster.as_str(), r.servers.len())).collect();
        assert_eq!(regions, [("dc1-prod", "dc1.prod", 2), ("region-2", "dc1-prod", 1), ("west", "west", 1)]);
        assert!(text.contains("# FILL IN: cluster \"edge\\n# tls: {\" has no JetStream"), "{text}");
        assert!(text.contains("# FILL IN what is missing here: \"1 of 9 servers does not answer\"."), "{text}");
        assert_eq!(found.tls.as_ref().unwrap().ca.as_deref(), Some(Path::new("/k/my ca.pem")));
        assert_eq!((found.accounts[0].name.as_str(), &found.accounts[0].id), ("APP", &id(1)));
        assert!(
            text.contains(&format!("the deployment also has\n#   \"BILLING:\\U0000007f\\U00002028x\": {}\n", id(2))),
            "{text}"
        );

        // There is no cluster for a region.
        let none = Running { clusters: vec![cluster("", &[], false)], accounts: Vec::new(), ..running };
        assert_eq!(
            read(&filled_in(None, Some(&none)).replace("id: A...", &format!("id: {}", id(1))))
                .unwrap()
                .topology
                .regions
                .len(),
            3
        );
    }
}
