//! Changes to a stream of frames that keep most of it well-formed: whole frames come, go and change places,
//! and a body that changes keeps a length that fits. Bytes alone would rarely get past the first header.

use stockade_ipc::HEADER;

use crate::seeds;

/// Lengths and numbers at which decoders break.
const NUMBERS: [u64; 12] = [
    0,
    1,
    2,
    0xff,
    0xffff,
    1 << 16,
    1 << 22,
    u32::MAX as u64,
    1 << 40,
    i64::MAX as u64,
    u64::MAX - 7,
    u64::MAX,
];

/// The same seed gives the same change. Small and good enough: xorshift64*.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides.max(1)
    }
}

/// What an engine offers: changes the first `size` of these bytes somehow and says how many there are then.
pub type Bytes<'a> = &'a mut dyn FnMut(&mut [u8], usize) -> usize;

/// Makes another input of the first `size` bytes of `data`, no longer than `data`, and says how long it is.
/// The first `prefix` bytes are no part of the stream.
pub fn stream(data: &mut [u8], size: usize, prefix: usize, seed: u32, bytes: Bytes<'_>) -> usize {
    let mut dice = Dice(u64::from(seed) << 20 | 0x5eed);
    if size <= prefix || dice.roll(5) == 0 {
        return bytes(data, size);
    }
    let (head, stream) = data[..size].split_at(prefix);
    let head = head.to_vec();
    let mut frames = split(stream);
    change(&mut frames, &mut dice, bytes);
    let mut changed = head;
    if prefix > 0 && dice.roll(8) == 0 {
        let at = dice.roll(prefix);
        changed[at] = dice.roll(256) as u8;
    }
    changed.extend(frames.into_iter().flatten());
    changed.truncate(data.len());
    data[..changed.len()].copy_from_slice(&changed);
    changed.len()
}

/// Frames by their headers; what is left over is the last.
fn split(mut stream: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some(header) = stream.first_chunk::<4>() {
        let whole = (u32::from_le_bytes(*header) as usize).saturating_add(HEADER).min(stream.len());
        let (frame, rest) = stream.split_at(whole.max(HEADER.min(stream.len())));
        frames.push(frame.to_vec());
        stream = rest;
    }
    if !stream.is_empty() {
        frames.push(stream.to_vec());
    }
    frames
}

fn change(frames: &mut Vec<Vec<u8>>, dice: &mut Dice, bytes: Bytes<'_>) {
    let at = dice.roll(frames.len());
    match dice.roll(9) {
        0 => drop(frames.remove(at)),
        1 => frames.insert(at, frames[at].clone()),
        2 => {
            let other = dice.roll(frames.len());
            frames.swap(at, other);
        }
        3 | 4 => {
            let seeds = seeds::frames();
            let new = dice.roll(seeds.len());
            let at = dice.roll(frames.len() + 1);
            frames.insert(at, seeds[new].clone());
        }
        5 => {
            if let Some(kind) = frames[at].get_mut(4) {
                *kind = 1 + dice.roll(13) as u8;
            }
        }
        6 => {
            let frame = &mut frames[at];
            let number = NUMBERS[dice.roll(NUMBERS.len())].to_le_bytes();
            let width = [1, 2, 4, 8][dice.roll(4)];
            let from = dice.roll(frame.len());
            frame.iter_mut().skip(from).zip(&number[..width]).for_each(|(byte, new)| *byte = *new);
        }
        7 => {
            let keep = dice.roll(frames[at].len());
            frames[at].truncate(keep);
        }
        _ => body(&mut frames[at], bytes),
    }
}

/// Changes a body and writes its new length into the header.
fn body(frame: &mut Vec<u8>, bytes: Bytes<'_>) {
    if frame.len() < HEADER {
        return;
    }
    let size = frame.len() - HEADER;
    frame.resize(frame.len() + 64, 0);
    let size = bytes(&mut frame[HEADER..], size);
    frame.truncate(HEADER + size);
    frame[..4].copy_from_slice(&(size as u32).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_split_at_its_frames_and_put_together_again() {
        let frames = seeds::frames();
        let whole = frames.concat();
        assert_eq!(split(&whole), frames);
        let torn = &whole[..whole.len() - 3];
        assert_eq!(split(torn).concat(), torn);
    }

    #[test]
    fn a_change_stays_within_its_room_and_depends_on_its_seed_alone() {
        let start = seeds::frames().concat();
        let mut different = 0;
        for seed in 0..2000 {
            let changed = |room: usize| {
                let mut data = start.clone();
                data.resize(room, 0);
                let mut flip = |bytes: &mut [u8], size: usize| {
                    bytes.iter_mut().take(size).for_each(|byte| *byte ^= 1);
                    size
                };
                let size = stream(&mut data, start.len().min(room), 2, seed, &mut flip);
                data.truncate(size);
                data
            };
            let once = changed(start.len() + 100);
            assert_eq!(once, changed(start.len() + 100));
            assert!(changed(64).len() <= 64);
            different += usize::from(once != start);
        }
        assert!(different > 1500, "{different} of 2000");
    }
}
