//! RGB pixels as a PNG file. The `png` crate would cost the bundle 25 kB of brotli, most of it for a table of checksums
//! and a second compressor; what is needed of the format is this page.

use loupe_shared::pixels::Rgb8;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Filter 4, Paeth: each byte as its difference from what left, upper and upper-left byte let expect.
const PAETH: u8 = 4;
/// Bytes of a pixel.
const PIXEL: usize = 3;

/// Writes 8-bit RGB. The same pixels give the same bytes on every machine.
#[must_use]
pub fn encode(pixels: &Rgb8) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(pixels.width().to_be_bytes());
    header.extend(pixels.height().to_be_bytes());
    // 8 bits, RGB, and the only method there is for each of compression, filter and interlace.
    header.extend([8, 2, 0, 0, 0]);
    let mut file = SIGNATURE.to_vec();
    chunk(&mut file, b"IHDR", &header);
    chunk(&mut file, b"IDAT", &fdeflate::compress_to_vec(&filtered(pixels)));
    chunk(&mut file, b"IEND", &[]);
    file
}

fn filtered(pixels: &Rgb8) -> Vec<u8> {
    let stride = pixels.width() as usize * PIXEL;
    let mut out = Vec::with_capacity((stride + 1) * pixels.height() as usize);
    let mut upper = vec![0; stride];
    for row in pixels.data().chunks_exact(stride) {
        out.push(PAETH);
        for (i, byte) in row.iter().enumerate() {
            let before = |bytes: &[u8]| if i < PIXEL { 0 } else { bytes[i - PIXEL] };
            out.push(byte.wrapping_sub(paeth(before(row), upper[i], before(&upper))));
        }
        upper.copy_from_slice(row);
    }
    out
}

fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let expected = i16::from(left) + i16::from(up) - i16::from(corner);
    let away = |from: u8| (expected - i16::from(from)).abs();
    if away(left) <= away(up) && away(left) <= away(corner) {
        return left;
    }
    if away(up) <= away(corner) { up } else { corner }
}

fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    file.extend((data.len() as u32).to_be_bytes());
    let start = file.len();
    file.extend(kind);
    file.extend(data);
    let sum = crc32(&file[start..]);
    file.extend(sum.to_be_bytes());
}

fn crc32(bytes: &[u8]) -> u32 {
    let table = crc_table();
    !bytes.iter().fold(!0, |crc, byte| crc >> 8 ^ table[((crc ^ u32::from(*byte)) & 0xff) as usize])
}

/// Made when it is needed: as a constant it would travel with the bundle.
fn crc_table() -> [u32; 256] {
    std::array::from_fn(|i| (0..8).fold(i as u32, |crc, _| crc >> 1 ^ 0xedb8_8320 & (crc & 1).wrapping_neg()))
}

#[cfg(test)]
mod tests {
    use loupe_shared::pixels::pattern;

    use super::*;

    /// Another library reads what was written: checksums, compression and filters are held to the format.
    #[test]
    fn another_reader_finds_the_same_pixels() {
        for (width, height) in [(1, 1), (1, 40), (40, 1), (31, 17), (280, 196)] {
            let picture = pattern(width, height).unwrap();
            let read = image::load_from_memory(&encode(&picture)).unwrap();
            assert_eq!((read.width(), read.height()), (width, height));
            assert_eq!(read.into_rgb8().into_raw(), picture.into_data());
        }
    }

    #[test]
    fn even_colours_become_small() {
        let plain = Rgb8::new(400, 300, vec![120; 400 * 300 * 3]).unwrap();
        assert!(encode(&plain).len() < 400 * 300 * 3 / 100);
    }
}
