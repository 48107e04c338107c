//! A closed segment, compressed so that a record in its middle is read without what is before it.
//!
//! It is gzip (RFC 1952), which `zcat` reads: a member for each [`BLOCK`] bytes of the segment, and at the end one
//! that is empty and has a table of their sizes in its extra field, subfield `St`. dictzip and BGZF do the like.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;

/// Records are alike, so that the quickest levels reach most of what can be reached.
const LEVEL: u32 = 3;
/// Bytes of the segment in one member: unpacked in some 50 us for one record, and a tenth larger than in one piece.
pub const BLOCK: usize = 16 * 1024;
/// Members that a table has room for, since an extra field has at most 65,535 bytes: 500 MiB of records.
const MEMBERS: usize = (u16::MAX as usize - TABLE_HEAD - TABLE_END) / 2;

/// ID1, ID2, CM, FLG (FEXTRA), MTIME, XFL, OS (unknown).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255];
/// The subfield's name and length, the version of the table, [`BLOCK`], bytes of the whole segment.
const TABLE_HEAD: usize = 4 + 1 + 4 + 8;
/// The length of the extra field once more, so that it is found from the end.
const TABLE_END: usize = 2;
const NAME: [u8; 2] = *b"St";
const VERSION: u8 = 1;
/// A deflate stream of nothing, its CRC-32 and its length.
const NOTHING: [u8; 10] = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Compresses what is written to it.
pub(crate) struct Packer<W: Write> {
    out: W,
    block: Vec<u8>,
    sizes: Vec<u16>,
    length: u64,
}

impl<W: Write> Packer<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, block: Vec::with_capacity(BLOCK), sizes: Vec::new(), length: 0 }
    }

    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == BLOCK {
                self.member()?;
            }
        }
        Ok(())
    }

    fn member(&mut self) -> io::Result<()> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(LEVEL));
        encoder.write_all(&self.block)?;
        let member = encoder.finish()?;
        self.sizes.push(u16::try_from(member.len()).map_err(io::Error::other)?);
        self.length += self.block.len() as u64;
        self.block.clear();
        self.out.write_all(&member)
    }

    /// Writes what is left, and the table where it has room. (Without one a reader unpacks all of the segment.)
    pub(crate) fn finish(mut self) -> io::Result<W> {
        if !self.block.is_empty() {
            self.member()?;
        }
        if self.sizes.len() <= MEMBERS {
            let extra = TABLE_HEAD + 2 * self.sizes.len() + TABLE_END;
            // At most 65,535 by MEMBERS.
            let extra = u16::try_from(extra).map_err(io::Error::other)?;
            let mut table = HEADER.to_vec();
            table.extend(extra.to_le_bytes());
            table.extend(NAME);
            table.extend((extra - 4).to_le_bytes());
            table.push(VERSION);
            table.extend(u32::try_from(BLOCK).map_err(io::Error::other)?.to_le_bytes());
            table.extend(self.length.to_le_bytes());
            table.extend(self.sizes.iter().flat_map(|size| size.to_le_bytes()));
            table.extend(extra.to_le_bytes());
            table.extend(NOTHING);
            self.out.write_all(&table)?;
        }
        Ok(self.out)
    }
}

/// Where the blocks of a compressed segment are, by its own word: whoever unpacks one finds out whether that is true.
#[derive(Debug)]
pub struct Blocks {
    /// Where each member begins, and where the last one ends.
    starts: Vec<u64>,
    length: u64,
}

