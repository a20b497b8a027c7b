//! Reasons why there is no signed token.

use crate::model::claims::ClaimsError;
use crate::model::nkey::{KeyKind, PublicKey};

/// Reason why there is no signed token.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The signer failed.
    #[error("the signer failed: {0}")]
    Signer(String),
    /// The signature did not verify with an independent implementation.
    #[error("the signature of {0} does not verify; nothing was sent")]
    BadSignature(PublicKey),
    /// The key is weak: anyone can forge its signatures without a seed.
    #[error("{0} is a weak key: anyone can forge its signatures; nothing was sent")]
    WeakKey(PublicKey),
    /// The strict decoder refuses the claims.
    #[error("the claims are not signed: {0}")]
    Claims(#[from] ClaimsError),
    /// The date is later than servers can represent.
    #[error("a token is not dated {0} s after 1970: servers count until 2262")]
    Date(u64),
    /// The decoded token differs from the claims to sign.
    #[error("the token that was made does not say what was to be signed; nothing was sent")]
    ReadBack,
    /// The claims are not an object.
    #[error("the claims are not a JSON object")]
    NotAnObject,
    /// This tool does not sign claims of this type.
    #[error("claims of type `{0}` are not issued here")]
    UnknownType(String),
    /// A key of this kind may not sign such a token, and servers would refuse it.
    #[error("{signer} is the key of {}; tokens of type `{claim_type}` are signed by the key of {}", signer.kind().with_article(), expected.with_article())]
    WrongSigner {
        /// The signer's key.
        signer: PublicKey,
        /// `nats.type`
        claim_type: String,
        /// The kind of key that may sign it.
        expected: KeyKind,
    },
    /// `sub` is not a key of the kind that this type of claims describes.
    #[error("claims of type `{claim_type}` are about the key of {}; `sub` is not one", expected.with_article())]
    WrongSubject {
        /// `nats.type`
        claim_type: String,
        /// The kind of key that `sub` should be.
        expected: KeyKind,
    },
}
