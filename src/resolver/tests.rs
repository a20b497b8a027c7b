use super::*;
use crate::model::claims::TrustAnchor;
use crate::model::nkey::KeyKind;
use crate::observed::Live;
use crate::observed::fake::Fake;
use crate::observed::system;
use crate::plan::preflight::stale_preload;
use crate::sign::{Seed, Signer as _};
use serde_json::json;
use std::path::PathBuf;

const TIME: Duration = Duration::from_secs(5);

/// Two servers with a `memory` resolver that have loaded two accounts, whose tokens are in a file.
struct Case {
    fake: Fake,
    ids: [PublicKey; 2],
    file: PathBuf,
    resolver: Resolver,
    _folder: tempfile::TempDir,
}

impl Case {
    fn new() -> Self {
        let fake = Fake::new(&["west", "east"], 1);
        let ids = [(); 2].map(|()| Seed::generate(KeyKind::Account).unwrap().public_key());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("preload.conf");
        let resolver = Resolver { keeper: TokenStorage::Preload(Preload::new(&file)), ..Resolver::servers() };
        let case = Self { fake, ids, file, resolver, _folder: folder };
        for server in case.fake.servers.lock().unwrap().iter_mut() {
            server.no_resolver = true;
            server.live =
                case.ids.iter().map(|id| (id.to_string(), case.token(id, 1000).as_str().to_owned())).collect();
        }
        case.write(&[(0, 1000), (1, 1000)]);
        case
    }

    fn token(&self, id: &PublicKey, iat: u64) -> SignedToken {
        let nats = json!({ "type": "account", "version": 2, "limits": {} });
        self.fake.sign(&json!({ "sub": id, "name": "APP", "nats": nats }), iat)
    }

    /// Writes the file with tokens of these accounts, issued at these times.
    fn write(&self, tokens: &[(usize, u64)]) {
        let line = |(place, iat): &(usize, u64)| {
            let id = &self.ids[*place];
            format!("{id}: {}\n", self.token(id, *iat).as_str())
        };
        let lines: String = tokens.iter().map(line).collect();
        std::fs::write(&self.file, format!("resolver_preload: {{\n{lines}}}\n")).unwrap();
    }

    async fn deployment(&self) -> Deployment {
        system::deployment(&self.fake, TIME).await.unwrap()
    }

    async fn read(&self) -> Vec<Vec<AccountOnServer>> {
        self.resolver.accounts(&self.fake, &self.deployment().await, &self.ids, TIME).await.unwrap()
    }

    async fn push(&self, iat: u64) -> Result<Vec<PushOutcome>, NotPushed> {
        let signed = self.token(&self.ids[0], iat);
        self.resolver.push(&self.fake, &self.deployment().await, &[(self.ids[0].clone(), signed)], TIME).await
    }

    async fn stale(&self) -> Vec<String> {
        let ours = &self.ids[..1];
        let others = self.resolver.bystanders(&self.fake, &self.deployment().await, ours, TIME).await.unwrap();
        let anchor = TrustAnchor::of_key(&self.fake.operator.public_key());
        stale_preload(&others, &anchor).map(|finding| finding.lines).unwrap_or_default()
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_was_read_is_replaced() {
    let case = Case::new();
    let found = case.read().await;
    let kept = Stored::Outside { token: Some(case.token(&case.ids[0], 1000).as_str().to_owned()), by_reload: true };
    assert!(found[0].iter().all(|on| on.stored == kept && matches!(on.live, Live::Loaded(_))), "{found:?}");
    case.push(1100).await.unwrap();
    let text = std::fs::read_to_string(&case.file).unwrap();
    assert!(text.contains(case.token(&case.ids[0], 1100).as_str()), "{text}");

    // Another tool's edit after the last read.
    case.read().await;
    case.write(&[(0, 1150), (1, 1000)]);
    let before = std::fs::read_to_string(&case.file).unwrap();
    assert_eq!(case.push(1200).await, Err(NotPushed::Changed(case.ids[0].clone())));
    assert_eq!(std::fs::read_to_string(&case.file).unwrap(), before);
    case.read().await;
    case.push(1200).await.unwrap();
    // The token is already there.
    case.push(1200).await.unwrap();
}

/// Servers load the whole file when they reload.
#[tokio::test(start_paused = true)]
async fn a_file_that_would_undo_other_accounts_is_stale() {
    let case = Case::new();
    assert_eq!(case.stale().await, [""; 0]);
    case.write(&[(0, 900), (1, 1100)]);
    assert_eq!(case.stale().await, [""; 0], "newer, and to be reloaded; and ours is looked at elsewhere");
    case.write(&[(0, 1000), (1, 900)]);
    let [line] = &case.stale().await[..] else { panic!("not one") };
    assert!(line.starts_with(&format!("account {} (APP): servers have its token of", case.ids[1])), "{line}");
    case.write(&[(0, 1000)]);
    let [line] = &case.stale().await[..] else { panic!("not one") };
    assert!(line.ends_with("the file lacks it"), "{line}");
}

#[cfg(unix)]
#[test]
fn a_file_stays_as_readable_as_it_was() {
    use std::os::unix::fs::PermissionsExt as _;
    let case = Case::new();
    std::fs::set_permissions(&case.file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let TokenStorage::Preload(preload) = &case.resolver.keeper else { unreachable!() };
    preload.may_write().unwrap();
    let token = case.token(&case.ids[0], 1100);
    assert_eq!(preload.write(&[(case.ids[0].clone(), &token)], |_, _, _| true), Ok(None));
    assert_eq!(std::fs::metadata(&case.file).unwrap().permissions().mode() & 0o777, 0o640);
}
