//! How secrets are kept: each is encrypted with a key of its own, and that key with one derived from a passphrase, as
//! stock does it, so that either server reads what the other wrote. Only stock reads the secrets: this server never
//! asks a model.
//!
//! Upstream: `mlflow.utils.crypto`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use openssl::hash::MessageDigest;
use openssl::pkcs5::pbkdf2_hmac;
use openssl::rand::rand_bytes;
use openssl::symm::{Cipher, encrypt_aead};

use crate::domain::{Error, Result};
use crate::proto::loose::write_string;

/// The passphrase of a server that was given none: known to everyone.
const DEFAULT_PASSPHRASE: &str = "mlflow-default-kek-passphrase-for-development-only";
/// What the version of the key is appended to.
const SALT: &[u8] = b"mlflow-secrets-kek-v1-2025";
const ITERATIONS: usize = 600_000;
const KEY: usize = 32;
const NONCE: usize = 12;
const TAG: usize = 16;

/// The key that the keys of secrets are encrypted with. It is derived when it is first needed, which takes a good
/// part of a second.
#[derive(Clone)]
pub struct KeyEncryptionKey {
    passphrase: Option<String>,
    version: u32,
    derived: Arc<OnceLock<[u8; KEY]>>,
}

impl Default for KeyEncryptionKey {
    fn default() -> Self {
        Self::new(None, 1)
    }
}

impl fmt::Debug for KeyEncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyEncryptionKey {{ version: {}, is_default: {} }}", self.version, self.is_default())
    }
}

/// A secret as it is stored.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// The values, encrypted.
    pub encrypted_value: Vec<u8>,
    /// The key that they are encrypted with, itself encrypted.
    pub wrapped_key: Vec<u8>,
    /// The version of the key which that was done with.
    pub version: i32,
}

impl KeyEncryptionKey {
    /// Takes what the key is derived from; no passphrase or an empty one is the default that everyone knows.
    pub fn new(passphrase: Option<String>, version: u32) -> Self {
        let passphrase = passphrase.filter(|text| !text.is_empty());
        Self { passphrase, version, derived: Arc::default() }
    }

    /// Says whether the passphrase is the one that everyone knows.
    pub const fn is_default(&self) -> bool {
        self.passphrase.is_none()
    }

    /// Encrypts the values of a secret. Its id and name are bound to them, and so cannot change. Blocks.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when OpenSSL fails.
    pub fn seal(&self, values: &BTreeMap<String, String>, id: &str, name: &str) -> Result<Sealed> {
        let mut key = [0; KEY];
        rand_bytes(&mut key).map_err(Error::internal)?;
        let encrypted_value = encrypt(&key, bound_to(id, name).as_bytes(), json(values).as_bytes())?;
        let wrapped_key = encrypt(&self.derive()?, &[], &key)?;
        Ok(Sealed { encrypted_value, wrapped_key, version: i32::try_from(self.version).unwrap_or(i32::MAX) })
    }

    fn derive(&self) -> Result<[u8; KEY]> {
        if let Some(key) = self.derived.get() {
            return Ok(*key);
        }
        let passphrase = self.passphrase.as_deref().unwrap_or(DEFAULT_PASSPHRASE);
        let salt = [SALT, &self.version.to_be_bytes()].concat();
        let mut key = [0; KEY];
        pbkdf2_hmac(passphrase.as_bytes(), &salt, ITERATIONS, MessageDigest::sha256(), &mut key)
            .map_err(Error::internal)?;
        Ok(*self.derived.get_or_init(|| key))
    }
}

fn bound_to(id: &str, name: &str) -> String {
    format!("{id}|{name}")
}

/// AES-256-GCM: a nonce, the encrypted bytes, a tag.
fn encrypt(key: &[u8; KEY], bound: &[u8], bytes: &[u8]) -> Result<Vec<u8>> {
    let (mut nonce, mut tag) = ([0; NONCE], [0; TAG]);
    rand_bytes(&mut nonce).map_err(Error::internal)?;
    let encrypted = encrypt_aead(Cipher::aes_256_gcm(), key, Some(&nonce), bound, bytes, &mut tag);
    Ok([&nonce[..], &encrypted.map_err(Error::internal)?, &tag].concat())
}

