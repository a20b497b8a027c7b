//! `explain`: follows a message from the clients of a cluster, through the mappings in force there.

use crate::definition::Definition;
use crate::desired::regional::AccountRole;
use crate::desired::{DesiredAccount, DesiredError, desired};
use crate::engine::session::{ReadError, Reading, Session, Subscription, VerbInputs};
use crate::engine::{Connector, Deadline, Progress};
use crate::explain::{Explained, MessageOutcome, Question, SourceView, StreamView, View, World, explain};
use crate::model::claims::AccountClaims;
use crate::model::nkey::PublicKey;
use crate::model::subject::SubjectFilter;
use crate::observed::survey::ObservedAccount;
use crate::observed::{Detail, Live, Stored, User};
use crate::plan::preflight::{self, Verb};
use crate::verify::status::{SourceStatus, StreamAnswer, StreamStatus, status};
use std::collections::HashMap;

/// A question to `explain`.
#[derive(Debug, Clone)]
pub struct ExplainRequest {
    /// The subject of the message.
    pub subject: String,
    /// The cluster whose clients publish.
    pub cluster: String,
    /// The reply subject.
    pub reply_to: Option<String>,
    /// The user that publishes. Without a user, everything is allowed.
    pub user: Option<User>,
}

/// Reason why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The subject is not one that clients can publish on.
    #[error("{0}")]
    Subject(String),
    /// There is no such cluster.
    #[error("there is no cluster {cluster}; there {}", known(.there))]
    Cluster {
        /// The name that the user gave.
        cluster: String,
        /// The names of existing clusters.
        there: Vec<String>,
    },
    /// No server of the cluster answers.
    #[error("no server of cluster {0} answers")]
    Silent(String),
    /// The user belongs to another account.
    #[error("{place}: the user is of account {account}, which is not in the definition")]
    User {
        /// The source of the user.
        place: String,
        /// The user's account.
        account: String,
    },
    /// No known mapping, stream or import matches the subject.
    #[error("no mapping, stream or import of {} is for {subject}: only its subscribers receive it", of(.accounts))]
    NotMapped {
        /// The subject in question.
        subject: String,
        /// The accounts that were checked.
        accounts: Vec<String>,
        /// `true` if servers were asked, not only the definition.
        told: bool,
    },
    /// Reading the deployment failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The definition has no desired state.
    #[error(transparent)]
    Desired(#[from] DesiredError),
}

fn known(there: &[String]) -> String {
    match there {
        [] => "are none".to_owned(),
        [one] => format!("is {one}"),
        _ => format!("are {}", there.join(", ")),
    }
}

fn of(accounts: &[String]) -> String {
    match accounts {
        [one] => format!("account {one}"),
        _ => format!("accounts {}", accounts.join(", ")),
    }
}

/// Reads the deployment, and follows the subject through each account of the definition whose user may publish it.
///
/// # Errors
/// [`ExplainError`]
pub async fn on_servers<C: Connector>(
    inputs: VerbInputs<'_, '_>,
    connector: &C,
    asked: &ExplainRequest,
    deadline: Deadline,
    progress: &dyn Progress,
) -> Result<Vec<Explained>, ExplainError> {
    let (session, tokens) = Session::open(inputs, connector, Subscription::Off, deadline, progress).await?;
    let clusters = session.deployment.clusters();
    if !clusters.contains(&asked.cluster.as_str()) {
        if defined_clusters(inputs.definition).contains(&asked.cluster) {
            return Err(ExplainError::Silent(asked.cluster.clone()));
        }
        let there = clusters.into_iter().map(str::to_owned).collect();
        return Err(ExplainError::Cluster { cluster: asked.cluster.clone(), there });
    }
    progress.step("reading the streams", 0, 0);
    let desired = session.desired().map_err(ReadError::from)?;
    let observed = session.observe(&desired, tokens, Reading::ToJudge).await?;
    let views = desired.iter().zip(&observed.accounts).map(|(wanted, found)| {
        let base = session.base(&wanted.name, &wanted.id, &found.servers).0.map(|base| base.claims);
        view(wanted, found, &asked.cluster, base.as_deref())
    });
    let domain = session.deployment.servers.iter().find(|server| server.cluster == asked.cluster);
    let domain = domain.and_then(|server| server.domain.clone());
    answers(asked, &desired, views.collect(), domain, true)
}

