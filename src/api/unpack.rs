//! Compressed bodies. Their decompressed size is measured first, which allocates nothing, to know how much
//! memory to reserve; measuring stops once a limit is exceeded.

use std::io::{Read, copy, sink};

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// The maximum compression ratio of a body. What machines write about themselves is repetitive, but only a
/// decompression bomb comes near the possible maximum, 1032.
pub const MAX_GROWTH: usize = 500;
/// No maximum ratio up to this size.
const HARMLESS: usize = 8 * 1024 * 1024;

/// A compression format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// `gzip`.
    Gzip,
    /// `deflate` as specified.
    Zlib,
    /// `deflate` as some clients send it.
    Deflate,
}

/// Why decompression failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Corrupt, truncated or another format.
    Damaged,
    /// It would exceed the size limit.
    TooLong,
    /// The ratio is that of a decompression bomb.
    GrowsTooMuch,
}

impl Packing {
    /// Returns the possible formats of a body with this `Content-Encoding`; none if it is unknown.
    pub fn of(encoding: &str) -> &'static [Self] {
        match encoding {
            "gzip" => &[Self::Gzip],
            "deflate" => &[Self::Zlib, Self::Deflate],
            _ => &[],
        }
    }

    fn reader(self, body: &[u8]) -> Box<dyn Read + '_> {
        match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(body)),
            Self::Zlib => Box::new(ZlibDecoder::new(body)),
            Self::Deflate => Box::new(DeflateDecoder::new(body)),
        }
    }

    /// Returns the decompressed size of a body, up to `limit` bytes.
    pub fn measure(self, body: &[u8], limit: usize) -> Result<usize, Fault> {
        let by_growth = body.len().saturating_mul(MAX_GROWTH).max(HARMLESS);
        let most = by_growth.min(limit);
        let mut reader = self.reader(body).take(most as u64 + 1);
        let length = copy(&mut reader, &mut sink()).map_err(|_e| Fault::Damaged)?;
        match usize::try_from(length) {
            Ok(length) if length <= most => Ok(length),
            _ if by_growth < limit => Err(Fault::GrowsTooMuch),
            _ => Err(Fault::TooLong),
        }
    }

    /// Decompresses a body to `length` bytes.
    pub fn unpack(self, body: &[u8], length: usize) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::with_capacity(length);
        let mut reader = self.reader(body).take(length as u64);
        reader.read_to_end(&mut out).map_err(|_e| Fault::Damaged)?;
        Ok(out)
    }
}

/// Detects the compression of a body and its decompressed size.
pub fn measure(ways: &[Packing], body: &[u8], limit: usize) -> Result<(Packing, usize), Fault> {
    let mut last = Fault::Damaged;
    for way in ways {
        match way.measure(body, limit) {
            Ok(length) => return Ok((*way, length)),
            Err(Fault::Damaged) => {}
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn packed(way: Packing, content: &[u8]) -> Vec<u8> {
        let level = Compression::default();
        let (mut gzip, mut zlib, mut deflate) = (
            GzEncoder::new(Vec::new(), level),
            ZlibEncoder::new(Vec::new(), level),
            DeflateEncoder::new(Vec::new(), level),
        );
        gzip.write_all(content).unwrap();
        zlib.write_all(content).unwrap();
        deflate.write_all(content).unwrap();
        match way {
            Packing::Gzip => gzip.finish(),
            Packing::Zlib => zlib.finish(),
            Packing::Deflate => deflate.finish(),
        }
        .unwrap()
    }

    #[test]
    fn what_was_packed_is_measured_and_unpacked() {
        let content = b"some spans ".repeat(100);
        for (encoding, way) in
            [("gzip", Packing::Gzip), ("deflate", Packing::Zlib), ("deflate", Packing::Deflate)]
        {
            let body = packed(way, &content);
            let (found, length) = measure(Packing::of(encoding), &body, 1 << 20).unwrap();
            assert_eq!((found, length), (way, content.len()));
            assert_eq!(found.unpack(&body, length).unwrap(), content);
            assert_eq!(measure(Packing::of(encoding), &body, 100), Err(Fault::TooLong));
        }
        // Two gzip members.
        let twice = packed(Packing::Gzip, b"ab").repeat(2);
        assert_eq!(measure(Packing::of("gzip"), &twice, 100), Ok((Packing::Gzip, 4)));
    }

    #[test]
    fn what_is_damaged_or_grows_is_refused() {
        let body = packed(Packing::Gzip, b"text");
        for damaged in [&b"text"[..], b"", body.get(..body.len() - 9).unwrap()] {
            assert_eq!(measure(Packing::of("gzip"), damaged, 100), Err(Fault::Damaged));
        }
        let zeros = packed(Packing::Gzip, &vec![0; HARMLESS + 1]);
        assert_eq!(measure(Packing::of("gzip"), &zeros, 1 << 30), Err(Fault::GrowsTooMuch));
        assert_eq!(measure(Packing::of("br"), &body, 100), Err(Fault::Damaged));
    }
}