/// Writes texts as `json.dumps` does.
pub fn json(values: &BTreeMap<String, String>) -> String {
    let mut out = "{".to_owned();
    for (i, (key, value)) in values.iter().enumerate() {
        out.push_str(if i == 0 { "" } else { ", " });
        write_string(key, &mut out);
        out.push_str(": ");
        write_string(value, &mut out);
    }
    out.push('}');
    out
}

/// Leaves of each value what people know it by.
///
/// Upstream: `_mask_secret_value`.
pub fn mask(values: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mask_one = |value: &String| {
        let chars: Vec<char> = value.chars().collect();
        match (chars.first_chunk::<3>(), chars.last_chunk::<4>()) {
            (Some(first), Some(last)) if chars.len() >= 8 => {
                format!("{}...{}", String::from_iter(first), String::from_iter(last))
            }
            _ => "***".into(),
        }
    };
    values.iter().map(|(key, value)| (key.clone(), mask_one(value))).collect()
}

#[cfg(test)]
mod tests {
    use openssl::symm::decrypt_aead;

    use super::*;

    fn decrypt(key: &[u8; KEY], bound: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_at(NONCE);
        let (encrypted, tag) = rest.split_at(rest.len() - TAG);
        decrypt_aead(Cipher::aes_256_gcm(), key, Some(nonce), bound, encrypted, tag).ok()
    }

    fn open(kek: &KeyEncryptionKey, sealed: &Sealed, id: &str, name: &str) -> Option<String> {
        let key = decrypt(&kek.derive().unwrap(), &[], &sealed.wrapped_key)?.try_into().ok()?;
        let text = decrypt(&key, bound_to(id, name).as_bytes(), &sealed.encrypted_value)?;
        String::from_utf8(text).ok()
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    }

    fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    /// What stock encrypted with this passphrase.
    #[test]
    fn reads_what_stock_wrote() {
        let kek = KeyEncryptionKey::new(Some("a passphrase for tests".into()), 2);
        let sealed = Sealed {
            encrypted_value: hex(
                "4652560bab0f271b04dbb47e61227414218c9768ce4871943e16837db787844e574cbe42301219e70812e931821e778f\
                 a90482ba15e8fbe8",
            ),
            wrapped_key: hex(
                "92b44459d44e3c3a6c546c27a97c4bfe7bf0b7f36640d452d080c3217d3decb2066659ba824b639c6c69d2a230f2a12b\
                 05534cb76dbd97918c4c27c9",
            ),
            version: 2,
        };
        assert_eq!(open(&kek, &sealed, "s-1", "openai").as_deref(), Some(r#"{"api_key": "sk-tests-1234"}"#));
        assert_eq!(open(&kek, &sealed, "s-2", "openai"), None);
    }

    #[test]
    fn reads_what_it_wrote_and_nothing_else() {
        let kek = KeyEncryptionKey::default();
        let secret = values(&[("b", "é\"\n"), ("a", "1")]);
        let sealed = kek.seal(&secret, "s-1", "n").unwrap();
        assert_eq!(sealed.version, 1);
        assert_eq!(open(&kek, &sealed, "s-1", "n").as_deref(), Some(r#"{"a": "1", "b": "\u00e9\"\n"}"#));
        assert_eq!(open(&kek, &sealed, "s-1", "m"), None);
        let other = KeyEncryptionKey::new(Some("other".into()), 1);
        assert_eq!(open(&other, &sealed, "s-1", "n"), None);
        assert_ne!(kek.seal(&secret, "s-1", "n").unwrap().encrypted_value, sealed.encrypted_value);
    }

    #[test]
    fn an_empty_passphrase_is_none() {
        assert!(KeyEncryptionKey::new(Some(String::new()), 1).is_default());
        let kek = KeyEncryptionKey::new(Some("secret".into()), 3);
        assert_eq!(format!("{kek:?}"), "KeyEncryptionKey { version: 3, is_default: false }");
    }

    #[test]
    fn masks_keep_the_ends_of_long_values() {
        let masked = mask(&values(&[("a", "sk-12345678"), ("b", "1234567"), ("c", "éèêabcdñ"), ("d", "")]));
        assert_eq!(masked, values(&[("a", "sk-...5678"), ("b", "***"), ("c", "éèê...bcdñ"), ("d", "***")]));
    }
}
