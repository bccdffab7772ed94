//! Fernet: how stock keeps the secrets of webhooks. A token is a version, a time, an initialisation vector, AES-128-CBC
//! of the text, and an HMAC-SHA256 over all that, as base64. The time is not looked at.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::memcmp;
use openssl::pkey::PKey;
use openssl::rand::rand_bytes;
use openssl::sign::Signer;
use openssl::symm::{Cipher, decrypt, encrypt};

use crate::domain::time::now_ms;
use crate::domain::{Error, Result};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const VERSION: u8 = 0x80;
/// Version, time and initialisation vector.
const HEAD: usize = 1 + 8 + 16;
const MAC: usize = 32;

/// A key, half of it for signing, half for encryption.
#[derive(Clone)]
pub struct FernetKey {
    signing: [u8; 16],
    encryption: [u8; 16],
}

impl fmt::Debug for FernetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FernetKey")
    }
}

impl FernetKey {
    /// Makes a key of random bytes. Every server without a key of its own begins with this, so the bytes do not come
    /// from OpenSSL, which takes 2 MB when it is first used.
    pub fn random() -> Self {
        Self::from_bytes(&rand::random())
    }

    /// Reads a key: 32 bytes as base64 with either alphabet; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().replace('+', "-").replace('/', "_");
        let bytes: [u8; 32] = BASE64.decode(text).ok()?.try_into().ok()?;
        Some(Self::from_bytes(&bytes))
    }

    fn from_bytes(bytes: &[u8; 32]) -> Self {
        let (mut signing, mut encryption) = ([0; 16], [0; 16]);
        let (first, second) = bytes.split_at(16);
        signing.copy_from_slice(first);
        encryption.copy_from_slice(second);
        Self { signing, encryption }
    }

    /// Encrypts `text`.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when OpenSSL fails.
    pub fn encrypt(&self, text: &str) -> Result<String> {
        let mut token = vec![VERSION];
        token.extend_from_slice(&(now_ms() / 1000).to_be_bytes());
        let mut vector = [0; 16];
        rand_bytes(&mut vector).map_err(Error::internal)?;
        token.extend_from_slice(&vector);
        let encrypted = encrypt(Cipher::aes_128_cbc(), &self.encryption, Some(&vector), text.as_bytes());
        token.extend_from_slice(&encrypted.map_err(Error::internal)?);
        let mac = hmac_sha256(&self.signing, &token).map_err(Error::internal)?;
        token.extend_from_slice(&mac);
        Ok(BASE64.encode(token))
    }

    /// Decrypts what [`FernetKey::encrypt`] or stock wrote; `None` when that was with another key, or is damaged.
    pub fn decrypt(&self, token: &str) -> Option<String> {
        let bytes = BASE64.decode(token).ok()?;
        let (signed, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC)?)?;
        let expected = hmac_sha256(&self.signing, signed).ok()?;
        if expected.len() != mac.len() || !memcmp::eq(&expected, mac) {
            return None;
        }
        let (head, encrypted) = signed.split_at_checked(HEAD)?;
        let vector = head.get(9..).filter(|_| head.first() == Some(&VERSION))?;
        let text = decrypt(Cipher::aes_128_cbc(), &self.encryption, Some(vector), encrypted).ok()?;
        String::from_utf8(text).ok()
    }
}

/// Returns the HMAC-SHA256 of `message`.
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let key = PKey::hmac(key)?;
    let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
    signer.update(message)?;
    signer.sign_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Fernet's specification.
    const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
    const TOKEN: &str = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";

    #[test]
    fn reads_the_example_of_the_specification() {
        assert_eq!(FernetKey::parse(KEY).unwrap().decrypt(TOKEN).as_deref(), Some("hello"));
    }

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        let key = FernetKey::random();
        for text in ["", "s3cr3t", "ü".repeat(100).as_str()] {
            let token = key.encrypt(text).unwrap();
            assert_eq!(key.decrypt(&token).as_deref(), Some(text));
            assert_eq!(FernetKey::random().decrypt(&token), None);
            assert_eq!(key.decrypt(&format!("A{}", &token[1..])), None);
            assert_eq!(key.decrypt(&token[..token.len() - 8]), None);
        }
        assert_eq!(key.decrypt(""), None);
        assert_eq!(key.decrypt("no token"), None);
    }

    #[test]
    fn keys_are_32_bytes() {
        for (text, is_key) in [
            (KEY, true),
            (" cw/0x689RpI+jtRR7oE8h/eQsKImvJapLeSbXpwF4e4= ", true),
            ("c2hvcnQ=", false),
            ("", false),
        ] {
            assert_eq!(FernetKey::parse(text).is_some(), is_key, "{text}");
        }
        assert!(!format!("{:?}", FernetKey::parse(KEY)).contains("cw"));
    }
}
