//! Web3 keystore files, version 3: a private key encrypted with a password.
//!
//! The file's parameters are checked before the library that decrypts it sees them: it would take any
//! amount of memory they ask for, and slice what is too short.

use std::path::Path;

use anyhow::{Context, bail};
use schemas::ids::parse_address;
use schemas::signer::{KeySigner, Signer, Zeroizing};
use serde::Deserialize;

use super::read_secret;

/// The environment variable with a keystore's password.
pub const PASSWORD_VARIABLE: &str = "HEADWATER_KEYSTORE_PASSWORD";

/// 1 GiB; what is usual (n = 2^18, r = 8) takes a quarter.
const MAX_SCRYPT_BYTES: u64 = 1 << 30;
const MAX_PBKDF2_ROUNDS: u32 = 10_000_000;

#[derive(Deserialize)]
struct File {
    version: u64,
    /// Without `0x`, where it is given at all.
    #[serde(default)]
    address: Option<String>,
    crypto: Crypto,
}

#[derive(Deserialize)]
struct Crypto {
    cipher: String,
    ciphertext: String,
    cipherparams: CipherParams,
    kdf: String,
    kdfparams: KdfParams,
    mac: String,
}

#[derive(Deserialize)]
struct CipherParams {
    iv: String,
}

#[derive(Deserialize)]
struct KdfParams {
    dklen: u64,
    // scrypt
    #[serde(default)]
    n: u64,
    #[serde(default)]
    r: u64,
    #[serde(default)]
    p: u64,
    // pbkdf2
    #[serde(default)]
    c: u32,
    #[serde(default)]
    prf: String,
}

/// The password in `file`, or in the environment. A line break at the end is not part of it.
pub fn password(file: Option<&Path>) -> anyhow::Result<Zeroizing<String>> {
    let mut text = match file {
        Some(path) => read_secret(path)?,
        None => std::env::var(PASSWORD_VARIABLE).map(Zeroizing::new).map_err(|_| {
            anyhow::anyhow!("a keystore needs its password: name a file that holds it, or set the environment variable {PASSWORD_VARIABLE}")
        })?,
    };
    let length = text.trim_end_matches(['\n', '\r']).len();
    text.truncate(length);
    Ok(text)
}

/// Decrypts a keystore that only its owner can read. Takes a second of computing, as it is meant to.
pub fn open(path: &Path, password: &Zeroizing<String>) -> anyhow::Result<KeySigner> {
    let shown = path.display();
    let text = read_secret(path)?;
    let file: File = serde_json::from_str(&text).map_err(|error| {
        // Not serde's text, which may repeat what it found.
        anyhow::anyhow!("{shown} is not a Web3 keystore of version 3 (line {}, column {})", error.line(), error.column())
    })?;
    check(&file).map_err(|problem| anyhow::anyhow!("keystore {shown}: {problem}"))?;
    let secret = eth_keystore::decrypt_key(path, password.as_bytes()).map(Zeroizing::new).map_err(|error| match error {
        eth_keystore::KeystoreError::MacMismatch => anyhow::anyhow!("keystore {shown}: the password is wrong, or the file is damaged"),
        _ => anyhow::anyhow!("keystore {shown} cannot be decrypted"),
    })?;
    let signer = KeySigner::from_secret(&secret).with_context(|| format!("keystore {shown}"))?;
    if let Some(address) = &file.address {
        let named = parse_address(&format!("0x{}", address.trim_start_matches("0x"))).with_context(|| format!("keystore {shown}"))?;
        if named != signer.address() {
            bail!("keystore {shown} is named after {named}, but holds the key of {}", signer.address());
        }
    }
    Ok(signer)
}

fn check(file: &File) -> Result<(), String> {
    let (crypto, kdf) = (&file.crypto, &file.crypto.kdfparams);
    if file.version != 3 {
        return Err(format!("version {}; only 3 is known", file.version));
    }
    if crypto.cipher != "aes-128-ctr" {
        return Err("its cipher is not aes-128-ctr".into());
    }
    for (name, text, bytes) in [("iv", &crypto.cipherparams.iv, 16), ("mac", &crypto.mac, 32), ("ciphertext", &crypto.ciphertext, 32)] {
        if hex::decode(text).map_or(0, |decoded| decoded.len()) != bytes {
            return Err(format!("{name} is not {bytes} bytes in hexadecimal"));
        }
    }
    if kdf.dklen != 32 {
        return Err("dklen is not 32".into());
    }
    let memory_bytes = kdf.n.saturating_mul(kdf.r).saturating_mul(128);
    match crypto.kdf.as_str() {
        "scrypt" if !kdf.n.is_power_of_two() || kdf.n < 2 || !(1..=32).contains(&kdf.r) || !(1..=16).contains(&kdf.p) => {
            Err("its scrypt parameters are not usual ones".into())
        }
        "scrypt" if memory_bytes > MAX_SCRYPT_BYTES => Err(format!("scrypt would take {memory_bytes} bytes of memory")),
        "pbkdf2" if kdf.prf != "hmac-sha256" || !(1..=MAX_PBKDF2_ROUNDS).contains(&kdf.c) => {
            Err("its pbkdf2 parameters are not usual ones".into())
        }
        "scrypt" | "pbkdf2" => Ok(()),
        _ => Err("its kdf is neither scrypt nor pbkdf2".into()),
    }
}

#[cfg(test)]
mod tests;
