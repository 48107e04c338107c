//! `stockade-audit prove` and `check-proof`: that a record is in a log, or that a log continues what it once was, shown to
//! somebody who has neither the log nor Stockade.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;
use stockade_audit::{
    Checkpoint, ConsistencyProof, Entry, InclusionProof, prove_consistency, prove_inclusion,
};

use crate::home::usual_log;
use crate::output::{Format, SCHEMA, safe};
use crate::show;
use crate::verify::{FINDINGS, SOUND, Unusable, print, read, read_key, unusable};

/// Bytes of a file with a proof: two checkpoints, one record and 128 hashes are a tenth of it.
const PROOF_MOST: u64 = 4 * 1024 * 1024;
/// Bytes of a file with one checkpoint.
const NOTE_MOST: u64 = 64 * 1024;

/// What to prove.
#[derive(Args, Debug)]
pub struct Prove {
    /// That this record is in the log
    #[arg(value_name = "SEQ", required_unless_present = "since")]
    pub seq: Option<u64>,
    /// That the log continues what this checkpoint, in a file, is of
    #[arg(long, value_name = "FILE", conflicts_with = "seq")]
    pub since: Option<PathBuf>,
    /// By this checkpoint, in a file [default: the log's last]
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// The log's folder [default: audit in the state folder]
    #[arg(long, value_name = "DIR")]
    pub audit: Option<PathBuf>,
}

/// What to check, and by which key.
#[derive(Args, Debug)]
pub struct CheckProof {
    /// A proof, as `prove` prints it
    #[arg(value_name = "FILE")]
    pub proof: PathBuf,
    /// The log's public key, which came from elsewhere: the text of `audit.vkey`, or a file with it
    #[arg(long, value_name = "VKEY|FILE")]
    pub key: String,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// A proof as it is printed: which kind it is tells its fields apart.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Proof {
    Inclusion(InclusionProof),
    Consistency(ConsistencyProof),
}

impl Prove {
    /// Prints the proof, or says why there is none.
    pub fn run(&self) -> ExitCode {
        match self.proof() {
            Ok(proof) => {
                print(&serde_json::to_string(&proof).unwrap_or_default());
                ExitCode::from(SOUND)
            }
            Err(error) => error.told(Format::Text),
        }
    }

    fn proof(&self) -> Result<Proof, Unusable> {
        let log = self.audit.clone().or_else(usual_log).ok_or_else(|| Unusable {
            field: "--audit",
            message: "there is no folder that would usually have a log".to_owned(),
            next_step: "name the log's folder".to_owned(),
        })?;
        let note = |path: &Option<PathBuf>, field| {
            path.as_ref().map(|path| read(path, NOTE_MOST, field)).transpose()
        };
        let by = note(&self.checkpoint, "--checkpoint")?;
        match (self.seq, note(&self.since, "--since")?) {
            (_, Some(since)) => prove_consistency(&log, &since, by.as_deref()).map(Proof::Consistency),
            (seq, None) => {
                prove_inclusion(&log, seq.unwrap_or_default(), by.as_deref()).map(Proof::Inclusion)
            }
        }
        .map_err(|error| unusable("SEQ", &error))
    }
}

impl CheckProof {
    /// Says what the proof proves, or why it proves nothing.
    pub fn run(&self) -> ExitCode {
        let (key, text) = match (read_key(&self.key), read(&self.proof, PROOF_MOST, "FILE")) {
            (Ok(key), Ok(text)) => (key, text),
            (Err(error), _) | (_, Err(error)) => return error.told(self.format),
        };
        let proof: Proof = match serde_json::from_str(&text) {
            Ok(proof) => proof,
            Err(error) => {
                let message = format!("{}: it is no proof: {error}", self.proof.display());
                let next_step = "name a file with what `stockade-audit prove` printed".to_owned();
                return Unusable { field: "FILE", message, next_step }.told(self.format);
            }
        };
        let checked = match &proof {
            Proof::Inclusion(proof) => proof.verify(&key).map(|checkpoint| {
                let head = format!("record {} is in the log that this checkpoint is of:", proof.index);
                (head, vec![checkpoint], Entry::from_line(proof.record.as_bytes()).ok())
            }),
            Proof::Consistency(proof) => proof.verify(&key).map(|(old, new)| {
                let head = format!(
                    "the log of {} records begins with all {} of the earlier one:",
                    new.size, old.size
                );
                (head, vec![old, new], None)
            }),
        };
        match (checked, self.format) {
            (Ok((head, checkpoints, record)), Format::Text) => {
                print(&head);
                checkpoints.iter().for_each(|checkpoint| print(&format!("  {}", shown(checkpoint))));
                if let Some((entry, _)) = record {
                    print(&show::summary(&entry));
                }
                ExitCode::from(SOUND)
            }
            (Ok((_, checkpoints, record)), Format::Json) => {
                let record = record.map(|(entry, intact)| show::document(&entry, intact));
                let sizes: Vec<u64> = checkpoints.iter().map(|checkpoint| checkpoint.size).collect();
                let origin = checkpoints.first().map(|checkpoint| checkpoint.origin.clone());
                let document = json!({
                    "schema": SCHEMA, "proved": true, "origin": origin, "sizes": sizes, "record": record,
                });
                print(&document.to_string());
                ExitCode::from(SOUND)
            }
            (Err(error), format) => {
                let why = error.to_string();
                match format {
                    Format::Text => print(&format!("NOT PROVED: {}", safe(&why))),
                    Format::Json => {
                        print(&json!({ "schema": SCHEMA, "proved": false, "why": why }).to_string());
                    }
                }
                ExitCode::from(FINDINGS)
            }
        }
    }
}

fn shown(checkpoint: &Checkpoint) -> String {
    format!("{} of {} records, root {}", safe(&checkpoint.origin), checkpoint.size, checkpoint.root)
}
