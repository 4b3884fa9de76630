//! Keys in files: who signs. A secret is read, and written, by its owner alone; no error, log or
//! `Debug` repeats it, and what held it is overwritten.

pub mod keystore;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use schemas::signer::{KeySigner, Signer, Zeroizing};
use schemas::{Address, B256};

/// The environment variable with a private key in hexadecimal.
pub const KEY_VARIABLE: &str = "HEADWATER_PRIVATE_KEY";

/// Name of the service's own key, which owns the Datanets that it creates.
pub const OPERATOR: &str = "operator";

/// Name of the key whose account gives gas and tokens away on a development chain.
pub const FAUCET: &str = "faucet";

fn key_path(data_dir: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let plain = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter));
    if !plain {
        bail!("key name {name:?}: use letters, digits, - and _");
    }
    Ok(data_dir.join("keys").join(format!("{name}.key")))
}

/// Makes a new random key; an existing one is never overwritten.
pub fn create(data_dir: &Path, name: &str) -> anyhow::Result<KeySigner> {
    let path = key_path(data_dir, name)?;
    check_new(&path)?;
    let signer = loop {
        // All but a vanishing part of all numbers are keys.
        if let Ok(signer) = KeySigner::from_bytes(&B256::from(rand::random::<[u8; 32]>())) {
            break signer;
        }
    };
    write_key(&path, &signer)?;
    Ok(signer)
}

/// Keeps a key that was made elsewhere; an existing one is never overwritten.
pub fn import(data_dir: &Path, name: &str, signer: &KeySigner) -> anyhow::Result<()> {
    let path = key_path(data_dir, name)?;
    check_new(&path)?;
    write_key(&path, signer)
}

/// Whether a key can be written to a file: an existing one is never overwritten.
pub fn check_new(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        bail!("{} exists; a key is never overwritten", path.display());
    }
    Ok(())
}

fn write_key(path: &Path, signer: &KeySigner) -> anyhow::Result<()> {
    let digits = Zeroizing::new(hex::encode(signer.to_bytes().as_slice()));
    write_secret(path, &Zeroizing::new(format!("0x{}\n", digits.as_str())))
}

/// Reads the key of that name.
pub fn load(data_dir: &Path, name: &str) -> anyhow::Result<KeySigner> {
    let path = key_path(data_dir, name)?;
    if !path.exists() {
        let known = list(data_dir)?;
        let known = if known.is_empty() { "there are none yet".to_owned() } else { format!("there are: {}", known.join(", ")) };
        bail!("there is no key {name:?} ({known}); `headwater keys new {name}` makes one");
    }
    load_file(&path)
}

/// Reads a key file: 64 hexadecimal digits, or a Web3 keystore whose password the environment names;
/// readable by its owner only.
pub fn load_file(path: &Path) -> anyhow::Result<KeySigner> {
    let text = read_secret(path)?;
    if text.trim_start().starts_with('{') {
        return keystore::open(path, &keystore::password(None)?);
    }
    parse(text.trim()).with_context(|| format!("key file {}", path.display()))
}

/// The text of a file that only its owner can read.
fn read_secret(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let shown = path.display();
    let mode = fs::metadata(path).with_context(|| format!("cannot read the key file {shown}"))?.permissions().mode();
    if mode & 0o077 != 0 {
        bail!("the key file {shown} can be read by others; `chmod 600 {shown}`");
    }
    fs::read_to_string(path).map(Zeroizing::new).with_context(|| format!("cannot read the key file {shown}"))
}

/// The key in the environment, if there is one.
pub fn from_environment() -> anyhow::Result<Option<KeySigner>> {
    match std::env::var(KEY_VARIABLE).map(Zeroizing::new) {
        Ok(text) => parse(text.trim()).with_context(|| format!("environment variable {KEY_VARIABLE}")).map(Some),
        Err(_) => Ok(None),
    }
}

/// Errors never repeat the text: it is a secret.
fn parse(text: &str) -> anyhow::Result<KeySigner> {
    let Ok(secret) = hex::decode(text.strip_prefix("0x").unwrap_or(text)).map(Zeroizing::new) else {
        bail!("a private key is 64 hexadecimal digits")
    };
    if secret.len() != 32 {
        bail!("a private key is 64 hexadecimal digits");
    }
    Ok(KeySigner::from_secret(&secret)?)
}

/// Names of the keys in the data folder.
pub fn list(data_dir: &Path) -> anyhow::Result<Vec<String>> {
    let folder = data_dir.join("keys");
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "key")
            && let Some(name) = path.file_stem().and_then(|name| name.to_str())
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// An address as typed: `0x…`, or the name of a key in the data folder.
pub fn address(data_dir: &Path, text: &str) -> anyhow::Result<Address> {
    if text.starts_with("0x") {
        return Ok(schemas::ids::parse_address(text)?);
    }
    Ok(load(data_dir, text)?.address())
}

/// Writes a file that only its owner can read, whole or not at all, and durably.
pub fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let draft = folder.join(format!(".{:016x}.new", rand::random::<u64>()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        fs::File::open(folder)?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name without a folder is one in the current folder; a file beside it stays.
    #[test]
    fn a_secret_is_written_where_it_is_named() {
        let name = format!("target-secret-{:016x}.apikey", rand::random::<u64>());
        let (path, beside) = (Path::new(&name), Path::new(&name).with_extension("new"));
        fs::write(&beside, "kept").unwrap();
        let written = write_secret(path, "hw_x\n").map(|()| fs::read_to_string(path).unwrap());
        let kept = fs::read_to_string(&beside).unwrap();
        drop((fs::remove_file(path), fs::remove_file(&beside)));
        assert_eq!((written.unwrap().as_str(), kept.as_str()), ("hw_x\n", "kept"));
    }

    #[test]
    fn keys_are_kept_and_guarded() {
        let folder = tempfile::tempdir().unwrap();
        let made = create(folder.path(), "ada").unwrap();
        assert_eq!(load(folder.path(), "ada").unwrap().address(), made.address());
        assert_eq!(address(folder.path(), "ada").unwrap(), made.address());
        assert_eq!(list(folder.path()).unwrap(), ["ada"]);
        assert!(create(folder.path(), "ada").is_err(), "never overwritten");
        assert!(load(folder.path(), "bob").unwrap_err().to_string().contains("ada"));
        assert!(create(folder.path(), "../x").is_err());
        let path = folder.path().join("keys/ada.key");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(load(folder.path(), "ada").unwrap_err().to_string().contains("chmod"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "secret-but-wrong").unwrap();
        let error = format!("{:#}", load(folder.path(), "ada").unwrap_err());
        assert!(!error.contains("secret-but-wrong"), "{error}");
        // All texts in which a key could turn up.
        let bob = create(folder.path(), "bob").unwrap();
        let digits = hex::encode(bob.to_bytes().as_slice());
        assert_eq!(fs::read_to_string(folder.path().join("keys/bob.key")).unwrap().trim(), format!("0x{digits}"));
        assert!(import(folder.path(), "bob", &made).unwrap_err().to_string().contains("never overwritten"));
        import(folder.path(), "carol", &made).unwrap();
        assert_eq!(load(folder.path(), "carol").unwrap().address(), made.address());
        let shortened = &digits[..62];
        let texts = [format!("{bob:?}"), format!("{bob:#?}"), format!("{:?}", parse(shortened).unwrap_err())];
        for text in texts.iter().chain(&[format!("{:?}", parse(&format!("{digits}00")).unwrap_err())]) {
            assert!(!text.contains(shortened), "{text}");
        }
    }
}
