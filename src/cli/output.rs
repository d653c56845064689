use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use semisync::base::Visible;
use tempfile::NamedTempFile;

use super::{Failure, stdout};

/// A file that a flag names; `-` is the standard output, where then no text is printed. A path that cannot be written is found out before the work begins, and what was there before
/// stays until the new content is complete. Whoever ends the work in between finds nothing left behind.
pub(super) struct OutputFile {
    flag: &'static str,
    path: PathBuf,
    sink: Sink,
}

/// Where what is written goes.
enum Sink {
    /// Into a file in this directory, where it is, which takes its place in the end.
    Replace(PathBuf),
    /// Into a device or a pipe, which cannot be replaced.
    Direct(File),
    /// To the standard output.
    Stdout,
}

impl OutputFile {
    /// Prepares the file that the flag names, if it names one.
    pub(super) fn create(flag: &'static str, path: Option<&Path>) -> Result<Option<Self>, Failure> {
        let Some(path) = path else { return Ok(None) };
        if is_stdout(path) {
            stdout::take();
            return Ok(Some(Self { flag, path: path.to_owned(), sink: Sink::Stdout }));
        }
        let sink = Sink::open(path).map_err(|error| Failure::Usage(format!("{flag} {}: {error}", shown(path))))?;
        Ok(Some(Self { flag, path: path.to_owned(), sink }))
    }

    /// Lets `write` fill it.
    pub(super) fn write(self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        let written = self.sink.fill(&self.path, write);
        written.map_err(|error| Failure::Failed(format!("{} {}: {error}", self.flag, shown(&self.path))))
    }
}

/// A path in a message, on one line and without control characters.
pub(super) fn shown(path: &Path) -> String {
    Visible(&path.to_string_lossy()).to_string()
}

/// Returns whether a path means the standard output. A file of that name is `./-`.
pub(super) fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

/// A file or directory of the command line: the option or argument that names it, and its path, if it is given.
pub(super) type Named<'a> = (&'static str, Option<&'a Path>);

/// Refuses a file to write that another option names too, be it to read or to write. Paths are compared by the files that
/// they lead to. Devices and pipes may be named twice, because nothing in them is replaced.
pub(super) fn require_different(read: &[Named<'_>], written: &[Named<'_>]) -> Result<(), Failure> {
    let mut others: Vec<(&str, &Path)> = given(read).collect();
    for (option, path) in given(written) {
        if let Some((other, named)) = others.iter().find(|(_, other)| is_same_file(other, path)) {
            if is_stdout(path) {
                return Err(Failure::Usage(format!(
                    "{other} - and {option} - name the standard output, which has place for one file; name a file for {option}"
                )));
            }
            let (named, path) = (shown(named), shown(path));
            return Err(Failure::Usage(format!(
                "{other} {named} and {option} {path} name the same file, which {option} would overwrite; name another file \
                 for {option}"
            )));
        }
        others.push((option, path));
    }
    Ok(())
}

fn given<'a>(named: &[Named<'a>]) -> impl Iterator<Item = (&'static str, &'a Path)> {
    named.iter().filter_map(|(option, path)| Some((*option, (*path)?)))
}

/// Whether both paths lead to one file, which need not exist yet.
pub(super) fn is_same_file(one: &Path, other: &Path) -> bool {
    if is_stdout(one) || is_stdout(other) {
        return one == other;
    }
    let is_device = |path: &Path| path.metadata().is_ok_and(|it| !it.is_file() && !it.is_dir());
    !is_device(one) && real(one) == real(other)
}

/// Whether a file is, or will be, in this directory.
#[cfg(feature = "sim")]
pub(super) fn is_in(file: &Path, directory: &Path) -> bool {
    real(directory_of(file)) == real(directory)
}

/// The path without links and detours. Of a file that does not exist, those of its directory are resolved.
fn real(path: &Path) -> PathBuf {
    let of_parent = || Some(directory_of(path).canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(of_parent).unwrap_or_else(|| path.to_owned())
}

/// The directory in which a file is or will be.
fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a file whole or not at all.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    Sink::open(path)?.fill(path, |out| out.write_all(bytes))
}

