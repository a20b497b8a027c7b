//! Derives the desired state of each account from a definition.

use super::checks::{check_built, check_names, check_write_subjects};
use super::permissions::{self, ApplicationPermissions, Line};
use super::recipes::StreamTemplate;
use super::regional::{self, AccountRole};
use super::{DesiredAccount, DesiredError, DesiredOptions, DesiredStream, consumer, exports_imports, mappings};
use crate::definition::Definition;
use crate::model::claims::{Permission, Permissions};
use crate::model::mapping::MappingSet;
use crate::model::names::RegionName;
use crate::model::topology::Topology;
use crate::model::virtual_stream::{Account, Layout, Role};

/// Returns everything that the definition's accounts must have, for the newest servers.
///
/// # Errors
/// [`DesiredError`]
pub fn desired(definition: &Definition) -> Result<Vec<DesiredAccount<'_>>, DesiredError> {
    desired_with(definition, &DesiredOptions::default())
}

/// Returns everything that the definition's accounts must have. Each account of the definition is followed by its
/// regional accounts, in the order of the topology.
///
/// # Errors
/// [`DesiredError`]
pub fn desired_with<'a>(
    definition: &'a Definition,
    options: &DesiredOptions,
) -> Result<Vec<DesiredAccount<'a>>, DesiredError> {
    let mut all = Vec::with_capacity(definition.accounts.len());
    for account in &definition.accounts {
        all.extend(accounts(&definition.topology, account, options)?);
    }
    Ok(all)
}

/// Returns the desired state of one account of the definition, followed by that of its regional accounts.
///
/// # Errors
/// [`DesiredError`]
pub fn accounts<'a>(
    topology: &'a Topology,
    account: &'a Account,
    options: &DesiredOptions,
) -> Result<Vec<DesiredAccount<'a>>, DesiredError> {
    check_built(account)?;
    let mut application = DesiredAccount {
        account,
        account_role: AccountRole::Application,
        name: account.name.clone(),
        id: account.id.clone(),
        mappings: MappingSet::new(mappings::of_account(topology, account)?)
            .map_err(|overlap| DesiredError::Overlap { account: account.name.clone(), overlap })?,
        exports: Vec::new(),
        imports: Vec::new(),
        denied: None,
        streams: capturing(topology, account, options),
        consumers: Vec::new(),
    };
    check_write_subjects(account, &application.streams)?;
    let reads = reads(topology, account, options);
    let consumers = account.virtual_streams.iter().flat_map(|stream| consumer::consumers(account, stream, topology));
    if account.restrict_users {
        let ApplicationPermissions { publish, subscribe } = permissions::permissions(topology, account)?;
        let denied = |lines: Vec<Line>| Permission {
            allow: Vec::new(),
            deny: lines.into_iter().map(|line| line.subject).collect(),
        };
        application.denied = Some(Permissions { publish: denied(publish.deny), subscribe: denied(subscribe.deny) });
    }
    match account.layout {
        Layout::Shared => {
            application.streams.extend(reads);
            application.consumers.extend(consumers);
            check_names(account, &application.streams)?;
            Ok(vec![application])
        }
        Layout::Regional => {
            check_names(account, &application.streams)?;
            if !account.virtual_streams.is_empty() {
                application.exports = exports_imports::exports_of_application(account);
                application.imports = exports_imports::imports_of_application(topology, account, &options.regional);
            }
            let mut regional: Vec<DesiredAccount<'a>> = topology
                .regions
                .iter()
                .map(|region| DesiredAccount {
                    account,
                    account_role: AccountRole::Regional(region),
                    name: regional::name(account, &region.name),
                    id: options.regional.get(account, &region.name),
                    mappings: MappingSet::default(),
                    exports: exports_imports::exports_of_region(account),
                    imports: exports_imports::imports_of_region(account, region),
                    denied: None,
                    streams: Vec::new(),
                    consumers: Vec::new(),
                })
                .collect();
            let index_of = |name: &RegionName| topology.regions.iter().position(|region| region.name == *name);
            for read in reads {
                if let Some(index) = index_of(read.region) {
                    regional[index].streams.push(read);
                }
            }
            for consumer in consumers {
                if let Some(index) = index_of(&consumer.region) {
                    regional[index].consumers.push(consumer);
                }
            }
            Ok(std::iter::once(application).chain(regional).collect())
        }
    }
}

/// Returns the write streams of each virtual stream, region by region, or its home stream.
fn capturing<'a>(topology: &'a Topology, account: &'a Account, options: &DesiredOptions) -> Vec<DesiredStream<'a>> {
    let all = templates(topology, account, options);
    all.filter_map(|template| Some(DesiredStream::new(template, template.stream.capturing_in(&template.region.name)?)))
        .collect()
}

/// Returns the read streams of each virtual stream, region by region.
fn reads<'a>(topology: &'a Topology, account: &'a Account, options: &DesiredOptions) -> Vec<DesiredStream<'a>> {
    templates(topology, account, options).map(|template| DesiredStream::new(template, Role::Read)).collect()
}

fn templates<'a>(
    topology: &'a Topology,
    account: &'a Account,
    options: &DesiredOptions,
) -> impl Iterator<Item = StreamTemplate<'a>> + use<'a> {
    let oldest_server = options.oldest_server;
    account.virtual_streams.iter().flat_map(move |stream| {
        topology.regions.iter().map(move |region| StreamTemplate { topology, account, stream, region, oldest_server })
    })
}
