//! A signer in a hardware token: an Ed25519 key reached through PKCS#11 (`CKM_EDDSA`).
//!
//! A module runs in this process, and a call to it may never return. So calls run in separate threads, which are
//! abandoned when their time is up. Before that, this process waits for them: if it ends while a thread is still in a
//! module, or in OpenSSL below it, it can crash with SIGSEGV (seen with SoftHSM2).

mod uri;

pub use uri::{KeyUri, UriError};

use super::age::secret_line;
use super::file::KeyFileError;
use super::patience::{AnswerTime, Patience};
use super::{Ask, SignError, Signer};
use crate::model::nkey::{KeyKind, PublicKey};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use zeroize::Zeroizing;

/// Sources of the PIN if the URI names no file, from the command line.
#[derive(Default)]
pub struct PinInputs {
    /// `VSTREAM_PKCS11_PIN`
    pub env: Option<Zeroizing<String>>,
    /// Asks the user this question. Fails without a terminal.
    pub ask: Option<Ask>,
}

/// Reason why a token's key can't be used. Never contains a PIN.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The URI is not valid.
    #[error("the pkcs11: URI of the operator's key: {0}")]
    Uri(#[from] UriError),
    /// The library can't be loaded or used.
    #[error("the PKCS#11 module {path} cannot be used: {cause}")]
    Module {
        /// The library's path.
        path: PathBuf,
        /// The module's error.
        cause: Error,
    },
    /// The library or the token did not answer in time.
    #[error("the PKCS#11 module {path} did not answer within {within}")]
    Silent {
        /// The library's path.
        path: PathBuf,
        /// The time limit.
        within: String,
    },
    /// The library's thread ended without an answer.
    #[error("the PKCS#11 module {path} broke off")]
    BrokeOff {
        /// The library's path.
        path: PathBuf,
    },
    /// No token matches the URI, or several do.
    #[error("{found} tokens fit the pkcs11: URI; the module has {all}")]
    Token {
        /// `no`, or the count.
        found: String,
        /// The labels of all tokens.
        all: String,
    },
    /// The file with the PIN can't be used.
    #[error("the PIN of the token: {0}")]
    PinFile(#[from] KeyFileError),
    /// There is no terminal to ask for the PIN.
    #[error("the token {0} needs a PIN; there is no terminal to ask for it, and no file with it was named")]
    NeedsPin(String),
    /// The token refused the PIN.
    #[error("the token {token} refuses the PIN: {cause}")]
    Login {
        /// The token's label.
        token: String,
        /// The module's error.
        cause: Error,
    },
    /// No key matches the URI, or several do.
    #[error("{found} Ed25519 {what} in the token {token} fit the pkcs11: URI")]
    Key {
        /// `no`, or the count.
        found: String,
        /// `private keys`, …
        what: &'static str,
        /// The token's label.
        token: String,
    },
    /// The key is of another curve, or its public part can't be read.
    #[error("the public key in the token {token} is not an Ed25519 key: {what}")]
    NotEd25519 {
        /// The token's label.
        token: String,
        /// The fault found.
        what: &'static str,
    },
    /// The token refused another request.
    #[error("the token {token}: {cause}")]
    Refused {
        /// The token's label.
        token: String,
        /// The token's error.
        cause: Error,
    },
}

/// Time for a thread to return from the module.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);

/// A key in a token, and the thread whose session may use it.
#[derive(Debug)]
pub struct TokenSigner {
    key: PublicKey,
    /// Dropped before the thread, which ends when it is closed.
    requests: Sender<Request>,
    _thread: Caller,
    patience: Patience,
}

/// A thread that calls a module. Dropping it waits for the thread, if the module returns in time.
#[derive(Debug)]
struct Caller {
    thread: Option<JoinHandle<()>>,
    /// Closed when the calls have returned.
    over: Receiver<Infallible>,
}

impl Caller {
    fn start(calls: impl FnOnce() + Send + 'static) -> Self {
        let (calling, over) = channel::<Infallible>();
        let thread = std::thread::spawn(move || {
            calls();
            drop(calling);
        });
        Self { thread: Some(thread), over }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let over = matches!(self.over.recv_timeout(EXIT_TIMEOUT), Err(RecvTimeoutError::Disconnected));
        // OpenSSL cleans up a thread's data after the thread's last call.
        if let (true, Some(thread)) = (over, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

/// A message to sign, and a separate channel for the signature, so that a late answer does not belong to another
/// request.
struct Request {
    message: Vec<u8>,
    answer: Sender<Result<Vec<u8>, Error>>,
}

/// A token before the login.
struct Found {
    session: Session,
    label: String,
    login_required: bool,
    has_pin_pad: bool,
}

impl TokenSigner {
    /// Loads the module, finds the token, logs in once, and finds the key. Never tries a wrong PIN again, because
    /// tokens lock themselves. Each step, and later each signature, may take as long as a user needs to press a button.
    ///
    /// # Errors
    /// [`TokenError`]
    pub fn open(uri: KeyUri, pin: &PinInputs, patience: Patience) -> Result<Self, TokenError> {
        let path = uri.module.clone();
        let no_answer = |error, turn: &AnswerTime| match error {
            RecvTimeoutError::Timeout => TokenError::Silent { path: path.clone(), within: turn.named.clone() },
            RecvTimeoutError::Disconnected => TokenError::BrokeOff { path: path.clone() },
        };
        let (send, found) = channel();
        let thread = Caller::start(move || drop(send.send(Found::at(&uri).map(|found| (uri, found)))));
        let (uri, found) =
            patience.wait(|turn| found.recv_timeout(turn.most).map_err(|error| no_answer(error, turn)))??;
        drop(thread);

        let asked = found.login_required && !found.has_pin_pad;
        let pin = if asked { Some(find_pin(&uri, pin, &found.label)?) } else { None };
        let (send, key) = channel();
        let (requests, to_sign) = channel::<Request>();
        let thread = Caller::start(move || {
            let (key, private) = match found.log_in(&uri, pin.as_ref()) {
                Ok(found) => found,
                Err(error) => return drop(send.send(Err(error))),
            };
            drop(pin);
            // The caller may have stopped waiting.
            if send.send(Ok(key)).is_err() {
                return;
            }
            let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
            while let Ok(Request { message, answer }) = to_sign.recv() {
                let _ = answer.send(found.session.sign(&mechanism, private, &message));
            }
        });
        // Dropped before the thread, as above.
        let requests = requests;
        let key = patience.wait(|turn| key.recv_timeout(turn.most).map_err(|error| no_answer(error, turn)))??;
        Ok(Self { key, requests, _thread: thread, patience })
    }
}

impl Found {
    fn at(uri: &KeyUri) -> Result<Self, TokenError> {
        let failed = |cause| TokenError::Module { path: uri.module.clone(), cause };
        let module = Pkcs11::new(&uri.module).map_err(failed)?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(cause) => return Err(failed(cause)),
        }
        let (slot, label) = find_token(&module, uri)?;
        let refused = |cause| TokenError::Refused { token: label.clone(), cause };
        let session = module.open_ro_session(slot).map_err(refused)?;
        let info = module.get_token_info(slot).map_err(refused)?;
        let (login_required, has_pin_pad) = (info.login_required(), info.protected_authentication_path());
        Ok(Self { session, label, login_required, has_pin_pad })
    }

    fn log_in(&self, uri: &KeyUri, pin: Option<&AuthPin>) -> Result<(PublicKey, ObjectHandle), TokenError> {
        if self.login_required {
            match self.session.login(UserType::User, pin) {
                Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
                Err(cause) => return Err(TokenError::Login { token: self.label.clone(), cause }),
            }
        }
        let private = find_key(&self.session, uri, &self.label)?;
        Ok((public_key(&self.session, private, &self.label)?, private))
    }
}

impl Signer for TokenSigner {
    fn public_key(&self) -> PublicKey {
        self.key.clone()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let failed = |what: String| SignError::Signer(format!("the token {what}"));
        let (answer, signature) = channel();
        let request = Request { message: message.to_owned(), answer };
        self.requests.send(request).map_err(|_| failed("failed before".to_owned()))?;
        let signature = self.patience.wait(|turn| {
            signature.recv_timeout(turn.most).map_err(|error| match error {
                RecvTimeoutError::Timeout => failed(format!("did not answer within {}", turn.named)),
                RecvTimeoutError::Disconnected => failed("gave no answer".to_owned()),
            })
        })?;
        let signature = signature.map_err(|cause| SignError::Signer(format!("the token: {cause}")))?;
        signature.try_into().map_err(|_| failed("gave no signature of 64 bytes".to_owned()))
    }
}

fn find_token(module: &Pkcs11, uri: &KeyUri) -> Result<(Slot, String), TokenError> {
    let failed = |cause| TokenError::Module { path: uri.module.clone(), cause };
    let fits = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found.trim_end());
    let (mut found, mut all) = (Vec::new(), Vec::new());
    for slot in module.get_slots_with_initialized_token().map_err(failed)? {
        // Skip a token that the user just removed.
        let Ok(token) = module.get_token_info(slot) else { continue };
        let label = token.label().trim_end().to_owned();
        all.push(format!("`{label}`"));
        let named = fits(&uri.token, token.label()) && fits(&uri.serial, token.serial_number());
        let made = fits(&uri.manufacturer, token.manufacturer_id()) && fits(&uri.model, token.model());
        if named && made && uri.slot.is_none_or(|id| id == slot.id()) {
            found.push((slot, label));
        }
    }
    match <[_; 1]>::try_from(found) {
        Ok([one]) => Ok(one),
        Err(found) => {
            let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
            Err(TokenError::Token { found: count(found.len()), all })
        }
    }
}

fn find_pin(uri: &KeyUri, pin: &PinInputs, token: &str) -> Result<AuthPin, TokenError> {
    let pin = match (&uri.pin_file, &pin.env, pin.ask) {
        (Some(path), _, _) => secret_line(path)?,
        (None, Some(pin), _) => pin.clone(),
        (None, None, Some(ask)) => {
            ask(&format!("PIN of the token {token}: ")).map_err(|_| TokenError::NeedsPin(token.to_owned()))?
        }
        (None, None, None) => return Err(TokenError::NeedsPin(token.to_owned())),
    };
    Ok(AuthPin::from(pin.as_str()))
}

fn find_key(session: &Session, uri: &KeyUri, token: &str) -> Result<ObjectHandle, TokenError> {
    let label = uri.object.as_ref().map(|label| Attribute::Label(label.clone().into_bytes()));
    let id = uri.id.as_ref().map(|id| Attribute::Id(id.clone()));
    let of_kind = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::KeyType(KeyType::EC_EDWARDS)];
    let template: Vec<Attribute> = of_kind.into_iter().chain(label).chain(id).collect();
    one(session, &template, "private keys", token)
}

/// Reads the public key of a private one, which is the object with the same id.
fn public_key(session: &Session, private: ObjectHandle, token: &str) -> Result<PublicKey, TokenError> {
    let refused = |cause| TokenError::Refused { token: token.to_owned(), cause };
    let mut template = vec![Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::KeyType(KeyType::EC_EDWARDS)];
    template.extend(session.get_attributes(private, &[AttributeType::Id]).map_err(refused)?);
    let public = one(session, &template, "public keys with the private key's id", token)?;
    let point = session.get_attributes(public, &[AttributeType::EcPoint]).map_err(refused)?;
    let wrong = |what| TokenError::NotEd25519 { token: token.to_owned(), what };
    match point.first() {
        Some(Attribute::EcPoint(point)) => {
            let point = bare_point(point).map_err(wrong)?;
            PublicKey::from_elsewhere(KeyKind::Operator, point).map_err(|_| wrong("it is a point of small order"))
        }
        _ => Err(wrong("it has no CKA_EC_POINT")),
    }
}

/// Returns the key in `CKA_EC_POINT`. Some modules have the key itself there, others a DER OCTET STRING of it.
fn bare_point(point: &[u8]) -> Result<[u8; 32], &'static str> {
    let bare = match point {
        [0x04, 0x20, bare @ ..] if bare.len() == 32 => bare,
        bare => bare,
    };
    bare.try_into().map_err(|_| "CKA_EC_POINT is not 32 bytes, bare or as a DER OCTET STRING")
}

