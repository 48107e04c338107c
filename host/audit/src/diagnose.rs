//! What is wrong with a log that does not verify.
//!
//! A second pass over the files, with the number and hashes of every line in memory. The records are put
//! together again by what the hashes say; where a line stands, what is left over and what is missing are
//! the findings.

use std::collections::{BTreeMap, HashMap};

use crate::chain::Hash;
use crate::entry::Parsed;
use crate::lines::{Lines, Piece};
use crate::pass::{damaged, within};
use crate::segments::Files;
use crate::verify::Report;
use crate::{AuditError, Finding, tail};

/// A line that is a record.
struct Seen {
    line: u64,
    /// Its number; for a changed record, where its neighbours in the chain put it.
    seq: u64,
    prev: Hash,
    hash: Hash,
    intact: bool,
    /// What is wrong with it as a first record, if its number is 0.
    genesis: Option<&'static str>,
}

/// A line that is not.
struct Bad {
    line: u64,
    offset: u64,
    problem: String,
}

/// Records bound to one another without a break, first to last.
type Run = Vec<usize>;

/// Adds what is wrong to `report`. `noticed` is the line at which the first pass saw that something is.
/// Lines are counted over all files there; `base` is the first record that should be in them.
pub(crate) fn run(files: &Files, base: u64, noticed: u64, report: &mut Report) -> Result<(), AuditError> {
    let Found { mut seen, bad, starts } = read(files)?;
    let mut findings: Vec<(u64, Finding)> = Vec::new();
    let unique = first_of_each(&seen, &mut findings);
    let runs = runs(&mut seen, &unique);
    let mut chain = fitting(&seen, runs, &mut findings);

    moved(&seen, &mut chain, &mut findings);
    for &at in &chain {
        let Seen { line, seq, intact, genesis, .. } = seen[at];
        if !intact {
            findings.push((line, Finding::Changed { line, seq }));
        } else if let (0, Some(problem)) = (seq, genesis) {
            findings.push((line, Finding::Genesis { problem }));
        }
    }
    missing(&seen, &chain, base, bad, &mut findings);
    if findings.is_empty() {
        findings.push((noticed, Finding::Rewritten { line: noticed, seq: noticed.saturating_sub(1) }));
    }
    findings.sort_by_key(|(line, _)| *line);
    for (line, finding) in findings {
        let file = starts.partition_point(|start| *start < line).saturating_sub(1);
        let local = |line: u64| {
            let file = starts.partition_point(|start| *start < line).saturating_sub(1);
            line - starts.get(file).copied().unwrap_or(0)
        };
        report.add(within(&files.files[file], finding.with_lines(local)));
    }
    Ok(())
}

/// Everything that is there, and after how many lines each file begins.
struct Found {
    seen: Vec<Seen>,
    bad: Vec<Bad>,
    starts: Vec<u64>,
}

