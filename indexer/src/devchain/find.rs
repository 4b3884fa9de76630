//! Where anvil is: configured, on the PATH, or in the npm package that `make setup` installs.

use std::path::{Path, PathBuf};

use crate::{IndexerError, Result};

/// The npm packages' folder, seen from the repository's root.
const PACKAGES: &str = "schemas/contracts/node_modules/@foundry-rs";

/// The anvil to run. The platform package's native binary is preferred to the package's script,
/// which needs Node and does not pass signals on.
///
/// # Errors
/// [`IndexerError::AnvilMissing`].
pub(super) fn anvil(configured: Option<&Path>) -> Result<PathBuf> {
    let places = match configured {
        Some(path) => vec![path.to_path_buf()],
        None => places(),
    };
    if let Some(found) = places.iter().find(|path| path.is_file()) {
        return Ok(found.clone());
    }
    let searched = match configured {
        Some(path) => path.display().to_string(),
        None => format!("the PATH, {PACKAGES}"),
    };
    Err(IndexerError::AnvilMissing { searched })
}

fn places() -> Vec<PathBuf> {
    let on_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).map(|folder| folder.join("anvil")).collect());
    let mut places: Vec<PathBuf> = on_path.unwrap_or_default();
    let here = std::env::current_dir().unwrap_or_default();
    // The last one is where this binary was built.
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf);
    for root in here.ancestors().map(Path::to_path_buf).chain(built) {
        places.extend(platform_packages(&root.join(PACKAGES)));
    }
    places
}

fn platform_packages(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let packages = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("anvil-"));
    packages.map(|entry| entry.path().join("bin/anvil")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_anvil_says_what_to_do() {
        let error = anvil(Some(Path::new("/nowhere/anvil"))).unwrap_err().to_string();
        assert!(error.contains("/nowhere/anvil") && error.contains("make setup"), "{error}");
    }
}