fn one(session: &Session, template: &[Attribute], what: &'static str, token: &str) -> Result<ObjectHandle, TokenError> {
    let found = session.find_objects(template);
    let found = found.map_err(|cause| TokenError::Refused { token: token.to_owned(), cause })?;
    match found.as_slice() {
        [one] => Ok(*one),
        found => Err(TokenError::Key { found: count(found.len()), what, token: token.to_owned() }),
    }
}

fn count(number: usize) -> String {
    if number == 0 { "no".to_owned() } else { number.to_string() }
}

#[cfg(test)]
mod tests {
    use super::bare_point;

    #[test]
    fn a_point_is_bare_or_wrapped() {
        let key: Vec<u8> = (0x04..0x24).collect();
        assert_eq!(bare_point(&key).unwrap()[..], key);
        assert_eq!(bare_point(&[&[0x04, 0x20][..], &key].concat()).unwrap()[..], key);
        let begins_like_a_wrapping = [&[0x04, 0x20][..], &key[2..]].concat();
        assert_eq!(bare_point(&begins_like_a_wrapping).unwrap()[..], begins_like_a_wrapping);
        for wrong in [&key[1..], &[&[0x04, 0x39][..], &[7; 57]].concat(), &[]] {
            assert!(bare_point(wrong).is_err());
        }
    }
}
