//! Accounts: keys, access, settings.

use super::checker::Checker;
use super::names::real_names;
use super::overlap::overlaps;
use super::virtual_stream::Placed;
use crate::definition::fields;
use crate::definition::nearest::suggestion;
use crate::definition::place::Place;
use crate::definition::problem::Problem;
use crate::definition::raw;
use crate::definition::read::{At, Named};
use crate::model::names::{RegionName, StreamName};
use crate::model::nkey::KeyKind;
use crate::model::subject::SubjectFilter;
use crate::model::topology::Topology;
use crate::model::units::parse_duration;
use crate::model::virtual_stream::{Account, ExistingAccount, INBOX, Kind, Layout, NameTemplates, RegionalAccounts};
use std::collections::{BTreeMap, HashMap};

const ACCOUNT_KEY: &str = "write the account's public key, A and 55 more characters: `nsc describe account` shows it";

impl Checker<'_> {
    pub(super) fn accounts(
        &mut self,
        accounts: At<Named<raw::Account>>,
        topology: Option<&Topology>,
    ) -> Option<Vec<Account>> {
        let At { place, value: Named(accounts) } = accounts;
        if accounts.is_empty() {
            self.report("missing-key", place, "there are no accounts", "add an account with its `id`");
            return None;
        }
        let mut ids = HashMap::new();
        let mut checked = Vec::with_capacity(accounts.len());
        for (name, account) in accounts {
            if let Some(id) = &account.id
                && let Some(first) = ids.insert(id.value.clone(), id.place)
            {
                self.problems.push(
                    Problem::new("account-twice", id.place, "two accounts have the same `id`")
                        .also(first, "first given here")
                        .help("put their virtual streams under one name"),
                );
            }
            checked.push(self.account(name, account, topology));
        }
        checked.into_iter().collect()
    }

    fn account(&mut self, name: At<String>, account: raw::Account, topology: Option<&Topology>) -> Option<Account> {
        let raw::Account {
            place,
            id,
            credentials,
            key,
            context,
            signing_key,
            layout,
            exclusive,
            subject_roots,
            regional_accounts,
            restrict_users,
            inbox_prefixes,
            regional_limits,
            map_requests,
            activation_lifetime,
            virtual_streams,
        } = account;
        let shared = layout.as_ref().is_some_and(|layout| layout.value == raw::Layout::Shared);
        if shared {
            let regional_only = [
                ("exclusive", exclusive.as_ref().map(|at| at.place)),
                ("regional_accounts", regional_accounts.as_ref().map(|at| at.place)),
                ("inbox_prefixes", inbox_prefixes.as_ref().map(|at| at.place)),
                ("regional_limits", regional_limits.as_ref().map(|at| at.place)),
                ("map_requests", map_requests.iter().flatten().next().map(|at| at.place)),
                ("activation_lifetime", activation_lifetime.as_ref().map(|at| at.place)),
            ];
            for (key, given) in regional_only {
                if let Some(given) = given {
                    let message = format!("`{key}` of an account is for `layout: regional`");
                    self.report("conflict", given, message, "remove it, or choose `layout: regional`");
                }
            }
        }
        let serving = topology.and_then(|topology| topology.regions.iter().find(|region| !region.serves.is_empty()));
        if let (true, Some(region), Some(layout)) = (shared, serving, &layout) {
            let message = format!(
                "region `{}` serves other clusters, and this account has `layout: shared`: servers take no destination \
                 twice, so that clients of two clusters cannot be led to one read stream",
                region.name
            );
            let help = "choose `layout: regional`, or remove `serves` of the region";
            self.report("conflict", layout.place, message, help);
        }
        // File names contain the account's name.
        if let Err(error) = StreamName::parse(&name.value) {
            let message = format!("account name `{}`: {}", name.value, error.reason);
            self.report("bad-name", name.place, message, "give it a name without dots and slashes");
        }
        let id = match id {
            Some(id) => self.public_key(&id, KeyKind::Account, ACCOUNT_KEY),
            None => self.missing(place, "id", &format!("add `id:` to account `{}`: its public key (A…)", name.value)),
        };
        let access = self.access(&format!("account `{}`", name.value), place, credentials, key, context);
        let signing_key = signing_key
            .map(|key| self.public_key(&key, KeyKind::Account, "write a public signing key of the account (A…)"));
        let layout = match layout.map(|layout| layout.value) {
            Some(raw::Layout::Shared) => Layout::Shared,
            None | Some(raw::Layout::Regional) => Layout::Regional,
        };
        let roots = self.prefixes(subject_roots, &[]);
        let inbox_prefixes = match inbox_prefixes {
            Some(prefixes) => self.prefixes(Some(prefixes), &[INBOX]),
            None => Some(SubjectFilter::parse(INBOX).into_iter().collect()),
        };
        let regional_accounts = match regional_accounts {
            Some(At { value, .. }) => self.regional_accounts(value, topology),
            None => Some(RegionalAccounts::default()),
        };
        let regional_limits =
            regional_limits.map_or_else(Default::default, |limits| fields::config(&limits.value, false, self.problems));
        let of_all = map_requests.iter().flatten().filter(|request| request.value != raw::MapRequest::Snapshot);
        let of_all: Vec<Place> = of_all.map(|request| request.place).collect();
        let map_requests = map_requests.map(|requests| self.map_requests(requests, &serde_json::Map::new(), place));
        let activation_lifetime = activation_lifetime.and_then(|lifetime| self.lifetime(&lifetime));
        let streams = virtual_streams.map_or_else(Vec::new, |streams| streams.value.0);
        let streams: Vec<_> =
            streams.into_iter().map(|(name, stream)| self.virtual_stream(name, stream, topology)).collect();
        let whole = streams.iter().all(Option::is_some);
        let streams: Vec<_> = streams.into_iter().flatten().collect();
        let account = Account {
            name: name.value,
            id: id?,
            access: access?,
            signing_key: match signing_key {
                Some(key) => Some(key?),
                None => None,
            },
            layout,
            exclusive: exclusive.is_none_or(|exclusive| exclusive.value),
            subject_roots: roots?,
            regional_accounts: regional_accounts?,
            restrict_users: restrict_users.is_some_and(|restrict| restrict.value),
            inbox_prefixes: inbox_prefixes?,
            regional_limits,
            map_requests,
            activation_lifetime,
            virtual_streams: streams.iter().map(|placed| placed.stream.clone()).collect(),
        };
        for placed in &streams {
            self.fits_layout(&account, placed);
        }
        if let Some(placed) = streams.iter().find(|placed| placed.stream.home().is_some()) {
            for request in of_all {
                let message = format!(
                    "virtual stream `{}` is mirrored: this request would change the mirror of one region, and not the home \
                     stream",
                    placed.stream.name
                );
                let help = "list the request under those virtual streams that are to have it";
                self.problems
                    .push(Problem::new("conflict", request, message).also(placed.place, "the mirrored one").help(help));
            }
        }
        if let Some(topology) = topology {
            overlaps(&streams, self.problems);
            real_names(&account, &streams, topology, self.problems);
        }
        whole.then_some(account)
    }

    /// Reports settings of a virtual stream that its account's layout does not support.
    fn fits_layout(&mut self, account: &Account, placed: &Placed) {
        let Placed { stream, place, subjects } = placed;
        if account.layout == Layout::Shared && stream.kind != Kind::Stream {
            let message = format!(
                "`{}` is a bucket, and this account has `layout: shared`: clients build the name of the stream and of \
                 its subjects themselves, and would not find it",
                stream.name
            );
            self.report("conflict", *place, message, "choose `layout: regional` for the account");
        }
        if account.layout == Layout::Shared && stream.home().is_some() {
            let message = format!(
                "`{}` is mirrored, and this account has `layout: shared`: there clients would have to know the mirror of \
                 their region by its name",
                stream.name
            );
            self.report("conflict", *place, message, "choose `layout: regional` for the account");
        }
        if account.layout == Layout::Regional {
            self.deliveries(account, placed);
        }
        let default = NameTemplates::default();
        if account.layout == Layout::Regional && stream.names.read != default.read {
            let message = "`names.read` is for `layout: shared`: here the read stream carries the virtual name";
            self.report("conflict", *place, message, "remove `read` of `names`");
        }
        for root in &account.subject_roots {
            for (subject, place) in stream.subjects.iter().zip(subjects) {
                let below = account.root_of(subject).is_some();
                let whole = SubjectFilter::parse(&format!("{root}.>"));
                if !below && whole.is_ok_and(|whole| whole.overlaps(subject)) {
                    let message = format!("subject `{subject}` takes in subjects of the root `{root}`");
                    let help = format!("begin it with `{root}.`, or keep it apart from the root");
                    self.report("overlapping-subjects", *place, message, help);
                }
            }
        }
    }

    /// Reports deliver subjects of consumers that no import brings to the applications.
    fn deliveries(&mut self, account: &Account, placed: &Placed) {
        for consumer in &placed.stream.consumers {
            let Some(subject) = consumer.config.get("deliver_subject").and_then(|subject| subject.as_str()) else {
                continue;
            };
            let below = |prefix: &SubjectFilter| {
                subject.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('.'))
            };
            if !account.inbox_prefixes.iter().any(below) {
                let message = format!(
                    "consumer `{}` delivers on `{subject}`, which comes from another account in the layout `regional`",
                    consumer.name
                );
                let first = subject.split('.').next().unwrap_or_default();
                let help = format!("add `{first}` to `inbox_prefixes` of the account: `[_INBOX, {first}]`");
                self.report("conflict", placed.place, message, help);
            }
        }
    }

    /// Returns a duration in seconds, of at least an hour.
    fn lifetime(&mut self, text: &At<String>) -> Option<u64> {
        const HOUR: i64 = 3600;
        match parse_duration(&text.value).map(|ns| ns / 1_000_000_000) {
            Ok(seconds) if seconds >= HOUR => u64::try_from(seconds).ok(),
            Ok(_) => {
                let message =
                    "activation tokens that hold for less than an hour would stop the streams between two runs";
                self.report("wrong-value", text.place, message, "write a longer time, like `90d`");
                None
            }
            Err(error) => {
                self.report("wrong-value", text.place, error.to_string(), "write a duration, like `90d`");
                None
            }
        }
    }

    /// Checks literal prefixes of subjects; `app.>` means the same as `app`.
    ///
    /// Refuses reserved prefixes, except those in `open`. Servers would treat a delivery below `$JS` as a request, and
    /// a delivery below the prefix of sources as a sourced message.
    fn prefixes(&mut self, prefixes: Option<At<Vec<At<String>>>>, open: &[&str]) -> Option<Vec<SubjectFilter>> {
        let prefixes = prefixes.map_or_else(Vec::new, |prefixes| prefixes.value);
        let mut prefix = |prefix: At<String>| {
            let literal = prefix.value.strip_suffix(".>").unwrap_or(&prefix.value).to_owned();
            let filter = self.subject(&At { place: prefix.place, value: literal })?;
            if !filter.is_literal() {
                let message = format!("prefix `{filter}` has a wildcard");
                self.report("bad-subject", prefix.place, message, "write literal tokens only, like `app`");
                return None;
            }
            let open = filter.tokens().next().is_some_and(|first| open.contains(&first));
            (open || !self.reserved(&filter, prefix.place)).then_some(filter)
        };
        let checked: Vec<_> = prefixes.into_iter().map(&mut prefix).collect();
        checked.into_iter().collect()
    }

    fn regional_accounts(
        &mut self,
        accounts: raw::RegionalAccounts,
        topology: Option<&Topology>,
    ) -> Option<RegionalAccounts> {
        match accounts {
            raw::RegionalAccounts::Template(template) => {
                self.template(&template, &["{account}", "{region}"])?;
                Some(RegionalAccounts::Named(template.value))
            }
            raw::RegionalAccounts::Existing(Named(accounts)) => {
                let mut existing = BTreeMap::new();
                for (name, raw::RegionalAccount { place: _, id, credentials }) in accounts {
                    let region = self.region_name(&name, topology);
                    let id = self.public_key(&id, KeyKind::Account, ACCOUNT_KEY);
                    let credentials = self.path(credentials);
                    existing.insert(region?, ExistingAccount { id: id?, credentials: credentials? });
                }
                Some(RegionalAccounts::Existing(existing))
            }
        }
    }

    /// Returns the region of the topology with this name.
    pub(super) fn region_name(&mut self, name: &At<String>, topology: Option<&Topology>) -> Option<RegionName> {
        let regions = &topology?.regions;
        let found = regions.iter().find(|region| region.name.as_str() == name.value);
        if found.is_none() {
            let help = suggestion(&name.value, regions.iter().map(|region| region.name.as_str()));
            self.report("unknown-region", name.place, format!("there is no region `{}`", name.value), help);
        }
        found.map(|region| region.name.clone())
    }

    /// Checks that a name template has all its parts and no others.
    pub(super) fn template(&mut self, template: &At<String>, parts: &[&str]) -> Option<()> {
        let text = &template.value;
        let rest = parts.iter().fold(text.clone(), |rest, part| rest.replace(part, ""));
        let message = match parts.iter().find(|part| !text.contains(**part)) {
            Some(part) => format!("name template `{text}` lacks `{part}`: names would not be unique"),
            None if rest.contains(['{', '}']) => format!("name template `{text}` has a part that is not known"),
            None => return Some(()),
        };
        let help = format!("write something like `{}`", parts.join("-"));
        self.report("bad-template", template.place, message, help);
        None
    }
}
