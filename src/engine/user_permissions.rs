//! Checks the permissions and the lifetimes of the users of a run, before the run needs them.

use super::claims_updates::deaf_to_old_subject;
use super::clock::now;
use super::session::Session;
use crate::desired::lease;
use crate::model::claims::{AccountClaims, TrustedClaims};
use crate::model::finding::Finding;
use crate::observed::connection::Connection;
use crate::observed::{Reply, Requests};
use crate::plan::preflight::{self, Verb};
use crate::plan::{Options, Plan};
use crate::resolver::{push, servers};
use std::time::Duration;

/// Time to wait for the system account's claims. Without them, its default permissions and scopes are unknown.
const CLAIMS_TIMEOUT: Duration = Duration::from_secs(1);

/// Returns findings that stop these users from carrying out `plan`. If a run only reads (`changes` is `false`), a
/// missing permission has only severity info, because `apply` may use other credentials.
pub(crate) async fn check_user_permissions<L: Connection>(
    session: &Session<'_, L>,
    plan: &Plan,
    options: &Options,
    changes: bool,
) -> Vec<Finding> {
    let (now, run) = (now(), session.deadline.left().as_secs());
    let mut findings = Vec::new();
    let mut denied = Vec::new();
    let mut misses_old =
        session.claims_updates.as_ref().is_some_and(|claims_updates| claims_updates.misses_old_subject());
    if let Some(user) = session.system.user() {
        findings.extend(preflight::credentials("system account", user, now, run));
        let pushed = || plan.accounts.iter().filter(|account| !account.pushes.is_empty()).map(|account| &account.id);
        if pushed().next().is_some() && (changes || !user.minted) {
            let claims = system_claims(session).await;
            let lacks =
                |verb, needed: &[String]| preflight::permissions("system account", user, claims.as_ref(), verb, needed);
            denied.extend(lacks(Verb::Publish, &session.resolver.subjects(pushed())));
            let of_all = |subject: &str| -> Vec<String> {
                let named = plan.accounts.iter().map(|account| subject.replace('*', &account.id.to_string()));
                [subject.to_owned()].into_iter().chain(named).collect()
            };
            let heard = [vec![push::SUBJECT.to_owned()], of_all(push::BY_NAME)].concat();
            denied.extend(lacks(Verb::Subscribe, &heard));
            misses_old = misses_old || lacks(Verb::Subscribe, &of_all(push::OLD)).is_some();
        }
    }
    denied.extend(misses_old.then(deaf_to_old_subject));
    for (index, account) in plan.accounts.iter().enumerate() {
        let Some(user) = session.user(index) else { continue };
        let name = format!("account {}", account.name);
        findings.extend(preflight::credentials(&name, user, now, run));
        if changes || !user.minted {
            let mut needed = preflight::requests(account);
            if account.region.is_none() && !plan.is_empty() && !options.allows(lease::UNREACHABLE) {
                needed.push(lease::SUBJECT.to_owned());
                let requests = ["INFO", "MSG.GET", "CREATE"];
                needed.extend(requests.map(|request| format!("$JS.API.STREAM.{request}.{}", lease::STREAM)));
            }
            if account.region.is_none() {
                let regional = plan.accounts[index + 1..].iter().take_while(|other| other.region.is_some());
                needed.extend(regional.flat_map(preflight::history_requests));
            }
            let now = preflight::permissions(&name, user, account.current.as_deref(), Verb::Publish, &needed);
            denied.extend(now.or_else(|| preflight::permissions_brought(&name, user, account, &needed)));
        }
    }
    if !changes {
        denied = denied.into_iter().map(preflight::as_information).collect();
    }
    findings.extend(denied);
    findings
}

/// Returns the system account's claims, preferably from a token by a trusted key, otherwise from the first server that
/// answers. They determine what the user may do, and are not signed again.
async fn system_claims<L: Requests>(session: &Session<'_, L>) -> Option<AccountClaims> {
    if !session.resolver.lists_accounts() {
        let id = &session.system_account;
        let found = session.tokens_of(std::slice::from_ref(id)).await.ok()?;
        return session.base("", id, found.first()?).0.map(|base| (*base.claims).clone());
    }
    let count = session.deployment.answering();
    let trusted = |reply: &Reply| {
        let token = std::str::from_utf8(&reply.payload).ok();
        token.is_some_and(|token| TrustedClaims::verify(token.trim(), &session.anchor).is_ok())
    };
    let timeout = session.deadline.at_most(CLAIMS_TIMEOUT);
    let all = |replies: &[Reply]| replies.len() >= count;
    let replies =
        servers::look_up(&session.system, &session.deployment, &session.system_account, timeout, all, trusted)
            .await
            .ok()?;
    let tokens = || replies.iter().filter_map(|reply| std::str::from_utf8(&reply.payload).ok()).map(str::trim);
    let trusted = tokens().find_map(|token| Some((*TrustedClaims::verify(token, &session.anchor).ok()?).clone()));
    let claims = trusted.or_else(|| tokens().find_map(|token| AccountClaims::decode(token).ok()));
    claims.filter(|claims| *claims.id() == session.system_account)
}
