//! The two files were made by Node's `crypto` and ethereum-cryptography, with few rounds.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use schemas::B256;
use serde_json::{Value, json};

use super::*;

const SCRYPT: &str = r#"{"version":3,"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","address":"4a62316623ad457f02cdc5d997ded67a383ec569",
 "crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"32323232323232323232323232323232"},"ciphertext":"ff95ff92526deeadb108f9dfdfdc0291b253d3d92abfe114d27000741d6bd473",
  "kdf":"scrypt","kdfparams":{"dklen":32,"n":8,"r":1,"p":1,"salt":"5151515151515151515151515151515151515151515151515151515151515151"},"mac":"51ae4f27f29152da44eadf242761dd1ac6b577e6cace4934837c6381cf111d80"}}"#;

const PBKDF2: &str = r#"{"version":3,"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","address":"4a62316623ad457f02cdc5d997ded67a383ec569",
 "crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"32323232323232323232323232323232"},"ciphertext":"5ddcdb744b1a43950183b19bd064024c258642f50551c65d73a8a8aa4e8b1157",
  "kdf":"pbkdf2","kdfparams":{"dklen":32,"c":16,"prf":"hmac-sha256","salt":"5151515151515151515151515151515151515151515151515151515151515151"},"mac":"6c1cbabee4b50486a1f2ef1c9e09762f5d25466798997540bbba293c5f40574a"}}"#;

const PASSWORD: &str = "correct horse";

fn private(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn secret(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

#[test]
fn both_kinds_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    let expected = KeySigner::from_bytes(&B256::repeat_byte(7)).unwrap().address();
    for text in [SCRYPT, PBKDF2] {
        let path = private(folder.path(), "key.json", text);
        assert_eq!(open(&path, &secret(PASSWORD)).unwrap().address(), expected);
        let mut unnamed: Value = serde_json::from_str(text).unwrap();
        unnamed.as_object_mut().unwrap().remove("address");
        let path = private(folder.path(), "key.json", &unnamed.to_string());
        assert_eq!(open(&path, &secret(PASSWORD)).unwrap().address(), expected);
    }
    let file = private(folder.path(), "password", "correct horse\r\n");
    assert_eq!(*password(Some(&file)).unwrap(), PASSWORD);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(password(Some(&file)).unwrap_err().to_string().contains("chmod 600"));
    let open_to_all = private(folder.path(), "key.json", SCRYPT);
    fs::set_permissions(&open_to_all, fs::Permissions::from_mode(0o604)).unwrap();
    assert!(open(&open_to_all, &secret(PASSWORD)).unwrap_err().to_string().contains("chmod 600"));
}

#[test]
fn what_is_wrong_is_told_without_the_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&str, Value, &str); 15] = [
        ("/version", json!(4), "version 4"),
        ("/version", json!("s3cret"), "not a Web3 keystore"),
        ("/address", json!("00".repeat(20)), "is named after"),
        ("/address", json!("ada"), "keystore"),
        ("/crypto/cipher", json!("aes-256-cbc"), "aes-128-ctr"),
        ("/crypto/cipherparams/iv", json!("00"), "iv is not 16 bytes"),
        ("/crypto/mac", json!("00".repeat(32)), "password is wrong"),
        ("/crypto/mac", json!("00"), "mac is not 32 bytes"),
        ("/crypto/ciphertext", json!(""), "ciphertext is not 32 bytes"),
        ("/crypto/kdf", json!("argon2"), "neither scrypt"),
        ("/crypto/kdfparams/dklen", json!(8), "dklen"),
        ("/crypto/kdfparams/n", json!(1u64 << 40), "bytes of memory"),
        ("/crypto/kdfparams/n", json!(9), "scrypt parameters"),
        ("/crypto/kdfparams/r", json!(0), "scrypt parameters"),
        ("/crypto/kdfparams/p", json!(1_000_000), "scrypt parameters"),
    ];
    for (pointer, value, words) in cases {
        let mut file: Value = serde_json::from_str(SCRYPT).unwrap();
        *file.pointer_mut(pointer).unwrap() = value;
        let path = private(folder.path(), "key.json", &file.to_string());
        let error = format!("{:#}", open(&path, &secret(PASSWORD)).unwrap_err());
        assert!(error.contains(words), "{pointer}: {error}");
        for hidden in [PASSWORD, "s3cret", &"07".repeat(32)] {
            assert!(!error.contains(hidden), "{pointer}: {error}");
        }
    }
    let path = private(folder.path(), "key.json", SCRYPT);
    let error = format!("{:?}", open(&path, &secret("incorrect horse")).unwrap_err());
    assert!(error.contains("password is wrong") && !error.contains("horse"), "{error}");
    let mut file: Value = serde_json::from_str(PBKDF2).unwrap();
    file["crypto"]["kdfparams"]["prf"] = json!("hmac-sha512");
    let path = private(folder.path(), "key.json", &file.to_string());
    assert!(open(&path, &secret(PASSWORD)).unwrap_err().to_string().contains("pbkdf2 parameters"));
}
