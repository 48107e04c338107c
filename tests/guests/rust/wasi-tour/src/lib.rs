//! What a stock Rust component asks of WASI 0.2 through its standard library.

use std::env;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

wit_bindgen::generate!({
    inline: "
        package guests:wasi-tour;
        // No name of the C library: a plain export becomes a symbol of that name.
        world wasi-tour {
            record meta { size: u64, is-file: bool, is-dir: bool }

            /// Seconds since 1970.
            export wall-clock: func() -> u64;
            /// True if it never went back in 1000 readings.
            export monotonic-clock: func() -> bool;
            /// Milliseconds that a sleep of 10 took.
            export sleep-ten: func() -> u64;
            /// Two readings that differ, but for one time in 2^64.
            export random-pair: func() -> tuple<u64, u64>;
            export print: func(text: string);
            export print-error: func(text: string);
            /// Bytes read from stdin.
            export read-input: func() -> result<u64, string>;
            export environment: func() -> list<tuple<string, string>>;
            export arguments: func() -> list<string>;
            export read-file: func(path: string) -> result<string, string>;
            /// Sorted names.
            export list-dir: func(path: string) -> result<list<string>, string>;
            export file-info: func(path: string) -> result<meta, string>;
            /// `length` bytes from `offset`; fewer at the end, none past it.
            export read-at: func(path: string, offset: u64, length: u32) -> result<list<u8>, string>;
            /// Bytes from the end.
            export read-tail: func(path: string, length: u32) -> result<list<u8>, string>;
            /// Reads a file in blocks of 64 KiB: bytes, and microseconds.
            export drain-file: func(path: string) -> result<tuple<u64, u64>, string>;
            /// Reads every file below a directory: files, bytes, and microseconds.
            export walk-tree: func(path: string) -> result<tuple<u64, u64, u64>, string>;
            export read-link: func(path: string) -> result<string, string>;
            export write-file: func(path: string, text: string) -> result<_, string>;
            /// Fails where something is there.
            export make-file: func(path: string) -> result<_, string>;
            export append-file: func(path: string, text: string) -> result<_, string>;
            /// Reads and writes through one descriptor: the text at `offset`, then the whole file.
            export patch-file: func(path: string, offset: u64, text: string) -> result<string, string>;
            export set-length: func(path: string, length: u64) -> result<u64, string>;
            /// Seconds since 1970; returns what is told of it afterwards.
            export set-modified: func(path: string, seconds: u64) -> result<u64, string>;
            /// `blocks` times 64 KiB.
            export fill-file: func(path: string, blocks: u32) -> result<_, string>;
            export make-dir: func(path: string) -> result<_, string>;
            export remove-dir: func(path: string) -> result<_, string>;
            export link-file: func(old: string, new: string) -> result<_, string>;
            export remove-file: func(path: string) -> result<_, string>;
            export move-file: func(old: string, new: string) -> result<_, string>;
            /// Ends the program with this status.
            export end-program: func(status: u8);
        }
    ",
});

struct Component;

fn drain(path: &Path, block: &mut [u8]) -> std::io::Result<u64> {
    let mut file = File::open(path)?;
    let mut bytes = 0;
    loop {
        match file.read(block)? {
            0 => return Ok(bytes),
            count => bytes += count as u64,
        }
    }
}

/// An error as `kind: text`, so that a test can tell a refusal from a missing file.
fn told<T>(result: std::io::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{:?}: {error}", error.kind()))
}