fn read(files: &Files) -> Result<Found, AuditError> {
    let (mut seen, mut bad, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    let mut line = 0;
    for (number, volume) in files.files.iter().enumerate() {
        starts.push(line);
        let last = number + 1 == files.files.len();
        let mut lines = Lines::new(volume.read()?, 0);
        loop {
            let offset = lines.offset;
            let piece = match lines.next() {
                Ok(Piece::End) => break,
                Ok(Piece::Torn(_)) if last => break,
                Ok(piece) => piece,
                Err(error) if damaged(volume, &error) => {
                    line += 1;
                    bad.push(Bad {
                        line,
                        offset,
                        problem: format!("the file is damaged from here on: {error}"),
                    });
                    break;
                }
                Err(source) => return Err(volume.failed(source)),
            };
            line += 1;
            match piece {
                Piece::End => break,
                Piece::Torn(_) => {
                    bad.push(Bad { line, offset, problem: "the file ends within it".into() });
                    break;
                }
                Piece::TooLong => {
                    bad.push(Bad { line, offset, problem: "it is longer than any record".into() });
                }
                Piece::Line(text) => match Parsed::read(text) {
                    Err(problem) => bad.push(Bad { line, offset, problem }),
                    Ok(parsed) => seen.push(Seen {
                        line,
                        seq: parsed.wire.seq,
                        prev: parsed.prev,
                        hash: parsed.hash,
                        intact: parsed.intact,
                        genesis: (parsed.wire.seq == 0).then(|| tail::genesis(&parsed).err()).flatten(),
                    }),
                },
            }
        }
    }
    Ok(Found { seen, bad, starts })
}

/// One line for each hash: an unharmed one before a changed one, then the first.
fn first_of_each(seen: &[Seen], findings: &mut Vec<(u64, Finding)>) -> HashMap<Hash, usize> {
    let mut unique: HashMap<Hash, usize> = HashMap::with_capacity(seen.len());
    for (at, record) in seen.iter().enumerate() {
        let kept = unique.entry(record.hash).or_insert(at);
        if record.intact && !seen[*kept].intact {
            *kept = at;
        }
    }
    for (at, record) in seen.iter().enumerate() {
        let original = unique[&record.hash];
        let Seen { line, seq, .. } = *record;
        if original != at && record.intact {
            findings.push((line, Finding::Duplicated { line, seq, original: seen[original].line }));
        } else if original != at {
            findings.push((line, Finding::Inserted { line, seq }));
        }
    }
    unique
}

/// Puts the records together along their hashes, and numbers changed ones by their neighbours.
fn runs(seen: &mut [Seen], unique: &HashMap<Hash, usize>) -> Vec<Run> {
    // Where two records follow the same one, the one with more behind it is the chain.
    let mut members: Vec<usize> = unique.values().copied().collect();
    members.sort_unstable();
    let parent = |at: usize| unique.get(&seen[at].prev).copied().filter(|parent| *parent != at);
    let mut children = vec![0_u32; seen.len()];
    members.iter().filter_map(|at| parent(*at)).for_each(|parent| children[parent] += 1);
    let mut tips: Vec<Run> = members
        .iter()
        .filter(|at| children[**at] == 0)
        .map(|tip| {
            let mut run = vec![*tip];
            // A changed record can name any other as the one before it, itself in a circle included.
            while let Some(before) = parent(run[run.len() - 1])
                && run.len() <= members.len()
            {
                run.push(before);
                if children[before] > 1 {
                    break;
                }
            }
            run
        })
        .collect();
    tips.sort_by_key(|run| std::cmp::Reverse(run.len()));
    let mut taken = vec![false; seen.len()];
    let mut runs: Vec<Run> = Vec::new();
    for tip in tips {
        let mut run: Run = Vec::new();
        let mut next = tip.first().copied();
        while let Some(at) = next.filter(|at| !taken[*at]) {
            taken[at] = true;
            run.push(at);
            next = parent(at);
        }
        run.reverse();
        runs.push(run);
    }
    // Circles have no last record; each of their lines stands alone.
    runs.extend(members.iter().filter(|at| !taken[**at]).map(|at| vec![*at]));
    for run in &runs {
        if let Some(known) = run.iter().position(|at| seen[*at].intact) {
            let base = seen[run[known]].seq.wrapping_sub(known as u64);
            for (place, at) in run.iter().enumerate() {
                seen[*at].seq = base.wrapping_add(place as u64);
            }
        }
    }
    runs
}

/// The runs that make up the log. A run that claims numbers which a longer one has, or that does not fit
/// between the lines around it, was put there.
fn fitting(seen: &[Seen], mut runs: Vec<Run>, findings: &mut Vec<(u64, Finding)>) -> Vec<usize> {
    runs.sort_by_key(|run| std::cmp::Reverse(run.len()));
    let mut accepted: BTreeMap<u64, u64> = BTreeMap::new();
    let mut chain: Vec<usize> = Vec::new();
    for run in runs {
        let (Some(&first), Some(&last)) = (run.first(), run.last()) else { continue };
        let (low, high) = (seen[first].seq, seen[last].seq);
        let overlaps = low > high || accepted.range(..=high).next_back().is_some_and(|(_, end)| low <= *end);
        let before = first.checked_sub(1).is_none_or(|at| seen[at].seq < low);
        let after = seen.get(last + 1).is_none_or(|next| next.seq > high);
        if overlaps || !(accepted.is_empty() || before && after) {
            for at in run {
                let Seen { line, seq, .. } = seen[at];
                findings.push((line, Finding::Inserted { line, seq }));
            }
        } else {
            accepted.insert(low, high);
            chain.extend(run);
        }
    }
    chain
}

/// Names the fewest records whose moving back restores the order: those outside of a longest ascending
/// sequence. Leaves the chain in the order of its numbers.
fn moved(seen: &[Seen], chain: &mut [usize], findings: &mut Vec<(u64, Finding)>) {
    chain.sort_unstable();
    // For each length, the place in `chain` at which the lowest sequence of that length ends.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(chain.len());
    for (place, at) in chain.iter().enumerate() {
        let length = ends.partition_point(|end| seen[chain[*end]].seq < seen[*at].seq);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() {
            ends.push(place);
        } else {
            ends[length] = place;
        }
    }
    let mut in_order = vec![false; chain.len()];
    let mut next = ends.last().copied();
    while let Some(place) = next {
        in_order[place] = true;
        next = before[place];
    }
    for (place, at) in chain.iter().enumerate().filter(|(place, _)| !in_order[*place]) {
        let Seen { line, seq, .. } = seen[*at];
        let after = place.checked_sub(1).map(|place| seen[chain[place]].seq);
        findings.push((line, Finding::Reordered { line, seq, after }));
    }
    chain.sort_by_key(|at| seen[*at].seq);
}

/// Finds the numbers that no line has, and the breaks between lines that are both unharmed.
fn missing(seen: &[Seen], chain: &[usize], base: u64, bad: Vec<Bad>, findings: &mut Vec<(u64, Finding)>) {
    let mut instead: HashMap<u64, (u64, u64)> = HashMap::new();
    let mut previous: Option<&Seen> = None;
    for record in chain.iter().map(|at| &seen[*at]) {
        let expected = previous.map_or(base, |previous| previous.seq.saturating_add(1));
        if record.seq > expected {
            let (first, last) = (expected, record.seq - 1);
            let from = previous.map_or(0, |previous| previous.line);
            match bad.iter().find(|bad| bad.line > from && bad.line < record.line) {
                Some(bad) => drop(instead.insert(bad.line, (first, last))),
                None => {
                    findings.push((record.line, Finding::Deleted { first, last, line: record.line }));
                }
            }
        } else if let Some(previous) = previous
            && previous.intact
            && record.intact
            && record.prev != previous.hash
        {
            let Seen { line, seq, .. } = *record;
            findings.push((line, Finding::Rewritten { line, seq }));
        }
        previous = Some(record);
    }
    for Bad { line, offset, problem } in bad {
        let instead_of = instead.remove(&line);
        findings.push((line, Finding::Unreadable { line, offset, problem, instead_of }));
    }
}
