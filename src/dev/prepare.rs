//! Makes and deletes the folder of a super-cluster.

use super::layout::DevLayout;
use super::{DevError, DevOptions, binary, config, files, identity, ports, supervisor, tls};
use std::path::{Path, PathBuf};

/// Marks a folder as made by `dev up`. Also makes git ignore it, because the folder contains keys.
const MARK: (&str, &str) =
    (".gitignore", "# Made by `vstream-jwt dev up`; deleted by `vstream-jwt dev down --delete`.\n*\n");

/// Names of what `dev up` makes in the folder besides the definition.
const MADE: [&str; 9] =
    ["servers", "keys", "tls", "config", "operator.jwt", "pids.json", "supervisor.log", "super-cluster.json", MARK.0];

pub(super) fn definition_path(folder: &Path) -> PathBuf {
    folder.join("vstream.yaml")
}

/// Makes missing files in the folder, and takes the super-cluster's ports.
pub(super) fn prepare(options: &DevOptions, folder: &Path) -> Result<(DevLayout, ports::Block), DevError> {
    let there = DevLayout::read(folder)?;
    let version = options.server_version.as_deref();
    let binary = binary::find(options.nats_server.as_deref(), version, options.patience)?;
    let (mut layout, block) = match there {
        Some(layout) => {
            supervisor::kill_left_behind(folder);
            let (first, count) = layout.ports();
            let block = ports::reserve_again(first, count, ports::RELEASE_TIMEOUT)?;
            // Servers use the configuration that this program writes, because the folder's files may come from
            // elsewhere.
            configure(&layout, folder)?;
            (layout, block)
        }
        None => make(options, folder)?,
    };
    layout.binary = binary.path;
    layout.server_version = binary.version;
    layout.write(folder)?;
    Ok((layout, block))
}

fn make(options: &DevOptions, folder: &Path) -> Result<(DevLayout, ports::Block), DevError> {
    let marked = files::read(&folder.join(MARK.0)).is_ok_and(|text| text == MARK.1);
    if let (false, Some(foreign)) = (marked, MADE.iter().find(|name| folder.join(name).exists())) {
        return Err(DevError::Options(format!(
            "{} is not a folder of `dev up` and already has `{foreign}`; name an empty folder",
            folder.display()
        )));
    }
    files::create_folder(folder)?;
    files::write_private(&folder.join(MARK.0), MARK.1)?;

    let block = ports::reserve(DevLayout::ports_needed(options))?;
    let identities = identity::make(options, &folder.join("keys"))?;
    let token = getrandom::u64().and_then(|high| Ok((high, getrandom::u64()?)));
    let (high, low) = token.map_err(|error| DevError::Ports(error.to_string()))?;
    let layout = DevLayout {
        regions: options.regions.clone(),
        servers_per_region: options.servers as u16,
        stretch: options.stretch,
        tls: options.tls,
        strict_signing_keys: options.strict_signing_keys,
        servers: DevLayout::servers(options, block.first),
        control_port: block.first,
        control_token: format!("{high:016x}{low:016x}"),
        binary: PathBuf::new(),
        server_version: String::new(),
        operator_id: identities.operator.to_string(),
        system_account_id: identities.system.to_string(),
        account_id: identities.account.to_string(),
        account_signing_key: identities.account_signing_key.to_string(),
    };
    if options.tls {
        tls::make(&folder.join("tls"))?;
    }
    files::write_private(&folder.join("operator.jwt"), identities.operator_token.as_str())?;
    configure(&layout, folder)?;
    for server in &layout.servers {
        let resolver = config::resolver_folder(folder, server);
        for (id, token) in
            [(&layout.system_account_id, &identities.system_token), (&layout.account_id, &identities.account_token)]
        {
            files::write_private(&resolver.join(format!("{id}.jwt")), token.as_str())?;
        }
    }
    for (name, context) in config::contexts(&layout, folder) {
        files::write_private(&folder.join("config/nats/context").join(name), context)?;
    }
    if !definition_path(folder).exists() {
        files::write_private(&definition_path(folder), config::definition(&layout))?;
    }
    Ok((layout, block))
}

/// Writes the configuration of all servers.
fn configure(layout: &DevLayout, folder: &Path) -> Result<(), DevError> {
    for server in &layout.servers {
        files::write_private(&config::server_config_path(folder, server), config::server(layout, folder, server))?;
    }
    Ok(())
}

/// Deletes what [`prepare`] made. Keeps a definition that was edited, and a folder that is not empty.
pub(super) fn delete(folder: &Path, layout: &DevLayout) -> Result<(), DevError> {
    let definition = definition_path(folder);
    if files::read(&definition).is_ok_and(|text| text == config::definition(layout)) {
        std::fs::remove_file(&definition).map_err(|error| DevError::file("delete", &definition, error))?;
    }
    for name in MADE {
        let path = folder.join(name);
        let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(DevError::file("delete", &path, error));
            }
            _ => {}
        }
    }
    // The folder stays if the user has files in it.
    let _ = std::fs::remove_dir(folder);
    Ok(())
}
