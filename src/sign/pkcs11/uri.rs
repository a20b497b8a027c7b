//! Parses `pkcs11:` URIs (RFC 7512) that name a private key.

use std::path::PathBuf;

/// The key, its token, and the module that reaches it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct KeyUri {
    /// `token`: the token's label.
    pub token: Option<String>,
    /// `serial`: the token's serial number.
    pub serial: Option<String>,
    /// `manufacturer` of the token.
    pub manufacturer: Option<String>,
    /// `model` of the token.
    pub model: Option<String>,
    /// `slot-id`
    pub slot: Option<u64>,
    /// `object`: the key's label.
    pub object: Option<String>,
    /// `id`: the key's `CKA_ID`.
    pub id: Option<Vec<u8>>,
    /// `module-path`: the library.
    pub module: PathBuf,
    /// `pin-source`: a file with the PIN.
    pub pin_file: Option<PathBuf>,
}

/// Reason why a URI was refused. Never contains its values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// The URI contains a PIN, and is on the command line.
    #[error(
        "`pin-value` puts the PIN where others can see it, and is refused; name a file with `pin-source=file:PATH`"
    )]
    PinValue,
    /// The attribute is unknown, or this tool does not use it.
    #[error("the attribute `{0}` is not known here")]
    Unknown(String),
    /// An attribute occurs twice.
    #[error("the attribute `{0}` is there twice")]
    Twice(String),
    /// A value is not valid.
    #[error("the value of `{0}` {1}")]
    Value(&'static str, &'static str),
    /// The text is not `name=value`, or has an invalid percent escape.
    #[error("it is not a `pkcs11:` URI of RFC 7512")]
    Syntax,
    /// The URI has neither `object` nor `id`.
    #[error("it does not say which key: `object` (the label) or `id` is needed")]
    NoKey,
    /// The URI names no library.
    #[error("it does not say which library reaches the token: `?module-path=/usr/lib/….so` is needed")]
    NoModule,
}

impl KeyUri {
    /// Parses a URI.
    ///
    /// # Errors
    /// [`UriError`]
    pub fn parse(uri: &str) -> Result<Self, UriError> {
        let rest = uri.strip_prefix("pkcs11:").ok_or(UriError::Syntax)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        // Checked first, so that no other mistake hides the PIN.
        if query.split('&').chain(path.split(';')).any(|part| part.trim_start().starts_with("pin-value")) {
            return Err(UriError::PinValue);
        }
        let mut seen = Vec::new();
        let mut found = Self::default();
        let parts = path.split(';').map(|part| (false, part)).chain(query.split('&').map(|part| (true, part)));
        for (in_query, part) in parts.filter(|(_, part)| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or(UriError::Syntax)?;
            let bytes = decoded(value)?;
            if seen.contains(&name) {
                return Err(UriError::Twice(name.to_owned()));
            }
            seen.push(name);
            let text = |name| String::from_utf8(bytes.clone()).map_err(|_| UriError::Value(name, "is not text"));
            match (in_query, name) {
                (false, "token") => found.token = Some(text("token")?),
                (false, "serial") => found.serial = Some(text("serial")?),
                (false, "manufacturer") => found.manufacturer = Some(text("manufacturer")?),
                (false, "model") => found.model = Some(text("model")?),
                (false, "object") => found.object = Some(text("object")?),
                (false, "id") => found.id = Some(bytes),
                (false, "slot-id") => {
                    let number = text("slot-id")?.parse();
                    found.slot = Some(number.map_err(|_| UriError::Value("slot-id", "is not a number"))?);
                }
                (false, "type") if bytes == b"private" => {}
                (false, "type") => return Err(UriError::Value("type", "is not `private`")),
                (true, "module-path") => found.module = text("module-path")?.into(),
                (true, "pin-source") => found.pin_file = Some(pin_file(&text("pin-source")?)?),
                _ => return Err(UriError::Unknown(name.chars().filter(|c| !c.is_control()).take(40).collect())),
            }
        }
        if found.object.is_none() && found.id.is_none() {
            return Err(UriError::NoKey);
        }
        if found.module.as_os_str().is_empty() {
            return Err(UriError::NoModule);
        }
        Ok(found)
    }
}