impl Sink {
    fn open(path: &Path) -> io::Result<Self> {
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return File::options().write(true).open(path).map(Self::Direct);
        }
        // The link that leads to the standard output must stay, and so must what was written there before.
        if ["/dev", "/proc"].iter().any(|system| path.starts_with(system)) {
            return File::options().append(true).open(path).map(Self::Direct);
        }
        // A link leads to the file, and goes on to lead there.
        if path.is_symlink() && !path.exists() {
            return File::options().write(true).create(true).truncate(true).open(path).map(Self::Direct);
        }
        let path = &real(path);
        let directory = directory_of(path);
        // Asked for by itself, so that an error names no file but the one that was asked for.
        directory.metadata()?;
        temporary_in(directory)?;
        Ok(Self::Replace(directory.to_owned()))
    }

    fn fill(self, path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        match self {
            Self::Direct(file) => {
                let mut out = BufWriter::new(file);
                write(&mut out)?;
                out.flush()
            }
            // A reader that has seen enough is no error, as behind `| head -1`.
            Self::Stdout => {
                let mut out = BufWriter::new(stdout::open()?);
                match write(&mut out).and_then(|()| out.flush()) {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                    written => written,
                }
            }
            Self::Replace(directory) => {
                let mut file = temporary_in(&directory)?;
                let mut out = BufWriter::new(file.as_file_mut());
                write(&mut out)?;
                out.flush()?;
                drop(out);
                file.persist(real(path)).map(drop).map_err(|error| error.error)
            }
        }
    }
}

/// A file with a name that nobody has, which is gone once it is dropped.
fn temporary_in(directory: &Path) -> io::Result<NamedTempFile> {
    // As other programs create files, less what the umask takes away.
    tempfile::Builder::new().prefix(".semisync-").permissions(Permissions::from_mode(0o666)).tempfile_in(directory)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn one_file_has_many_paths() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        fs::create_dir(path("sub")).expect("a directory");
        fs::write(path("file"), "").expect("a file");
        symlink(path("file"), path("link")).expect("a link");
        symlink(path("sub"), path("other")).expect("a link");
        for (one, other, is_same) in [
            ("file", "./file", true),
            ("file", "sub/../file", true),
            ("file", "link", true),
            ("new", "sub/../new", true),
            ("sub/new", "other/new", true),
            ("sub", "other", true),
            ("file", "new", false),
            ("new", "sub/new", false),
            ("nowhere/new", "nowhere/new", true),
            ("nowhere/new", "nowhere/file", false),
        ] {
            assert_eq!(is_same_file(&path(one), &path(other)), is_same, "{one} {other}");
        }
        assert!(!is_same_file(Path::new("/dev/null"), Path::new("/dev/null")), "nothing in it is replaced");
        assert!(is_same_file(Path::new("new-here"), Path::new("./new-here")));
        assert!(is_same_file(Path::new("-"), Path::new("-")), "one file only can have the standard output");
        assert!(!is_same_file(Path::new("-"), Path::new("./-")));
    }

    #[test]
    fn a_link_stays_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        fs::write(path("file"), "old").expect("a file");
        symlink(path("file"), path("link")).expect("a link");
        symlink(path("new"), path("dangling")).expect("a link");
        for (link, file) in [("link", "file"), ("dangling", "new")] {
            write_whole(&path(link), b"x").expect("it is written");
            assert!(path(link).is_symlink(), "{link}");
            assert_eq!(fs::read(path(file)).expect("a file"), b"x", "{link}");
        }
    }

    /// A signal may end the process between the two.
    #[test]
    fn nothing_is_left_behind_before_there_is_something_to_write() {
        let directory = tempfile::tempdir().expect("a directory");
        let names = || {
            let entries = fs::read_dir(directory.path()).expect("a directory");
            entries.map(|entry| entry.expect("an entry").file_name()).collect::<Vec<_>>()
        };
        let path = directory.path().join("out");
        let file = OutputFile::create("--save", Some(&path)).map_err(|_| ()).expect("it can be written");
        assert_eq!(names(), [""; 0]);
        file.expect("it was asked for").write(|out| out.write_all(b"x")).map_err(|_| ()).expect("it is written");
        assert_eq!((names(), fs::read(&path).expect("a file")), (vec!["out".into()], b"x".to_vec()));
    }
}