impl Guest for Component {
    fn wall_clock() -> u64 {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    fn monotonic_clock() -> bool {
        let mut last = Instant::now();
        (0..1000).all(|_| {
            let now = Instant::now();
            std::mem::replace(&mut last, now) <= now
        })
    }

    fn sleep_ten() -> u64 {
        let began = Instant::now();
        thread::sleep(Duration::from_millis(10));
        u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn random_pair() -> (u64, u64) {
        // One thread's states count up from one seed: a second thread cannot be had here.
        (RandomState::new().hash_one(0), RandomState::new().hash_one(1))
    }

    fn print(text: String) {
        println!("{text}");
    }

    fn print_error(text: String) {
        eprintln!("{text}");
    }

    fn read_input() -> Result<u64, String> {
        let mut input = Vec::new();
        told(std::io::stdin().read_to_end(&mut input)).map(|count| count as u64)
    }

    fn environment() -> Vec<(String, String)> {
        env::vars().collect()
    }

    fn arguments() -> Vec<String> {
        env::args().collect()
    }

    fn read_file(path: String) -> Result<String, String> {
        told(fs::read_to_string(path))
    }

    fn list_dir(path: String) -> Result<Vec<String>, String> {
        let entries = told(fs::read_dir(path))?;
        let mut names = told(
            entries
                .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
                .collect::<std::io::Result<Vec<_>>>(),
        )?;
        names.sort();
        Ok(names)
    }

    fn file_info(path: String) -> Result<Meta, String> {
        let meta = told(fs::metadata(path))?;
        Ok(Meta { size: meta.len(), is_file: meta.is_file(), is_dir: meta.is_dir() })
    }

    fn read_at(path: String, offset: u64, length: u32) -> Result<Vec<u8>, String> {
        read_from(&path, SeekFrom::Start(offset), length)
    }

    fn read_tail(path: String, length: u32) -> Result<Vec<u8>, String> {
        read_from(&path, SeekFrom::End(-i64::from(length)), length)
    }

    fn drain_file(path: String) -> Result<(u64, u64), String> {
        let began = Instant::now();
        let mut block = vec![0; 64 * 1024];
        let bytes = told(drain(path.as_ref(), &mut block))?;
        Ok((bytes, began.elapsed().as_micros() as u64))
    }

    fn walk_tree(path: String) -> Result<(u64, u64, u64), String> {
        let began = Instant::now();
        let mut block = vec![0; 64 * 1024];
        let (mut files, mut bytes) = (0, 0);
        let mut folders = vec![PathBuf::from(path)];
        while let Some(folder) = folders.pop() {
            for entry in told(fs::read_dir(folder))? {
                let entry = told(entry)?;
                if told(entry.file_type())?.is_dir() {
                    folders.push(entry.path());
                } else {
                    bytes += told(drain(&entry.path(), &mut block))?;
                    files += 1;
                }
            }
        }
        Ok((files, bytes, began.elapsed().as_micros() as u64))
    }

    fn read_link(path: String) -> Result<String, String> {
        told(fs::read_link(path)).map(|target| target.display().to_string())
    }

    fn write_file(path: String, text: String) -> Result<(), String> {
        told(File::create(path).and_then(|mut file| file.write_all(text.as_bytes())))
    }

    fn make_file(path: String) -> Result<(), String> {
        told(File::options().write(true).create_new(true).open(path).map(drop))
    }

    fn append_file(path: String, text: String) -> Result<(), String> {
        let file = File::options().append(true).open(path);
        told(file.and_then(|mut file| file.write_all(text.as_bytes())))
    }

    fn patch_file(path: String, offset: u64, text: String) -> Result<String, String> {
        let mut file = told(File::options().read(true).write(true).open(path))?;
        told(file.seek(SeekFrom::Start(offset)))?;
        told(file.write_all(text.as_bytes()))?;
        told(file.sync_all())?;
        told(file.rewind())?;
        let mut whole = String::new();
        told(file.read_to_string(&mut whole))?;
        Ok(whole)
    }

    fn set_length(path: String, length: u64) -> Result<u64, String> {
        let file = told(File::options().write(true).open(path))?;
        told(file.set_len(length))?;
        told(file.metadata()).map(|meta| meta.len())
    }

    fn set_modified(path: String, seconds: u64) -> Result<u64, String> {
        let file = told(File::options().write(true).open(path))?;
        told(file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)))?;
        let told_of = told(told(file.metadata())?.modified())?;
        Ok(told_of.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }

    fn fill_file(path: String, blocks: u32) -> Result<(), String> {
        let mut file = told(File::create(path))?;
        let block = vec![0x5a; 64 * 1024];
        (0..blocks).try_for_each(|_| told(file.write_all(&block)))
    }

    fn remove_dir(path: String) -> Result<(), String> {
        told(fs::remove_dir(path))
    }

    fn link_file(old: String, new: String) -> Result<(), String> {
        told(fs::hard_link(old, new))
    }

    fn make_dir(path: String) -> Result<(), String> {
        told(fs::create_dir(path))
    }

    fn remove_file(path: String) -> Result<(), String> {
        told(fs::remove_file(path))
    }

    fn move_file(old: String, new: String) -> Result<(), String> {
        told(fs::rename(old, new))
    }

    fn end_program(status: u8) {
        std::process::exit(i32::from(status));
    }
}

fn read_from(path: &str, place: SeekFrom, length: u32) -> Result<Vec<u8>, String> {
    let mut file = told(File::open(path))?;
    told(file.seek(place))?;
    let mut bytes = Vec::new();
    told(file.take(u64::from(length)).read_to_end(&mut bytes))?;
    Ok(bytes)
}

export!(Component);
