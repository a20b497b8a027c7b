use super::write::{UNFINISHED, unfinished};
use super::*;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_new_file_takes_the_place_of_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.nk");
    create(&path, FileAccess::Owner, &[b"one", b"\n"]).unwrap();
    assert_eq!(create(&path, FileAccess::Owner, &[b"two"]).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!((std::fs::read(&path).unwrap(), mode(&path)), (b"one\n".to_vec(), 0o600));
    replace(&path, FileAccess::Owner, &[b"three"]).unwrap();
    assert_eq!((std::fs::read(&path).unwrap(), mode(&path)), (b"three".to_vec(), 0o600));
    assert_eq!(names(folder.path()), ["key.nk"]);
}

#[test]
fn what_a_name_leads_to_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    std::fs::write(&file, "old").unwrap();
    std::os::unix::fs::symlink("file", &link).unwrap();
    replace(&link, FileAccess::Usual, &[b"new"]).unwrap();
    assert_eq!((std::fs::read(&file).unwrap(), std::fs::read_link(&link).unwrap()), (b"new".to_vec(), "file".into()));

    // A pipe, such as a shell's `>(…)`.
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read(pipe).unwrap()
    });
    replace(&pipe, FileAccess::Owner, &[b"through", b" it"]).unwrap();
    assert_eq!(reader.join().unwrap(), b"through it");
    assert_eq!(names(folder.path()), ["file", "link", "pipe"]);
}

/// A pipe that no reader opens or empties does not make the program wait forever.
#[test]
fn a_pipe_from_which_nobody_reads_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let much = vec![b'x'; 4 << 20];
    let refused = || {
        let error = device::write(&pipe, &[&much], std::time::Duration::from_millis(100)).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (std::io::ErrorKind::TimedOut, "no process reads from it")
        );
    };
    refused();
    let mut options = File::options();
    let reader = read::at_once(options.read(true)).open(&pipe).unwrap();
    refused();
    drop(reader);

    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read(pipe).unwrap().len()
    });
    replace(&pipe, FileAccess::Owner, &[&much, b"end"]).unwrap();
    assert_eq!(reader.join().unwrap(), much.len() + 3);
}

/// A log or a lock that is a pipe would make the program wait forever.
#[cfg(feature = "dev")]
#[test]
fn only_files_are_written_into_over_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    open_to_write(&path, true).unwrap().write_all(b"one").unwrap();
    open_to_write(&path, false).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"one");
    open_to_write(&path, true).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"");
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // With and without a reader.
    let refused = |path: &Path| assert_eq!(open_to_write(path, true).unwrap_err().to_string(), "it is not a file");
    refused(&pipe);
    let mut options = File::options();
    let _reader = read::at_once(options.read(true)).open(&pipe).unwrap();
    refused(&pipe);
    assert!(open_to_write(folder.path(), true).is_err());
}

#[test]
fn a_file_for_all_is_as_private_as_the_umask_says() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
    create(&ours, FileAccess::Usual, &[b"x"]).unwrap();
    std::fs::write(&plain, "x").unwrap();
    assert_eq!(mode(&ours), mode(&plain));
}

#[test]
fn what_a_killed_run_left_is_taken_away_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let left = [format!("{UNFINISHED}dead"), ".hidden".to_owned(), "vstream-new-x".to_owned()];
    for name in &left {
        std::fs::write(folder.path().join(name), "SEED").unwrap();
    }
    std::fs::create_dir(folder.path().join(format!("{UNFINISHED}folder"))).unwrap();
    let under_way = unfinished(folder.path(), FileAccess::Owner, &[b"half"]).unwrap();
    create(&folder.path().join("new"), FileAccess::Owner, &[b"x"]).unwrap();
    let own = under_way.path().file_name().unwrap().to_str().unwrap().to_owned();
    let mut expected = vec![own, ".hidden".into(), format!("{UNFINISHED}folder"), "new".into(), "vstream-new-x".into()];
    expected.sort();
    assert_eq!(names(folder.path()), expected);
    under_way.persist(folder.path().join("done")).unwrap();
    probe(folder.path()).unwrap();
    assert_eq!(names(folder.path()), [".hidden", ".vstream-new-folder", "done", "new", "vstream-new-x"]);
}

/// Many writers tidy up one folder at once, and none removes another's file.
#[test]
fn writers_do_not_disturb_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: String| -> PathBuf { folder.path().join(name) };
    let reading = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                scope.spawn(move || {
                    for n in 0..40 {
                        create(&path(format!("{writer}-{n}")), FileAccess::Owner, &[b"whole"]).unwrap();
                        replace(&path("shared".to_owned()), FileAccess::Owner, &[b"who", b"le"]).unwrap();
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while reading.load(Ordering::Relaxed) {
                if let Ok(text) = std::fs::read(path("shared".to_owned())) {
                    assert_eq!(text, b"whole");
                }
            }
        });
        let ended: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        reading.store(false, Ordering::Relaxed);
        ended.into_iter().for_each(|writer| writer.unwrap());
    });
    assert_eq!(names(folder.path()).len(), 8 * 40 + 1);
}
