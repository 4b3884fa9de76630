//! Keeping others on this machine out of what is stored.

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::Mode;

/// Closes `folder`, and everything that is in it already, to all but its owner; and has whatever this process makes from
/// now on closed from the start. Links are not followed.
///
/// # Errors
/// The file system's; a file that goes away meanwhile is none.
pub fn keep(folder: &Path) -> Result<()> {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    close(folder)
}

fn close(path: &Path) -> Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if metadata.is_symlink() {
        return Ok(());
    }
    let mode = metadata.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(mode & !0o077))?;
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            close(&entry?.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_open_to_others_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        let (inner, file, link) = (folder.path().join("a"), folder.path().join("a/receipts.wal"), folder.path().join("link"));
        fs::create_dir(&inner).unwrap();
        fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(outside.path(), &link).unwrap();
        for (path, mode) in [(folder.path(), 0o755), (&inner, 0o777), (&file, 0o644), (outside.path(), 0o644)] {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        keep(folder.path()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(folder.path()), mode(&inner), mode(&file)), (0o700, 0o700, 0o600));
        assert_eq!(mode(outside.path()), 0o644, "a link's target is somebody else's");
        fs::write(folder.path().join("new"), "x").unwrap();
        assert_eq!(mode(&folder.path().join("new")), 0o600);
    }
}