/// Follows the subject by the definition alone, as if it were applied.
///
/// # Errors
/// [`ExplainError`]
pub fn offline(definition: &Definition, asked: &ExplainRequest) -> Result<Vec<Explained>, ExplainError> {
    let clusters = defined_clusters(definition);
    if !clusters.contains(&asked.cluster) {
        return Err(ExplainError::Cluster { cluster: asked.cluster.clone(), there: clusters });
    }
    let desired = desired(definition)?;
    let views = desired.iter().map(|wanted| (View::of_desired(wanted), None));
    answers(asked, &desired, views.collect(), None, false)
}

fn defined_clusters(definition: &Definition) -> Vec<String> {
    let topology = &definition.topology;
    let served = topology.clusters().map(|(_, cluster)| cluster);
    served.chain(&topology.without_clients).map(|cluster| cluster.as_str().to_owned()).collect()
}

/// Returns one answer for each application's account that has one. `told` is `true` if servers were asked.
fn answers(
    asked: &ExplainRequest,
    desired: &[DesiredAccount<'_>],
    views: Vec<(View, Option<AccountClaims>)>,
    domain: Option<String>,
    told: bool,
) -> Result<Vec<Explained>, ExplainError> {
    // Each application's account comes before its regional ones.
    let mut groups: Vec<(PublicKey, Option<AccountClaims>, World)> = Vec::new();
    for (wanted, (view, claims)) in desired.iter().zip(views) {
        match groups.iter_mut().find(|(id, ..)| *id == wanted.account.id) {
            Some((_, _, world)) => world.accounts.push(view),
            None if wanted.account_role == AccountRole::Application => {
                let world = World { cluster: asked.cluster.clone(), domain: domain.clone(), accounts: vec![view] };
                groups.push((wanted.id.clone(), claims, world));
            }
            None => {}
        }
    }
    if let Some(user) = &asked.user {
        let account = User::account_of(&user.claims);
        groups.retain(|(id, ..)| Some(id) == account.as_ref());
        if groups.is_empty() {
            let account = account.map(|account| account.to_string()).unwrap_or_default();
            return Err(ExplainError::User { place: user.place.clone(), account });
        }
    }
    let mut all = Vec::with_capacity(groups.len());
    for (_, claims, world) in &groups {
        let may = |verb: Verb, subject: &str| match &asked.user {
            None => Some(true),
            Some(user) => preflight::may(user, claims.as_ref(), verb, &SubjectFilter::parse(subject).ok()?),
        };
        let (subject, reply_to) = (asked.subject.as_str(), asked.reply_to.as_deref());
        let question = Question { account: 0, subject, reply_to, may: &may };
        all.push(explain(world, question).map_err(ExplainError::Subject)?);
    }
    let accounts: Vec<String> = all.iter().map(|one| one.account.clone()).collect();
    all.retain(|one| one.outcome != MessageOutcome::NotMapped);
    match all.is_empty() {
        true => Err(ExplainError::NotMapped { subject: asked.subject.clone(), accounts, told }),
        false => Ok(all),
    }
}

/// Returns an account as most servers of a cluster use it, or will use it once they load it. It has the mappings and
/// imports that are in force.
fn view(
    wanted: &DesiredAccount<'_>,
    found: &ObservedAccount,
    cluster: &str,
    base: Option<&AccountClaims>,
) -> (View, Option<AccountClaims>) {
    let mut tokens: HashMap<&str, (usize, Option<&Detail>)> = HashMap::new();
    let mut unread = false;
    for on in found.servers.iter().filter(|on| on.cluster == cluster) {
        let (token, live) = match (&on.live, &on.stored) {
            (Live::Loaded(detail), _) => (detail.jwt.as_str(), Some(detail)),
            (_, Stored::Token(token)) => (token.as_str(), None),
            (_, Stored::Outside { token: Some(token), by_reload: false }) => (token.as_str(), None),
            (_, Stored::Outside { by_reload: true, .. }) => {
                unread = true;
                continue;
            }
            _ => continue,
        };
        let (count, known) = tokens.entry(token.trim()).or_default();
        *count += 1;
        *known = known.or(live);
    }
    let several = tokens.len() > 1;
    let unread = unread && tokens.is_empty();
    let most = tokens.into_iter().max_by_key(|(token, (count, _))| (*count, *token));
    let (token, live) = most.map_or((None, None), |(token, (_, live))| (Some(token), live));
    let claims = token.and_then(|token| AccountClaims::decode(token).ok()).or_else(|| base.cloned());
    let streams = streams(wanted, found);
    let Some(claims) = claims else {
        let absent = View { mappings: Vec::new(), imports: Vec::new(), ..View::of_desired(wanted) };
        return (View { streams, problem: Some("no server has its token".to_owned()), ..absent }, None);
    };
    let mut view = View::of_claims(&wanted.name, &claims, streams);
    if let Some(live) = live {
        view.mappings.retain(|mapping| live.mappings.contains_key(&mapping.source));
        let invalid = |local: &str| live.imports.iter().any(|import| import.invalid && import.local() == local);
        view.imports.retain(|import| !invalid(import.local()));
        if live.expired {
            view.problem = Some("its token has expired".to_owned());
        }
    }
    if several {
        view.problem = Some(format!("servers of cluster {cluster} use different tokens of it"));
    }
    if unread {
        view.problem =
            Some(format!("no server of cluster {cluster} has loaded it, so which preload they have is not known"));
    }
    (view, Some(claims))
}

/// Returns the account's streams and their state; `None` if they could not be read.
fn streams(wanted: &DesiredAccount<'_>, found: &ObservedAccount) -> Option<Vec<StreamView>> {
    let jetstream = &found.jetstream;
    if found.out_of_reach {
        return None;
    }
    let figures = status(wanted, jetstream);
    let views = jetstream.streams.iter().map(|stream| {
        let figures = figures.iter().find(|figures| figures.stream == stream.name);
        let away = stream.offline.then(|| "all its servers are away".to_owned());
        let leaderless = stream.cluster.is_leaderless().then(|| "it has no leader".to_owned());
        let sealed = (stream.config.get("sealed") == Some(&true.into())).then(|| "it is sealed".to_owned());
        StreamView {
            name: stream.name.clone(),
            config: stream.config.clone(),
            region: stream.owner.as_ref().map(|owner| owner.region.clone()),
            problem: away.or(leaderless).or(sealed),
            unread: None,
            sources: figures.iter().flat_map(|figures| sources(figures)).collect(),
        }
    });
    let absent = wanted.streams.iter().filter(|stream| jetstream.stream(&stream.name).is_none());
    let absent = absent.map(|stream| {
        let view = StreamView::of_desired(stream);
        match jetstream.unknown_stream(&stream.name) {
            Some(unknown) => StreamView { unread: Some(unknown.reason.clone()), ..view },
            None => StreamView { problem: Some("it is not there".to_owned()), ..view },
        }
    });
    Some(views.chain(absent).collect())
}

fn sources(StreamStatus { seen, sources, .. }: &StreamStatus) -> Vec<SourceView> {
    let view = |source: &SourceStatus| SourceView {
        origin: source.origin.clone(),
        lag: source.lag,
        problem: match &source.error {
            Some(error) => Some(error.clone()),
            None if source.anew => Some("it was made anew, and is not read yet".to_owned()),
            None if !source.is_heard() => Some("it was not heard from".to_owned()),
            None => None,
        },
    };
    sources.iter().filter(|_| *seen == StreamAnswer::Here).map(view).collect()
}