fn pin_file(source: &str) -> Result<PathBuf, UriError> {
    let wrong = |what| UriError::Value("pin-source", what);
    let path = match source.strip_prefix("file:") {
        Some(path) => path.strip_prefix("//").unwrap_or(path),
        None if source.starts_with('|') => return Err(wrong("is a command, which is not run; name a file")),
        None => source,
    };
    if path.is_empty() { Err(wrong("names no file")) } else { Ok(path.into()) }
}

fn decoded(value: &str) -> Result<Vec<u8>, UriError> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
                let (high, low) = (digit().ok_or(UriError::Syntax)?, digit().ok_or(UriError::Syntax)?);
                u8::try_from(high * 16 + low).map_err(|_| UriError::Syntax)?
            }
            byte => byte,
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_a_key() {
        let uri = "pkcs11:token=My%20token;serial=42;object=op;id=%01%fF;type=private;slot-id=7\
                   ?module-path=/usr/lib/x.so&pin-source=file:/run/pin";
        let key = KeyUri::parse(uri).unwrap();
        assert_eq!(key.token.as_deref(), Some("My token"));
        assert_eq!((key.serial.as_deref(), key.slot), (Some("42"), Some(7)));
        assert_eq!((key.object.as_deref(), key.id), (Some("op"), Some(vec![1, 255])));
        assert_eq!(key.module, PathBuf::from("/usr/lib/x.so"));
        assert_eq!(key.pin_file, Some("/run/pin".into()));
        let plain = KeyUri::parse("pkcs11:object=op?pin-source=/run/pin&module-path=x.so").unwrap();
        assert_eq!(plain.pin_file, Some("/run/pin".into()));
        let authority = KeyUri::parse("pkcs11:object=op?pin-source=file:///run/pin&module-path=x.so").unwrap();
        assert_eq!(authority.pin_file, Some("/run/pin".into()));
    }

    #[test]
    fn a_pin_in_a_uri_is_refused_whatever_else_is_wrong_and_never_repeated() {
        for uri in [
            "pkcs11:object=op?module-path=x.so&pin-value=1234",
            "pkcs11:object=op;pin-value=1234",
            "pkcs11:nonsense=1?pin-value=1234",
            "pkcs11:%zz?x&pin-value",
        ] {
            let error = KeyUri::parse(uri).unwrap_err();
            assert_eq!(error, UriError::PinValue, "{uri}");
            assert!(!error.to_string().contains("1234"));
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let refused = |uri: &str| KeyUri::parse(uri).unwrap_err();
        assert_eq!(refused("pkcs11:object=op"), UriError::NoModule);
        assert_eq!(refused("pkcs11:token=t?module-path=x.so"), UriError::NoKey);
        assert_eq!(refused("pkcs11:object=a;object=b?module-path=x.so"), UriError::Twice("object".into()));
        assert_eq!(refused("pkcs11:object=a;colour=b?module-path=x.so"), UriError::Unknown("colour".into()));
        assert_eq!(refused("pkcs11:object=a;module-path=x.so"), UriError::Unknown("module-path".into()));
        assert_eq!(refused("pkcs11:object"), UriError::Syntax);
        assert_eq!(refused("pkcs11:object=%4"), UriError::Syntax);
        assert_eq!(refused("file:x"), UriError::Syntax);
        assert!(matches!(refused("pkcs11:object=a;type=public?module-path=x"), UriError::Value("type", _)));
        assert!(matches!(refused("pkcs11:object=a;slot-id=x?module-path=x"), UriError::Value("slot-id", _)));
        assert!(matches!(refused("pkcs11:object=a?pin-source=|cat&module-path=x"), UriError::Value("pin-source", _)));
    }
}