impl Blocks {
    /// Reads the table at the end of a compressed segment; none where there is no such table.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn read(file: &File) -> io::Result<Option<Self>> {
        let size = file.metadata()?.len();
        let end_bytes = (TABLE_END + NOTHING.len()) as u64;
        let Some(end) = size.checked_sub(end_bytes) else { return Ok(None) };
        let mut tail = [0; TABLE_END + NOTHING.len()];
        file.read_exact_at(&mut tail, end)?;
        let ([low, high, nothing @ ..], head) = (tail, HEADER.len() + 2);
        let extra = usize::from(u16::from_le_bytes([low, high]));
        let whole = head + extra + NOTHING.len();
        let Some(at) = size.checked_sub(whole as u64).filter(|_| nothing == NOTHING) else { return Ok(None) };
        let mut member = vec![0; whole];
        file.read_exact_at(&mut member, at)?;
        Ok(Self::parse(&member[..head], &member[head..head + extra], at))
    }

    fn parse(head: &[u8], extra: &[u8], at: u64) -> Option<Self> {
        let said = extra.len() == usize::from(u16::from_le_bytes(*head.last_chunk()?));
        let (name, rest) = extra.split_first_chunk::<2>()?;
        let (inner, rest) = rest.split_first_chunk::<2>()?;
        let (version, rest) = rest.split_first()?;
        let (block, rest) = rest.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let sizes = rest.strip_suffix(&extra[extra.len() - TABLE_END..])?;
        let known = head.starts_with(&HEADER)
            && *name == NAME
            && *version == VERSION
            && usize::from(u16::from_le_bytes(*inner)) + 4 == extra.len()
            && u32::from_le_bytes(*block) as usize == BLOCK;
        let length = u64::from_le_bytes(*length);
        let (sizes, odd) = sizes.as_chunks::<2>();
        if !said || !known || !odd.is_empty() || length.div_ceil(BLOCK as u64) != sizes.len() as u64 {
            return None;
        }
        let mut starts = Vec::with_capacity(sizes.len() + 1);
        let mut start = 0;
        starts.push(start);
        for size in sizes {
            start += u64::from(u16::from_le_bytes(*size));
            starts.push(start);
        }
        (start == at).then_some(Self { starts, length })
    }

    /// Bytes of the segment, unpacked.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Unpacks block `number`: [`BLOCK`] bytes, fewer in the last, none behind it.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is not what the table says.
    pub fn unpack(&self, file: &File, number: usize) -> io::Result<Vec<u8>> {
        let Some([start, end]) = self.starts.get(number..).and_then(|starts| starts.first_chunk()) else {
            return Ok(Vec::new());
        };
        // Two bytes of the table each, so at most 64 KiB.
        let mut member = vec![0; usize::try_from(end - start).map_err(io::Error::other)?];
        file.read_exact_at(&mut member, *start)?;
        let expected = (self.length - (number * BLOCK) as u64).min(BLOCK as u64);
        let mut block = Vec::with_capacity(BLOCK);
        GzDecoder::new(&member[..]).take(expected + 1).read_to_end(&mut block)?;
        if block.len() as u64 == expected {
            Ok(block)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "a block has another length than its table says"))
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::bufread::MultiGzDecoder;
    use proptest::prelude::*;

    use super::*;

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut packer = Packer::new(Vec::new());
        content.chunks(1000).for_each(|chunk| packer.write(chunk).unwrap());
        packer.finish().unwrap()
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn lines(count: usize) -> Vec<u8> {
        (0..count)
            .flat_map(|number| format!("{{\"seq\":{number},\"text\":\"abcdefgh\"}}\n").into_bytes())
            .collect()
    }

    #[test]
    fn it_is_gzip_and_every_block_is_found_by_itself() {
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 100_000] {
            let content = &lines(4000)[..length];
            let bytes = packed(content);
            let mut unpacked = Vec::new();
            MultiGzDecoder::new(&bytes[..]).read_to_end(&mut unpacked).unwrap();
            assert!(unpacked == content, "{length}");
            let file = file(&bytes);
            let blocks = Blocks::read(&file).unwrap().expect("a table");
            assert_eq!(blocks.length(), length as u64);
            let mut joined = Vec::new();
            // In any order.
            for number in (0..=length / BLOCK + 1).rev() {
                joined.splice(0..0, blocks.unpack(&file, number).unwrap());
            }
            assert!(joined == content, "{length}");
        }
    }

    #[test]
    fn what_does_not_get_smaller_has_blocks_too() {
        let mut content = vec![0; 5 * BLOCK];
        getrandom::fill(&mut content).unwrap();
        let file = file(&packed(&content));
        let blocks = Blocks::read(&file).unwrap().expect("a table");
        assert!(blocks.unpack(&file, 3).unwrap() == content[3 * BLOCK..4 * BLOCK]);
    }

    #[test]
    fn gzip_of_others_has_no_table() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&lines(100)).unwrap();
        assert!(Blocks::read(&file(&encoder.finish().unwrap())).unwrap().is_none());
        assert!(Blocks::read(&file(b"")).unwrap().is_none());
    }

    proptest! {
        /// A table is a stranger's word: reading it, and what it leads to, never does more than fail.
        #[test]
        fn a_changed_byte_is_no_table_or_an_error_or_the_same(at in any::<prop::sample::Index>(), to: u8) {
            let content = lines(1000);
            let mut bytes = packed(&content);
            let at = at.index(bytes.len());
            bytes[at] = to;
            let file = file(&bytes);
            if let Some(blocks) = Blocks::read(&file).unwrap() {
                for number in 0..4 {
                    if let Ok(block) = blocks.unpack(&file, number) {
                        let end = content.len().min((number + 1) * BLOCK);
                        let start = end.min(number * BLOCK);
                        prop_assert!(block == content[start..end]);
                    }
                }
            }
        }
    }
}
