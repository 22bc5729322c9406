//! Clear copies whose owner was killed.

use super::clear_copy::{LOCK, PREFIX, wipe};
use super::memory::folders;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, getuid, test_kill_process};
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

/// A folder this young may be one that is being made, whose lock is not taken yet.
const BEING_MADE: Duration = Duration::from_secs(60);

/// Wipes what killed runs of this user left. Gives how many there were.
pub(crate) fn wipe_leftovers() -> usize {
    folders().iter().map(|folder| wipe_in(folder)).sum()
}

fn wipe_in(parent: &Path) -> usize {
    let entries = std::fs::read_dir(parent).into_iter().flatten().filter_map(Result::ok);
    let mut count = 0;
    for entry in entries {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let Ok(metadata) = entry.path().symlink_metadata() else { continue };
        if metadata.is_dir() && metadata.uid() == getuid().as_raw() && abandoned(&entry.path(), rest) {
            wipe(&entry.path());
            count += 1;
        }
    }
    count
}

/// Whether nobody holds the lock. A process that lives may be about to take it.
fn abandoned(folder: &Path, rest: &str) -> bool {
    if File::open(folder.join(LOCK))
        .is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err())
    {
        return false;
    }
    let pid = rest.split('-').next().and_then(|pid| Pid::from_raw(pid.parse().ok()?));
    let lives = pid.is_some_and(|pid| test_kill_process(pid).is_ok());
    let age =
        folder.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|time| time.elapsed().ok());
    !lives || age.is_some_and(|age| age > BEING_MADE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_owner_left_goes_and_a_living_ones_stays() {
        let parent = tempfile::tempdir().unwrap();
        let left = |name: &str| {
            let folder = parent.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("db.yaml"), "hunter2").unwrap();
            folder
        };
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let dead = child.id();
        child.wait().unwrap();
        let unlocked = left(&format!("{PREFIX}{dead}-1"));
        let being_made = left(&format!("{PREFIX}{}-2", std::process::id()));
        let other = left("something-else");
        let held = left(&format!("{PREFIX}{dead}-3"));
        let lock = File::create(held.join(LOCK)).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert_eq!(wipe_in(parent.path()), 1);
        assert!(!unlocked.exists() && being_made.exists() && other.exists() && held.exists());
        drop(lock);
        assert_eq!(wipe_in(parent.path()), 1);
        assert!(!held.exists());
    }
}
